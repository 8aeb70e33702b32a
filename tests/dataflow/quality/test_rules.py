"""Rules are checked when they are declared, and know their scope, route and failing rows."""

from __future__ import annotations

import pickle
from typing import Any

import polars as pl
import pytest

from dataflow.errors import ConfigError
from dataflow.quality.expectations import EXPECTATIONS
from dataflow.quality.references import parse_reference
from dataflow.quality.routes import QuarantineLimit, Repair
from dataflow.quality.rules import ValidationRule

UNIQUE = {"type": "expect_column_values_to_be_unique", "column": "id"}
POSITIVE = {"type": "expect_column_values_to_be_between", "column": "id", "min_value": 1}


@pytest.mark.parametrize(
    ("severity", "on_fail", "row", "batch"),
    [
        ("critical", None, "quarantine", "fail"),
        ("warning", None, "warn", "warn"),
        ("info", None, "measure", "measure"),
        ("info", "fail", "fail", "fail"),
        ("critical", "warn", "warn", "warn"),
    ],
)
def test_route(severity: Any, on_fail: Any, row: str, batch: str):
    assert row == ValidationRule("r", "id > 0", severity, on_fail=on_fail).route
    assert row == ValidationRule("r", severity=severity, expectation=POSITIVE, on_fail=on_fail).route
    assert batch == ValidationRule("r", severity=severity, expectation=UNIQUE, on_fail=on_fail).route
    assert batch == ValidationRule("r", severity=severity, expectation=UNIQUE, on_fail=on_fail, scope="table").route
    assert batch == ValidationRule("r", "id IN (SELECT id FROM t)", severity, on_fail=on_fail).route


def test_a_rule_reads_its_route_from_configuration():
    branch = ValidationRule.from_config({"name": "r", "expectation": UNIQUE, "on_fail": {"branch": "mend"}})
    repair = {"repair": {"column": "id", "function": pl.Expr.abs}}
    mended = ValidationRule.from_config({"name": "r", "predicate": "id > 0", "on_fail": repair})
    assert ("branch", "mend", None) == (branch.route, branch.branch, branch.repair)
    assert ("repair", None, Repair("id", pl.Expr.abs)) == (mended.route, mended.branch, mended.repair)
    drop = ValidationRule("r", "id IN (SELECT id FROM t)", on_fail="drop")
    assert ("drop", "table", ("t",), ("id",)) == (drop.route, drop.scope, drop.references, drop.columns)
    assert ((), None) == (mended.references, mended.reference)


