"""What a lake remembers of its tables, and when it must not."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import polars as pl
import pytest

from dataflow.errors import LakeCorrupt
from dataflow.lake.lake import Lake
from dataflow.model import TableVersion


@pytest.fixture
def plain(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def lake(plain: Lake) -> Lake:
    return plain.remembering()


def put(lake: Lake, *values: int) -> None:
    """What another program commits."""
    pl.DataFrame({"v": values}).write_delta(lake.table_uri("t"), mode="append")


def held(lake: Lake) -> tuple[int, int] | None:
    """Version and rows of the newest version."""
    head = lake.head("t")
    return None if head is None else (head.version, lake.snapshot(head).rows)


def log(lake: Lake, version: int) -> Path:
    return Path(lake.path("t", "_delta_log", f"{version:020}.json"))


def test_what_others_commit_is_seen_without_opening_the_table_anew(plain: Lake, lake: Lake, opened: list[str]) -> None:
    put(plain, 1)
    assert (0, 1) == held(lake)
    opened.clear()

    put(plain, 2, 3)
    opened.clear()
    assert (1, 3) == held(lake)
    assert (1, 3) == held(lake)
    assert [] == opened


def test_an_earlier_version_is_loaded_once(plain: Lake, lake: Lake, opened: list[str]) -> None:
    for number in range(3):
        put(plain, number)
    first = TableVersion(table="t", uri=lake.table_uri("t"), version=0)
    opened.clear()

    assert [1, 1] == [lake.snapshot(first).rows, lake.snapshot(first).rows]
    assert ["t"] == opened


def test_a_version_that_is_newer_than_what_was_looked_at(plain: Lake, lake: Lake, opened: list[str]) -> None:
    put(plain, 1)
    assert (0, 1) == held(lake)
    put(plain, 2)
    opened.clear()

    assert 2 == lake.snapshot(TableVersion(table="t", uri=lake.table_uri("t"), version=1)).rows
    assert [] == opened


def test_few_versions_of_a_table_are_remembered(plain: Lake, lake: Lake, opened: list[str]) -> None:
    for number in range(6):
        put(plain, number)
    versions = [TableVersion(table="t", uri=lake.table_uri("t"), version=number) for number in range(6)]
    opened.clear()

    assert [1, 2, 3, 4, 5, 6] == [lake.snapshot(version).rows for version in versions]
    assert 1 == lake.snapshot(versions[0]).rows
    assert 7 == len(opened)


def test_a_table_that_is_removed_is_gone(plain: Lake, lake: Lake) -> None:
    put(plain, 1)
    assert (0, 1) == held(lake)

    shutil.rmtree(lake.path("t"))
    assert held(lake) is None


@pytest.mark.parametrize("commits", [1, 2, 3])
def test_a_table_that_was_begun_anew_is_another_one(plain: Lake, lake: Lake, commits: int) -> None:
    put(plain, 1)
    put(plain, 2)
    assert (1, 2) == held(lake)

    shutil.rmtree(lake.path("t"))
    for _ in range(commits):
        put(plain, 7, 8, 9)
    assert (commits - 1, 3 * commits) == held(lake)


def test_a_log_that_was_cleaned_meanwhile(plain: Lake, lake: Lake) -> None:
    put(plain, 1)
    assert (0, 1) == held(lake)

    for number in range(4):
        put(plain, number)
    plain.open("t").create_checkpoint()
    for version in range(4):
        log(lake, version).unlink()
    assert (4, 5) == held(lake)


def test_a_commit_that_breaks_meanwhile_is_named(plain: Lake, lake: Lake) -> None:
    put(plain, 1)
    assert (0, 1) == held(lake)

    put(plain, 2)
    log(lake, 1).write_text("garbage{")
    with pytest.raises(LakeCorrupt, match=rf"{1:020}\.json is broken or gone"):
        lake.head("t")


def test_a_handle_that_failed_tells_nothing_any_more(plain: Lake, lake: Lake, opened: list[str]) -> None:
    put(plain, 1)
    with pytest.raises(RuntimeError, match="stumbled"), lake.newest("t"):
        raise RuntimeError("stumbled")
    opened.clear()

    assert (0, 1) == held(lake)
    assert ["t"] == opened


def test_elsewhere_nothing_is_remembered_yet(plain: Lake, lake: Lake, opened: list[str]) -> None:
    put(plain, 1)
    assert (0, 1) == held(lake)
    twin = pickle.loads(pickle.dumps(lake))
    opened.clear()

    assert [(0, 1), (0, 1)] == [held(twin), held(twin)]
    assert ["t"] == opened


def test_a_lake_for_long_remembers_nothing(plain: Lake, opened: list[str]) -> None:
    put(plain, 1)
    opened.clear()

    assert (0, 1) == held(plain)
    assert ["t", "t"] == opened


def test_so_many_tables_are_remembered(plain: Lake, lake: Lake, opened: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dataflow.lake.memory._TABLES", 2)
    put(plain, 1)
    for table in ("u", "w"):
        shutil.copytree(lake.path("t"), lake.path(table))
    opened.clear()

    for table in ("t", "u", "t", "w", "t", "u"):
        lake.head(table)
    assert ["t", "u", "w", "u"] == opened


def test_the_folders_of_a_lake(plain: Lake) -> None:
    assert set() == plain.folders()
    put(plain, 1)
    assert {"t"} == plain.folders()
