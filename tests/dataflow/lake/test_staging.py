"""Staged files: where they go, what they are called, what the log is told of them."""

from __future__ import annotations

import json
import math
import struct
import weakref
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.errors import SchemaConflict
from dataflow.lake.footers import footer_statistics
from dataflow.lake.lake import Lake
from dataflow.lake.staging import Target, stage, sweep, unit_id_of
from dataflow.model import Unit
from tests.dataflow.lake.tables import change, paths, put, staged

UNIT = Unit(stage="t", partition=(("_source_file", "/a.csv"),))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


# ---------------------------------------------------------------- partitions


def test_rows_of_one_partition_value_are_in_one_file_and_no_value_covers_another(lake: Lake) -> None:
    values = ["a/b", "a b", "a_b", "a=b", None, "null", "ü", "é", "..", "x" * 300, "x" * 301, "A_B"]
    frame = pl.DataFrame({"k": values * 2, "v": range(len(values) * 2)})
    files, _ = staged(lake, frame, Target("t", UNIT, "r1", partition_by=("k",)))

    assert len(values) == len({f.path for f in files}) == len(files)
    assert sorted(values, key=str) == sorted((f.partition["k"] for f in files), key=str)
    for file in files:
        found = pl.read_parquet(lake.path("t", file.path), hive_partitioning=False)
        assert [file.partition["k"]] * 2 == found["k"].to_list()
        assert 2 == file.rows


def test_typed_partition_values_are_spelled_as_delta_does(lake: Lake) -> None:
    frame = pl.DataFrame({"day": [date(2013, 1, 9), None], "n": [-3, None], "yes": [True, None], "v": [1, 2]})
    files, _ = staged(lake, frame, Target("t", UNIT, "r1", partition_by=("day", "n", "yes")))

    found = {tuple(f.partition.values()): f.path.rsplit("/", 1)[0] for f in files}
    assert {
        ("2013-01-09", "-3", "true"): "day=2013-01-09/n=-3/yes=true",
        (None, None, None): "/".join(f"{column}=__HIVE_DEFAULT_PARTITION__" for column in ("day", "n", "yes")),
    } == found


def test_polars_reads_the_values_that_other_readers_read(lake: Lake) -> None:
    # It takes them from the folders' names, the others from the log.
    odd = ["a/b", "a_b", "ü=ö", "100%", "x%20y", "..", " sp ", "q~r", "a+b", "null", "line\nbreak", None]
    put(lake, pl.DataFrame({"k": odd, "day": [date(2026, 1, 2)] * 11 + [None], "v": range(12)}), by=("k", "day"))
    uri = lake.table_uri("t")

    expected = pl.from_arrow(DeltaTable(uri).to_pyarrow_table())
    assert isinstance(expected, pl.DataFrame)
    assert odd == expected.sort("v")["k"].to_list()
    assert expected.sort("v").equals(pl.read_delta(uri).sort("v"))


def test_a_column_name_that_is_no_folder_name_can_partition(lake: Lake) -> None:
    frame = pl.DataFrame({"../Dep Time": ["x"], "v": [1]})
    put(lake, frame, by=("../Dep Time",))

    assert ["x"] == lake.read("t").collect()["../Dep Time"].to_list()
    assert ["..%2FDep%20Time=x"] == [p.rsplit("/", 1)[0] for p in paths(lake)]


def test_empty_text_cannot_be_a_partition(lake: Lake) -> None:
    with pytest.raises(SchemaConflict, match=r"partition column 'k' holds empty text.*make it null"):
        staged(lake, pl.DataFrame({"k": ["a", ""], "v": [1, 2]}), Target("t", UNIT, "r1", partition_by=("k",)))


def test_a_unit_of_a_partition_is_one_file(lake: Lake) -> None:
    target = Target("t", Unit(stage="t", partition=(("k", "a/b"),)), "r1", partition_by=("k",))
    (file,), _ = staged(lake, pl.DataFrame({"k": ["a/b"] * 3, "v": [1, 2, 3]}), target)

    assert ({"k": "a/b"}, 3) == (file.partition, file.rows)


