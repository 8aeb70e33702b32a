"""Rows go where the rules send them: published, repaired, quarantined or dropped, and always just one of these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataflow.errors import ConfigError
from dataflow.quality.repairs import check_repairs
from dataflow.quality.routes import Repair
from dataflow.quality.routing import Routed, route_rows, unevaluable
from dataflow.quality.rules import ValidationRule
from tests.dataflow.quality.batches import AT

FRAME = pl.DataFrame(
    {
        "id": [1, None, 3, -4, 5, -6],
        "email": [" a@b", " x", "c@d", None, "q@r ", "no"],
        "carrier": ["AA", "ZZ", None, "BB", "AA", "ZZ"],
    }
)
TRIMMED = ValidationRule(
    "trimmed",
    "email NOT LIKE ' %' AND email NOT LIKE '% '",
    on_fail=Repair("email", lambda email: email.str.strip_chars()),
)
PRESENT = ValidationRule("present", "id IS NOT NULL")
POSITIVE = ValidationRule("positive", "id > 0", on_fail="drop")
EMAIL = ValidationRule("email", "email LIKE '%@%'")
KNOWN = ValidationRule("known", "carrier IN (SELECT code FROM carriers)", on_fail="quarantine")
CARRIERS = {"carriers": pl.LazyFrame({"code": ["AA", "BB", None]})}


def route(*rules: ValidationRule, frame: pl.DataFrame = FRAME, **settings: Any) -> Routed:
    return route_rows(frame.lazy(), rules, at=AT, **settings)


def rows(frame: pl.LazyFrame | None, *columns: str) -> list[tuple[Any, ...]]:
    assert frame is not None
    return frame.select(columns).collect().rows()


def test_every_route_at_once():
    routed = route(PRESENT, POSITIVE, TRIMMED, EMAIL, KNOWN, references=CARRIERS)

    assert [(1, "a@b", "AA"), (3, "c@d", None), (5, "q@r", "AA")] == rows(routed.good, *FRAME.columns)
    assert [
        (None, " x", "ZZ", ["present", "trimmed", "email", "known"]),
        (-6, "no", "ZZ", ["positive", "email", "known"]),
    ] == rows(routed.quarantined, *FRAME.columns, "_rules")
    assert [(-4, None, "BB", ["positive"], "positive: id > 0", AT)] == rows(
        routed.dropped, *FRAME.columns, "_rules", "_reason", "_dropped_at"
    )
    assert [(1, " a@b", ["trimmed"]), (5, "q@r ", ["trimmed"])] == rows(routed.repaired, "id", "email", "_rules")
    assert routed.quarantined is not None
    assert routed.repaired is not None
    told = {"_rules": pl.List(pl.String), "_reason": pl.String}
    at = pl.Datetime("us", "UTC")
    assert {**FRAME.schema, **told, "_quarantined_at": at} == dict(routed.quarantined.collect_schema())
    assert {**FRAME.schema, **told, "_repaired_at": at} == dict(routed.repaired.collect_schema())
    assert FRAME.schema == routed.good.collect_schema()


def test_rows_are_told_why_in_words():
    routed = route(PRESENT, EMAIL)
    assert [
        ("present: id IS NOT NULL; email: email LIKE '%@%'", AT),
        ("email: email LIKE '%@%'", AT),
    ] == rows(routed.quarantined, "_reason", "_quarantined_at")


def test_quarantine_wins_over_drop_whatever_comes_first():
    for rules in ((POSITIVE, EMAIL), (EMAIL, POSITIVE)):
        routed = route(*rules)
        assert [(-4,)] == rows(routed.dropped, "id")
        assert [(None,), (-6,)] == rows(routed.quarantined, "id")


def test_there_is_a_side_only_for_what_a_rule_can_do():
    frame = FRAME.lazy()
    assert Routed(frame) == route_rows(frame, [], at=AT)
    warns = ValidationRule("warns", "id > 0", severity="warning")
    unique = ValidationRule("unique", expectation={"type": "expect_column_values_to_be_unique", "column": "id"})
    assert Routed(frame) == route_rows(frame, [warns, unique], at=AT)
    drops, repairs = route(POSITIVE), route(TRIMMED)
    assert (True, False, True) == (drops.quarantined is None, drops.dropped is None, drops.repaired is None)
    # What a repair cannot make good is quarantined.
    assert (False, True, False) == (repairs.quarantined is None, repairs.dropped is None, repairs.repaired is None)


def test_a_rule_that_cannot_be_evaluated_sets_nothing_aside():
    for predicate in ("idd > 0", "email > 1", "id IN (SELECT code FROM nowhere)", "id IN (SELECT code FROM carriers)"):
        typo = ValidationRule("typo", predicate, on_fail="quarantine")
        routed = route(typo, POSITIVE, references=CARRIERS)
        assert [(1,), (None,), (3,), (5,)] == rows(routed.good, "id")
        assert routed.quarantined is None


@pytest.mark.parametrize(
    ("predicate", "problem"),
    [
        ("CAST(email AS DATE) > DATE '2024-01-31'", "casting from string to date is not supported"),
        ("CAST(email AS BIGINT) > 0", None),
        ("CAST(id AS DOUBLE) > 0", None),
        ("email <> 'forecast'", None),
    ],
)
def test_what_no_text_can_be_cast_to_is_known_beforehand(predicate: str, problem: str | None):
    told = unevaluable(ValidationRule("a", predicate), pl.Schema({"id": pl.Int64, "email": pl.String}), {})

    assert (problem is None) == (told is None)
    assert (problem or "") in (told or "")


def test_expectations_and_references_route_too():
    length = ValidationRule(
        "length",
        expectation={"type": "expect_column_value_lengths_to_be_between", "column": "email", "min_value": 3},
        on_fail="drop",
    )
    closed = ValidationRule("closed", "carrier NOT IN (SELECT code FROM carriers)", on_fail="drop")
    assert [(None,), (-6,)] == rows(route(length).dropped, "id")
    assert [(1,), (-4,), (5,)] == rows(route(closed, references=CARRIERS).dropped, "id")


def test_repairs_are_made_in_order_and_see_each_other():
    calls = ValidationRule("lower", "email = LOWER(email)", on_fail=Repair("email", lambda e: e.str.to_lowercase()))
    named = ValidationRule("named", "name = email", on_fail=Repair("name", lambda _: pl.col("email")))
    frame = pl.DataFrame({"email": ["A@B", "c@d", "E"], "name": ["A@B", "other", "e"]})

    routed = route(calls, named, frame=frame)
    assert [("a@b", "a@b"), ("c@d", "c@d"), ("e", "e")] == rows(routed.good, "email", "name")
    # The first name was right before the address was repaired, the last one after.
    assert [("A@B", "A@B", ["lower"]), ("c@d", "other", ["named"]), ("E", "e", ["lower", "named"])] == rows(
        routed.repaired, "email", "name", "_rules"
    )
    turned = route(named, calls, frame=frame)
    assert [("c@d", "c@d")] == rows(turned.good, "email", "name")
    assert [("A@B", "A@B", ["lower"]), ("E", "e", ["named", "lower"])] == rows(
        turned.quarantined, "email", "name", "_rules"
    )


def test_a_repair_that_breaks_something_else_quarantines_the_row_as_it_was():
    short = ValidationRule("short", "id < 100", on_fail=Repair("id", lambda number: -number))
    routed = route(short, ValidationRule("positive", "id > 0"), frame=pl.DataFrame({"id": [5, 500]}))
    assert [(5,)] == rows(routed.good, "id")
    assert [(500, ["short"], "short: id < 100; once repaired, positive: id > 0")] == rows(
        routed.quarantined, "id", "_rules", "_reason"
    )
    assert [] == rows(routed.repaired, "id")


def test_a_repaired_row_may_be_dropped():
    even = ValidationRule("even", "id % 2 = 0", on_fail=Repair("id", lambda number: number - 1))
    routed = route(even, POSITIVE, frame=pl.DataFrame({"id": [1, 3]}))
    assert [(2,)] == rows(routed.good, "id")
    assert [(1, ["even"])] == rows(routed.dropped, "id", "_rules")
    assert [(3,)] == rows(routed.repaired, "id")


def test_only_failing_rows_take_the_new_value():
    zero = ValidationRule("zero", "id > 0", on_fail=Repair("id", lambda _: pl.lit(7)))
    assert [(1,), (None,), (3,), (7,), (5,), (7,)] == rows(route(zero).good, "id")
    none = ValidationRule("none", "id > 0", on_fail=Repair("id", lambda _: pl.lit(None)))
    assert [(1,), (None,), (3,), (None,), (5,), (None,)] == rows(route(none).good, "id")


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda _: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (lambda _: exit(3), "raised SystemExit: 3"),
        (lambda e: e.max(), "needs other rows than the one it repairs; do that in the stage's function"),
        (lambda e: e.str.extract("("), "cannot be run: regex error: regex parse error: ( ^ error: unclosed group"),
        (lambda _: "x", "returned str, not an expression; return what it makes of the one it is given"),
        (lambda e: e.str.len_chars(), "makes UInt32 of String; a repair keeps its column's type: cast to it"),
        (lambda _: pl.lit(1), "makes Int32 of String; a repair keeps its column's type: cast to it"),
        (lambda e: e.drop_nulls(), "cannot be run: zip node received non-equal length inputs"),
        (lambda _: pl.col("mail"), "cannot be run: unable to find column \"mail\"; valid columns: [\"id\", \"email\", "
         "\"carrier\"]"),
    ],
)  # fmt: skip
def test_a_repair_that_cannot_be_made(function: Callable[[pl.Expr], Any], problem: str):
    with pytest.raises(ConfigError) as caught:
        route(ValidationRule("mend", "email <> 'no'", on_fail=Repair("email", function)))
    assert f"rule 'mend': its repair of 'email' {problem}" == caught.value.message


def test_a_repair_in_python():
    plus = ValidationRule(
        "plus", "id > 0", on_fail=Repair("id", lambda e: e.map_elements(lambda v: len([v]), return_dtype=pl.Int64))
    )
    assert [(1,), (None,), (3,), (1,), (5,), (1,)] == rows(route(plus).good, "id")


def test_a_repair_of_a_column_that_its_rule_does_not_read():
    with pytest.raises(ConfigError) as caught:
        check_repairs([ValidationRule("mend", "id > 0", on_fail=Repair("email", pl.Expr.abs))])
    assert (
        "rule 'mend': its repair changes 'email', which the rule does not read (id > 0), "
        "so that no row could ever be made good; repair 'id'"
    ) == caught.value.message


def test_a_column_is_repaired_once():
    again = ValidationRule("again", "email <> 'x'", on_fail=TRIMMED.on_fail)
    for check in (lambda: check_repairs([TRIMMED, again]), lambda: route(TRIMMED, again)):
        with pytest.raises(ConfigError) as caught:
            check()
        assert (
            "rules 'trimmed' and 'again' both repair 'email'; a gate repairs a column once: let one function do both"
        ) == caught.value.message


def test_numbers_of_another_width_keep_the_columns_type():
    zero = ValidationRule("zero", "x > 0", on_fail=Repair("x", lambda _: pl.lit(0)))
    frame = pl.DataFrame({"x": [-1.5, 2.0]})
    assert {"x": pl.Float64} == dict(route(zero, frame=frame).good.collect_schema())
    halves = ValidationRule("halves", "x > 0", on_fail=Repair("x", lambda x: x / 2))
    with pytest.raises(ConfigError, match="makes Float64 of Int64; a repair keeps its column's type"):
        route(halves, frame=frame.cast(pl.Int64))


def test_no_rows_at_all():
    routed = route(PRESENT, POSITIVE, TRIMMED, KNOWN, frame=FRAME.clear(), references=CARRIERS)
    assert [0, 0, 0, 0] == [
        frame.collect().height
        for frame in (routed.good, routed.quarantined, routed.dropped, routed.repaired)
        if frame is not None
    ]


def test_the_order_of_rows_stays(tmp_path: Path):
    frame = pl.DataFrame({"id": range(5000), "carrier": ["AA", "ZZ"] * 2500})
    frame.write_parquet(tmp_path / "f.parquet", row_group_size=100)
    scanned = pl.scan_parquet(tmp_path / "f.parquet")
    routed = route_rows(scanned, [KNOWN, ValidationRule("late", "id > 9")], at=AT, references=CARRIERS)
    good, aside = pl.collect_all([routed.good, routed.quarantined], engine="streaming")  # pyright: ignore
    assert list(range(10, 5000, 2)) == good["id"].to_list()
    assert aside["id"].is_sorted()


def test_predicates_are_worked_out_once_for_all_sides(tmp_path: Path):
    FRAME.write_parquet(tmp_path / "f.parquet")
    routed = route_rows(pl.scan_parquet(tmp_path / "f.parquet"), [PRESENT, POSITIVE, EMAIL], at=AT)
    assert routed.quarantined is not None
    assert routed.dropped is not None
    plan = pl.explain_all([routed.good, routed.quarantined, routed.dropped])
    assert 1 == plan.count("@.*")
    assert 1 == plan.count("SCAN")
