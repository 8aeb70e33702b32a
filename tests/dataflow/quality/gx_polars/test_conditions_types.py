"""Which type a name stands for, and what the three expectations about types make of it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pytest
from great_expectations import expectations

from dataflow.quality.gx_polars.conditions.types import type_test
from tests.dataflow.quality.gx_polars.checkpoints import error, polars, run

gxe: Any = expectations
FRAME = pl.DataFrame(
    {
        "i": [1],
        "s": ["a"],
        "b": [True],
        "f": [1.5],
        "d": [dt.date(2013, 1, 1)],
        "k": [dt.time(5)],
        "t": [dt.datetime(2013, 1, 1)],
        "z": pl.Series([dt.datetime(2013, 1, 1)]).dt.replace_time_zone("Europe/Rome"),
        "u": [dt.timedelta(1)],
        "n": [Decimal("1.5")],
        "l": [[1]],
        "r": [{"a": 1}],
        "c": pl.Series(["x"], dtype=pl.Categorical),
        "e": pl.Series(["x"], dtype=pl.Enum(["x"])),
        "y": [b"x"],
        "v": [None],
        "i8": pl.Series([1], dtype=pl.Int8),
        "f4": pl.Series([1], dtype=pl.Float32),
        "u4": pl.Series([1], dtype=pl.UInt32),
    }
)


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (("Int64", "int", "int64", "long", "i8", "Int64Dtype"), "i"),
        (("Int8", "int8", "Int8Dtype"), "i8"),
        (("Float32", "float32"), "f4"),
        (("Float64", "float", "float64", "double"), "f"),
        (("UInt32", "uint32", "UInt32Dtype"), "u4"),
        (("String", "str", "string", "unicode", "StringDtype", "Utf8", "str_", "<U5"), "s"),
        (("Boolean", "bool", "boolean", "bool_", "BooleanDtype"), "b"),
        (("Date", "date"), "d"),
        (("Time", "time"), "k"),
        (("Datetime", "datetime", "Timestamp"), "tz"),
        (("datetime64", "datetime64[us]", "M8[us]", "Datetime(time_unit='us', time_zone=None)"), "t"),
        (("DatetimeTZDtype", "datetime64[us, Europe/Rome]"), "z"),
        (("datetime64[ns]", "datetime64[us, UTC]", "int16", "float16", "complex64", "uint8", "Object"), ""),
        (("Duration", "timedelta", "timedelta64", "timedelta64[us]", "Timedelta"), "u"),
        (("timedelta64[ns]",), ""),
        (("Decimal", "decimal", "Decimal(precision=38, scale=1)"), "n"),
        (("List", "list", "List(Int64)"), "l"),
        (("List(String)",), ""),
        (("Struct", "dict", "Struct({'a': Int64})"), "r"),
        (("category", "CategoricalDtype"), "ce"),
        (("Categorical",), "c"),
        (("Enum",), "e"),
        (("Binary", "bytes", "bytes_"), "y"),
        (("Null", "none", "None", "NoneType"), "v"),
        (("object", "object_", "O"), "knlry"),
    ],
)
def test_a_name_stands_for_types(names: tuple[str, ...], columns: str):
    expected = [columns] if columns in FRAME.columns else list(columns)
    for name in names:
        if name == "complex64":
            continue
        assert expected == [column for column, dtype in FRAME.schema.items() if type_test(name)(dtype)], name


@pytest.mark.parametrize(
    "name", ["INTEGER", "complex64", "complex", "IntDtype", "nonsense", "read_csv", "read_csv(x)", ""]
)
def test_a_name_that_says_nothing_is_refused(name: str):
    with pytest.raises(ValueError, match="use a name of Polars such as Int64"):
        type_test(name)


def test_the_three_expectations():
    results = polars(
        FRAME,
        gxe.ExpectColumnValuesToBeOfType(column="i", type_="int64"),
        gxe.ExpectColumnValuesToBeOfType(column="I", type_="String"),
        gxe.ExpectColumnTypeToBe(column="t", type_="datetime64[us]"),
        gxe.ExpectColumnTypeToBe(column="t", type_="datetime64[ns]"),
        gxe.ExpectColumnValuesToBeInTypeList(column="s", type_list=["VARCHAR", "String"]),
        gxe.ExpectColumnValuesToBeInTypeList(column="s", type_list=["VARCHAR", "Int64"]),
        gxe.ExpectColumnValuesToBeInTypeList(column="c", type_list=None),
    )
    assert [None] * 7 == [error(result) for result in results]
    assert [True, False, True, False, True, False, True] == [result.success for result in results]
    assert ["Int64", "Int64", "Datetime(time_unit='us', time_zone=None)"] == [
        result.result["observed_value"] for result in results[:3]
    ]


def test_what_is_no_type_or_no_column_is_an_error_of_its_own():
    results = polars(
        FRAME,
        gxe.ExpectColumnValuesToBeOfType(column="i", type_="INTEGER"),
        gxe.ExpectColumnValuesToBeInTypeList(column="i", type_list=["INTEGER", "NUMBER"]),
        gxe.ExpectColumnTypeToBe(column="gone", type_="Int64"),
        gxe.ExpectColumnTypeToBe(column="i", type_="Int64"),
    )
    assert [False, False, False, True] == [result.success for result in results]
    for result, sign in zip(results[:3], ("'INTEGER'", "'INTEGER'", '"gone" in BatchData'), strict=True):
        assert sign in str(error(result))


def test_other_engines_answer_as_before():
    frame = pd.DataFrame({"i": [1], "o": pd.Series([1], dtype=object)})
    checks = [
        gxe.ExpectColumnValuesToBeOfType(column="i", type_="int64"),
        gxe.ExpectColumnValuesToBeOfType(column="o", type_="int"),
        gxe.ExpectColumnValuesToBeInTypeList(column="o", type_list=["str"]),
        gxe.ExpectColumnTypeToBe(column="i", type_="int64"),
    ]
    results = run("pandas", frame, checks, "SUMMARY")
    assert [True, True, False, True] == [result.success for result in results]
    assert (1, "int64") == (results[2].result["unexpected_count"], results[3].result["observed_value"])
