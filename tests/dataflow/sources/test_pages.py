"""Pages of any form as frames, with nothing lost on the way."""

from __future__ import annotations

import enum
import json
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.lake.schema import storable
from dataflow.sources import pages as module
from dataflow.sources.pages import frames, from_rows


class Colour(enum.Enum):
    RED = "red"


ROME = timezone(timedelta(hours=1))
NOON = datetime(2026, 1, 17, 12, tzinfo=ROME)


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, None, -(2**63)], pl.Int64(), [1, None, -(2**63)]),
        ([1, 2**63], pl.String(), ["1", "9223372036854775808"]),
        ([1, 2.5], pl.Float64(), [1.0, 2.5]),
        ([2**53 + 1, 2.5], pl.String(), ["9007199254740993", "2.5"]),
        ([True, None], pl.Boolean(), [True, None]),
        ([True, 1], pl.String(), ["true", "1"]),
        (["a", 1, 1.5, True, None], pl.String(), ["a", "1", "1.5", "true", None]),
        (["", " "], pl.String(), ["", " "]),
        ([date(2026, 1, 17)], pl.Date(), [date(2026, 1, 17)]),
        ([date(2026, 1, 17), NOON], pl.String(), ["2026-01-17", "2026-01-17T12:00:00+01:00"]),
        ([NOON], pl.Datetime("us", "UTC"), [datetime(2026, 1, 17, 11, tzinfo=UTC)]),
        ([datetime(2026, 1, 17)], pl.Datetime("us"), [datetime(2026, 1, 17)]),
        ([datetime(2026, 1, 17), NOON], pl.String(), ["2026-01-17T00:00:00", "2026-01-17T12:00:00+01:00"]),
        ([time(12, 30)], pl.String(), ["12:30:00"]),
        ([Decimal("1.50"), Decimal("12.125")], pl.Decimal(38, 3), [Decimal("1.500"), Decimal("12.125")]),
        ([Decimal("1e-38")], pl.Decimal(38, 38), [Decimal("1e-38")]),
        ([Decimal("1e-40")], pl.String(), ["1E-40"]),
        ([datetime(1, 1, 1, tzinfo=ROME)], pl.String(), ["0001-01-01T00:00:00+01:00"]),
        ([{(1, 2): 3}], pl.String(), ["{(1, 2): 3}"]),
        ([Decimal("NaN"), Decimal(1)], pl.String(), ["NaN", "1"]),
        ([Decimal("1" + "0" * 37), Decimal("0.01")], pl.String(), ["1" + "0" * 37, "0.01"]),
        ([b"\xff\x00"], pl.Binary(), [b"\xff\x00"]),
        ([{"a": [1, {"b": None}]}, [1], None], pl.String(), ['{"a":[1,{"b":null}]}', "[1]", None]),
        ([{"at": NOON, "of": Decimal("1.5")}], pl.String(), ['{"at":"2026-01-17T12:00:00+01:00","of":"1.5"}']),
        ([{"a": 1}, "x"], pl.String(), ['{"a":1}', "x"]),
        ([uuid.UUID(int=7)], pl.String(), ["00000000-0000-0000-0000-000000000007"]),
        ([Colour.RED], pl.String(), ["Colour.RED"]),
        (["\ud800", "é"], pl.String(), ["\\ud800", "é"]),
    ],
)
def test_a_column_gets_the_type_that_holds_all_its_values(values: list[Any], dtype: pl.DataType, expected: Any) -> None:
    (frame,) = frames([[{"id": 1, "v": value} for value in values]])

    assert dtype == frame.schema["v"]
    assert expected == frame["v"].to_list()


def test_columns_come_in_the_order_in_which_they_are_met_and_empty_ones_not() -> None:
    (frame,) = frames([[{"b": 1, "never": None}, {"a": 2, "b": None, "c": 3}]])

    assert ["b", "a", "c"] == frame.columns
    assert [(1, None, None), (None, 2, 3)] == frame.rows()


