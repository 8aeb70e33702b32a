"""What something outside did to a table is found, named, and set aside where nothing is lost by it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from dataflow.lake.damage import broken_log_files, missing_files, set_aside_checkpoints, set_log_aside
from dataflow.lake.lake import Lake

CHECKPOINT = "_delta_log/00000000000000000002.checkpoint.parquet"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A table of five commits, the third of which has a checkpoint."""
    uri = str(tmp_path / "t")
    for number in range(5):
        write_deltalake(uri, pl.DataFrame({"n": [number]}).to_arrow(), mode="append")
        if number == 2:
            DeltaTable(uri).create_checkpoint()
    return Lake(str(tmp_path))


def broken(lake: Lake) -> tuple[str, ...]:
    return broken_log_files(lake.fs, lake.path("t"))


def rows(lake: Lake) -> list[int]:
    return sorted(lake.read("t").collect()["n"])


def test_a_sound_table_has_nothing_broken(lake: Lake):
    head = lake.head("t")
    assert head is not None
    assert () == missing_files(lake, lake.snapshot(head))
    assert () == broken(lake)
    assert () == set_aside_checkpoints(lake.fs, lake.path("t"))


def test_a_missing_data_file_is_named(lake: Lake, tmp_path: Path):
    head = lake.head("t")
    assert head is not None
    snapshot = lake.snapshot(head)
    (tmp_path / "t" / snapshot.files[1].path).unlink()
    assert (snapshot.files[1].path,) == missing_files(lake, snapshot)


@pytest.mark.parametrize("keep", [0, 100, -4])
def test_a_truncated_checkpoint_is_named_and_set_aside(lake: Lake, tmp_path: Path, keep: int):
    place = tmp_path / "t" / CHECKPOINT
    place.write_bytes(place.read_bytes()[:keep])
    assert (CHECKPOINT,) == broken(lake)
    assert (CHECKPOINT, "_delta_log/_last_checkpoint") == set_aside_checkpoints(lake.fs, lake.path("t"))
    assert () == broken(lake)
    assert [0, 1, 2, 3, 4] == rows(lake)


def test_a_checkpoint_that_is_gone_is_named_and_its_hint_set_aside(lake: Lake, tmp_path: Path):
    (tmp_path / "t" / CHECKPOINT).unlink()
    assert (CHECKPOINT,) == broken(lake)
    assert ("_delta_log/_last_checkpoint",) == set_aside_checkpoints(lake.fs, lake.path("t"))
    assert [0, 1, 2, 3, 4] == rows(lake)


@pytest.mark.parametrize("text", ["", "[]", '{"size": 3}'])
def test_a_hint_that_says_nothing_is_named(lake: Lake, tmp_path: Path, text: str):
    (tmp_path / "t" / "_delta_log" / "_last_checkpoint").write_text(text)
    assert ("_delta_log/_last_checkpoint",) == broken(lake)


def test_commits_that_are_gone_or_cut_are_named(lake: Lake, tmp_path: Path):
    log = tmp_path / "t" / "_delta_log"
    (log / f"{3:020d}.json").unlink()
    cut = log / f"{4:020d}.json"
    cut.write_text(cut.read_text()[:-20])
    assert (f"_delta_log/{4:020d}.json", f"_delta_log/{3:020d}.json") == broken(lake)
    assert () == set_aside_checkpoints(lake.fs, lake.path("t"))


def test_commits_before_a_checkpoint_are_not_missed(lake: Lake, tmp_path: Path):
    (tmp_path / "t" / "_delta_log" / f"{0:020d}.json").unlink()
    assert () == broken(lake)
    assert [0, 1, 2, 3, 4] == rows(lake)


def test_a_log_set_aside_leaves_room_for_a_new_table(lake: Lake, tmp_path: Path):
    for number in (1, 2):
        assert f"_delta_log.broken{number}" == set_log_aside(lake.fs, lake.path("t"))
        assert not lake.exists("t")
        write_deltalake(str(tmp_path / "t"), pl.DataFrame({"n": [number]}).to_arrow())
        assert [number] == rows(lake)