@pytest.mark.parametrize(
    ("by", "says"),
    [
        (("month",), "partitioned by 'month', which the stage does not return; it returns k, v"),
        (("v",), "'v' of type Float64; use text, an integer"),
    ],
)
def test_a_partitioning_that_cannot_be_is_refused(lake: Lake, by: tuple[str, ...], says: str) -> None:
    with pytest.raises(SchemaConflict, match=says):
        stage(lake, pl.LazyFrame({"k": ["a"], "v": [1.5]}), Target("t", UNIT, "r1", partition_by=by))


# ---------------------------------------------------------------- names and places


def test_two_writes_of_a_unit_have_names_of_their_own(lake: Lake) -> None:
    frame = pl.DataFrame({"k": ["a"], "v": [1]})
    names = [
        file.path
        for run in ("r1", "r2")
        for nth in (0, 1)
        for role in ("new", "carried", "side")
        for file in staged(lake, frame, Target("t", UNIT, run, role=role, nth=nth))[0]
    ]

    assert 12 == len(set(names))
    assert {UNIT.id} == {unit_id_of(name) for name in names}


@pytest.mark.parametrize("folder", ["t", "t/deep", "with space", "ü#?&+", "a[1]*"])
def test_the_lake_may_be_called_anything(tmp_path: Path, folder: str) -> None:
    lake = Lake(tmp_path / folder / "t")
    frame = pl.DataFrame({"k": ["a", "b"], "v": [1, 2]})
    put(lake, frame, by=("k",))

    assert frame.rows() == lake.read("t").collect().sort("k").rows()
    assert 2 == DeltaTable(lake.table_uri("t")).to_pyarrow_table().num_rows


@pytest.mark.parametrize("by", [(), ("k",)])
def test_no_rows_are_no_files(lake: Lake, by: tuple[str, ...]) -> None:
    frame = pl.DataFrame(schema={"k": pl.String, "v": pl.Int64})
    files, schema = staged(lake, frame, Target("t", UNIT, "r1", partition_by=by))

    assert () == files
    assert [] == [p for p in lake.fs.find(lake.path("t")) if p.endswith(".parquet")]
    put(lake, frame, by=by)
    assert frame.schema == lake.read("t").collect_schema()
    assert "k" in schema


@pytest.mark.parametrize("compression", ["zstd", "snappy", "lz4", "gzip", "uncompressed"])
def test_files_are_compressed_as_asked(lake: Lake, compression: Any) -> None:
    (file,), _ = staged(lake, pl.DataFrame({"v": [1]}), Target("t", UNIT, "r1", compression=compression))

    column = pq.read_metadata(lake.path("t", file.path)).row_group(0).column(0)
    assert compression.upper() == column.compression
    assert lake.fs.size(lake.path("t", file.path)) == file.size_bytes


# ---------------------------------------------------------------- types