def test_scopes():
    assert "row" == ValidationRule("r", "id > 0").scope
    assert "batch" == ValidationRule("r", expectation=UNIQUE).scope
    assert "table" == ValidationRule("r", expectation=UNIQUE, scope="table").scope
    assert ValidationRule("r", "id > 0") == ValidationRule("r", "id > 0", scope="row")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "a quarantine limit needs rows, a share of the rows, or both"),
        ({"rows": -1}, "a quarantine limit of -1 rows cannot be kept; count from 0 up"),
        ({"share": 1.5}, "a quarantine limit is a share of rows from 0 to 1, not 1.5"),
    ],
)
def test_a_limit_that_cannot_be_kept(given: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as caught:
        QuarantineLimit(**given)
    assert message == caught.value.message


def test_a_limit_in_words():
    assert "at most 1 % of the rows and 10 rows quarantined or dropped" == QuarantineLimit(10, 0.01).statement
    assert [True, False, True, False] == [
        QuarantineLimit(rows=2).allows(2, 2),
        QuarantineLimit(rows=2).allows(3, 100),
        QuarantineLimit(share=0.5).allows(1, 2),
        QuarantineLimit(share=0.5).allows(2, 3),
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "", "predicate": "id > 0"}, "a rule needs a name: it is how its results are found"),
        ({"predicate": "id > 0"}, "a rule needs a name: it is how its results are found"),
        ({"name": "r"}, "rule 'r' needs a predicate or an expectation, and not both"),
        (
            {"name": "r", "predicate": "id > 0", "expectation": UNIQUE},
            "rule 'r' needs a predicate or an expectation, and not both",
        ),
        (
            {"name": "r", "predicat": "id > 0"},
            "rule 'r': unknown key 'predicat'; did you mean 'predicate'? "
            "accepted: expectation, mostly, name, on_fail, predicate, scope, severity",
        ),
        (
            {"name": "r", "predicate": "id > 0", "severity": "critcal"},
            "rule 'r': unknown severity 'critcal'; did you mean 'critical'? accepted: critical, info, warning",
        ),
        (
            {"name": "r", "predicate": "id > 0", "on_fail": "drp"},
            "rule 'r': unknown on_fail 'drp'; did you mean 'drop'? accepted: drop, fail, quarantine, warn "
            "(or a Repair, or a Branch)",
        ),
        (
            {"name": "r", "predicate": "id > 0", "mostly": 0},
            "rule 'r': mostly is a share of rows above 0 and up to 1, not 0",
        ),
        (
            {"name": "r", "expectation": UNIQUE, "on_fail": "quarantine"},
            "rule 'r': expect_column_values_to_be_unique(column='id') is about the batch, so no single row can be "
            "quarantined; use on_fail: fail, warn or branch",
        ),
        (
            {"name": "r", "expectation": UNIQUE, "on_fail": "drop", "scope": "table"},
            "rule 'r': expect_column_values_to_be_unique(column='id') is about the table, so no single row can be "
            "dropped; use on_fail: fail, warn or branch",
        ),
        (
            {"name": "r", "expectation": UNIQUE, "on_fail": {"repair": {"column": "id", "function": abs}}},
            "rule 'r': expect_column_values_to_be_unique(column='id') is about the batch, so no single row can be "
            "repaired; use on_fail: fail, warn or branch",
        ),
        (
            {"name": "r", "predicate": "id > 0", "scope": "tabel"},
            "rule 'r': unknown scope 'tabel'; did you mean 'table'? accepted: batch, row, table",
        ),
        (
            {"name": "r", "predicate": "id > 0", "scope": "table"},
            "rule 'r': id > 0 cannot be about the table; its scope is row",
        ),
        (
            {"name": "r", "expectation": UNIQUE, "scope": "row"},
            "rule 'r': expect_column_values_to_be_unique(column='id') cannot be about the row; "
            "its scope is batch or table",
        ),
        (
            {
                "name": "r",
                "expectation": {"type": "expect_column_values_to_be_increasing", "column": "id"},
                "scope": "table",
            },
            "rule 'r': expect_column_values_to_be_increasing(column='id') cannot be about the table; its scope is batch",
        ),
        (
            {"name": "r", "predicate": "id IN (SELECT id FROM t)", "scope": "row"},
            "rule 'r': id IN (SELECT id FROM t) cannot be about the row; its scope is table",
        ),
        (
            {"name": "r", "predicate": "id > 0", "on_fail": {"brunch": "late"}},
            "rule 'r': on_fail {'brunch': 'late'} cannot be read; write fail, quarantine, drop, warn, "
            "{repair: {column: …, function: …}} or {branch: stage}",
        ),
        (
            {"name": "r", "predicate": "id > 0", "on_fail": {"repair": {"column": "id"}}},
            "rule 'r': on_fail {'repair': {'column': 'id'}} cannot be read; write fail, quarantine, drop, warn, "
            "{repair: {column: …, function: …}} or {branch: stage}",
        ),
        (
            {"name": "r", "predicate": "id > 0", "on_fail": {"branch": ""}},
            "rule 'r': a branch needs the name of a stage, not ''",
        ),
        (
            {"name": "r", "predicate": "id > 0", "on_fail": {"repair": {"column": 3, "function": abs}}},
            "rule 'r': a repair needs the name of a column, not 3",
        ),
        (
            {"name": "r", "predicate": "id > 0", "on_fail": {"repair": {"column": "id", "function": "mod:fix"}}},
            "rule 'r': the repair of 'id' needs a function from expression to expression, not 'mod:fix'",
        ),
        (
            {"name": "r", "expectation": {"type": "expect_table_row_count_to_equal", "value": 1}, "mostly": 0.5},
            "rule 'r': expect_table_row_count_to_equal(value=1) is about one value, 'mostly' says nothing there",
        ),
        (
            {"name": "r", "expectation": {"column": "id"}},
            "rule 'r': the expectation has no 'type'; write type: expect_… and its arguments",
        ),
        (
            {"name": "r", "expectation": {**POSITIVE, "mostly": 0.5}},
            "rule 'r': 'mostly' belongs to the rule, not to its expectation",
        ),
        (
            {"name": "r", "expectation": {**POSITIVE, "max_valu": 3}},
            "rule 'r': expect_column_values_to_be_between takes no 'max_valu'; did you mean 'max_value'? "
            "accepted: column, max_value, min_value, strict_max, strict_min",
        ),
        (
            {"name": "r", "expectation": {"type": "expect_column_values_to_be_in_set", "column": "id"}},
            "rule 'r': expect_column_values_to_be_in_set needs value_set; accepted: column, value_set",
        ),
        (
            {"name": "r", "expectation": {"type": "expect_column_mean_to_be_between", "column": "id"}},
            "rule 'r': expect_column_mean_to_be_between needs min_value, max_value or both",
        ),
        (
            {
                "name": "r",
                "expectation": {
                    "type": "expect_column_values_to_match_regex_list",
                    "column": "id",
                    "regex_list": ["a", "("],
                },
            },
            "rule 'r': the regular expression '(' cannot be used: unclosed group",
        ),
        (
            {
                "name": "r",
                "expectation": {"type": "expect_compound_columns_to_be_unique", "column_list": "id"},
            },
            "rule 'r': column_list of expect_compound_columns_to_be_unique must be a list, not 'id'",
        ),
    ],
)
def test_refused_at_declaration(fields: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as caught:
        ValidationRule.from_config(fields)
    assert message == caught.value.message


def test_an_unknown_expectation_names_the_nearest():
    with pytest.raises(ConfigError, match="unknown expectation 'expect_column_values_to_be_uniq'; did you mean"):
        ValidationRule("r", expectation={"type": "expect_column_values_to_be_uniq"})


def test_a_predicate_that_cannot_be_read_is_refused_at_declaration():
    with pytest.raises(ConfigError, match="rule 'r': predicate 'id >'"):
        ValidationRule("r", "id >")


def test_the_example_of_the_issue():
    rule = ValidationRule("no_null_ids", "id IS NOT NULL", severity="critical")
    assert ("row", "quarantine", ("id",), "id IS NOT NULL") == (rule.scope, rule.route, rule.columns, rule.statement)
    assert ("expect_rows_to_satisfy", {}, False, True) == (
        rule.kind,
        rule.arguments,
        rule.judges_empty,
        rule.takes_mostly,
    )


def test_the_columns_of_expectations():
    pair = {"type": "expect_column_pair_values_a_to_be_greater_than_b", "column_A": "a", "column_B": "b"}
    compound = {"type": "expect_compound_columns_to_be_unique", "column_list": ["a", "b"]}
    assert ("id",) == ValidationRule("r", expectation=UNIQUE).columns
    assert ("a", "b") == ValidationRule("r", expectation=pair).columns
    assert ("a", "b") == ValidationRule("r", expectation=compound).columns
    assert () == ValidationRule("r", expectation={"type": "expect_column_to_exist", "column": "id"}).columns


def test_check_names_the_nearest_column():
    rule = ValidationRule("r", "idd > 0 AND id > 0")
    rule.check(["id", "idd"])
    with pytest.raises(
        ConfigError, match=r"rule 'r': unknown column 'idd' in idd > 0 AND id > 0; did you mean 'id'\? accepted: id, x"
    ):
        rule.check(["id", "x"])


FRAME = pl.DataFrame({"id": [0, 1, None], "t": ["a", None, "b"]})


def failing(rule: ValidationRule) -> list[bool]:
    return FRAME.select(rule.failing(FRAME.schema)).to_series().to_list()


def test_failing_rows_are_never_null():
    assert [True, False, False] == failing(ValidationRule("r", "id > 0"))
    assert [True, False, False] == failing(ValidationRule("r", expectation=POSITIVE))
    not_null = {"type": "expect_column_values_to_not_be_null", "column": "t"}
    assert [False, True, False] == failing(ValidationRule("r", expectation=not_null))


def test_no_row_breaks_a_rule_about_the_batch():
    with pytest.raises(ConfigError, match="is about the whole batch, no single row breaks it"):
        failing(ValidationRule("r", expectation=UNIQUE))


@pytest.mark.parametrize(
    ("change", "sign"),
    [
        ({"column": "idd"}, "The column \"idd\" in BatchData does not exist. Did you mean 'id'? Columns: id, t."),
        ({"max_value": 0}, "min_value cannot be greater than max_value"),
        ({"max_value": "x"}, "max_value: value is not a valid float"),
    ],
)
def test_arguments_that_do_not_fit_the_data(change: dict[str, Any], sign: str):
    with pytest.raises(ConfigError) as caught:
        failing(ValidationRule("r", expectation={**POSITIVE, **change}))
    assert caught.value.message.startswith("rule 'r': expect_column_values_to_be_between(column=")
    assert sign in caught.value.message


def test_rules_travel_by_pickle():
    rules = [ValidationRule("r", "id > 0"), ValidationRule("r", expectation=POSITIVE)]
    again = pickle.loads(pickle.dumps(rules))
    assert rules == again
    assert failing(rules[0]) == failing(again[0])
    assert hash(rules[0]) == hash(again[0])


def test_a_pattern_that_only_python_knows_is_taken():
    regex = {"type": "expect_column_values_to_match_regex", "column": "t", "regex": "^(?!a)"}
    assert "row" == ValidationRule("r", expectation=regex).scope


@pytest.mark.parametrize(
    ("text", "columns", "table", "keys", "negated"),
    [
        ("carrier IN (SELECT code FROM airlines)", ("carrier",), "airlines", ("code",), False),
        ("(a, b) IN (SELECT x, y FROM t)", ("a", "b"), "t", ("x", "y"), False),
        ("a NOT IN (SELECT x FROM t)", ("a",), "t", ("x",), True),
        ("(NOT (a IN (SELECT x FROM t)))", ("a",), "t", ("x",), True),
        ('(a) IN (SELECT "the key" FROM "the table")', ("a",), "the table", ("the key",), False),
    ],
)
def test_a_reference_is_read(text: str, columns: Any, table: str, keys: Any, negated: bool):
    found = parse_reference(text)
    assert found is not None
    assert (columns, table, keys, negated) == (found.columns, found.table, found.keys, found.negated)


@pytest.mark.parametrize(
    "text",
    [
        "a IN (SELECT x FROM t) AND b > 0",
        "a IN (SELECT x FROM t WHERE x > 0)",
        "a IN (SELECT x FROM t JOIN u ON 1 = 1)",
        "a IN (SELECT DISTINCT x FROM t)",
        "a IN (SELECT lower(x) FROM t)",
        "a IN (SELECT x AS y FROM t)",
        "a IN (SELECT * FROM t)",
        "a IN (SELECT x)",
        "a IN (SELECT x FROM s.t)",
        "a IN (SELECT x FROM t AS u)",
        "a IN (SELECT t.x FROM t)",
        "t.a IN (SELECT x FROM t)",
        "a + 1 IN (SELECT x FROM t)",
        "a IN ((SELECT x FROM t))",
        "a IN (SELECT x FROM t UNION SELECT x FROM u)",
        "a IN (SELECT x FROM read_csv('/etc/passwd'))",
        "(a, b) IN (SELECT x FROM t)",
        "a = (SELECT x FROM t)",
        "EXISTS (SELECT x FROM t)",
        "a IN (SELECT x FROM t); b IN (SELECT x FROM t)",
        "SELECT x FROM t",
    ],
)
def test_any_other_question_to_a_table_is_refused(text: str):
    with pytest.raises(ConfigError) as caught:
        ValidationRule("known", text)
    assert (
        f"rule 'known': predicate {text!r}: a question to another table is written column [NOT] IN "
        "(SELECT column FROM table), or (a, b) [NOT] IN (SELECT x, y FROM table), and nothing else"
    ) == caught.value.message


def test_a_reference_checks_both_sides():
    rule = ValidationRule("known", "carrier IN (SELECT code FROM airlines)")
    rule.check(["carrier"])
    rule.check(["carrier"], {"airlines": ["code", "name"]})
    with pytest.raises(ConfigError, match=r"unknown column 'carrier' in .*; did you mean 'carriers'"):
        rule.check(["carriers"])
    with pytest.raises(ConfigError, match=r"rule 'known': unknown table 'airlines' in .*; did you mean 'airline'"):
        rule.check(["carrier"], {"airline": ["code"]})
    with pytest.raises(ConfigError, match=r"unknown column 'code' of 'airlines' in .*; did you mean 'codes'"):
        rule.check(["carrier"], {"airlines": ["codes"]})


def marked(text: str, ours: pl.DataFrame, theirs: pl.DataFrame) -> list[bool]:
    reference = ValidationRule("r", text).reference
    assert reference is not None
    found = reference.mark(ours.lazy(), theirs.lazy(), "broke", rule="r").collect()
    assert ours.equals(found.drop("broke"))
    return found["broke"].to_list()


def test_missing_keys_pass_and_refer_to_nothing():
    ours = pl.DataFrame({"a": ["x", None, "y", "x"], "b": [1, 1, None, 2]})
    theirs = pl.DataFrame({"k": ["x", "x", None], "l": [1, 1, 2]})
    assert [False, False, True, False] == marked("a IN (SELECT k FROM t)", ours, theirs)
    assert [True, False, False, True] == marked("a NOT IN (SELECT k FROM t)", ours, theirs)
    assert [False, False, False, True] == marked("(a, b) IN (SELECT k, l FROM t)", ours, theirs)
    assert [True, False, True, True] == marked("a IN (SELECT k FROM t)", ours, theirs.clear())


def test_keys_of_another_width_are_compared_as_numbers():
    ours = pl.DataFrame({"a": pl.Series([1, 2, 300], dtype=pl.Int16)})
    for kind in (pl.Int64, pl.Float64, pl.UInt8):
        theirs = pl.DataFrame({"k": [1.0, 2.5, 7.0]}).cast(kind, strict=False)
        expected = [False, kind == pl.Float64, True] if kind == pl.Float64 else [False, False, True]
        assert expected == marked("a IN (SELECT k FROM t)", ours, theirs)
    moments = pl.DataFrame({"a": pl.Series([0, 1], dtype=pl.Datetime("ms"))})
    assert [False, True] == marked("a IN (SELECT a FROM t)", moments, moments.head(1).cast(pl.Datetime("us")))


def test_keys_that_cannot_be_compared():
    with pytest.raises(ConfigError) as caught:
        marked("a IN (SELECT k FROM t)", pl.DataFrame({"a": ["x"]}), pl.DataFrame({"k": [1]}))
    assert (
        "rule 'r': a IN (SELECT k FROM t): 'a' is String and 'k' of 't' is Int64, which cannot be compared; "
        "cast one of them in its stage"
    ) == caught.value.message


def fields(kind: Any) -> dict[str, Any]:
    return kind.__fields__


ELSEWHERE = {"expect_query_results_to_match_comparison", "expect_table_row_count_to_equal_other_table"}
"""Expectations that ask another database."""
OURS = {"expect_rows_to_satisfy"}
ARGUMENTS: dict[str, Any] = {
    "column": "t",
    "column_A": "id",
    "column_B": "n",
    "column_list": ["id", "n"],
    "value_set": ["a"],
    "value_pairs_set": [(1, 1)],
    "regex": "a",
    "regex_list": ["a"],
    "sum_total": 1,
    "like_pattern": "a%",
    "like_pattern_list": ["a%"],
    "strftime_format": "%Y",
    "json_schema": {},
    "value": 1,
}


def test_the_table_of_expectations_is_that_of_great_expectations():
    from great_expectations.expectations import expectation
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    import dataflow.quality.gx_polars  # noqa: F401 - registers ours

    known = {kind for kind in list_registered_expectation_implementations() if not kind.startswith("expect_made_")}
    assert known - ELSEWHERE - OURS == set(EXPECTATIONS)
    ours = {"mostly", "library_metadata", "row_condition", "condition_parser", *fields(expectation.BatchExpectation)}
    ours -= {"column"}
    for kind, expected in EXPECTATIONS.items():
        theirs = fields(get_expectation_impl(kind))
        assert set(theirs) - ours == set(expected.accepted), kind
        assert {name for name in set(theirs) - ours if theirs[name].required} <= {*expected.columns, *expected.required}
        assert ("mostly" in theirs) == expected.mostly, kind


def test_a_row_breaks_every_expectation_about_rows():
    from dataflow.quality.gx_polars import failing_rows

    frame = pl.LazyFrame({"id": [1, None], "n": [2, 3], "t": ["b", None]})
    schema = frame.collect_schema()
    for kind, expected in EXPECTATIONS.items():
        arguments = {name: ARGUMENTS[name] for name in (*expected.columns, *expected.required) if name in ARGUMENTS}
        if expected.bounded:
            arguments["min_value"] = 1
        if "between" in kind and "length" not in kind:
            arguments |= {"column": "id"} if "column" in arguments else {}
        if expected.scope == "row":
            rule = ValidationRule("r", expectation={"type": kind, **arguments})
            assert pl.Boolean == frame.select(rule.failing(schema)).collect().to_series().dtype, kind
        else:
            with pytest.raises((ValueError, TypeError)):
                failing_rows(kind, arguments, schema)
