"""A batch replaces the rows of its units, also where another program has rearranged the table's files."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from dataflow.errors import LakeCorrupt
from dataflow.lake.lake import Lake, Snapshot
from dataflow.lake.replacement import Replacement, replacement
from dataflow.lake.staging import unit_id_of
from dataflow.model import Unit
from tests.dataflow.lake.tables import paths, put, values

A, B = (Unit(stage="t", partition=(("unit", u),)).id for u in "ab")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    put(lake, pl.DataFrame({"v": [1]}), seq=1, unit="a")
    put(lake, pl.DataFrame({"v": [2]}), seq=2, unit="b", run_id="r2")
    return lake


def snapshot(lake: Lake) -> Snapshot:
    head = lake.head("t")
    assert head is not None
    return lake.snapshot(head)


def test_only_files_of_the_replaced_units_go(lake: Lake) -> None:
    found = replacement(snapshot(lake), {A}, {A, B})

    assert [A] == [unit_id_of(path) for path in found.removes]
    assert not found.truncate


def test_files_that_a_merge_wrote_again_go_too(lake: Lake) -> None:
    of_b = next(path for path in paths(lake) if unit_id_of(path) == B)

    assert Replacement(removes=(of_b,), truncate=False) == replacement(snapshot(lake), (), {A, B}, also=[of_b])


def test_all_units_anew_leave_nothing(lake: Lake) -> None:
    assert Replacement(removes=tuple(paths(lake)), truncate=True) == replacement(snapshot(lake), {A, B}, {A, B})


def test_after_native_compaction_one_unit_alone_cannot_be_replaced(lake: Lake) -> None:
    DeltaTable(lake.table_uri("t")).optimize.compact()

    with pytest.raises(
        LakeCorrupt, match=r"another program wrote or rearranged 1 of its files \(part-.*--full.*restore\(version\)"
    ):
        replacement(snapshot(lake), {A}, {A, B})


def test_after_native_compaction_a_whole_rewrite_doubles_nothing(lake: Lake) -> None:
    DeltaTable(lake.table_uri("t")).optimize.compact()
    found = replacement(snapshot(lake), {A, B}, {A, B})
    put(lake, pl.DataFrame({"v": [1, 2]}), seq=3, unit="a", run_id="r3", removes=found.removes, truncate=found.truncate)

    assert [1, 2] == values(lake)


def test_after_native_compaction_new_units_are_still_welcome(lake: Lake) -> None:
    DeltaTable(lake.table_uri("t")).optimize.compact()
    found = replacement(snapshot(lake), {"c" * 12}, {A, B})
    put(lake, pl.DataFrame({"v": [3]}), seq=3, unit="c", run_id="r3", removes=found.removes, truncate=found.truncate)

    assert [1, 2, 3] == values(lake)


def test_the_way_out_that_the_error_names_works(lake: Lake) -> None:
    before = lake.open("t").version()
    DeltaTable(lake.table_uri("t")).optimize.compact()
    DeltaTable(lake.table_uri("t")).restore(before)
    found = replacement(snapshot(lake), {A}, {A, B})
    put(lake, pl.DataFrame({"v": [9]}), seq=3, unit="a", run_id="r3", removes=found.removes, truncate=found.truncate)

    assert [2, 9] == values(lake)


def test_rows_that_another_program_appended_are_noticed(lake: Lake) -> None:
    write_deltalake(lake.table_uri("t"), pl.DataFrame({"v": [7]}), mode="append")

    with pytest.raises(LakeCorrupt, match="another program"):
        replacement(snapshot(lake), {B}, {A, B})


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("c10dca02ac77-20260101T000000x1a2b3c-new0-0.parquet", "c10dca02ac77"),
        ("month=3/c10dca02ac77-r1-carried2-11.parquet", "c10dca02ac77"),
        ("c10dca02ac77-r-with-dashes-side0-0.parquet", "c10dca02ac77"),
        ("part-00000-6a097c10-7583-4984-8b5e-4383e790ebc8-c000.zstd.parquet", None),
        ("c10dca02ac77.parquet", None),
        ("c10dca02ac77-r1-new0-0.parquet/part-00001.parquet", None),
    ],
)
def test_a_name_tells_whose_file_it_is(path: str, unit: str | None) -> None:
    assert unit == unit_id_of(path)
