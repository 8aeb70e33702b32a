"""The same under Prefect: a killed flow run is made good by the next one, blocks and artifacts with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dataflow.lake.seams import Seam
from tests.faults.harness import Fault
from tests.faults.kills import CleanRuns, assert_repaired, kill, kill_drawn
from tests.faults.sample import Point, parameters, points

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


@pytest.mark.parametrize("point", points("flights", "events", "runways", runner="prefect"))
def test_killed_under_prefect(clean: CleanRuns, tmp_path: Path, point: Point):
    expected = clean(point.pipeline, point.first, point.last, "prefect")

    case = kill_drawn(point, expected, tmp_path / "lake")

    assert_repaired(case, expected)


@pytest.mark.parametrize("seam", parameters("shown", [Seam.BLOCK_SAVED, Seam.ARTIFACT_WRITTEN]))
def test_killed_while_it_is_shown(clean: CleanRuns, tmp_path: Path, seam: Seam):
    expected = clean("runways", 0, 1, "prefect")
    case = replace(expected.case, lake=tmp_path / "lake")

    kill(case, Fault(seam))

    assert_repaired(case, expected)
    assert expected.visits[seam] >= 1
