"""Eight monthly states of the world's runways, however they are cut into batches: the last one, line by line."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from dataflow.dedup.snapshot import Snapshot, SnapshotOptions
from tests.dataflow.dedup.folds import Fold


@pytest.fixture(scope="module")
def dumps(request: pytest.FixtureRequest) -> list[Path]:
    """The files, oldest first."""
    found: Path = request.getfixturevalue("shared_data")
    return sorted((found / "runways").glob("runways-*.csv.gz"))


def batch(dumps: Sequence[Path], *numbers: int) -> pl.DataFrame:
    parts = [
        pl.read_csv(dumps[n], infer_schema=False)
        .fill_null("")
        .with_columns((pl.int_range(pl.len(), dtype=pl.Int64) + (n << 40)).alias("_row_id"))
        for n in numbers
    ]
    return pl.concat(parts)


def lines(path: Path) -> dict[str, tuple[str, ...]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return {line[0]: tuple(line) for line in list(csv.reader(file))[1:]}


@pytest.fixture(scope="module")
def since(dumps: list[Path]) -> dict[str, int]:
    """By runway of the last dump: the first of the dumps from which on it was as it is."""
    every = [lines(path) for path in dumps]
    return {id: max(n for n in range(8) if n == 0 or every[n - 1].get(id) != line) for id, line in every[-1].items()}


@pytest.mark.parametrize("cut", [[1] * 8, [3, 5]], ids=str)
def test_any_cut_is_the_last_dump(dumps: list[Path], since: dict[str, int], cut: list[int]) -> None:
    table, start = Fold(Snapshot(SnapshotOptions(key=("id",)))), 0
    for length in cut:
        table.settle(batch(dumps, *range(start, start + length)))
        start += length
    table.settle(batch(dumps, 6))
    table.settle(batch(dumps, 7))
    assert table.rows is not None

    found = table.rows.select(pl.exclude("^_.*$"))
    assert lines(dumps[-1]) == {row[0]: row for row in found.rows()}
    assert since == dict(table.rows.select("id", "_snapshot").iter_rows())