KEPT: dict[str, tuple[pl.Series, pl.DataType]] = {
    "text": (pl.Series(["a", None]), pl.String()),
    "flag": (pl.Series([True, None]), pl.Boolean()),
    "bytes": (pl.Series([b"\x00", None]), pl.Binary()),
    "i8": (pl.Series([-1, None], dtype=pl.Int8), pl.Int8()),
    "u8": (pl.Series([255, None], dtype=pl.UInt8), pl.Int16()),
    "u16": (pl.Series([65535, None], dtype=pl.UInt16), pl.Int32()),
    "u32": (pl.Series([2**32 - 1, None], dtype=pl.UInt32), pl.Int64()),
    "u64": (pl.Series([2**63 - 1, None], dtype=pl.UInt64), pl.Int64()),
    "f16": (pl.Series([0.5, None], dtype=pl.Float16), pl.Float32()),
    "f32": (pl.Series([0.5, None], dtype=pl.Float32), pl.Float32()),
    "money": (pl.Series([Decimal("1.25"), None], dtype=pl.Decimal(38, 2)), pl.Decimal(38, 2)),
    "day": (pl.Series([date(1, 1, 1), None]), pl.Date()),
    "local": (pl.Series([datetime(1969, 12, 31, 23, 59, 59, 999999), None]), pl.Datetime("us")),
    "category": (pl.Series(["a", None], dtype=pl.Categorical()), pl.String()),
    "enum": (pl.Series(["a", None], dtype=pl.Enum(["a"])), pl.String()),
    "nothing": (pl.Series([None, None], dtype=pl.Null()), pl.String()),
    "array": (pl.Series([[1, 2], None], dtype=pl.Array(pl.UInt8, 2)), pl.List(pl.Int16())),
    "list": (pl.Series([[None], []], dtype=pl.List(pl.Null())), pl.List(pl.String())),
    "struct": (pl.Series([{"a": 1, "b": ["x"]}, None]), pl.Struct({"a": pl.Int64(), "b": pl.List(pl.String())})),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_type_is_kept_or_widened_and_read_back(lake: Lake, name: str) -> None:
    series, stored = KEPT[name]
    frame = pl.DataFrame({"x": series})
    put(lake, frame)
    found = lake.read("t").collect()

    assert pl.Schema({"x": stored}) == found.schema
    assert frame["x"].to_list() == found["x"].to_list()
    assert 2 == DeltaTable(lake.table_uri("t")).to_pyarrow_table().num_rows


def test_an_instant_of_another_zone_stays_the_same_instant(lake: Lake) -> None:
    instants = pl.Series([datetime(1950, 7, 1, 12, tzinfo=UTC), datetime(2013, 7, 1, 12, tzinfo=UTC)])
    put(lake, pl.DataFrame({"x": instants.dt.convert_time_zone("America/New_York").dt.cast_time_unit("ns")}))

    assert instants.to_list() == lake.read("t").collect()["x"].to_list()
    assert pl.Datetime("us", "UTC") == lake.read("t").collect_schema()["x"]


@pytest.mark.parametrize(
    "dtype",
    [
        pl.Duration(),
        pl.Time(),
        pl.Int128(),
        pl.UInt128(),
        pl.Object(),
        pl.Struct([]),
        pl.List(pl.Time()),
        pl.Struct({"a": pl.Duration()}),
    ],
    ids=str,
)
def test_a_type_that_delta_does_not_know_is_refused_by_name(lake: Lake, dtype: pl.DataType) -> None:
    with pytest.raises(
        SchemaConflict, match=r"table 't': column 'bad' is .*, which a Delta table cannot hold; cast it"
    ):
        stage(lake, pl.LazyFrame(schema={"v": pl.Int64(), "bad": dtype}), Target("t", UNIT, "r1"))


def test_names_that_differ_in_case_only_are_refused(lake: Lake) -> None:
    with pytest.raises(SchemaConflict, match="'Carrier' and 'carrier' differ in upper and lower case only"):
        stage(lake, pl.LazyFrame({"Carrier": [1], "carrier": [2]}), Target("t", UNIT, "r1"))


def test_a_number_beyond_the_widened_type_is_no_silent_wrap(lake: Lake) -> None:
    frame = pl.DataFrame({"v": pl.Series([2**64 - 1], dtype=pl.UInt64)})

    with pytest.raises(pl.exceptions.InvalidOperationError):
        staged(lake, frame, Target("t", UNIT, "r1"))


# ---------------------------------------------------------------- statistics


def statistics(frame: pl.DataFrame, **options: Any) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "f.parquet"
        frame.write_parquet(path, **options)
        with path.open("rb") as file:
            text = footer_statistics(file)
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def _value(text: Any, dtype: pl.DataType) -> Any:
    if isinstance(dtype, pl.Datetime):
        return datetime.fromisoformat(text)
    return date.fromisoformat(text) if isinstance(dtype, pl.Date) else text


moments = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31, 23, 59, 59, 999999))
columns = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | st.integers(-(2**63), 2**63 - 1),
            "small": st.none() | st.integers(-128, 127),
            "f": st.none() | st.floats(),
            "day": st.none() | st.dates(),
            "local": st.none() | moments,
            "at": st.none() | moments,
            "text": st.none() | st.text(max_size=5),
            "flag": st.none() | st.booleans(),
        }
    ),
    min_size=1,
    max_size=12,
)
SCHEMA = {
    "i": pl.Int64(),
    "small": pl.Int8(),
    "f": pl.Float64(),
    "day": pl.Date(),
    "local": pl.Datetime("us"),
    "at": pl.Datetime("us", "UTC"),
    "text": pl.String(),
    "flag": pl.Boolean(),
}


