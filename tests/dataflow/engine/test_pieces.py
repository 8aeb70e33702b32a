"""Files that are written again, and what a merge reads for them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow import Workflow
from dataflow.engine import pieces
from dataflow.lake.lake import Lake
from dataflow.model import ROW_ID
from tests.dataflow.engine.made import Made, done, same

Rows = list[tuple[str, int]]
"""Key and value."""


def merging(made: Made) -> Workflow:
    workflow = made.workflow()
    made.source(workflow, "events")
    workflow.add_task("latest", same, ["events"], strategy={"type": "polars_merge", "dedup_key": ["key"]})
    return workflow


def deliver(made: Made, files: dict[int, Rows]) -> None:
    for number, rows in files.items():
        made.csv(f"events/{number}.csv", "key,value", [f"{key},{value}" for key, value in rows])


def corrected(made: Made, before: dict[int, Rows], after: dict[int, Rows]) -> list[bool]:
    """Run on the files of ``before`` and then on those of ``after``; whether each increment met rows of other files."""
    deliver(made, before)
    done(made.run(merging(made)))
    deliver(made, after)
    met: list[bool] = []

    def piece_of(*args: object) -> pieces.Piece:
        piece = real(*args)  # pyright: ignore[reportArgumentType]
        assert piece.gone is not None
        met.append(piece.gone.columns != [ROW_ID])
        return piece

    real = pieces.piece_of
    with patch("dataflow.engine.increments.piece_of", piece_of):
        report = done(made.run(merging(made)))
    how = report.stage("latest").how
    assert how is not None
    assert "merge" == how.kind
    return met


def table(made: Made) -> list[tuple[str, str]]:
    return made.rows("latest", "key", "value")  # pyright: ignore[reportReturnType]


def in_full(made: Made) -> list[tuple[str, str]]:
    """The table of a lake that is computed from the same files at once."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Made(Path(folder))
        shutil.copytree(made.root / "in", fresh.root / "in")
        done(fresh.run(merging(fresh)))
        return table(fresh)


def test_a_corrected_file_is_worked_off_without_the_others(made: Made):
    met = corrected(made, {1: [("a", 1), ("b", 1)], 2: [("c", 1), ("d", 1)]}, {1: [("b", 2), ("a", 2)]})

    assert [False] == met
    assert [("a", "2"), ("b", "2"), ("c", "1"), ("d", "1")] == table(made)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ({1: [("a", 1)], 2: [("b", 1)]}, {1: [("a", 2), ("b", 2)]}, "a row came with the key of another file"),
        ({1: [("a", 1), ("b", 1)], 2: [("b", 2), ("c", 1)]}, {2: [("c", 2)]}, "a key was there twice"),
        ({1: [("a", 1)], 2: [("a", 2), ("b", 1)]}, {2: [("a", 3), ("b", 2)]}, "a row had lost"),
    ],
)
def test_rows_of_other_files_are_met_where(made: Made, before: dict[int, Rows], after: dict[int, Rows], why: str):
    assert [True] == corrected(made, before, after), why
    assert in_full(made) == table(made)


rows = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 3)), min_size=1, max_size=4)


@settings(max_examples=8)
@given(
    before=st.fixed_dictionaries({1: rows, 2: rows, 3: rows}),
    after=st.dictionaries(st.sampled_from([1, 2, 3]), rows, min_size=1),
)
def test_corrected_files_come_to_what_a_full_run_does(before: dict[int, Rows], after: dict[int, Rows]):
    with tempfile.TemporaryDirectory() as folder:
        made = Made(Path(folder))
        deliver(made, before)
        done(made.run(merging(made)))
        deliver(made, after)
        assert 0 == made.run(merging(made)).exit_code
        assert in_full(made) == table(made)


def test_a_row_that_left_is_found_where_the_table_keeps_it(made: Made):
    corrected(made, {1: [("a", 1), ("b", 1)], 2: [("c", 1)]}, {1: [("a", 2), ("b", 1)]})
    lake = Lake(made.lake)

    ids = lake.read("latest").select(ROW_ID).collect()
    landed = lake.read("events").select(ROW_ID).collect()

    assert ids.sort(ROW_ID).equals(landed.sort(ROW_ID))
    assert ids[ROW_ID].dtype == pl.Int64
