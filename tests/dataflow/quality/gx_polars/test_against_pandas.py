"""Every supported expectation answers on Polars as it does on pandas."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from great_expectations import expectations
from great_expectations.expectations.row_conditions import Column
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.dataflow.quality.gx_polars.checkpoints import error, judged, pandas, polars

pytestmark = pytest.mark.filterwarnings("ignore:This pattern is interpreted as a regular expression")  # by pandas
gxe: Any = expectations
PAIR_RULES = ("both_values_are_missing", "either_value_is_missing", "neither")
LIST_RULES = ("all_values_are_missing", "any_value_is_missing", "never")
FRAMES = {
    "nulls": pl.DataFrame(
        {
            "i": [3, 1, None, 3, 7, 5],
            "j": [1, 1, 2, None, 9, 5],
            "f": [0.5, None, -1.5, 2.0, 2.0, 100.25],
            "s": ["abc", "b", None, "abc", "", "žluť"],
            "t": [dt.datetime(2013, 1, d, 5) if d != 3 else None for d in range(1, 7)],
            "d": [True, False, None, True, True, False],
        }
    ),
    "whole": pl.DataFrame(
        {
            "i": [1, 2, 3, 4],
            "j": [0, 1, 2, 3],
            "f": [0.5, 1.5, 2.5, 3.5],
            "s": ["a", "b", "c", "d"],
            "t": [dt.datetime(2013, 1, d) for d in range(1, 5)],
            "d": [True, True, False, True],
        }
    ),
}
FRAMES["disorder"] = pl.DataFrame(
    {
        "i": [1, 2, 2, 1, None, 90],
        "j": [3, 2, None, 1, 1, None],
        "f": [1.0, 1.5, 2.0, 1.5, 1.0, -80.0],
        "s": ["2013-01-31", "2013-02-30", "31 Jan 2013", "a\n", '{"a": 1}', "NaN"],
        "t": [dt.datetime(2013, 1, d, 5) for d in (1, 2, 2, 1, 3, 30)],
        "d": [True, True, False, None, False, True],
    }
)
FRAMES["empty"] = FRAMES["whole"].clear()
FRAMES["one"] = FRAMES["whole"].head(1)
FRAMES["twice"] = pl.concat([FRAMES["nulls"], FRAMES["nulls"]])

EXPECTATIONS: list[Any] = [
    gxe.ExpectColumnValuesToNotBeNull(column="i"),
    gxe.ExpectColumnValuesToNotBeNull(column="s", mostly=0.8),
    gxe.ExpectColumnValuesToBeNull(column="i"),
    gxe.ExpectColumnValuesToBeNull(column="i", mostly=0.1),
    gxe.ExpectColumnValuesToBeBetween(column="i", min_value=2, max_value=5),
    gxe.ExpectColumnValuesToBeBetween(column="i", min_value=3, strict_min=True),
    gxe.ExpectColumnValuesToBeBetween(column="f", max_value=2.0, strict_max=True, mostly=0.4),
    gxe.ExpectColumnValuesToBeBetween(column="t", min_value="2013-01-02T05:00:00", max_value="2013-01-05"),
    gxe.ExpectColumnValuesToBeInSet(column="i", value_set=[1, 3.0, 4.5, 7]),
    gxe.ExpectColumnValuesToBeInSet(column="f", value_set=[0.5, 2, 3]),
    gxe.ExpectColumnValuesToBeInSet(column="s", value_set=["abc", "žluť", 5]),
    gxe.ExpectColumnValuesToBeInSet(column="s", value_set=[]),
    gxe.ExpectColumnValuesToBeInSet(column="d", value_set=[True]),
    gxe.ExpectColumnValuesToNotBeInSet(column="i", value_set=[1, 3]),
    gxe.ExpectColumnValuesToNotBeInSet(column="s", value_set=["abc"]),
    gxe.ExpectColumnValuesToNotBeInSet(column="t", value_set=["2013-01-02T05:00:00"]),
    gxe.ExpectColumnValuesToMatchRegex(column="s", regex="^[a-z]+$"),
    gxe.ExpectColumnValuesToMatchRegex(column="s", regex="b", mostly=0.5),
    gxe.ExpectColumnValuesToNotMatchRegex(column="s", regex="b"),
    gxe.ExpectColumnValueLengthsToBeBetween(column="s", min_value=1, max_value=3),
    gxe.ExpectColumnValueLengthsToBeBetween(column="s", min_value=1, strict_min=True),
    gxe.ExpectColumnValueLengthsToEqual(column="s", value=3),
    gxe.ExpectColumnValuesToBeUnique(column="i"),
    gxe.ExpectColumnValuesToBeUnique(column="s", mostly=0.2),
    gxe.ExpectColumnValuesToBeUnique(column="f"),
    gxe.ExpectCompoundColumnsToBeUnique(column_list=["i", "s"]),
    gxe.ExpectCompoundColumnsToBeUnique(column_list=["i", "s"], ignore_row_if="any_value_is_missing"),
    gxe.ExpectCompoundColumnsToBeUnique(column_list=["i", "s"], ignore_row_if="never"),
    gxe.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A="i", column_B="j", or_equal=True, ignore_row_if="either_value_is_missing"
    ),
    gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="i", column_B="j", ignore_row_if="both_values_are_missing"),
    gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="i", column_B="j", ignore_row_if="neither", mostly=0.3),
    *(gxe.ExpectColumnValuesToBeIncreasing(column=c, strictly=strictly) for c in "ift" for strictly in (True, False)),
    *(gxe.ExpectColumnValuesToBeDecreasing(column=c, strictly=strictly) for c in "ift" for strictly in (True, False)),
    gxe.ExpectColumnValuesToBeIncreasing(column="i", mostly=0.5, row_condition=Column("f") > 1),
    *(gxe.ExpectColumnValueZScoresToBeLessThan(column=c, threshold=1, double_sided=True) for c in "ift"),
    gxe.ExpectColumnValueZScoresToBeLessThan(column="f", threshold=0.5, double_sided=False),
    gxe.ExpectColumnValueZScoresToBeLessThan(
        column="f", threshold=-0.5, double_sided=True, mostly=0.6, row_condition=Column("i") > 1
    ),
    *(gxe.ExpectColumnValuesToNotBeOutliers(column=c, method="iqr") for c in "if"),
    *(gxe.ExpectColumnValuesToNotBeOutliers(column="f", method="std", multiplier=m) for m in (0, 1, 1.5)),
    gxe.ExpectColumnValuesToNotBeOutliers(column="i", method="std", multiplier=1, row_condition=Column("f") > 0),
    *(gxe.ExpectColumnValuesToBeJsonParseable(column=c) for c in "si"),
    gxe.ExpectColumnValuesToMatchStrftimeFormat(column="s", strftime_format="%Y-%m-%d"),
    gxe.ExpectColumnValuesToBeDateutilParseable(column="s"),
    *(
        gxe.ExpectColumnValuesToMatchRegex(column="s", regex=r)
        for r in ("a$", "(?=a)", r"(\d)\1", r"^\w+$", r"(?i)Ť\b")
    ),
    gxe.ExpectColumnValuesToMatchRegexList(column="s", regex_list=["^a", "b"], match_on="any"),
    gxe.ExpectColumnValuesToMatchRegexList(column="s", regex_list=["^a", "b(?!x)"], match_on="all", mostly=0.3),
    gxe.ExpectColumnValuesToNotMatchRegexList(column="s", regex_list=["^a", r"\d$"]),
    *(gxe.ExpectColumnPairValuesToBeEqual(column_A="i", column_B="j", ignore_row_if=rule) for rule in PAIR_RULES),
    gxe.ExpectColumnPairValuesToBeEqual(column_A="i", column_B="s"),
    gxe.ExpectColumnPairValuesToBeEqual(column_A="i", column_B="j", row_condition=Column("f") > 1),
    *(
        gxe.ExpectColumnPairValuesToBeInSet(column_A="i", column_B=other, value_pairs_set=pairs, ignore_row_if=rule)
        for rule in PAIR_RULES
        for other, pairs in (("j", [(3, 1), (None, 2), (1, None), (5.5, 5)]), ("s", [(1, "b"), (3, "abc"), (1, 1)]))
    ),
    gxe.ExpectColumnPairValuesToBeInSet(
        column_A="i", column_B="j", value_pairs_set=[(3, 1)], row_condition=Column("i") > 1
    ),
    *(gxe.ExpectMulticolumnSumToEqual(column_list=["i", "j"], sum_total=4, ignore_row_if=rule) for rule in LIST_RULES),
    gxe.ExpectMulticolumnSumToEqual(column_list=["i", "j", "f"], sum_total=1.5, mostly=0.2),
    *(
        make(column_list=["i", "j"], ignore_row_if=rule)
        for make in (gxe.ExpectMulticolumnValuesToBeEqual, gxe.ExpectSelectColumnValuesToBeUniqueWithinRecord)
        for rule in LIST_RULES
    ),
    gxe.ExpectSelectColumnValuesToBeUniqueWithinRecord(column_list=["i", "j", "f"]),
    gxe.ExpectMulticolumnValuesToBeEqual(column_list=["i", "s"], ignore_row_if="any_value_is_missing"),
    gxe.ExpectColumnValuesToBeUnique(column="I"),
    gxe.ExpectMulticolumnSumToEqual(column_list=["I", "J"], sum_total=4),
    gxe.ExpectTableRowCountToBeBetween(min_value=1, max_value=5),
    gxe.ExpectTableRowCountToEqual(value=6),
    gxe.ExpectColumnMeanToBeBetween(column="i", min_value=0, max_value=4),
    gxe.ExpectColumnMinToBeBetween(column="f", min_value=0),
    gxe.ExpectColumnMaxToBeBetween(column="i", max_value=4),
    gxe.ExpectColumnMaxToBeBetween(column="t", max_value="2013-01-31"),
    gxe.ExpectColumnSumToBeBetween(column="i", min_value=10),
    gxe.ExpectColumnMedianToBeBetween(column="f", min_value=1, max_value=2),
    gxe.ExpectColumnStdevToBeBetween(column="f", min_value=1),
    gxe.ExpectColumnUniqueValueCountToBeBetween(column="s", min_value=2, max_value=4),
    gxe.ExpectColumnToExist(column="i"),
    gxe.ExpectColumnToExist(column="gone"),
    gxe.ExpectColumnToExist(column="f", column_index=2),
    gxe.ExpectTableColumnsToMatchSet(column_set=["i", "j", "f", "s", "t", "d"]),
    gxe.ExpectTableColumnsToMatchSet(column_set=["i", "x"], exact_match=False),
    gxe.ExpectTableColumnCountToEqual(value=6),
    gxe.ExpectColumnValuesToBeBetween(column="f", min_value=0, row_condition=Column("i") > 2),
    gxe.ExpectColumnValuesToNotBeNull(column="f", row_condition=(Column("i") == 1) | (Column("s").is_in(["abc", ""]))),
    gxe.ExpectColumnValuesToBeUnique(column="i", row_condition=Column("j").is_not_null() & (Column("i") != 1)),
    gxe.ExpectColumnMeanToBeBetween(column="f", min_value=0, row_condition=Column("i").is_null()),
    gxe.ExpectTableRowCountToEqual(value=2, row_condition=Column("i") <= 3),
    gxe.ExpectColumnValuesToBeInSet(column="i", value_set=[7], row_condition=Column("s").is_not_in(["abc"])),
    gxe.ExpectColumnMaxToBeBetween(column="i", max_value=4, row_condition=Column("i") < 5),
    gxe.ExpectColumnMaxToBeBetween(column="i", max_value=4, row_condition=Column("i") >= 5),
]


def same(left: Any, right: Any) -> bool:
    """Equal, but for how the two engines spell a number or an instant."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if left is None or right is None or (isinstance(right, float) and math.isnan(right)):
        return left is None and (right is None or right != right)
    if isinstance(left, int | float) and isinstance(right, int | float):
        return math.isclose(left, right)
    return left == right