@given(columns, st.integers(1, 5))
@settings(max_examples=150)
def test_every_row_lies_within_the_bounds_and_nulls_are_counted(rows: list[dict[str, Any]], group: int) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA | {"at": pl.Datetime("us")}).with_columns(
        pl.col("at").dt.replace_time_zone("UTC")
    )
    found = statistics(frame, row_group_size=group)

    assert frame.height == found["numRecords"]
    assert {c: frame[c].null_count() for c in frame.columns} == found["nullCount"]
    assert found["minValues"].keys() == found["maxValues"].keys()
    assert {"f", "text", "flag"}.isdisjoint(found["minValues"])
    for name in found["minValues"]:
        low, high = (_value(found[which][name], SCHEMA[name]) for which in ("minValues", "maxValues"))
        assert all(low <= value <= high for value in frame[name].drop_nulls().to_list())
    for name in ("i", "small", "day"):
        assert (name in found["minValues"]) == (frame[name].drop_nulls().len() > 0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 1.5])
def test_floats_have_no_bounds_as_nan_lies_outside_of_any(value: float) -> None:
    found = statistics(pl.DataFrame({"f": [1.0, value]}))

    assert ({}, {}, {"f": 0}) == (found["minValues"], found["maxValues"], found["nullCount"])


def test_times_are_rounded_outwards_to_milliseconds_also_before_1970() -> None:
    found = statistics(
        pl.DataFrame({"at": [datetime(1969, 12, 31, 23, 59, 59, 999001), datetime(1969, 12, 31, 23, 59, 59, 999999)]})
    )

    assert ("1969-12-31T23:59:59.999", "1970-01-01T00:00:00.000") == (
        found["minValues"]["at"],
        found["maxValues"]["at"],
    )


@pytest.mark.parametrize("dtype", [pl.Datetime("us"), pl.Datetime("us", "UTC")], ids=str)
def test_the_end_of_time_has_no_bounds(dtype: pl.DataType) -> None:
    end = pl.Series([datetime(2013, 1, 1), datetime.max]).cast(pl.Datetime("us"))
    series = end.dt.replace_time_zone("UTC") if dtype == pl.Datetime("us", "UTC") else end

    assert {} == statistics(pl.DataFrame({"until": series}))["maxValues"]


@pytest.mark.parametrize("days", [-(10**6), 3 * 10**6, 10**9])
def test_years_that_python_cannot_say_have_no_bounds(days: int) -> None:
    frame = pl.DataFrame({"day": pl.Series([0, days], dtype=pl.Int32).cast(pl.Date)})

    assert ({}, 2) == ((found := statistics(frame))["minValues"], found["numRecords"])


def test_a_row_group_without_statistics_leaves_a_column_without_bounds() -> None:
    frame = pl.DataFrame({"n": [1, 2], "s": [{"a": 1}, {"a": 2}], "a.b": [1, 2]})

    assert ({}, {}) == ((found := statistics(frame, statistics=False))["minValues"], found["nullCount"])
    assert {"n": 1, "a.b": 1} == statistics(frame)["minValues"]
    assert {"n": 0, "a.b": 0} == statistics(frame)["nullCount"]


