"""Runways, one dump a delivery, killed where the seed says: in the first dump, in one more, and in three at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.kills import CleanRuns, assert_repaired, kill_drawn
from tests.faults.sample import Point, points


@pytest.mark.parametrize("point", points("runways"))
def test_runways_killed(clean: CleanRuns, tmp_path: Path, point: Point):
    expected = clean("runways", point.first, point.last)

    case = kill_drawn(point, expected, tmp_path / "lake")

    assert_repaired(case, expected)
