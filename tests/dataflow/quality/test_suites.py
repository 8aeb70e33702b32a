"""Suites kept as JSON: what Great Expectations writes is read, what is written Great Expectations reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.errors import ConfigError
from dataflow.quality.checkpoint import load
from dataflow.quality.routes import Branch, Repair
from dataflow.quality.rules import ValidationRule
from dataflow.quality.suites import load_suite, save_suite


def trimmed(text: pl.Expr) -> pl.Expr:
    return text.str.strip_chars()


RULES = (
    ValidationRule("id_is_present", "id IS NOT NULL AND id > 0", mostly=0.9, severity="warning"),
    ValidationRule("known", "carrier IN (SELECT carrier FROM airlines)"),
    ValidationRule("key", expectation={"type": "expect_column_values_to_be_unique", "column": "id"}, scope="table"),
    ValidationRule("email", "email MATCHES '@'", on_fail=Repair("email", trimmed)),
    ValidationRule(
        "size", expectation={"type": "expect_table_row_count_to_equal", "value": 3}, on_fail=Branch("small")
    ),
    ValidationRule("day", "x < 5", severity="info", on_fail="drop"),
)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    return tmp_path / "suite.json"


def test_what_is_saved_is_loaded_again(suite: Path):
    save_suite("flights", RULES, suite)
    assert RULES == load_suite(str(suite))


def test_great_expectations_reads_what_is_saved(tmp_path: Path):
    gx = load()
    context = gx.get_context(mode="file", project_root_dir=tmp_path)
    kept = tmp_path / "gx" / "expectations" / "flights.json"
    save_suite("flights", RULES, kept)

    read = context.suites.get("flights")

    assert [rule.kind for rule in RULES] == [each.expectation_type for each in read.expectations]
    assert [rule.severity for rule in RULES] == [each.severity for each in read.expectations]
    first = read.expectations[0]
    assert (0.9, "id IS NOT NULL AND id > 0", ["id"]) == (first.mostly, first.statement, first.column_list)
    assert {"dataflow": {"rule": "size", "scope": "batch", "on_fail": {"branch": "small"}}} == read.expectations[4].meta

    # And once it has saved the suite itself, the rules are still there.
    read.add_expectation(gx.expectations.ExpectTableRowCountToEqual(value=9))
    more = ValidationRule(
        "table_row_count_to_equal", expectation={"type": "expect_table_row_count_to_equal", "value": 9}
    )
    assert (*RULES, more) == load_suite(kept)


def test_what_great_expectations_writes_is_read(suite: Path):
    gx = load()
    e = gx.expectations
    made = gx.ExpectationSuite(
        name="theirs",
        notes="for people",
        expectations=[
            e.ExpectColumnValuesToBeBetween(column="n", min_value=1, mostly=0.5, severity="warning", notes="why"),
            e.ExpectColumnValuesToBeBetween(column="n", max_value=9),
            e.ExpectColumnPairValuesAToBeGreaterThanB(column_A="a b", column_B="c", description="in words"),
            e.ExpectCompoundColumnsToBeUnique(column_list=["a", "b"]),
            e.ExpectTableRowCountToEqual(
                value=3, meta={"owner": "me", "dataflow": {"rule": "size", "on_fail": "warn"}}
            ),
        ],
    )
    suite.write_text(json.dumps(made.to_json_dict()))
    rules = load_suite(suite)
    assert [
        "column_values_to_be_between_n",
        "column_values_to_be_between_n_2",
        "column_pair_values_a_to_be_greater_than_b_a_b_c",
        "compound_columns_to_be_unique_a_b",
        "size",
    ] == [rule.name for rule in rules]
    assert (0.5, "warning", {"column": "n", "min_value": 1}) == (rules[0].mostly, rules[0].severity, rules[0].arguments)
    assert ("quarantine", "fail", "warn") == (rules[2].route, rules[3].route, rules[4].route)


def test_values_that_json_does_not_know_are_kept_as_text(suite: Path):
    between = {"type": "expect_column_values_to_be_between", "column": "d", "min_value": date(2013, 1, 31)}
    within = {"type": "expect_column_values_to_be_in_set", "column": "d", "value_set": {"b", "a"}}
    other = {"type": "expect_column_values_to_be_in_set", "column": "d", "value_set": [b"x"]}
    save_suite("s", [ValidationRule(str(n), expectation=e) for n, e in enumerate((between, within, other))], suite)
    kept = [rule.arguments for rule in load_suite(suite)]
    assert ["2013-01-31", ["a", "b"], ["b'x'"]] == [kept[0]["min_value"], kept[1]["value_set"], kept[2]["value_set"]]


def write(suite: Path, **parts: Any) -> Callable[[], object]:
    whole = {"name": "s", "expectations": [], "meta": {"great_expectations_version": "1.24.1"}, **parts}
    suite.write_text(json.dumps(whole))
    return lambda: load_suite(suite)


def expectation(**parts: Any) -> dict[str, Any]:
    return {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "n"}, **parts}


def refusal(call: Callable[[], object], suite: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        call()
    assert caught.value.message.startswith(f"{suite}: ")
    return caught.value.message.removeprefix(f"{suite}: ")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"expectation_suite_name": "s"},
            "a suite of Great Expectations 0.x; load it with Great Expectations 1 and save",
        ),
        (
            {"expectations": [{"expectation_type": "expect_column_values_to_not_be_null", "kwargs": {"column": "n"}}]},
            "its expectations are those of Great Expectations 0.x (expectation_type)",
        ),
        (
            {"meta": {"great_expectations_version": "0.18.12"}},
            "a suite of Great Expectations 0.18.12, and 1.x is under",
        ),
        ({"meta": {"great_expectations_version": "2.0"}}, "a suite of Great Expectations 2.0, and 1.x is understood"),
        ({"expectations": {}}, "not a suite of Great Expectations"),
    ],
)
def test_files_of_another_version(suite: Path, parts: dict[str, Any], message: str):
    assert refusal(write(suite, **parts), suite).startswith(message)


@pytest.mark.parametrize("meta", [None, {}, "x"])
def test_a_suite_without_a_version_is_read_as_it_is(suite: Path, meta: Any):
    write(suite, meta=meta, expectations=[expectation()])
    assert ["column_values_to_not_be_null_n"] == [rule.name for rule in load_suite(suite)]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (3, 'an expectation is {"type": …, "kwargs": {…}}, not 3'),
        ({"kwargs": {}}, "has no 'type'; write type: expect_…"),
        (expectation(type="expect_column_values_to_not_be_nul"), "did you mean 'expect_column_values_to_not_be_null'?"),
        (expectation(kwargs=[1]), "'kwargs' holds [1], where keys with values are expected"),
        (expectation(kwargs={"column": "n", "row_condition": "x"}), "takes no 'row_condition'"),
        (
            expectation(kwargs={"column": {"$PARAMETER": "c"}}),
            "column is a parameter of the suite ({'$PARAMETER': 'c'})",
        ),
        (expectation(windows=[{"x": 1}]), "'windows' of an expectation is not understood"),
        (expectation(severity="fatal"), "unknown severity 'fatal'"),
        (
            expectation(meta={"dataflow": {"on_fial": "warn"}}),
            "unknown key meta.dataflow.on_fial; did you mean 'on_fail'?",
        ),
        (expectation(meta={"dataflow": {"on_fail": "ward"}}), "unknown on_fail 'ward'; did you mean 'warn'?"),
        (expectation(meta={"dataflow": {"on_fail": {"brunch": "x"}}}), "write fail, quarantine, drop, warn"),
        (expectation(meta={"dataflow": {"on_fail": {"repair": "x"}}}), "write fail, quarantine, drop, warn"),
        (
            expectation(meta={"dataflow": {"on_fail": {"repair": {"column": "n", "function": "no_such_module:f"}}}}),
            "its repair by 'no_such_module:f' cannot be found: No module named 'no_such_module'; write it as",
        ),
        (expectation(meta={"dataflow": {"scope": "table"}}), "cannot be about the table"),
        (
            {"type": "expect_rows_to_satisfy", "kwargs": {"statement": "n > 0", "dialect": "mine"}},
            "statements of the dialect 'mine' are not understood; accepted: dataflow",
        ),
        (
            {"type": "expect_rows_to_satisfy", "kwargs": {"statement": "n >", "dialect": "dataflow"}},
            "this is not SQL that can be read",
        ),
    ],
)
def test_expectations_that_are_no_rules(suite: Path, written: Any, message: str):
    said = refusal(write(suite, expectations=[expectation(), written]), suite)
    assert said.startswith("expectations.1: ")
    assert message in said


def test_files_that_cannot_be_read(tmp_path: Path):
    (tmp_path / "latin.json").write_bytes(b'{"name": "caf\xe9"}')
    (tmp_path / "broken.json").write_text('{"name": ')
    (tmp_path / "list.json").write_text("[]")
    for name, message in [
        ("none.json", "there is no such suite; write one with save_suite"),
        ("", "is no file; name the JSON file of a suite"),
        ("list.json/x", "is no file; name the JSON file of a suite"),
        ("latin.json", "is not UTF-8 text (byte 13)"),
        ("broken.json", "not valid JSON, line 1 column 10: Expecting value"),
        ("list.json", 'not a suite of Great Expectations: {"name": …, "expectations": […]} is expected'),
        ("n" * 300, "cannot be read: File name too long"),
    ]:
        path = tmp_path / name
        assert refusal(lambda path=path: load_suite(path), path).startswith(message)


def test_a_folder_that_is_not_there(tmp_path: Path):
    path = tmp_path / "none" / "suite.json"
    assert "the suite cannot be written: No such file or directory" == refusal(lambda: save_suite("s", (), path), path)


@pytest.mark.parametrize("function", [lambda text: text, pl.Expr.abs.__get__(pl.col("x"))])
def test_a_repair_that_no_import_finds_again(suite: Path, function: Any):
    rule = ValidationRule("email", "email MATCHES '@'", on_fail=Repair("email", function))
    with pytest.raises(ConfigError, match="rule 'email': its repair is a function that only this program has"):
        save_suite("s", [rule], suite)
    assert not suite.exists()


rules = st.builds(
    ValidationRule,
    name=st.text(min_size=1, max_size=5),
    predicate=st.sampled_from(["n > 0", "t = 'é\"\\'"]),
    severity=st.sampled_from(["critical", "warning", "info"]),
    mostly=st.floats(0.01, 1),
    on_fail=st.sampled_from([None, "fail", "quarantine", "drop", "warn", Branch("b")]),
)


@given(st.lists(rules, max_size=3))
def test_all_settings_survive(tmp_path_factory: pytest.TempPathFactory, rules: list[ValidationRule]):
    path = tmp_path_factory.mktemp("suites") / "s.json"
    save_suite("s", rules, path)
    assert tuple(rules) == load_suite(path)