def test_bounds_reach_the_log_and_other_readers_skip_by_them_rightly(lake: Lake) -> None:
    put(lake, pl.DataFrame({"v": [1, 2, None], "f": [1.0, math.nan, math.inf]}))
    table = DeltaTable(lake.table_uri("t"))

    assert 2 == table.to_pyarrow_table(filters=[("v", ">", 0)]).num_rows
    assert {"min.v": 1, "max.v": 2, "null_count.v": 1}.items() <= pl.DataFrame(table.get_add_actions(flatten=True)).row(
        0, named=True
    ).items()


def test_minus_zero_survives(lake: Lake) -> None:
    put(lake, pl.DataFrame({"f": [-0.0]}))

    assert struct.pack("d", -0.0) == struct.pack("d", lake.read("t").collect()["f"][0])


# ---------------------------------------------------------------- sweeping


def test_a_sweep_takes_what_a_dead_run_left_and_nothing_else(lake: Lake) -> None:
    frame = pl.DataFrame({"v": [1]})
    put(lake, frame, seq=1, run_id="dead", unit="published")
    replaced = change(lake, frame, seq=2, run_id="dead", unit="replaced")
    put(lake, frame, seq=2, run_id="dead", unit="replaced")
    put(lake, frame, seq=3, run_id="alive", unit="alive", removes=tuple(f.path for f in replaced.adds))
    (kept,), _ = staged(lake, frame, Target("t", Unit(stage="kept"), "dead"))
    (left,), _ = staged(lake, frame, Target("t", Unit(stage="left"), "dead", partition_by=("v",)))
    (other,), _ = staged(lake, frame, Target("t", Unit(stage="other"), "alive"))
    lake.fs.pipe_file(lake.path("t", "_delta_log", "x-dead-x.json"), b"{}")

    swept = sweep(lake, ["t", "none"], ["dead"], lambda table: {kept.path})

    assert 1 == swept
    there = {
        p: lake.fs.exists(lake.path("t", p))
        for p in (*paths(lake), replaced.adds[0].path, kept.path, left.path, other.path)
    }
    assert {left.path} == {p for p, found in there.items() if not found}
    assert 2 == lake.read("t", 1).collect().height, "versions that the log retains stay readable"


def test_a_sweep_spares_what_native_compaction_replaced(lake: Lake) -> None:
    put(lake, pl.DataFrame({"v": [1]}), seq=1, run_id="dead", unit="a")
    put(lake, pl.DataFrame({"v": [2]}), seq=2, run_id="dead", unit="b")
    DeltaTable(lake.table_uri("t")).optimize.compact()

    assert 0 == sweep(lake, ["t"], ["dead"], lambda table: set())
    assert 2 == lake.read("t", 1).collect().height


def test_nothing_to_sweep_reads_no_log(lake: Lake) -> None:
    put(lake, pl.DataFrame({"v": [1]}), run_id="alive")
    lake.fs.pipe_file(lake.path("t", "_delta_log", f"{0:020}.json"), b"garbage")

    assert 0 == sweep(lake, ["t"], ["dead"], lambda table: set())


def test_sizes_and_rows_are_those_of_the_files(lake: Lake) -> None:
    frame = pl.DataFrame({"k": ["a", "b", "b"], "at": [datetime(2013, 1, 1) + timedelta(hours=h) for h in range(3)]})
    files, _ = staged(lake, frame, Target("t", UNIT, "r1", partition_by=("k",)))

    assert {"a": 1, "b": 2} == {f.partition["k"]: f.rows for f in files}
    assert all(lake.fs.size(lake.path("t", f.path)) == f.size_bytes for f in files)
    assert all(json.loads(f.stats)["numRecords"] == f.rows for f in files)


@pytest.mark.parametrize("by", [(), ("v",)])
def test_a_write_that_is_over_leaves_nothing_in_memory(lake: Lake, by: tuple[str, ...]) -> None:
    sink = stage(lake, pl.LazyFrame({"v": [1]}), Target("t", UNIT, "r1", partition_by=by))
    sink.plan.collect()
    assert 1 == len(sink.files())
    kept = weakref.ref(sink)

    del sink
    assert kept() is None
