"""Routes of rules through a whole run: dropped, repaired, limited, and rules about the table."""

from __future__ import annotations

import os
from typing import Any

import polars as pl
import pytest

from dataflow import QuarantineLimit, Repair, ValidationRule, Workflow
from tests.dataflow.engine.made import Made, done, failed, nonzero

POSITIVE = ValidationRule("positive", "amount > 0")
SMALL = ValidationRule("small", "amount < 100", on_fail="drop")
TRIMMED = ValidationRule(
    "trimmed", "name MATCHES '^[a-z]+$'", on_fail=Repair("name", lambda name: name.str.strip_chars())
)
KEY_UNIQUE = {"type": "expect_column_values_to_be_unique", "column": "id"}


def typed(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.with_columns(pl.col("amount").cast(pl.Int64))


def gated(made: Made, *rules: Any, **options: Any) -> Workflow:
    workflow = made.workflow()
    month: dict[str, Any] = {"partition_by": ["month"]}
    made.source(workflow, "orders", storage=month)
    workflow.add_task("clean", typed, ["orders"], gate=rules, storage=month, **month, **options)
    return workflow


def deliver(made: Made, month: int, *rows: tuple[str, int]) -> None:
    made.csv(
        f"orders/{month}.csv", "month,name,amount,id", [f"{month},{n},{a},{month}-{i}" for i, (n, a) in enumerate(rows)]
    )


def test_dropped_rows_are_counted_and_kept_in_a_ledger(made: Made):
    deliver(made, 1, ("a", 5), ("b", 700), ("c", -1))

    report = done(made.run(gated(made, POSITIVE, SMALL))).stage("clean")

    assert {"read": 3, "produced": 3, "quarantined": 1, "dropped": 1, "published": 1} == nonzero(report)
    assert [("b", ["small"], "small: amount < 100")] == made.rows("clean__dropped", "name", "_rules", "_reason")


def test_repaired_rows_are_published_and_told_as_they_were(made: Made):
    deliver(made, 1, (" a ", 5), ("b", 6), ("7", 7), (" c", -1))

    report = done(made.run(gated(made, POSITIVE, TRIMMED))).stage("clean")

    assert {"read": 4, "produced": 4, "quarantined": 2, "published": 2, "repaired": 1} == nonzero(report)
    assert [("a",), ("b",)] == made.rows("clean", "name")
    assert [(" a ", ["trimmed"])] == made.rows("clean__repaired", "name", "_rules")
    assert [(" c", ["positive", "trimmed"]), ("7", ["trimmed"])] == made.rows("clean__quarantine", "name", "_rules")
    assert report.verdict is not None
    found = {r.rule: (r.failed, r.repaired) for r in report.verdict.results}
    assert {"positive": (1, 0), "trimmed": (2, 1)} == found


def test_a_repair_after_deduplication_does_not_hide_a_double_key(made: Made):
    deliver(made, 1, (" a", 5), ("a", 6))
    unique = {"name": "unique", "expectation": {"type": "expect_column_values_to_be_unique", "column": "name"}}

    report = made.run(gated(made, TRIMMED, unique, deduplicate={"key": ["month", "name"]}))

    assert "rejected" == report.state
    assert "unique (2 of 2 rows)" in report.reason


def test_a_repair_that_cannot_be_made_fails_its_stage(made: Made):
    deliver(made, 1, (" a", 5))
    count = ValidationRule(
        "trimmed", "name MATCHES '^[a-z]+$'", on_fail=Repair("name", lambda name: name.str.len_chars())
    )

    report = made.run(gated(made, count))

    assert "its repair of 'name' makes UInt32 of String; a repair keeps its column's type" in failed(report, "clean")


def test_a_limit_refuses_a_batch_of_which_too_much_is_set_aside(made: Made):
    deliver(made, 1, ("a", 5), ("b", 700), ("c", -1), ("d", 6))
    limit = QuarantineLimit(share=0.4)

    report = made.run(gated(made, POSITIVE, SMALL, quarantine_limit=limit))

    assert "rejected" == report.state
    assert "quarantine_limit" in report.reason
    done(made.run(gated(made, POSITIVE, SMALL, quarantine_limit=QuarantineLimit(rows=2))))


@pytest.mark.parametrize("partitioned", [True, False])
def test_a_rule_about_the_table_sees_what_is_published_already(made: Made, partitioned: bool):
    unique = {"name": "unique", "scope": "table", "expectation": KEY_UNIQUE}
    workflow = made.workflow()
    month: dict[str, Any] = {"partition_by": ["month"]} if partitioned else {}
    made.source(workflow, "orders", storage=month, gate=[unique])
    made.csv("orders/1.csv", "month,id", ["1,a", "1,b"])
    done(made.run(workflow))
    made.csv("orders/2.csv", "month,id", ["2,c", "2,a"])

    report = made.run(workflow)

    assert "rejected" == report.state
    assert "unique (1 of 2 rows)" in report.reason
    assert [("a",), ("b",)] == made.rows("orders", "id")
    made.csv("orders/2.csv", "month,id", ["2,c", "2,d"])
    done(made.run(workflow))


def test_a_unit_that_is_replaced_does_not_collide_with_itself(made: Made):
    unique = {"name": "unique", "scope": "table", "expectation": KEY_UNIQUE}
    deliver(made, 1, ("a", 5), ("b", 6))
    done(made.run(gated(made, unique)))
    deliver(made, 1, ("a", 5), ("b", 7))

    done(made.run(gated(made, unique)))

    assert [(5,), (7,)] == made.rows("clean", "amount")


def referring(made: Made, **options: Any) -> Workflow:
    workflow = gated(made, ValidationRule("known", "name IN (SELECT name FROM people)", **options))
    made.source(workflow, "people")
    return workflow


def test_a_rule_may_refer_to_another_table(made: Made):
    made.csv("people/1.csv", "name", ["a", "b"])
    deliver(made, 1, ("a", 5), ("x", 6))

    report = made.run(referring(made))

    assert "rejected" == report.state
    assert "known (1 of 2 rows)" in report.reason


def test_rows_without_a_partner_may_go_to_quarantine(made: Made):
    made.csv("people/1.csv", "name", ["a", "b"])
    deliver(made, 1, ("a", 5), ("x", 6))

    report = done(made.run(referring(made, on_fail="quarantine")))

    assert 1 == report.stage("clean").counts.quarantined
    assert [("x", ["known"])] == made.rows("clean__quarantine", "name", "_rules")


def test_columns_of_personal_data_leave_no_values_in_logs_and_reports(made: Made):
    deliver(made, 1, ("zebrafinch", 5), ("zebrafish", -1))
    longest = {
        "name": "names",
        "severity": "warning",
        "expectation": {"type": "expect_column_distinct_values_to_be_in_set", "column": "name", "value_set": ["b"]},
    }
    workflow = gated(
        made, POSITIVE, longest, ValidationRule("short", "LENGTH(name) < 5", severity="warning"), pii=["name"]
    )

    report = done(made.run(workflow))

    assert "zebra" not in report.model_dump_json()
    told = [p for p in made.lake.rglob("*") if p.is_file() and p.suffix in (".json", ".html", ".crc")]
    assert told
    assert [] == [str(p) for p in told if b"zebra" in p.read_bytes()]
    assert [] == [e.text for e in made.events if "zebra" in e.text]


def test_every_way_out_is_balanced(made: Made):
    deliver(made, 1, (" a", 5), ("b", 700), ("c", -1), ("9", 6), ("9", 6), ("d", 8))
    workflow = gated(made, POSITIVE, SMALL, TRIMMED, deduplicate={"key": ["month", "amount"]})

    counts = done(made.run(workflow)).stage("clean").counts

    assert None is counts.imbalance
    tables = ("clean", "clean__quarantine", "clean__dropped", "clean__duplicates", "clean__repaired")
    assert (2, 2, 1, 1, 1) == tuple(made.frame(table).height for table in tables)


def test_rows_that_were_set_aside_by_an_older_table_are_looked_at_anew(made: Made):
    made.csv("people/1.csv", "name", ["a", "b"])
    deliver(made, 1, ("a", 5), ("x", 6))
    workflow = referring(made, on_fail="quarantine")
    two: dict[str, Any] = {"type": "expect_table_row_count_to_be_between", "min_value": 2}
    workflow.add_quality_gate("clean", [{"name": "two", "expectation": two}])
    assert "rejected" == made.run(workflow).state
    made.csv("people/2.csv", "name", ["x"])

    done(made.run(workflow))

    assert [("a",), ("x",)] == made.rows("clean", "name")


def test_what_a_table_cannot_take_is_told_as_such_though_a_rule_is_about_the_table(
    made: Made, monkeypatch: pytest.MonkeyPatch
):
    def odd(orders: pl.LazyFrame) -> pl.LazyFrame:
        return orders.with_columns(pl.lit([1]) if os.environ.get("ODD") else pl.lit(1).alias("literal"))

    workflow = made.workflow()
    month: dict[str, Any] = {"partition_by": ["month"]}
    made.source(workflow, "orders", storage=month)
    unique = {"name": "unique", "scope": "table", "expectation": {**KEY_UNIQUE, "column": "literal"}}
    workflow.add_task("clean", odd, ["orders"], gate=[unique], storage=month, **month)
    made.csv("orders/1.csv", "month,id", ["1,a"])
    done(made.run(workflow))
    made.csv("orders/2.csv", "month,id", ["2,b"])
    monkeypatch.setenv("ODD", "1")

    error = failed(made.run(workflow), "clean")

    assert "table 'clean' cannot take what its stage now returns: 'literal' was Int32, is List(Int64)" in error


def _tell(name: str) -> str:
    raise ValueError(f"cannot tidy {name!r}")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda name: name.map_elements(_tell, pl.String),
        lambda name: name.cast(pl.Int64).cast(pl.String),
    ],
)
def test_an_error_about_personal_data_quotes_none(made: Made, spoil: Any):
    deliver(made, 1, ("zebrafinch", 5))
    mended = ValidationRule("mended", "name <> 'zebrafinch'", on_fail=Repair("name", spoil))
    in_stage = made.run(gated(made, mended, pii=["name"]))
    workflow = made.workflow()
    made.source(workflow, "orders", storage={"partition_by": ["month"]})
    workflow.add_task("clean", lambda orders: orders.with_columns(spoil(pl.col("name"))), ["orders"], pii=["name"])
    in_function = made.run(workflow)

    for report in (in_stage, in_function):
        assert "what it says is not told, as the stage has personal data" in failed(report, "clean")
        assert "zebra" not in report.model_dump_json()


def test_a_broken_line_of_personal_data_is_not_quoted(made: Made):
    workflow = made.workflow()
    made.source(workflow, "people", pii=["name"])
    made.csv("people/1.csv", "name,age", ["zebrafinch,5,more"])

    report = done(made.run(workflow))

    assert 1 == report.stage("people").counts.quarantined
    assert "zebra" not in report.model_dump_json()
    aside = made.frame("people__quarantine")
    assert ["zebrafinch,5,more"] == aside["_raw"].to_list()
    assert "zebra" not in aside["_reason"].item()
