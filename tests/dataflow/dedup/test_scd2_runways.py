"""Eight monthly states of the world's runways, as OurAirports published them: the history that sets and dictionaries find."""

from __future__ import annotations

import csv
import gzip
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.dataflow.dedup.history_table import HistoryTable, replay

MONTHS = 8


@pytest.fixture(scope="module")
def dumps(request: pytest.FixtureRequest) -> list[Path]:
    """The files, oldest first."""
    found: Path = request.getfixturevalue("shared_data")
    files = sorted((found / "runways").glob("runways-*.csv.gz"))
    assert MONTHS == len(files)
    return files


@pytest.fixture(scope="module")
def batches(dumps: list[Path]) -> list[pl.DataFrame]:
    """The dumps, each row with the day of its dump."""
    return [_batch(path, n) for n, path in enumerate(dumps)]


def _batch(path: Path, number: int) -> pl.DataFrame:
    ids = pl.int_range(pl.len(), dtype=pl.Int64) + (number << 40)
    rows = pl.read_csv(path, infer_schema=False).fill_null("")
    return rows.with_columns(pl.lit(path.name[8:18]).alias("seen_on"), ids.alias("_row_id"))


def _history(dumps: Sequence[Path]) -> Iterator[tuple[Any, ...]]:
    """Id, fields, first day, and the first day on which it was gone or other, by looking at one dump after the other."""
    lasting: dict[str, tuple[tuple[str, ...], str]] = {}
    for path in dumps:
        day = path.name[8:18]
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))[1:]
        now = {line[0]: tuple(line) for line in lines}
        assert len(now) == len(lines)
        for id, (fields, begun) in list(lasting.items()):
            if now.get(id) != fields:
                yield *fields, begun, day
                del lasting[id]
        for id, fields in now.items():
            lasting.setdefault(id, (fields, day))
    for fields, begun in lasting.values():
        yield *fields, begun, None


@pytest.fixture(scope="module")
def expected(dumps: list[Path]) -> list[tuple[Any, ...]]:
    return sorted(_history(dumps), key=_begins)


def _begins(version: tuple[Any, ...]) -> tuple[str, str]:
    return version[0], version[-2]


def made() -> HistoryTable:
    return HistoryTable(key=["id"], effective_at="seen_on", mode="snapshot")


def found(table: HistoryTable) -> list[tuple[Any, ...]]:
    assert table.rows is not None
    days = [pl.col(c).dt.date().cast(pl.String) for c in ("valid_from", "valid_to")]
    fields = [c for c in table.rows.columns if c not in ("seen_on", "_row_id", "_seen_at", "is_current")]
    return sorted(table.rows.select(fields).with_columns(days).rows(), key=_begins)


def test_month_by_month(batches: list[pl.DataFrame], dumps: list[Path], expected: list[tuple[Any, ...]]) -> None:
    table = replay(batches, made)
    assert expected == found(table)
    assert 0 == table.asked, "in the order of time the table is enough"
    assert table.rows is not None

    last = batches[-1].drop("_row_id", "seen_on")
    current = table.rows.filter("is_current").select(last.columns)
    assert sorted(last.rows()) == sorted(current.rows())

    ids = [set(batch["id"]) for batch in batches]
    for n, (before, after) in enumerate(pairwise(ids), 1):
        day = batches[n]["seen_on"][0]
        gone = table.rows.filter(
            pl.col("id").is_in(list(before - after))
            & (pl.col("valid_from") < pl.lit(day).str.to_datetime(time_zone="UTC"))
        )
        ended = gone.filter(pl.col("valid_to").dt.date().cast(pl.String) == day)
        assert before - after == set(ended["id"]), f"what {day} lacks ends that day"


def test_in_any_order(batches: list[pl.DataFrame], expected: list[tuple[Any, ...]]) -> None:
    order = random.Random(8).sample(range(MONTHS), MONTHS)
    assert expected == found(replay([batches[n] for n in order], made))


def test_all_at_once_and_once_more(batches: list[pl.DataFrame], expected: list[tuple[Any, ...]]) -> None:
    table = replay([pl.concat(batches), batches[3]], made)
    assert expected == found(table)
    assert table.settled is not None
    assert () == table.settled.notes


def test_in_pieces_that_are_not_dumps(batches: list[pl.DataFrame], dumps: list[Path]) -> None:
    expected = sorted(_history(dumps[:4]), key=_begins)
    pieces = [batches[0], *(batches[1][start::2] for start in (1, 0)), pl.concat([batches[3], batches[2]])]
    assert expected == found(replay(pieces, made))
