"""Rules are checked when they are declared, and know their scope, route and failing rows."""

from __future__ import annotations

import pickle
from typing import Any

import polars as pl
import pytest

from dataflow.errors import ConfigError
from dataflow.quality.expectations import EXPECTATIONS
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
            "accepted: expectation, mostly, name, on_fail, predicate, severity",
        ),
        (
            {"name": "r", "predicate": "id > 0", "severity": "critcal"},
            "rule 'r': unknown severity 'critcal'; did you mean 'critical'? accepted: critical, info, warning",
        ),
        (
            {"name": "r", "predicate": "id > 0", "on_fail": "drop"},
            "rule 'r': unknown on_fail 'drop'; accepted: fail, quarantine, warn",
        ),
        (
            {"name": "r", "predicate": "id > 0", "mostly": 0},
            "rule 'r': mostly is a share of rows above 0 and up to 1, not 0",
        ),
        (
            {"name": "r", "expectation": UNIQUE, "on_fail": "quarantine"},
            "rule 'r': expect_column_values_to_be_unique(column='id') is about the batch, so no single row can be "
            "quarantined; use on_fail: fail or warn",
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
                "expectation": {"type": "expect_column_values_to_match_regex", "column": "id", "regex": "(?!x)"},
            },
            "rule 'r': the regular expression '(?!x)' cannot be used: look-around, including look-ahead and "
            "look-behind, is not supported",
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


def fields(kind: Any) -> dict[str, Any]:
    return kind.__fields__


def test_the_table_of_expectations_is_that_of_great_expectations():
    from great_expectations.expectations import expectation
    from great_expectations.expectations.registry import get_expectation_impl

    from dataflow.quality.gx_polars.conditions import CONDITIONS

    ours = {"mostly", *fields(expectation.BatchExpectation)} - {"column"}
    for kind, expected in EXPECTATIONS.items():
        theirs = fields(get_expectation_impl(kind))
        assert set(theirs) - ours >= set(expected.accepted), kind
        assert {name for name in set(theirs) - ours if theirs[name].required} <= {*expected.columns, *expected.required}
        assert ("mostly" in theirs) == expected.mostly, kind
        by_row = getattr(get_expectation_impl(kind), "map_metric", None) in CONDITIONS and "unique" not in kind
        assert ("row" if by_row else "batch") == expected.scope, kind
