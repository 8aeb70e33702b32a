"""Tables read at pinned versions, and what changed between two of them."""

from __future__ import annotations

import pickle
import re
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from dataflow.errors import ConfigError, TableMissing
from dataflow.lake.lake import Lake, partition_text
from tests.dataflow.lake.tables import change, paths, put, values


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def month(value: str | None, *rows: int) -> pl.DataFrame:
    return pl.DataFrame({"month": pl.Series([value] * len(rows), dtype=pl.String), "v": rows})


def log(lake: Lake, version: int) -> Path:
    return Path(lake.path("t", "_delta_log", f"{version:020}.json"))


# ---------------------------------------------------------------- tables


def test_what_is_published_looked_up_and_read_is_told_to_be_one_table(lake: Lake) -> None:
    first, second = put(lake, month("1", 1), seq=1), put(lake, month("1", 2), seq=2, run_id="r2", unit="b")
    assert (lake.head("t"), lake.snapshot(first).version, lake.snapshot(second).version) == (second, first, second)
    shutil.rmtree(lake.path("t"))
    again = put(lake, month("1", 1), seq=1)
    older = first.model_copy(update={"table_id": ""})

    assert (0, 0, True, False) == (first.version, again.version, first.is_of(second), again.is_of(first))
    assert (True, True) == (older.is_of(again), again.is_of(older))


def test_a_log_need_not_tell_when_its_table_was_made(lake: Lake) -> None:
    version = put(lake, month("1", 1))
    told = lake.snapshot(version).began_at
    assert told is not None
    assert abs(datetime.now(UTC) - told) < timedelta(minutes=1)
    log(lake, 0).write_text(re.sub(r'"createdTime":\d+,?', "", log(lake, 0).read_text()))

    assert lake.snapshot(version).began_at is None


def test_a_lake_travels_to_workers(lake: Lake) -> None:
    put(lake, month("1", 1))
    twin = pickle.loads(pickle.dumps(lake))

    assert (lake.uri, repr(lake)) == (twin.uri, repr(twin))
    assert [1] == values(twin)


def test_a_table_that_is_not_there(lake: Lake) -> None:
    assert (False, None) == (lake.exists("t"), lake.head("t"))
    with pytest.raises(TableMissing, match="no such table"):
        lake.read("t")


def test_a_log_folder_that_a_crash_left_empty_is_no_table_and_gets_one(lake: Lake) -> None:
    Path(lake.path("t", "_delta_log")).mkdir(parents=True)

    assert (False, None) == (lake.exists("t"), lake.head("t"))
    put(lake, month("1", 1))
    assert [1] == values(lake)


def test_a_version_that_is_not_there(lake: Lake) -> None:
    put(lake, month("1", 1))

    with pytest.raises(TableMissing, match="its log holds no version 99"):
        lake.read("t", 99)


def test_a_version_that_was_cleaned_out_of_the_log_is_named(lake: Lake) -> None:
    for number in range(3):
        pl.DataFrame({"v": [number]}).write_delta(lake.table_uri("cleaned"), mode="append")
    lake.open("cleaned").create_checkpoint()
    for version in range(2):
        lake.fs.rm_file(lake.path("cleaned", "_delta_log", f"{version:020}.json"))

    assert 2 == lake.open("cleaned").version()
    with pytest.raises(TableMissing, match="its log holds no version 1"):
        lake.open("cleaned", 1)


def test_a_path_that_would_be_taken_for_another_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'%20' in its path.*rename the folder"):
        Lake(tmp_path / "my%20lake")
    assert (tmp_path / "100%").as_posix() == Lake(tmp_path / "100%").uri


def test_old_versions_stay_readable(lake: Lake) -> None:
    put(lake, month("1", 1), seq=1)
    put(lake, month("1", 2), seq=2, run_id="r2", removes=tuple(paths(lake)))

    assert ([1], [2]) == (lake.read("t", 0).collect()["v"].to_list(), values(lake))


# ---------------------------------------------------------------- snapshots


def test_a_snapshot_knows_its_partitions_and_their_files(lake: Lake) -> None:
    put(lake, pl.concat([month("1", 1, 2), month(None, 3)]), by=("month",))
    head = lake.head("t")
    assert head is not None
    snapshot = lake.snapshot(head)

    assert (3, ("month",)) == (snapshot.rows, snapshot.partition_by)
    assert [(None,), ("1",)] == snapshot.partitions(("month",))
    assert [()] == snapshot.partitions(())
    assert [2] == [f.rows for f in snapshot.slice((("month", "1"),))]
    assert [1] == [f.rows for f in snapshot.slice((("month", None),))]
    assert () == snapshot.slice((("month", "9"),))
    assert snapshot.files == snapshot.slice(())


def test_files_of_others_without_statistics_are_still_listed(lake: Lake) -> None:
    from deltalake.transaction import AddAction

    put(lake, month("1", 1))
    month("2", 2, 3).write_parquet(lake.path("t", "theirs.parquet"))
    handle = lake.open("t")
    size = lake.fs.size(lake.path("t", "theirs.parquet"))
    handle.create_write_transaction(
        [AddAction("theirs.parquet", size, {}, 1, True, "{}")], "overwrite", handle.schema(), None
    )

    assert ["theirs.parquet"] == paths(lake)
    assert [2, 3] == values(lake)


def test_a_scan_of_no_files_has_the_columns(lake: Lake) -> None:
    put(lake, month("1", 1))
    head = lake.head("t")
    assert head is not None
    snapshot = lake.snapshot(head)

    assert snapshot.schema == lake.scan(snapshot, []).collect_schema()
    assert [*snapshot.schema, "path"] == lake.scan(snapshot, [], path_column="path").collect_schema().names()


def test_a_scan_tells_which_file_a_row_is_in(lake: Lake) -> None:
    put(lake, month("1", 1), seq=1, unit="a")
    put(lake, month("1", 2), seq=2, unit="b", run_id="r2")
    head = lake.head("t")
    assert head is not None
    found = lake.scan(lake.snapshot(head), path_column="path").collect()

    assert sorted(paths(lake)) == sorted(p.removeprefix(f"{lake.table_uri('t')}/") for p in found["path"])


def test_older_files_have_nulls_where_the_table_has_new_columns(lake: Lake) -> None:
    put(lake, month("1", 1), seq=1)
    put(lake, month("1", 2).select(pl.lit("new").alias("w"), "v", "month"), seq=2, run_id="r2")

    assert [("1", 1, None), ("1", 2, "new")] == lake.read("t").select("month", "v", "w").collect().sort("v").rows()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (True, "true"),
        (False, "false"),
        (date(2013, 1, 9), "2013-01-09"),
        (-3, "-3"),
        ("None", "None"),
        ("", ""),
    ],
)
def test_partition_values_are_spelled_as_in_the_log(value: object, text: str | None) -> None:
    assert text == partition_text(value)


# ---------------------------------------------------------------- what the log names


def test_the_log_names_replaced_files_too(lake: Lake) -> None:
    first = change(lake, month("1", 1), seq=1)
    put(lake, month("1", 1), seq=1)
    put(lake, month("1", 2), seq=2, run_id="r2", removes=tuple(f.path for f in first.adds))

    assert {*paths(lake), *(f.path for f in first.adds)} == lake.logged("t")
    assert set() == lake.logged("none")
