"""Events, every strategy side by side, killed where the seed says: in a first run, and in one that meets rows which the
tables have."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataflow.lake.seams import Seam
from tests.faults.kills import CleanRuns, assert_repaired, kill_drawn
from tests.faults.sample import Point, points


@pytest.mark.parametrize("point", points("events"))
def test_events_killed(clean: CleanRuns, tmp_path: Path, point: Point):
    expected = clean("events", point.first, point.last)

    case = kill_drawn(point, expected, tmp_path / "lake")

    assert_repaired(case, expected)


def test_the_runs_do_what_the_kills_are_about(clean: CleanRuns):
    first, second = clean("events", 0, 1).tables, clean("events", 1, 2).tables

    assert first["events"].height < second["events"].height == second["events_bronze_append"].height
    assert 400 == second["events_eager_dedup"].height == second["events_polars_merge"].height
    assert {"events_eager_dedup__duplicates", "events_polars_merge__duplicates", "people__quarantine"} < set(second)
    assert [3, 5] == second["history"].filter(~second["history"]["is_current"])["id"].unique().sort().to_list()
    assert 1 == clean("events", 1, 2).visits[Seam.PULLED]