def comparable(result: Any) -> dict[str, Any]:
    """A result without what is each engine's own: the query, and the index in it."""
    found = {n: v for n, v in result.to_json_dict()["result"].items() if n != "unexpected_index_query"}
    if isinstance(found.get("observed_value"), list):
        found["observed_value"].sort()  # a set of columns
    counts = found.get("partial_unexpected_counts", [])
    if any(
        part is None for one in counts for part in (one["value"] if isinstance(one["value"], list) else [one["value"]])
    ):
        del found["partial_unexpected_counts"]  # Great Expectations sorts these; pandas' NaN sorts, a null does not
    return found


def differences(frame: pl.DataFrame, checks: list[Any], result_format: str = "COMPLETE") -> list[Any]:
    """What pandas answers, and we do not answer alike."""
    ours = judged("polars", frame, *checks, result_format=result_format)
    theirs = pandas(frame, *checks, result_format=result_format)
    return [
        (check.expectation_type, o.success, t.success, comparable(o), comparable(t), error(o))
        for check, o, t in zip(checks, ours, theirs, strict=True)
        if error(t) is None and (error(o) or o.success != t.success or not same(comparable(o), comparable(t)))
    ]


@pytest.mark.parametrize(
    ("name", "result_format"),
    [*((name, "COMPLETE") for name in FRAMES), *(("nulls", form) for form in ("SUMMARY", "BASIC", "BOOLEAN_ONLY"))],
)
def test_same_success_counts_and_values(name: str, result_format: str):
    checks = EXPECTATIONS if result_format == "COMPLETE" else EXPECTATIONS[::3]
    assert [] == differences(FRAMES[name], checks, result_format)


