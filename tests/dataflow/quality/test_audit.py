"""A gate is shown a staged batch: what the write and the files' statistics have settled, it does not read again."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataflow.errors import ConfigError
from dataflow.model import ROW_ID, RuleResult, Verdict
from dataflow.quality.batch import Batch, Files
from dataflow.quality.gate import audit
from dataflow.quality.masking import masked_error
from dataflow.quality.routes import Branch, QuarantineLimit, Repair
from dataflow.quality.rules import ValidationRule
from tests.dataflow.quality.batches import Shelf

FRAME = pl.DataFrame(
    {
        ROW_ID: [10, 11, 12, 13, 14, 15],
        "id": [1, None, 3, -4, 5, -6],
        "email": [" a@b", " x", "c@d", None, "q@r ", "no"],
        "carrier": ["AA", "ZZ", None, "BB", "AA", "ZZ"],
    }
)
PRESENT = ValidationRule("present", "id IS NOT NULL")
POSITIVE = ValidationRule("positive", "id > 0", on_fail="drop")
TRIMMED = ValidationRule(
    "trimmed", "email NOT LIKE ' %' AND email NOT LIKE '% '", on_fail=Repair("email", lambda e: e.str.strip_chars())
)
EMAIL = ValidationRule("email", "email LIKE '%@%'")
KNOWN = ValidationRule("known", "carrier IN (SELECT code FROM carriers)", on_fail="quarantine")
CARRIERS = {"carriers": pl.LazyFrame({"code": ["AA", "BB", None]})}
ROUTES = (PRESENT, POSITIVE, TRIMMED, EMAIL, KNOWN)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def expecting(name: str, kind: str, severity: Any = "critical", **arguments: Any) -> ValidationRule:
    settings = {key: arguments.pop(key) for key in ("mostly", "on_fail", "scope") if key in arguments}
    return ValidationRule(name, severity=severity, expectation={"type": kind, **arguments}, **settings)


UNIQUE = expecting("unique", "expect_column_values_to_be_unique", column="id")
MEAN = expecting("mean", "expect_column_mean_to_be_between", column="id", min_value=0)


def judge(batch: Batch | pl.LazyFrame, *rules: ValidationRule, **settings: Any) -> Verdict:
    return audit(batch, rules, stage="orders", batch_id="b", digest="d", **settings)


def only(batch: Batch | pl.LazyFrame, rule: ValidationRule, **settings: Any) -> RuleResult:
    (result,) = judge(batch, rule, **settings).results
    return result


def test_what_was_set_aside_while_staging_is_told_and_not_counted_again(shelf: Shelf):
    batch = shelf.routed(FRAME, ROUTES, references=CARRIERS)
    shelf.scanned.clear()

    verdict = judge(batch, *ROUTES)

    assert [
        ("present", False, 6, 1, 0, (11,)),
        ("positive", False, 6, 2, 0, (13, 15)),
        ("trimmed", False, 6, 1, 2, (10, 11, 14)),
        ("email", False, 6, 2, 0, (11, 15)),
        ("known", False, 6, 2, 0, (11, 15)),
    ] == [(r.rule, r.success, r.checked, r.failed, r.repaired, r.rows) for r in verdict.results]
    assert {"set aside while staging"} == {r.evidence for r in verdict.results}
    assert ["quarantine", "drop", "repair", "quarantine", "quarantine"] == [r.route for r in verdict.results]
    assert ["row", "row", "row", "row", "table"] == [r.scope for r in verdict.results]
    assert "quarantined" == verdict.outcome
    assert verdict == Verdict.model_validate_json(verdict.model_dump_json())


def test_nothing_of_the_published_rows_is_read_where_all_is_settled(shelf: Shelf):
    batch = shelf.routed(FRAME, ROUTES, references=CARRIERS, distinct=(("id",),))
    for file in batch.good.files:
        (shelf.folder / file.path).unlink()
    rules = (
        *ROUTES,
        UNIQUE,
        expecting("all_there", "expect_column_values_to_not_be_null", column=ROW_ID, scope="row", severity="info"),
        expecting(
            "range", "expect_column_values_to_be_between", column="id", min_value=-9, max_value=9, on_fail="warn"
        ),
        expecting("rows", "expect_table_row_count_to_be_between", min_value=1),
        expecting("columns", "expect_table_columns_to_match_set", column_set=FRAME.columns),
    )
    verdict = judge(batch, *rules)
    assert [
        ("unique", True, 3, 0, "deduplicated by this stage"),
        ("all_there", True, 6, 0, "statistics"),
        ("range", True, 6, 0, "set aside while staging"),
        ("rows", True, 3, 0, "statistics"),
        ("columns", True, 3, 0, "schema"),
    ] == [(r.rule, r.success, r.checked, r.failed, r.evidence) for r in verdict.results[5:]]


def test_a_key_that_a_repair_has_changed_is_counted_again(shelf: Shelf):
    lower = ValidationRule("lower", "t = LOWER(t)", on_fail=Repair("t", lambda t: t.str.to_lowercase()))
    unique = expecting("unique", "expect_column_values_to_be_unique", column="t")
    in_table = expecting("in_table", "expect_column_values_to_be_unique", column="t", scope="table")
    rules = (lower, unique, in_table)
    batch = shelf.routed(pl.DataFrame({"t": ["a", "A", "b"]}), rules, distinct=(("t",),))
    assert [("lower", True, 0), ("unique", False, 2), ("in_table", False, 2)] == [
        (r.rule, r.success, r.failed) for r in judge(batch, *rules).results
    ]


def test_a_repair_that_made_all_good_is_a_success(shelf: Shelf):
    frame = FRAME.filter(pl.col(ROW_ID).is_in([10, 12, 14]))
    result = only(shelf.routed(frame, [TRIMMED]), TRIMMED)
    assert (True, 0, 2, (10, 14)) == (result.success, result.failed, result.repaired, result.rows)


def test_rules_about_rows_see_all_of_them_and_rules_about_the_batch_what_is_published(shelf: Shelf):
    warns = ValidationRule("warns", "id > 0", severity="warning")
    rules = (PRESENT, POSITIVE, warns, MEAN, expecting("rows", "expect_table_row_count_to_equal", value=3))
    batch = shelf.routed(FRAME, rules)
    assert [
        ("present", False, 6, 1, None),
        ("positive", False, 6, 2, None),
        ("warns", False, 6, 2, None),
        ("mean", True, 3, 0, 3.0),
        ("rows", True, 3, 0, 3),
    ] == [(r.rule, r.success, r.checked, r.failed, r.observed) for r in judge(batch, *rules).results]


def test_mostly_counts_rows_with_an_answer_also_where_they_were_set_aside(shelf: Shelf):
    for mostly, success in ((0.6, True), (0.61, False)):
        rule = ValidationRule("positive", "id > 0", mostly=mostly)
        result = only(shelf.routed(FRAME, [rule]), rule)
        assert (success, 6, 2, (13, 15), "scan") == (
            result.success,
            result.checked,
            result.failed,
            result.rows,
            result.evidence,
        )


def test_rows_are_named_by_their_ids(shelf: Shelf):
    frame = pl.DataFrame({ROW_ID: range(100, 112), "id": [1, 1, *range(-9, 1)], "other": 0})
    rules = (
        ValidationRule("warns", "id > 0", severity="warning"),
        expecting("unique", "expect_column_values_to_be_unique", "warning", column="id"),
        ValidationRule("known", "id IN (SELECT id FROM known)", severity="info"),
        expecting("mean", "expect_column_mean_to_be_between", "warning", column="id", min_value=100),
        expecting("between", "expect_column_values_to_be_between", column="id", max_value=0, on_fail="fail"),
    )
    known = {"known": pl.LazyFrame({"id": [1]})}
    verdict = judge(Batch(shelf.files(frame), references=known), *rules)
    first = (102, 103, 104, 105, 106)
    assert [first, (100, 101), first, (), (100, 101)] == [r.rows for r in verdict.results]
    assert [()] * 5 == [r.rows for r in judge(Batch(shelf.files(frame.drop(ROW_ID)), references=known), *rules).results]


def test_references_by_default_fail_the_batch(shelf: Shelf):
    known = ValidationRule("known", "carrier IN (SELECT code FROM carriers)")
    mostly = ValidationRule("mostly", "carrier IN (SELECT code FROM carriers)", mostly=0.6)
    result, share = judge(Batch(shelf.files(FRAME), references=CARRIERS), known, mostly).results
    assert (False, 6, 2, "fail", "table", "scan beside carriers") == (
        result.success,
        result.checked,
        result.failed,
        result.route,
        result.scope,
        result.evidence,
    )
    assert (True, 2) == (share.success, share.failed)


def test_references_that_cannot_be_followed(shelf: Shelf):
    rules = (
        ValidationRule("table", "carrier IN (SELECT code FROM carrier)"),
        ValidationRule("column", "carrier IN (SELECT cod FROM carriers)", on_fail="quarantine"),
        ValidationRule("type", "id IN (SELECT code FROM carriers)"),
    )
    verdict = judge(shelf.routed(FRAME, rules, references=CARRIERS), *rules, PRESENT)
    assert [
        "rule 'table': unknown table 'carrier' in carrier IN (SELECT code FROM carrier); "
        "did you mean 'carriers'? accepted: carriers",
        "rule 'column': unknown column 'cod' of 'carriers' in carrier IN (SELECT cod FROM carriers); "
        "did you mean 'code'? accepted: code",
        "rule 'type': id IN (SELECT code FROM carriers): 'id' is Int64 and 'code' of 'carriers' is String, "
        "which cannot be compared; cast one of them in its stage",
        None,
    ] == [r.error for r in verdict.results]
    assert "rejected" == verdict.outcome


def test_a_routing_rule_that_cannot_be_evaluated_is_no_success(shelf: Shelf):
    wrong = ValidationRule("wrong", "email > 1")
    result = only(shelf.routed(FRAME, [wrong]), wrong)
    assert (
        "rule 'wrong' could not be evaluated: email > 1: cannot compare string with numeric type (i32); "
        "compare text with 'text', or CAST one side"
    ) == result.error


def test_an_empty_batch(shelf: Shelf):
    nothing = Batch(Files((), shelf.files(FRAME).scan), references=CARRIERS)
    shelf.gone()
    rules = (*ROUTES, UNIQUE, MEAN, expecting("rows", "expect_table_row_count_to_be_between", min_value=1))
    verdict = judge(nothing, *rules, ValidationRule("wrong", "email > 1"), ValidationRule("typo", "idd > 1"))
    assert [(True, "empty")] * 7 == [(r.success, r.evidence) for r in verdict.results[:7]]
    assert (False, 0, "statistics") == (
        verdict.results[7].success,
        verdict.results[7].observed,
        verdict.results[7].evidence,
    )
    assert ["wrong", "typo"] == [r.rule for r in verdict.results if r.error]
    assert "passed" == judge(nothing, *ROUTES, UNIQUE, MEAN).outcome


def test_a_branch_is_named_in_the_result(shelf: Shelf):
    rule = expecting("mean", "expect_column_mean_to_be_between", column="id", min_value=100, on_fail=Branch("mend"))
    verdict = judge(Batch(shelf.files(FRAME)), rule)
    assert ("branch", "mend", "branched", ("mend",)) == (
        verdict.results[0].route,
        verdict.results[0].branch,
        verdict.outcome,
        verdict.branches,
    )


@pytest.mark.parametrize(
    ("limit", "outcome"),
    [
        (QuarantineLimit(rows=3), "quarantined"),
        (QuarantineLimit(rows=2), "rejected"),
        (QuarantineLimit(share=0.5), "quarantined"),
        (QuarantineLimit(share=0.49), "rejected"),
    ],
)
def test_a_limit_counts_what_is_quarantined_or_dropped(shelf: Shelf, limit: QuarantineLimit, outcome: str):
    verdict = judge(shelf.routed(FRAME, [PRESENT, POSITIVE]), PRESENT, POSITIVE, limit=limit)
    last = verdict.results[-1]
    assert ("quarantine_limit", "fail", "batch", 3, 6, limit.statement) == (
        last.rule,
        last.route,
        last.scope,
        last.observed,
        last.checked,
        last.statement,
    )
    assert outcome == verdict.outcome


def test_a_limit_alone_and_a_limit_without_files(shelf: Shelf):
    assert "passed" == judge(Batch(shelf.files(FRAME)), limit=QuarantineLimit(rows=0)).outcome
    assert "passed" == judge(FRAME.lazy(), limit=QuarantineLimit(rows=0)).outcome


@pytest.mark.parametrize("name", ["quarantine_limit", "__rows"])
def test_names_of_the_gates_own(name: str):
    with pytest.raises(ConfigError, match=f"gate of 'orders': '{name}' is a name of the gate's own; rename the rule"):
        judge(FRAME.lazy(), ValidationRule(name, "id > 0"))


def test_two_repairs_of_a_column_are_refused():
    with pytest.raises(ConfigError, match="rules 'trimmed' and 'again' both repair 'email'"):
        judge(FRAME.lazy(), TRIMMED, ValidationRule("again", "id > 0", on_fail=TRIMMED.on_fail))


MOMENTS = pl.DataFrame({"at": [dt.datetime(2020, 1, 1, 0, 0, 0, 1500), dt.datetime(2020, 1, 2)]})


@pytest.mark.parametrize(
    ("bounds", "success", "evidence"),
    [
        ({"min_value": "2020-01-01"}, True, "statistics"),
        ({"min_value": "2020-01-01", "max_value": "2020-01-02", "strict_min": True}, True, "statistics"),
        ({"max_value": "2020-01-02", "strict_max": True}, False, "scan"),
        ({"min_value": "2020-01-01T00:00:00.001500"}, True, "scan"),
        ({"min_value": "2020-01-03"}, False, "scan"),
        ({"min_value": dt.datetime(2020, 1, 1), "max_value": dt.date(2020, 1, 3)}, True, "statistics"),
    ],
)
def test_bounds_of_instants_are_wider_than_the_values(shelf: Shelf, bounds: Any, success: bool, evidence: str):
    rule = expecting("when", "expect_column_values_to_be_between", column="at", on_fail="warn", **bounds)
    result = only(Batch(shelf.files(MOMENTS)), rule)
    assert (success, evidence) == (result.success, result.evidence)


def test_a_predicate_about_instants_is_proved_alike(shelf: Shelf):
    rule = ValidationRule("when", "at >= TIMESTAMP '2020-01-01 00:00'", on_fail="warn")
    result = only(Batch(shelf.files(MOMENTS)), rule)
    assert (True, 2, "statistics") == (result.success, result.checked, result.evidence)


def test_bounds_that_are_no_instants_prove_nothing(shelf: Shelf):
    rule = expecting("when", "expect_column_values_to_be_between", column="at", min_value=5, on_fail="warn")
    assert "scan" == only(Batch(shelf.files(MOMENTS)), rule).evidence


def test_the_least_instant_is_read_and_not_guessed(shelf: Shelf):
    rule = expecting("least", "expect_column_min_to_be_between", column="at", min_value="2020-01-01T00:00:00.0015")
    result = only(Batch(shelf.files(MOMENTS)), rule)
    assert ("2020-01-01T00:00:00.001500", "scan") == (result.observed, result.evidence)


BORN = [dt.date(1815, 12, 10), dt.date(1912, 6, 23)]
PEOPLE = pl.DataFrame({"name": ["Ada Lovelace", "Alan Turing"], "age": [36, 41], "born": BORN})
PERSONAL = (
    expecting("least", "expect_column_min_to_be_between", "warning", column="born", min_value="2000-01-01"),
    expecting("names", "expect_column_distinct_values_to_be_in_set", "warning", column="name", value_set=["Bob"]),
    expecting("common", "expect_column_most_common_value_to_be_in_set", "warning", column="name", value_set=["Bob"]),
    expecting("distinct", "expect_column_unique_value_count_to_be_between", "warning", column="name", min_value=3),
    ValidationRule("short", "LENGTH(name) < 12", severity="warning"),
    ValidationRule("number", "CAST(name AS BIGINT) > 0", severity="warning"),
    expecting("age", "expect_column_max_to_be_between", "warning", column="age", max_value=40),
    ValidationRule("query", severity="warning", expectation={
        "type": "unexpected_rows_expectation", "unexpected_rows_query": "SELECT * FROM {batch} WHERE age > 40"}),
)  # fmt: skip


def test_personal_data_is_counted_and_never_shown(shelf: Shelf):
    told: list[dict[str, Any]] = []
    batch = Batch(shelf.files(PEOPLE))
    verdict = judge(batch, *PERSONAL, pii={"name", "born"}, on_result=told.append)
    (result,) = told
    for text in (verdict.model_dump_json(), json.dumps(result)):
        assert not [name for name in ("Ada", "Lovelace", "Alan", "Turing") if name in text]
        assert "1815" not in text
    observed = {r.rule: r.observed for r in verdict.results}
    assert {
        "least": "•••",
        "names": 2,
        "common": "•••",
        "distinct": 2,
        "short": None,
        "number": None,
        "age": 41,
        "query": 1,
    } == observed
    assert 1 == next(r.failed for r in verdict.results if r.rule == "short")
    number = next(r.error for r in verdict.results if r.rule == "number")
    assert number is not None
    assert number.startswith("rule 'number' could not be evaluated: CAST(name AS BIGINT) > 0: ")
    open_verdict = judge(batch, PERSONAL[0])
    assert "1815-12-10" == open_verdict.results[0].observed


def test_errors_lose_what_they_quote_but_for_columns_and_types():
    message = "cannot parse 'Ada' of column 'name' from `str` to `datetime[μs]`: \"Lovelace\", ‘x’, “y”, ''"
    assert (
        "cannot parse '•••' of column 'name' from `str` to `datetime[μs]`: \"•••\", ‘•••’, “•••”, ''"
    ) == masked_error(message, {"name"})


def test_the_validation_result_is_handed_over_as_json(shelf: Shelf):
    told: list[dict[str, Any]] = []
    rules = (PRESENT, MEAN, ValidationRule("warns", "id > 0", severity="warning"), ValidationRule("typo", "idd > 0"))
    judge(shelf.routed(FRAME, rules), *rules, on_result=told.append)
    (result,) = told
    assert result == json.loads(json.dumps(result))
    of_rule = {one["expectation_config"]["meta"]["rule"]: one for one in result["results"]}
    assert {"present": False, "mean": False, "warns": False, "typo": False} == {
        name: one["success"] for name, one in of_rule.items()
    }
    assert "expect_column_values_to_not_be_null" == of_rule["present"]["expectation_config"]["type"]
    assert 1 == of_rule["present"]["result"]["unexpected_count"]
    assert {"evaluated_expectations": 4, "successful_expectations": 0, "unsuccessful_expectations": 4,
            "success_percent": 0.0} == result["statistics"]  # fmt: skip
    raised = of_rule["typo"]["exception_info"]
    assert "did you mean 'id'" in raised["exception_message"]
    assert "" == raised["exception_traceback"]


def test_without_a_question_no_result_is_handed_over(shelf: Shelf):
    told: list[dict[str, Any]] = []
    judge(Batch(Files((), shelf.files(FRAME).scan)), PRESENT, on_result=told.append)
    assert [] == told


def test_long_lists_are_cut_short(shelf: Shelf):
    ties = pl.DataFrame({"id": range(100)})
    rule = expecting("ties", "expect_column_most_common_value_to_be_in_set", "warning", column="id", value_set=[1])
    observed = only(Batch(shelf.files(ties)), rule).observed
    assert (21, "…") == (len(observed), observed[-1])


@pytest.mark.parametrize("statistic", ["min", "max", "mean", "median", "sum", "stdev"])
def test_aggregates_of_nothing_fail_and_say_why(shelf: Shelf, statistic: str):
    frame = pl.DataFrame({"id": [None, None]}, schema={"id": pl.Int64})
    rule = expecting("some", f"expect_column_{statistic}_to_be_between", "warning", column="id", min_value=1)
    result = only(Batch(shelf.files(frame)), rule)
    expected = 0 if statistic == "sum" else "no value in id"
    assert (False, expected, None) == (result.success, result.observed, result.error)
