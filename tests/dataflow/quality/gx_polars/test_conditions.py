"""What each condition is true of: the questions themselves, without Great Expectations around them."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from dataflow.quality.gx_polars import failing_rows
from dataflow.quality.gx_polars.answers import Data, breaking_rows, count_asked, count_breaking
from dataflow.quality.gx_polars.conditions import CONDITIONS, Among, Rows, bound, column, members, parsing

NAN, INF = float("nan"), float("inf")


def broken(metric: str, values: Any, mask: pl.Expr | None = None, **arguments: Any) -> list[int]:
    """The positions of what breaks a question to one column, found by counting and by looking."""
    frame = values.to_frame("x") if isinstance(values, pl.Series) else pl.DataFrame({"x": values})
    return broken_rows(metric, frame, {"column": "x"}, mask, **arguments)


def broken_rows(
    metric: str, frame: pl.DataFrame, domain: dict[str, Any], mask: pl.Expr | None = None, **arguments: Any
) -> list[int]:
    question = CONDITIONS[metric](domain, arguments, frame.schema)
    data = Data(frame.lazy(), frame.schema, mask)
    rows: list[int] = breaking_rows(question, data, limit=None).collect()["__gx_row"].to_list()
    asked = count_breaking(question, data)
    found = frame.lazy().with_columns(**asked.shared).select(e.alias(str(i)) for i, e in enumerate(asked.exprs))
    assert len(rows) == asked.finish(found.collect(engine="streaming").row(0))
    if isinstance(question, Rows) and mask is None:  # one row at a time says the same
        breaks = [bool(frame[i].select(question.breaks).item()) for i in range(len(frame))]
        assert rows == [i for i, yes in enumerate(breaks) if yes]
    return rows


def among(metric: str, values: Any, mask: pl.Expr | None = None, **arguments: Any) -> list[int]:
    assert isinstance(CONDITIONS[metric]({"column": "x"}, arguments, {"x": pl.Int64()}), Among)
    return broken(metric, values, mask, **arguments)


# ------------------------------------------------------------------ columns and literals


def test_a_column_is_found_whatever_its_case():
    schema = {"Name": pl.String(), "name": pl.Int64(), "Other": pl.Date()}
    assert ["Name", "name", "Other"] == [column(schema, asked).name for asked in ("Name", "name", "OTHER")]


@pytest.mark.parametrize("dtype", [pl.List(pl.Int64), pl.Struct({"a": pl.Int64})])
def test_nested_values_have_no_text(dtype: pl.DataType):
    with pytest.raises(ValueError, match=r"column 'x' holds .*, of which there is no text"):
        CONDITIONS["column_values.match_regex"]({"column": "x"}, {"regex": "a"}, {"x": dtype})


def test_members_are_never_rounded_into_the_set():
    tenths = column({"n": pl.Decimal(10, 1)}, "n")
    values = [1.55, "1.5", 2.5, Decimal("0.10"), NAN, INF, 1e40, None, 3]
    assert [Decimal("2.5"), Decimal("0.1"), Decimal("3.0")] == members(tenths, values).to_list()
    assert [2**63 + 1] == members(column({"u": pl.UInt64()}, "u"), [2**63 + 1, -1, NAN, INF, 2**200, 1.5]).to_list()


def test_times_of_day_are_read():
    clock = column({"k": pl.Time()}, "k")
    assert dt.time(5, 30) == bound(clock, "05:30")
    assert [dt.time(5, 30), dt.time(6)] == members(clock, ["05:30", dt.time(6), 7]).to_list()


# ------------------------------------------------------------------ order


def test_values_rise_past_what_is_missing():
    values = [1, None, 1, 3, 2, None, 4]
    assert [4] == among("column_values.increasing", values)
    assert [2, 4] == among("column_values.increasing", values, strictly=True)
    assert [3, 6] == among("column_values.decreasing", values)
    assert [2, 3, 6] == among("column_values.decreasing", values, strictly=True)


def test_order_is_judged_among_the_rows_of_the_condition():
    assert [] == among("column_values.increasing", [1, 9, 2, 9, 3], pl.col("x") < 9)
    assert [4] == among("column_values.increasing", [1, 9, 2, 9, 1], pl.col("x") < 9)


def test_text_instants_and_nan_have_an_order_too():
    assert [2] == broken("column_values.increasing", ["a", "b", "a"])
    assert [1] == broken("column_values.increasing", [dt.date(2013, 1, 2), dt.date(2013, 1, 1)])
    assert [2] == broken("column_values.increasing", [1.0, NAN, 2.0])
    assert [1] == broken("column_values.increasing", pl.Series([2, 1], dtype=pl.UInt8))


@settings(max_examples=20)
@given(st.lists(st.one_of(st.none(), st.integers(-3, 3))), st.booleans())
def test_what_is_sorted_is_in_order(values: list[int | None], strictly: bool):
    known = sorted(v for v in values if v is not None)
    series = pl.Series(known, dtype=pl.Int64)
    repeated = [i for i in range(1, len(known)) if known[i] == known[i - 1]] if strictly else []
    assert repeated == broken("column_values.increasing", series, strictly=strictly)
    assert (
        repeated
        == [len(known) - i for i in broken("column_values.decreasing", series.reverse(), strictly=strictly)][::-1]
    )


# ------------------------------------------------------------------ z-scores and outliers

SPREAD = [1.0, 2.0, 3.0, 2.0, 1.0, None, 50.0]


def test_z_scores():
    def z(values: Any, threshold: float, double_sided: bool = True, mask: pl.Expr | None = None) -> list[int]:
        return broken(
            "column_values.z_score.under_threshold", values, mask, threshold=threshold, double_sided=double_sided
        )

    assert [6] == z(SPREAD, 2)
    assert [6] == z(SPREAD, -2)
    assert [6] == z([*SPREAD, NAN], 2)  # NaN has no score, and spoils no other
    assert [0] == z([-50, 1, 2, 3, 2, 1], 2)
    assert [] == z([-50, 1, 2, 3, 2, 1], 2, double_sided=False)
    for none in ([5.0], [5.0, 5.0], [1.0, INF], [], [None]):
        assert [] == z(pl.Series(none, dtype=pl.Float64), 0)
    assert [] == z([1, 2, 1, 99], 1.5, mask=pl.col("x") < 99)
    assert [4] == z([dt.datetime(2013, 1, day) for day in (1, 2, 1, 2)] + [dt.datetime(2014, 1, 1)], 1.5)
    assert [6] == z(pl.Series([1, 2, 3, 2, 1, None, 50], dtype=pl.Decimal(5, 1)), 2)


def test_outliers():
    def outliers(values: Any, method: str, multiplier: float | None, mask: pl.Expr | None = None) -> list[int]:
        return broken("column_values.not_outliers", values, mask, method=method, multiplier=multiplier)

    assert [6] == outliers(SPREAD, "iqr", None)
    assert [6] == outliers(SPREAD, "std", 2)
    assert [6] == outliers([*SPREAD, NAN], "iqr", 1.5)
    assert [0, 2] == outliers([1.0, 2.0, 3.0], "std", 1)  # a value exactly at the distance is one
    assert [] == outliers([1.0, 2.0, 3.0], "iqr", 0.5)  # one exactly on the fence is not
    assert [0, 2] == outliers([1.0, 2.0, 3.0], "std", 0)
    assert [0, 2] == outliers([1.0, 2.0, 3.0], "std", -1)
    for none in ([5.0], [], [None], [1.0, INF]):
        assert [] == outliers(pl.Series(none, dtype=pl.Float64), "std", 1)
    assert [] == outliers([INF, INF, INF, 1.0], "iqr", 1)
    assert [] == outliers([1, 2, 1, 99], "iqr", 1.5, pl.col("x") < 99)


@pytest.mark.parametrize(
    ("metric", "dtype", "arguments", "sign"),
    [
        ("column_values.z_score.under_threshold", pl.String(), {"threshold": 1}, "holds String: how far"),
        ("column_values.z_score.under_threshold", pl.Int64(), {}, "threshold is missing"),
        ("column_values.not_outliers", pl.Date(), {"method": "iqr"}, "holds Date: how far"),
        ("column_values.not_outliers", pl.Int64(), {"method": "mad"}, "method 'mad' is not known: 'iqr' or 'std'"),
        ("column_values.between", pl.Int64(), {"min_value": 2, "max_value": 1}, "min_value cannot be greater"),
        ("column_values.match_regex_list", pl.String(), {"regex_list": []}, "list of patterns is empty"),
        ("column_values.match_regex_list", pl.String(), {"regex_list": ["a"], "match_on": "some"}, "not 'some'"),
        ("column_values.match_strftime_format", pl.Date(), {"strftime_format": "%Y"}, "holds Date, not text"),
        ("column_values.match_strftime_format", pl.String(), {"strftime_format": "%D"}, "cannot be parsed by: 'D'"),
        ("column_values.dateutil_parseable", pl.Datetime(), {}, "not text: ask before it is converted"),
        ("column_values.match_json_schema", pl.Int64(), {"json_schema": {}}, "holds Int64, not text"),
        ("column_values.match_json_schema", pl.String(), {"json_schema": {"type": 5}}, "JSON schema is not one: 5 is"),
    ],
)
def test_what_cannot_be_asked_is_said_when_it_is_asked(
    metric: str, dtype: pl.DataType, arguments: dict[str, Any], sign: str
):
    with pytest.raises(ValueError, match=sign):
        CONDITIONS[metric]({"column": "x"}, arguments, {"x": dtype})


# ------------------------------------------------------------------ text and parsing


def test_lists_of_patterns():
    values = ["ab", "a", "b", "c", None]
    regexes: Any = {"regex_list": ["a", "b$"]}
    assert [3] == broken("column_values.match_regex_list", values, **regexes, match_on="any")
    assert [3] == broken("column_values.match_regex_list", values, **regexes, match_on=None)
    assert [1, 2, 3] == broken("column_values.match_regex_list", values, **regexes, match_on="all")
    assert [0, 1, 2] == broken("column_values.not_match_regex_list", values, **regexes)
    likes: Any = {"like_pattern_list": ["a%", "%b"], "escape": None}
    assert [3] == broken("column_values.match_like_pattern_list", values, **likes, match_on="any")
    assert [1, 2, 3] == broken("column_values.match_like_pattern_list", values, **likes, match_on="all")
    assert [0, 1, 2] == broken("column_values.not_match_like_pattern_list", values, **likes)
    assert [2, 3] == broken("column_values.match_like_pattern", values, like_pattern="a%")
    assert [0, 1] == broken("column_values.not_match_like_pattern", values, like_pattern="a%")


JSON = ['{"a": 1}', "null", "NaN", "[1", "", None, "01", '"\\ud800"', "[" * 100_000, " 1 ", "{'a': 1}"]


def test_json():
    assert [3, 4, 6, 8, 10] == broken("column_values.json_parseable", JSON)
    assert [3, 4, 6, 8, 10] == broken("column_values.json_parseable", pl.Series(JSON, dtype=pl.Categorical))
    assert [0, 1] == broken("column_values.json_parseable", [1, 2, None])


@settings(max_examples=40)
@given(st.text('{}[]",:01-e. \\nultrefas\n\ta', max_size=8))
def test_json_is_what_python_reads(text: str):
    try:
        json.loads(text)
        expected: list[int] = []
    except ValueError:
        expected = [0]
    assert expected == broken("column_values.json_parseable", [text])


def test_json_schema():
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}
    values = ['{"a": 1}', '{"a": "x"}', "{}", "[]", "{", None, "[" * 100_000]
    assert [1, 3, 4, 6] == broken("column_values.match_json_schema", values, json_schema=schema)


def test_the_judges_of_one_text():
    assert [True, False] == [parsing.is_json(text) for text in ("NaN", "[")]
    assert [True, False, False] == [parsing.is_date(text) for text in ("2013-01-31", "no", "9" * 40)]
    assert [True, False] == [parsing.has_format("%Y", text) for text in ("2013", "no")]
    validator = Draft202012Validator({"type": "object"})
    assert [True, False, False] == [parsing.fits(validator, text) for text in ("{}", "[]", "[")]


def test_a_json_schema_asks_no_network():
    remote = {"$ref": "http://127.0.0.1:9/schema.json"}
    with pytest.raises(pl.exceptions.ComputeError, match=r"Unresolvable: http://127\.0\.0\.1:9"):
        broken("column_values.match_json_schema", ["{}"], json_schema=remote)


def test_dates_in_text():
    values = ["2013-01-31", "2013-02-30", "31.1.2013", "", None]
    assert [1, 2, 3] == broken("column_values.match_strftime_format", values, strftime_format="%Y-%m-%d")
    assert [] == broken("column_values.match_strftime_format", ["2013-01-31 +0100"], strftime_format="%Y-%m-%d %z")
    dates = ["2013-01-31", "31 Jan 2013", "yesterday", "", None, "2013-01-31 10:00 XYZ", "9" * 40]
    assert [2, 3, 6] == broken("column_values.dateutil_parseable", dates)


# ------------------------------------------------------------------ pairs and lists of columns

RECORDS = pl.DataFrame(
    {
        "a": [1, 2, None, None, 3],
        "b": [1, 3, None, 4, 3],
        "s": ["1", "2", None, "x", None],
        "f": [1.0, NAN, 2.0, None, 3.0],
        "c": pl.Series(["1", "y", None, "x", None], dtype=pl.Categorical),
    }
)
EVERY = {"ignore_row_if": "neither"}
ALL = {"ignore_row_if": "never"}


def test_pairs():
    def pair(metric: str, first: str, second: str, **arguments: Any) -> list[int]:
        domain = {"column_A": first, "column_B": second, **EVERY}
        return broken_rows(f"column_pair_values.{metric}", RECORDS, domain, **arguments)

    assert [1, 2, 3] == pair("equal", "a", "b")
    assert [0, 1, 2, 3, 4] == pair("equal", "a", "s")  # types that do not compare are never the same
    assert [1, 2, 4] == pair("equal", "s", "c")
    assert [2, 3] == pair("equal", "a", "a")
    assert [0, 1, 2, 3, 4] == pair("a_greater_than_b", "a", "b")
    assert [1, 2, 3] == pair("a_greater_than_b", "a", "b", or_equal=True)
    assert [1, 4] == pair("in_set", "a", "s", value_pairs_set=[(1, "1"), (None, None), (None, "x"), (2, 2), ("x", 1)])
    assert [0, 1, 2, 4] == pair("in_set", "a", "c", value_pairs_set=[(None, "x")])
    assert [0, 1, 2, 3, 4] == pair("in_set", "a", "b", value_pairs_set=[("x", "y")])
    assert [0, 1, 2, 3, 4] == pair("in_set", "a", "b", value_pairs_set=[])
    assert [] == pair("in_set", "a", "b", value_pairs_set=None)


def test_lists_of_columns():
    def listed(metric: str, *names: str, **arguments: Any) -> list[int]:
        return broken_rows(metric, RECORDS, {"column_list": list(names), **ALL}, **arguments)

    assert [0, 1, 2, 3] == listed("multicolumn_sum.equal", "a", "b", sum_total=6)
    assert [0, 2, 3, 4] == listed("multicolumn_sum.equal", "a", "b", sum_total=5)
    assert [0, 1, 2, 3] == listed("multicolumn_sum.equal", "a", "f", sum_total=6.0)
    assert [1, 3] == listed("multicolumn_values.equal", "a", "b")
    assert [0, 1, 3, 4] == listed("multicolumn_values.equal", "a", "s")
    assert [1] == listed("multicolumn_values.equal", "s", "c")
    assert [0, 2, 4] == listed("select_column_values.unique.within_record", "a", "b")
    assert [2] == listed("select_column_values.unique.within_record", "a", "s")
    assert [0, 2, 3, 4] == listed("select_column_values.unique.within_record", "a", "b", "f")


def test_small_integers_do_not_overflow():
    frame = pl.DataFrame({"a": [100, 100], "b": [100, 1]}, schema={"a": pl.Int8, "b": pl.UInt64})
    domain = {"column_list": ["a", "b", "a"], **ALL}
    assert [1] == broken_rows("multicolumn_sum.equal", frame, domain, sum_total=300)
    flags = pl.DataFrame({"a": [True, False], "b": [True, True]})
    assert [1] == broken_rows("multicolumn_sum.equal", flags, {"column_list": ["a", "b"], **ALL}, sum_total=2)
    none = pl.DataFrame({"a": [1], "b": [None]})
    assert [0] == broken_rows("multicolumn_sum.equal", none, {"column_list": ["a", "b"], **ALL}, sum_total=1)
    with pytest.raises(ValueError, match="column 's' holds String: it cannot be added up"):
        broken_rows("multicolumn_sum.equal", RECORDS, {"column_list": ["a", "s"], **ALL}, sum_total=1)


def test_compound_keys():
    frame = pl.DataFrame({"a": [1, 1, 2, None], "b": ["x", "x", "x", None]})
    question = CONDITIONS["compound_columns.unique"](
        {"column_list": ["a", "b"], "ignore_row_if": "any_value_is_missing"}, {}, frame.schema
    )
    data = Data(frame.lazy(), frame.schema)
    assert [0, 1] == breaking_rows(question, data, limit=None).collect()["__gx_row"].to_list()
    assert 3 == frame.select(count_asked(question, data).exprs[0]).item()


# ------------------------------------------------------------------ what a row can answer alone


def test_only_questions_to_the_row_alone_are_rows():
    schema = {"x": pl.String(), "y": pl.String(), "n": pl.Int64()}
    arguments: dict[str, Any] = {
        "regex": "(?=a)",
        "regex_list": ["a"],
        "like_pattern": "a",
        "like_pattern_list": ["a"],
        "value": 1,
        "strftime_format": "%Y",
        "json_schema": {},
        "value_set": ["a"],
        "min_value": "a",
        "value_pairs_set": [],
        "sum_total": 1,
        "threshold": 1,
        "method": "iqr",
        "dialect": "",
        "statement": "",
    }
    batch = set[str]()
    for metric, condition in CONDITIONS.items():
        if metric == "rows.satisfy":
            continue  # in the caller's language
        name = "n" if "length" in metric or "z_score" in metric or "outliers" in metric or "sum" in metric else "x"
        lists = {"column_A": "x", "column_B": "y", "column_list": [name, name]}
        rule = "neither" if "pair" in metric else "never"
        wanted = {key: value for key, value in arguments.items() if key in _parameters(metric)}
        question = condition({"column": name, **lists, "ignore_row_if": rule}, wanted, schema)
        if not isinstance(question, Rows):
            batch.add(metric)
    assert {
        "column_values.unique",
        "compound_columns.unique",
        "column_values.increasing",
        "column_values.decreasing",
        "column_values.z_score.under_threshold",
        "column_values.not_outliers",
    } == batch


def _parameters(metric: str) -> tuple[str, ...]:
    from dataflow.quality.gx_polars.metrics import value_keys

    return value_keys(f"{metric}.unexpected_count")


def test_failing_rows_are_found_while_staging():
    frame = pl.LazyFrame({"x": ["aa", "ab", None], "n": [1, 2, 1]})
    schema = frame.collect_schema()
    routed: dict[str, dict[str, Any]] = {
        "expect_column_values_to_match_regex": {"column": "x", "regex": r"(a)\1"},
        "expect_column_values_to_match_json_schema": {"column": "x", "json_schema": {}},
        "expect_multicolumn_sum_to_equal": {"column_list": ["n", "n"], "sum_total": 2},
    }
    failing = [failing_rows(kind, arguments, schema).alias(kind) for kind, arguments in routed.items()]
    found = frame.select(failing).collect(engine="streaming")
    assert [(False, True, False), (True, True, True), (False, False, False)] == found.rows()
    for kind in ("increasing", "decreasing"):
        with pytest.raises(ValueError, match="is about the batch: no single row breaks it"):
            failing_rows(f"expect_column_values_to_be_{kind}", {"column": "n"}, schema)
    with pytest.raises(ValueError, match="is about the batch"):
        failing_rows("expect_column_values_to_not_be_outliers", {"column": "n"}, schema)
