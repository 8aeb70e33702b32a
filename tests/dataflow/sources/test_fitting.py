"""Values move to another type where nothing of them is lost."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.sources.fitting import common_type, fitting

UTC_TIME = pl.Datetime("us", "UTC")
LOCAL_TIME = pl.Datetime("us")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (pl.Int64(), pl.Int64(), pl.Int64()),
        (pl.Int8(), pl.Int32(), pl.Int32()),
        (pl.Int64(), pl.Float64(), pl.Float64()),
        (pl.Float32(), pl.Float64(), pl.Float64()),
        (pl.Decimal(38, 2), pl.Decimal(38, 5), pl.Decimal(38, 5)),
        (pl.Int64(), pl.Decimal(38, 2), pl.Decimal(38, 2)),
        (pl.Float64(), pl.Decimal(38, 2), pl.String()),
        (pl.Boolean(), pl.Int64(), pl.String()),
        (pl.Date(), UTC_TIME, UTC_TIME),
        (LOCAL_TIME, UTC_TIME, pl.String()),
        (pl.Binary(), pl.String(), pl.String()),
        (pl.Int64(), pl.String(), pl.String()),
    ],
)
def test_two_types_meet_in_one(one: pl.DataType, other: pl.DataType, expected: pl.DataType) -> None:
    assert expected == common_type(one, other)
    assert expected == common_type(other, one)


def moved(values: list[Any], found: pl.DataType, wanted: pl.DataType) -> pl.DataFrame:
    rows = pl.LazyFrame({"v": pl.Series(values, dtype=found), "w": range(len(values))}).with_row_index("_n")
    schema = {"v": found, "w": pl.Int64()}
    return fitting(rows, pl.Schema(schema), pl.Schema({**schema, "v": wanted}), row_index="_n").collect()


@pytest.mark.parametrize(
    ("values", "found", "wanted", "expected", "broken"),
    [
        ([1, 2**53, 2**53 + 1, None], pl.Int64(), pl.Float64(), [1.0, 2.0**53, None, None], [2]),
        ([1.0, 1.5, float("nan"), 1e300], pl.Float64(), pl.Int64(), [1, None, None, None], [1, 2, 3]),
        ([1, 300], pl.Int64(), pl.Int8(), [1, None], [1]),
        ([1, 2], pl.Int8(), pl.Int64(), [1, 2], []),
        (["12", "1.0", "x", ""], pl.String(), pl.Int64(), [12, None, None, None], [1, 2, 3]),
        (["1.50", "1e3", "x"], pl.String(), pl.Float64(), [1.5, 1000.0, None], [2]),
        (["true", "false", "maybe"], pl.String(), pl.Boolean(), [True, False, None], [2]),
        ([True], pl.Boolean(), pl.Int64(), [None], [0]),
        ([1], pl.Int64(), pl.Boolean(), [None], [0]),
        ([1.5, None], pl.Float64(), pl.String(), ["1.5", None], []),
        ([True], pl.Boolean(), pl.String(), ["true"], []),
        ([b"a"], pl.Binary(), pl.String(), [None], [0]),
        (["2026-01-17", "1/2/2026"], pl.String(), pl.Date(), [date(2026, 1, 17), None], [1]),
        (
            ["2026-01-17T12:00:00Z", "2026-01-17T13:00:00.5+01:00", "2026-01-17T12:00:00"],
            pl.String(),
            UTC_TIME,
            [datetime(2026, 1, 17, 12, tzinfo=UTC), datetime(2026, 1, 17, 12, 0, 0, 500_000, tzinfo=UTC), None],
            [2],
        ),
        (["2026-01-17T12:00:00", "x"], pl.String(), LOCAL_TIME, [datetime(2026, 1, 17, 12), None], [1]),
        ([date(2026, 1, 17)], pl.Date(), LOCAL_TIME, [datetime(2026, 1, 17)], []),
        (
            [datetime(2026, 1, 17), datetime(2026, 1, 17, 1)],
            LOCAL_TIME,
            pl.Date(),
            [date(2026, 1, 17), None],
            [1],
        ),
        ([datetime(2026, 1, 17)], LOCAL_TIME, UTC_TIME, [None], [0]),
        (
            [Decimal("1.50"), Decimal("1.255")],
            pl.Decimal(38, 3),
            pl.Decimal(38, 2),
            [Decimal("1.50"), None],
            [1],
        ),
    ],
)
def test_a_value_fits_or_its_row_is_marked(
    values: list[Any], found: pl.DataType, wanted: pl.DataType, expected: list[Any], broken: list[int]
) -> None:
    frame = moved(values, found, wanted)

    assert wanted == frame.schema["v"]
    assert expected == frame["v"].to_list()
    marked = frame.filter(pl.col("_broken").is_not_null()) if "_broken" in frame.columns else frame.clear()
    assert broken == marked["_n"].to_list()


def test_the_mark_names_column_and_types_and_keeps_the_row_as_it_is() -> None:
    rows = pl.LazyFrame({"a": ["7", "x"], "b": [b"\xff", b"\xfe"], "c": [1.5, 2.5]}).with_row_index("_n")
    found = pl.Schema({"a": pl.String(), "b": pl.Binary(), "c": pl.Float64()})
    frame = fitting(rows, found, pl.Schema({"a": pl.Int64(), "c": pl.Float64(), "d": pl.Date()}), row_index="_n")

    good, bad = frame.collect().to_dicts()
    assert {"a": 7, "c": 1.5, "d": None, "_n": 0, "_broken": None, "_raw": None, "_line": 1} == good
    assert (None, 2.5, 1, 2) == (bad["a"], bad["c"], bad["_n"], bad["_line"])
    assert "column 'a': a value of type string that is no int64" == bad["_broken"]
    assert {"a": "x", "b": "fe", "c": 2.5} == json.loads(bad["_raw"])


def test_rows_of_the_very_schema_are_left_alone() -> None:
    frame = moved([1, 2], pl.Int64(), pl.Int64())

    assert ["v", "w", "_n"] == frame.columns


NUMBERS = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300), min_size=1, max_size=8)


@settings(max_examples=50, deadline=None)
@given(NUMBERS, st.sampled_from([pl.Int8(), pl.Int16(), pl.Int32(), pl.Float64(), pl.Float32(), pl.String()]))
def test_what_moved_says_what_it_said_and_the_rest_is_marked(values: list[int], wanted: pl.DataType) -> None:
    frame = moved(values, pl.Int64(), wanted)

    for value, row in zip(values, frame.iter_rows(named=True), strict=True):
        if row["v"] is None:
            assert row["_broken"] is not None
            assert value == json.loads(row["_raw"])["v"]
        else:
            assert value == int(row["v"])
            assert row.get("_broken") is None
