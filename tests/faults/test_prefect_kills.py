"""The same under Prefect: a killed flow run is made good by the next one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataflow.engine.seams import Seam
from tests.faults.harness import Case, Fault
from tests.faults.kills import CleanRuns, assert_repaired, kill
from tests.faults.sample import parameters

POINTS = [
    (Seam.FILES_RESERVED, 3),
    (Seam.UNIT_WRITTEN, 6),
    (Seam.UNIT_STAGED, 1),
    (Seam.STAGE_STAGED, 7),
    (Seam.AUDITED, 6),
    (Seam.INTENT_RECORDED, 8),
    (Seam.SIDE_TABLE_PUBLISHED, 1),
    (Seam.TABLE_PUBLISHED, 6),
    (Seam.PUBLICATION_RECORDED, 2),
    (Seam.RELEASE_RECORDED, 1),
]
"""Ten, from the first effect of a run to the last, with the visit at which it is killed."""


@pytest.mark.prefect
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(("seam", "visit"), parameters("prefect", POINTS))
def test_flights_killed_under_prefect(flights_data: Path, tmp_path: Path, clean: CleanRuns, seam: Seam, visit: int):
    expected = clean("flights", 0, 1)
    case = Case("flights", flights_data, tmp_path / "lake", deliveries=1, runner="prefect")

    kill(case, Fault(seam, visit))

    assert_repaired(case, expected)
