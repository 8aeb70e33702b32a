"""A batch that marks rows dead in a file that stays, killed where the seed says."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from dataflow.lake.seams import Seam
from tests.faults.kills import CleanRuns, assert_repaired, kill_drawn
from tests.faults.sample import Point, points
from tests.faults.stock import ARTICLES


@pytest.mark.parametrize("point", points("stock"))
def test_stock_killed(clean: CleanRuns, tmp_path: Path, point: Point):
    expected = clean("stock", point.first, point.last)

    case = kill_drawn(point, expected, tmp_path / "lake")

    assert_repaired(case, expected)


def test_the_run_does_what_the_kills_are_about(clean: CleanRuns):
    done = clean("stock", 1, 2)
    (vector,) = pl.DataFrame(DeltaTable(str(done.case.lake / "stock")).deletion_vectors())["selection_vector"]

    assert 1 == done.visits[Seam.ROWS_MARKED]
    assert ARTICLES // 100 == vector.len() - vector.sum()
    assert ARTICLES + 50 == done.tables["stock"].height
