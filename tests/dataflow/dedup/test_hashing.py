from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.dedup.hashing import Algorithm, canonical_text, grouping_key, row_hash
from dataflow.errors import ConfigError
from tests.dataflow.dedup.canonical import written


def integers(bits: int, *, signed: bool = True) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


INSTANTS = st.datetimes(datetime(1600, 1, 1), datetime(9000, 1, 1))
PLAIN: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (pl.String, st.text(max_size=6)),
    (pl.Boolean, st.booleans()),
    (pl.Int8, integers(8)),
    (pl.Int64, integers(64)),
    # Polars makes no lists of wider ones out of Python's.
    (pl.Int128, integers(64)),
    (pl.UInt32, integers(32, signed=False)),
    (pl.UInt64, integers(64, signed=False)),
    (pl.Float64, st.floats() | st.integers(-5, 5).map(float) | st.sampled_from([-0.0, 2.0**53, -(2.0**53), 1e22])),
    (pl.Float32, st.floats(width=32)),
    (pl.Float16, st.floats(width=16)),
    (pl.Decimal(20, 3), st.decimals(-(10**9), 10**9, places=3)),
    (pl.Decimal(20, 0), st.integers(-(10**9), 10**9).map(Decimal)),
    (pl.Date, st.dates()),
    (pl.Time, st.times()),
    (pl.Datetime("us"), INSTANTS),
    (pl.Datetime("us", "Asia/Kolkata"), INSTANTS.map(lambda at: at.replace(tzinfo=UTC))),
    (pl.Datetime("ms"), INSTANTS.map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))),
    (pl.Datetime("ns"), st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))),
    (pl.Duration("us"), st.timedeltas(timedelta(-(10**5)), timedelta(10**5))),
    (pl.Binary, st.binary(max_size=4)),
    (pl.Categorical(), st.sampled_from(["", "a", "é", "~"])),
    (pl.Enum(["", "a", "~:"]), st.sampled_from(["", "a", "~:"])),
    (pl.Null, st.none()),
]


def nested(kind: tuple[Any, st.SearchStrategy[Any]]) -> list[tuple[Any, st.SearchStrategy[Any]]]:
    dtype, values = kind
    some = st.none() | values
    return [
        kind,
        (pl.List(dtype), st.lists(some, max_size=3)),
        (pl.Array(dtype, 2), st.lists(some, min_size=2, max_size=2)),
        (pl.Struct({"b": dtype, "a": pl.Int64}), st.fixed_dictionaries({"b": some, "a": st.none() | integers(64)})),
        (
            pl.List(pl.Struct({"x": pl.List(dtype)})),
            st.lists(st.none() | st.fixed_dictionaries({"x": st.none() | st.lists(some, max_size=2)}), max_size=2),
        ),
    ]


@settings(max_examples=6, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: str(kind[0]))
def test_the_text_is_the_documented_one(kind: tuple[Any, st.SearchStrategy[Any]], data: st.DataObject) -> None:
    kinds = nested(kind)
    rows = data.draw(st.lists(st.tuples(*(st.none() | values for _, values in kinds)), min_size=1, max_size=8))
    schema = pl.Schema({f"c{number}": dtype for number, (dtype, _) in enumerate(kinds)})
    frame = pl.DataFrame(rows, schema=schema, orient="row", strict=False)

    for engine in ("in-memory", "streaming"):
        found = frame.lazy().select(canonical_text(frame.columns, schema)).collect(engine=engine).to_series()

        assert ["".join(map(written, row)) for row in rows] == found.to_list()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.none() | st.text("a1:~", max_size=3), st.none() | st.text("a1:~", max_size=3)),
        min_size=2,
        max_size=20,
    )
)
def test_rows_have_one_text_only_where_they_are_one(rows: list[tuple[str | None, str | None]]) -> None:
    frame = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row")

    texts = frame.select(canonical_text(["a", "b"], frame.schema)).to_series().to_list()

    assert len(set(rows)) == len(set(texts))


def test_neighbours_do_not_flow_into_each_other() -> None:
    rows = [("a", "bc"), ("ab", "c"), (None, ""), ("", None), (None, None), ("~:", "")]
    frame = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row")

    texts = frame.select(canonical_text(["a", "b"], frame.schema)).to_series().to_list()

    assert ["1:a2:bc", "2:ab1:c", "~:0:", "0:~:", "~:~:", "2:~:0:"] == texts


def test_a_column_that_is_widened_keeps_its_text() -> None:
    numbers = pl.Series("n", [0, 1, 127, None])
    types = [pl.Int8, pl.UInt16, pl.Int64, pl.Int128, pl.Float32, pl.Float64, pl.Decimal(10, 2), pl.String]

    texts = {
        tuple(cast.to_frame().select(canonical_text(["n"], pl.Schema({"n": cast.dtype}))).to_series())
        for cast in (numbers.cast(dtype) for dtype in types)
    }

    assert {("1:0", "1:1", "3:127", "~:")} == texts


