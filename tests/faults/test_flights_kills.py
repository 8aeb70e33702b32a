"""Flights, killed where the seed says; the next run repairs, and nothing is lost, doubled or left over."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.harness import Case
from tests.faults.kills import CleanRuns, assert_repaired, kill_after, kill_drawn
from tests.faults.sample import SEED, Point, parameters, points


@pytest.mark.parametrize("point", points("flights"))
def test_flights_killed(clean: CleanRuns, tmp_path: Path, point: Point):
    expected = clean("flights", point.first, point.last)

    case = kill_drawn(point, expected, tmp_path / "lake")

    assert_repaired(case, expected)


@pytest.mark.parametrize("moment", parameters("moments", range(10)))
def test_flights_killed_at_any_moment(flights_data: Path, clean: CleanRuns, tmp_path: Path, moment: int):
    expected = clean("flights", 0, 2)
    case = Case("flights", flights_data, tmp_path / "lake", deliveries=2)

    kill_after(case, random.Random(f"{SEED} {moment}").uniform(50, 1500))

    assert_repaired(case, expected)