def test_values_that_are_no_objects_are_called_value() -> None:
    assert [{"value": 1}, {"value": 2}, {"value": 3}] == next(iter(frames([[1, 2], 3]))).to_dicts()
    assert [{"value": "a"}] == next(iter(frames(["a"]))).to_dicts()


@pytest.mark.parametrize(
    "pages", [[], [[]], [None], [[], None, []], [pl.DataFrame()], [pl.DataFrame({"a": []})], [[{}]]]
)
def test_pages_without_a_value_are_no_frames(pages: list[Any]) -> None:
    assert [] == list(frames(pages))


def test_small_pages_are_put_together_and_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 5)
    found = list(frames([[{"n": 1}, {"n": 2}], {"n": 3}, pl.DataFrame({"n": [4]}), *[{"n": n} for n in range(5, 13)]]))

    assert [3, 1, 5, 3] == [frame.height for frame in found]
    assert [*range(1, 13)] == pl.concat(found)["n"].to_list()


def test_frames_of_all_kinds_are_pages() -> None:
    table = pa.table({"n": [1, 2]})
    kinds = [table, table.to_batches()[0], pl.DataFrame({"n": [1, 2]}), pl.LazyFrame({"n": [1, 2]})]

    assert [[1, 2]] * 4 == [frame["n"].to_list() for frame in frames(kinds)]


def test_a_frame_of_pandas_is_a_page() -> None:
    pandas = pytest.importorskip("pandas")
    (frame,) = frames([pandas.DataFrame({"n": [1, 2], "t": ["a", None]})])

    assert [(1, "a"), (2, None)] == frame.rows()


def test_types_that_a_table_cannot_hold_become_the_next_that_can() -> None:
    page = pl.DataFrame(
        [
            pl.Series("u8", [255], pl.UInt8),
            pl.Series("u64", [2**62], pl.UInt64),
            pl.Series("beyond", [2**63], pl.UInt64),
            pl.Series("wide", [2**100], pl.Int128),
            pl.Series("took", [timedelta(seconds=1.5)], pl.Duration("ns")),
            pl.Series("at", [time(12, 30)]),
            pl.Series("kind", ["a"], pl.Categorical),
            pl.Series("ms", [datetime(2026, 1, 17)], pl.Datetime("ms", "Europe/Rome")),
            pl.Series("ns", [1], pl.Int64).cast(pl.Datetime("ns")),
            pl.Series("none", [None], pl.Null),
            pl.Series("list", [[1, None]]),
            pl.Series("struct", [{"a": {"b": "x"}}]),
            pl.Series("array", [[1, 2]], pl.Array(pl.Int8, 2)),
        ]
    )
    (frame,) = frames([page])

    assert frame.schema == storable(frame.schema, "numbers")
    assert {
        "u8": 255,
        "u64": 2**62,
        "beyond": "9223372036854775808",
        "wide": str(2**100),
        "took": 1_500_000,
        "at": "12:30:00",
        "kind": "a",
        "ms": page["ms"][0],
        "ns": "1970-01-01 00:00:00.000000001",
        "list": "[1,null]",
        "struct": '{"a":{"b":"x"}}',
        "array": "[1,2]",
    } == frame.row(0, named=True)


def test_a_page_that_is_nothing_of_the_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="a page is of type object, not a list of objects or a data frame"):
        list(frames([object()]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


def _as_given(found: Any, given_: Any) -> bool:
    """Whether a value says what was given, in whatever type its column has."""
    if found is None or given_ is None:
        return found is given_
    if isinstance(found, str) and not isinstance(given_, str):
        return json.loads(found) == given_
    if isinstance(given_, str):
        return found == given_.encode("utf-8", "backslashreplace").decode()
    return found == given_


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), JSON), max_size=6))
def test_nothing_is_lost_of_what_json_can_say(rows: list[dict[str, Any]]) -> None:
    frame = from_rows(rows)

    assert {name for row in rows for name, value in row.items() if value is not None} == set(frame.columns)
    if frame.width:
        assert len(rows) == frame.height
    for row, found in zip(rows, frame.iter_rows(named=True), strict=bool(frame.width)):
        assert all(_as_given(found[name], row.get(name)) for name in frame.columns)