def test_an_instant_has_one_text_in_every_zone_and_unit() -> None:
    at = pl.Series("t", [datetime(2026, 3, 29, 1, 30, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)])
    casts = [
        at.dt.cast_time_unit(unit).dt.convert_time_zone(zone)
        for unit in ("ms", "us", "ns")
        for zone in ("UTC", "Europe/Rome")
    ]

    texts = {tuple(c.to_frame().select(canonical_text(["t"], pl.Schema({"t": c.dtype}))).to_series()) for c in casts}

    assert {("16:1774747800000000", "8:-1000000")} == texts


def test_the_widest_integers_have_all_their_digits() -> None:
    for dtype, value in ((pl.Int128, -(2**127)), (pl.UInt128, 2**128 - 1)):
        frame = pl.DataFrame({"n": pl.Series([value], dtype=dtype)})

        assert written(value) == frame.select(canonical_text(["n"], frame.schema)).item()


def test_nanoseconds_are_rounded_down() -> None:
    frame = pl.DataFrame({"n": [-1, 0, 1999]})

    for dtype in (pl.Datetime("ns"), pl.Duration("ns")):
        texts = frame.cast(dtype).select(canonical_text(["n"], pl.Schema({"n": dtype}))).to_series().to_list()

        assert ["2:-1", "1:0", "1:1"] == texts


ROW = {"id": 7, "name": "Zoë", "price": Decimal("12.50"), "at": datetime(2026, 1, 17, 21, 21), "tags": [None, "a"]}
GOLDEN = {
    "sha256": "945599e0d86f3412398f676565fd7e4fddef90b161b0f3505d2b55979c302297",
    "md5": "2b5db299db4a74ce0cefe5f313d8a1cc",
    "xxh3_128": "6c548558058a12bf88d0d6aa8111e91f",
}


@pytest.mark.parametrize("algorithm", GOLDEN)
def test_hashes_stay_what_they_are(algorithm: Algorithm) -> None:
    frame = pl.DataFrame([ROW])

    assert (
        "1:74:Zoë4:12.516:17686848600000005:~:1:a" == frame.select(canonical_text(frame.columns, frame.schema)).item()
    )
    assert GOLDEN[algorithm] == frame.select(row_hash(frame.columns, frame.schema, algorithm)).item()


HASHED = {
    "sha256": lambda text: hashlib.sha256(text).hexdigest(),
    "md5": lambda text: hashlib.md5(text, usedforsecurity=False).hexdigest(),
    "xxh3_128": xxhash.xxh3_128_hexdigest,
}


@settings(max_examples=20, deadline=None)
@given(rows=st.lists(st.tuples(st.none() | st.text(), st.none() | integers(64)), min_size=1, max_size=10))
@pytest.mark.parametrize("algorithm", HASHED)
def test_hashes_are_those_of_the_text(algorithm: Algorithm, rows: list[tuple[str | None, int | None]]) -> None:
    frame = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.Int64}, orient="row")
    texts = ["".join(map(written, row)).encode() for row in rows]

    hashes = frame.lazy().select(row_hash(["a", "b"], frame.schema, algorithm)).collect(engine="streaming").to_series()

    assert [HASHED[algorithm](text) for text in texts] == hashes.to_list()


@settings(max_examples=6, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: str(kind[0]))
def test_rows_with_one_text_have_one_grouping_key(
    kind: tuple[Any, st.SearchStrategy[Any]], data: st.DataObject
) -> None:
    kinds = nested(kind)
    some = data.draw(st.lists(st.tuples(*(st.none() | values for _, values in kinds)), min_size=1, max_size=4))
    schema = pl.Schema({f"c{number}": dtype for number, (dtype, _) in enumerate(kinds)})
    frame = pl.DataFrame([*some, *some], schema=schema, orient="row", strict=False)

    for column in frame.columns:
        found = frame.select(t=canonical_text([column], schema), k=grouping_key([column], schema))

        assert found["t"].n_unique() == found["k"].n_unique() == found.n_unique()


def test_zeros_and_nans_that_are_written_alike_are_grouped_alike() -> None:
    halves = pl.Series("f", struct.unpack("<4d", struct.pack("<4Q", 0, 1 << 63, 0x7FF8 << 48, 0xFFF8 << 48)))
    frame = pl.DataFrame({"f": halves, "l": halves.reshape((4, 1)).arr.to_list()})

    for column in frame.columns:
        keys = frame.select(grouping_key([column], frame.schema)).to_series().to_list()

        assert keys[0] == keys[1] != keys[2] == keys[3]


def test_what_has_no_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="column 'o' is of type Object, which has no canonical text; leave it out"):
        canonical_text(["o"], pl.Schema({"o": pl.Object()}))
    with pytest.raises(ConfigError, match=r"column 's\.o' is of type Object"):
        canonical_text(["s"], pl.Schema({"s": pl.Struct({"o": pl.Object()})}))
    with pytest.raises(ConfigError, match="unknown column to hash 'naem'; did you mean 'name'"):
        row_hash(["naem"], pl.Schema({"name": pl.String()}))
    with pytest.raises(ConfigError, match="no columns"):
        row_hash([], pl.Schema({"name": pl.String()}))
