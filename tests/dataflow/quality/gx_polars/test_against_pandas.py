"""Every supported expectation answers on Polars as it does on pandas."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import polars as pl
import pytest
from great_expectations import expectations
from great_expectations.expectations.row_conditions import Column
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.dataflow.quality.gx_polars.checkpoints import error, pandas, polars

gxe: Any = expectations
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


@pytest.mark.parametrize(
    ("name", "result_format"),
    [*((name, "COMPLETE") for name in FRAMES), *(("nulls", form) for form in ("SUMMARY", "BASIC", "BOOLEAN_ONLY"))],
)
def test_same_success_counts_and_values(name: str, result_format: str):
    frame = FRAMES[name]
    ours = polars(frame, *EXPECTATIONS, result_format=result_format)
    theirs = pandas(frame, *EXPECTATIONS, result_format=result_format)
    different = [
        (e.expectation_type, o.success, t.success, comparable(o), comparable(t), error(o), error(t))
        for e, o, t in zip(EXPECTATIONS, ours, theirs, strict=True)
        if error(t) is None and (error(o) or o.success != t.success or not same(comparable(o), comparable(t)))
    ]
    assert [] == different


def test_frames_and_scans_answer_alike(tmp_path: Any):
    frame = FRAMES["nulls"]
    frame.head(3).write_parquet(tmp_path / "a.parquet")
    frame.tail(3).write_parquet(tmp_path / "b.parquet")
    expected = [comparable(r) for r in polars(frame, *EXPECTATIONS)]
    assert expected == [comparable(r) for r in polars(frame.lazy(), *EXPECTATIONS)]
    scanned = pl.scan_parquet([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert expected == [comparable(r) for r in polars(scanned, *EXPECTATIONS)]


values = {
    "i": st.one_of(st.none(), st.integers(-3, 8)),
    "j": st.one_of(st.none(), st.integers(-3, 8)),
    "f": st.one_of(st.none(), st.sampled_from([-1.5, 0.0, 0.5, 2.0, 99.5])),
    "s": st.one_of(st.none(), st.sampled_from(["", "a", "b", "abc", "žluť", "line\nbreak"])),
    "t": st.one_of(st.none(), st.integers(1, 9).map(lambda day: dt.datetime(2013, 1, day, 5))),
    "d": st.one_of(st.none(), st.booleans()),
}


@settings(max_examples=4, phases=[Phase.explicit, Phase.generate])  # one example asks every expectation, twice
@given(st.lists(st.tuples(*values.values()), max_size=7))
def test_same_on_generated_frames(rows: list[tuple[Any, ...]]):
    frame = pl.DataFrame(rows, schema=FRAMES["whole"].schema, orient="row")
    ours = polars(frame, *EXPECTATIONS, result_format="SUMMARY")
    theirs = pandas(frame, *EXPECTATIONS, result_format="SUMMARY")
    for expectation, o, t in zip(EXPECTATIONS, ours, theirs, strict=True):
        if error(t) is None:
            assert error(o) is None, expectation
            assert (t.success, True) == (o.success, same(comparable(o), comparable(t))), expectation