def test_pandas_answers_what_it_is_compared_with():
    results = pandas(FRAMES["whole"], *EXPECTATIONS, result_format="BOOLEAN_ONLY")
    raised = {(c.expectation_type, c.column) for c, r in zip(EXPECTATIONS, results, strict=True) if error(r)}
    # An instant next to a day: pandas compares the two in sets only.
    assert {("expect_column_values_to_be_between", "t"), ("expect_column_max_to_be_between", "t")} == raised


def test_frames_and_scans_answer_alike(tmp_path: Any):
    frame = FRAMES["nulls"]
    frame.head(3).write_parquet(tmp_path / "a.parquet")
    frame.tail(3).write_parquet(tmp_path / "b.parquet")
    checks = EXPECTATIONS[::2]
    expected = [comparable(r) for r in polars(frame, *checks)]
    assert expected == [comparable(r) for r in polars(frame.lazy(), *checks)]
    scanned = pl.scan_parquet([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert expected == [comparable(r) for r in polars(scanned, *checks)]


values = {
    "i": st.one_of(st.none(), st.integers(-3, 8)),
    "j": st.one_of(st.none(), st.integers(-3, 8)),
    "f": st.one_of(st.none(), st.sampled_from([-1.5, 0.0, 0.5, 2.0, 99.5])),
    "s": st.one_of(st.none(), st.sampled_from(["", "a", "b", "abc", "žluť", "line\nbreak"])),
    "t": st.one_of(st.none(), st.integers(1, 9).map(lambda day: dt.datetime(2013, 1, day, 5))),
    "d": st.one_of(st.none(), st.booleans()),
}


@settings(max_examples=8, phases=[Phase.explicit, Phase.generate])  # one example asks an eighth of all, of two engines
@given(st.lists(st.tuples(*values.values()), max_size=7), st.integers(0, 7))
def test_same_on_generated_frames(rows: list[tuple[Any, ...]], part: int):
    frame = pl.DataFrame(rows, schema=FRAMES["whole"].schema, orient="row")
    assert [] == differences(frame, EXPECTATIONS[part::8], "SUMMARY")


# ------------------------------------------------------------------ types that pandas has no word for

RICH = {
    "n": pl.Decimal(9, 2),
    "z": pl.Datetime("us", "Europe/Rome"),
    "c": pl.Categorical(),
    "e": pl.Enum(["x", "y", "2013"]),
    "l": pl.List(pl.Int64),
    "r": pl.Struct({"a": pl.Int64}),
    "o": pl.String(),
    "i": pl.Int64(),
}
INSTANTS = [dt.datetime(2013, 1, day, 5, tzinfo=dt.UTC) for day in (1, 2, 3)]
RICH_VALUES = {
    "n": st.sampled_from([Decimal("1.50"), Decimal("-2.25"), Decimal("40.00")]),
    "z": st.sampled_from(INSTANTS),
    "c": st.sampled_from(["x", "y", "žluť", "2013"]),
    "e": st.sampled_from(["x", "y", "2013"]),
    "l": st.lists(st.integers(0, 1), max_size=2),
    "r": st.fixed_dictionaries({"a": st.integers(0, 1)}),
    "o": st.sampled_from(['{"a": 1}', '{"a": "x"}', "[1]", "null"]),
    "i": st.integers(0, 3),
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
RICH_EXPECTATIONS: list[Any] = [
    *(gxe.ExpectColumnValuesToNotBeNull(column=c, mostly=0.9) for c in "nceli"),
    *(gxe.ExpectColumnValuesToBeNull(column=c) for c in "nzcelri"),
    *(gxe.ExpectColumnValuesToBeUnique(column=c) for c in "nzceo"),
    gxe.ExpectColumnValuesToBeBetween(column="n", min_value=-2.25, max_value=1.5, strict_min=True),
    gxe.ExpectColumnValuesToBeInSet(column="n", value_set=[Decimal("1.5"), Decimal("40")]),
    gxe.ExpectColumnValuesToBeInSet(column="c", value_set=["x", "žluť", 5]),
    gxe.ExpectColumnValuesToNotBeInSet(column="e", value_set=["x", "z"]),
    *(gxe.ExpectColumnValuesToBeIncreasing(column=c, strictly=c == "z") for c in "nz"),
    gxe.ExpectColumnValuesToBeDecreasing(column="z"),
    gxe.ExpectColumnValueZScoresToBeLessThan(column="z", threshold=0.9, double_sided=True),
    *(gxe.ExpectColumnValuesToMatchRegex(column=c, regex=r"^(x|ž.*|\d+)$", mostly=0.7) for c in "ce"),
    gxe.ExpectColumnValuesToNotMatchRegexList(column="c", regex_list=["x", "t$"]),
    gxe.ExpectColumnValueLengthsToBeBetween(column="c", min_value=2),
    *(gxe.ExpectColumnValuesToBeJsonParseable(column=c) for c in "ocrl"),
    gxe.ExpectColumnValuesToMatchJsonSchema(column="o", json_schema=SCHEMA, mostly=0.5),
    *(gxe.ExpectColumnValuesToMatchStrftimeFormat(column=c, strftime_format="%Y") for c in "ce"),
    gxe.ExpectColumnValuesToBeDateutilParseable(column="e"),
    gxe.ExpectColumnPairValuesToBeEqual(column_A="c", column_B="e"),
    gxe.ExpectColumnPairValuesToBeEqual(column_A="z", column_B="z"),
    gxe.ExpectColumnPairValuesToBeEqual(column_A="i", column_B="c", ignore_row_if="either_value_is_missing"),
    gxe.ExpectColumnPairValuesToBeInSet(column_A="c", column_B="e", value_pairs_set=[("x", "x"), ("y", None)]),
    gxe.ExpectMulticolumnValuesToBeEqual(column_list=["c", "e"], ignore_row_if="any_value_is_missing"),
    gxe.ExpectSelectColumnValuesToBeUniqueWithinRecord(column_list=["c", "e"], ignore_row_if="any_value_is_missing"),
    gxe.ExpectSelectColumnValuesToBeUniqueWithinRecord(column_list=["i", "o"], ignore_row_if="any_value_is_missing"),
    gxe.ExpectCompoundColumnsToBeUnique(column_list=["c", "i"], ignore_row_if="any_value_is_missing"),
]


def test_same_where_nothing_is_known():
    frame = pl.DataFrame({name: [None, None] for name in RICH}, schema=RICH)
    assert [] == differences(frame, RICH_EXPECTATIONS, "SUMMARY")


@settings(max_examples=3, phases=[Phase.explicit, Phase.generate])
@given(st.lists(st.fixed_dictionaries({n: st.one_of(st.none(), v) for n, v in RICH_VALUES.items()}), max_size=6))
def test_same_on_generated_frames_of_rich_types(rows: list[dict[str, Any]]):
    assert [] == differences(pl.DataFrame(rows, schema=RICH), RICH_EXPECTATIONS)


def test_types_are_named_alike():
    frame = pl.DataFrame(
        {
            "i": [1, 2],
            "u": pl.Series([1, 2], dtype=pl.UInt8),
            "f": [0.5, 1.5],
            "b": [True, False],
            "s": ["a", "b"],
            "t": [dt.datetime(2013, 1, 1), dt.datetime(2013, 1, 2)],
            "n": [Decimal("1.5"), Decimal("2.5")],
        }
    )
    names = ["int", "int64", "uint8", "float", "float64", "bool", "str", "datetime64", "datetime64[us]", "object"]
    checks = [
        make(column=column, type_=name)
        for make in (gxe.ExpectColumnValuesToBeOfType, gxe.ExpectColumnTypeToBe)
        for column in frame.columns
        for name in names
    ]
    ours, theirs = polars(frame, *checks, result_format="BASIC"), pandas(frame, *checks, result_format="BASIC")
    assert [t.success for t in theirs] == [o.success for o in ours]
    assert [None] * len(checks) == [error(o) for o in ours]


def test_nan_spoils_no_measure():
    frame = pl.DataFrame({"f": [1.0, 2.0, float("nan"), 3.0, 2.0, 1.0, None, 50.0]})
    checks = [
        gxe.ExpectColumnValueZScoresToBeLessThan(column="f", threshold=2, double_sided=True),
        gxe.ExpectColumnValuesToNotBeOutliers(column="f", method="iqr"),
        gxe.ExpectColumnValuesToNotBeOutliers(column="f", method="std", multiplier=1),
    ]
    for ours, theirs in zip(polars(frame, *checks), pandas(frame, *checks), strict=True):
        assert (False, [50.0]) == (ours.success, ours.result["unexpected_list"])
        assert (theirs.success, theirs.result["unexpected_list"]) == (ours.success, ours.result["unexpected_list"])


def test_durations_are_shown():
    frame = pl.DataFrame({"u": [dt.timedelta(days=1), None]})  # pandas' engine fails on them altogether
    (result,) = polars(frame, gxe.ExpectColumnValuesToBeNull(column="u"))
    assert ["P1D"] == result.result["unexpected_list"]


def test_likes_which_pandas_has_not():
    frame = FRAMES["nulls"]
    checks = [
        gxe.ExpectColumnValuesToMatchLikePattern(column="s", like_pattern="a%"),
        gxe.ExpectColumnValuesToNotMatchLikePattern(column="s", like_pattern="_"),
        gxe.ExpectColumnValuesToMatchLikePatternList(column="s", like_pattern_list=["%b%", "%c"], match_on="all"),
        gxe.ExpectColumnValuesToMatchLikePatternList(column="s", like_pattern_list=["%b%", "ž%"], match_on="any"),
        gxe.ExpectColumnValuesToNotMatchLikePatternList(column="s", like_pattern_list=["%b%", "ž%"]),
    ]
    assert [["b", "", "žluť"], ["b"], ["b", "", "žluť"], [""], ["abc", "b", "abc", "žluť"]] == [
        result.result["unexpected_list"] for result in polars(frame, *checks)
    ]


def test_one_that_raises_is_reported_in_its_own_result():
    remote = {"$ref": "http://127.0.0.1:9/schema.json"}
    checks = [
        gxe.ExpectColumnValuesToNotBeNull(column="s"),
        gxe.ExpectColumnValuesToMatchJsonSchema(column="s", json_schema=remote),  # raises in the middle of the scan
        gxe.ExpectColumnValuesToMatchRegex(column="s", regex="(a"),
        gxe.ExpectColumnValueZScoresToBeLessThan(column="s", threshold=1, double_sided=True),
        gxe.ExpectMulticolumnSumToEqual(column_list=["i", "s"], sum_total=1),
        gxe.ExpectColumnValuesToBeIncreasing(column="i"),
    ]
    frame = FRAMES["nulls"].with_columns(s=pl.lit("{}"))
    results = polars(frame, *checks, result_format="SUMMARY")
    signs = [None, "Unresolvable", "does not compile", "how far a value is off", "cannot be added up", None]
    for sign, result in zip(signs, results, strict=True):
        assert sign is None if error(result) is None else sign is not None and sign in str(error(result))
    assert [True, 2] == [results[0].success, results[-1].result["unexpected_count"]]
