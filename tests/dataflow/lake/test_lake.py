"""Tables read at pinned versions, and what changed between two of them."""

from __future__ import annotations

import pickle
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from dataflow.errors import ConfigError, LakeCorrupt, TableMissing
from dataflow.lake.lake import Lake, partition_text
from dataflow.lake.naming import unit_id_of
from tests.dataflow.lake.tables import change, paths, put, values


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def month(value: str | None, *rows: int) -> pl.DataFrame:
    return pl.DataFrame({"month": pl.Series([value] * len(rows), dtype=pl.String), "v": rows})


def log(lake: Lake, version: int) -> Path:
    return Path(lake.path("t", "_delta_log", f"{version:020}.json"))


# ---------------------------------------------------------------- tables


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


# ---------------------------------------------------------------- what changed


def test_partitions_that_were_added_to_or_replaced_are_touched(lake: Lake) -> None:
    put(lake, month("1", 1), seq=1, by=("month",), unit="a")
    put(lake, month(None, 2), seq=2, by=("month",), unit="b", run_id="r2")
    put(
        lake,
        month("3", 3),
        seq=3,
        by=("month",),
        unit="c",
        run_id="r3",
        removes=tuple(p for p in paths(lake) if "month=1" in p),
    )

    assert {(None,), ("1",), ("3",)} == lake.touched("t", 0, 2, ("month",))
    assert {(None,)} == lake.touched("t", 0, 1, ("month",))
    assert {()} == lake.touched("t", 0, 1, ())
    assert set() == lake.touched("t", 2, 2, ("month",))
    assert None is lake.touched("t", 0, 1, ("other",)), "a column that does not partition tells nothing"


def test_values_with_odd_line_ends_do_not_break_the_reading_of_the_log(lake: Lake) -> None:
    put(lake, month("x", 0), seq=1, by=("month",))
    put(lake, month("a\u2028b\x85c", 1), seq=2, by=("month",), run_id="r2")

    assert {("a\u2028b\x85c",)} == lake.touched("t", 0, 1, ("month",))


def test_native_compaction_touches_and_adds_nothing(lake: Lake) -> None:
    put(lake, month("1", 1), seq=1, unit="a")
    put(lake, month("1", 2), seq=2, unit="b", run_id="r2")
    DeltaTable(lake.table_uri("t")).optimize.compact()

    assert 2 == lake.open("t").version()
    assert (set(), []) == (lake.touched("t", 1, 2, ()), lake.added("t", 1, 2))


def test_added_names_the_files_of_a_table_that_only_grew(lake: Lake) -> None:
    put(lake, month("1", 1), seq=1, unit="a")
    before = set(paths(lake))
    put(lake, month("1", 2), seq=2, unit="b", run_id="r2")

    assert set(paths(lake)) - before == set(lake.added("t", 0, 1) or ())


def test_rows_added_and_then_compacted_are_not_overlooked(lake: Lake) -> None:
    put(lake, month("1", 1), seq=1, unit="a")
    put(lake, month("1", 2), seq=2, unit="b", run_id="r2")
    DeltaTable(lake.table_uri("t")).optimize.compact()

    assert None is lake.added("t", 0, 2), "the added file is no more, its rows lie among older ones"


def test_added_does_not_answer_for_a_table_that_lost_rows(lake: Lake) -> None:
    put(lake, month("1", 1), seq=1)
    put(lake, month("1", 2), seq=2, run_id="r2", removes=tuple(paths(lake)))

    assert None is lake.added("t", 0, 1)


def test_a_new_schema_means_that_everything_may_have_changed(lake: Lake) -> None:
    put(lake, month("1", 1), seq=1)
    put(lake, month("1", 2).with_columns(w=1), seq=2, run_id="r2")

    assert (None, None) == (lake.touched("t", 0, 2, ()), lake.added("t", 0, 2))
    assert {()} == lake.touched("t", 1, 2, ()), "the batch itself, after the step that added the column"


def test_a_log_that_was_cleaned_up_does_not_tell(lake: Lake) -> None:
    for n in range(3):
        put(lake, month("1", n), seq=n + 1, unit=str(n), run_id=f"r{n}")
    lake.open("t").create_checkpoint()
    log(lake, 1).unlink()

    assert (None, None) == (lake.touched("t", 0, 2, ()), lake.added("t", 0, 2))
    assert {()} == lake.touched("t", 1, 2, ())


def test_a_broken_log_is_named(lake: Lake) -> None:
    put(lake, month("1", 1), seq=1)
    put(lake, month("1", 2), seq=2, run_id="r2")
    log(lake, 1).write_text('{"add": {')

    with pytest.raises(LakeCorrupt, match=r"0001\.json: the table's log cannot be read"):
        lake.touched("t", 0, 1, ())


def test_appends_of_other_programs_are_changes_too(lake: Lake) -> None:
    put(lake, month("1", 1), by=("month",))
    write_deltalake(lake.table_uri("t"), month("2", 2), mode="append")

    assert {("2",)} == lake.touched("t", 0, 1, ("month",))
    assert [None] == [unit_id_of(p) for p in lake.added("t", 0, 1) or ()]
    assert {("1", 1), ("2", 2)} == set(lake.read("t").collect().rows())


def test_the_log_names_replaced_files_too(lake: Lake) -> None:
    first = change(lake, month("1", 1), seq=1)
    put(lake, month("1", 1), seq=1)
    put(lake, month("1", 2), seq=2, run_id="r2", removes=tuple(f.path for f in first.adds))

    assert {*paths(lake), *(f.path for f in first.adds)} == lake.logged("t")
    assert set() == lake.logged("none")
