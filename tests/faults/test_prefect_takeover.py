"""Runs that meet under a real Prefect server: one that was taken for dead and wakes up, and some that start together."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dataflow.lake.journal import Journal
from dataflow.lake.lake import Lake
from dataflow.lake.seams import Seam
from tests.faults.flow_runs import ended
from tests.faults.harness import Child, contest
from tests.faults.kills import LEASE_SECONDS, CleanRuns, taken_over
from tests.faults.sample import parameters
from tests.faults.soundness import assert_equal, assert_sound

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]
STOPPED_AT = (Seam.STAGE_PLANNED, Seam.UNIT_STAGED, Seam.INTENT_RECORDED, Seam.TABLE_PUBLISHED, Seam.RELEASE_RECORDED)


@pytest.mark.parametrize("seam", parameters("stopped under prefect", STOPPED_AT))
def test_a_flow_run_that_was_taken_over_may_not_commit(clean: CleanRuns, tmp_path: Path, seam: Seam):
    expected = clean("runways", 1, 2)
    shutil.copytree(expected.before, tmp_path / "lake")
    case = replace(expected.case, lake=tmp_path / "lake", lease_seconds=LEASE_SECONDS, runner="prefect")

    taker = taken_over(case, seam)

    leases = [entry.run_id for entry in Journal(Lake(case.lake)).entries(archived=True) if entry.kind == "lease"]
    *_, lost, won = leases
    assert (won, taker.state.title()) == (taker.run_id, ended("runways", won)[0])
    state, told = ended("runways", lost)
    assert "Failed" == state
    assert "another run took the lease over" in told
    assert_equal(expected.tables, case.lake)
    assert "skipped" == case.run().state
    assert_sound(case)


@pytest.mark.parametrize("runs", parameters("contests under prefect", [2, 4]))
def test_of_flow_runs_that_start_together_one_publishes(clean: CleanRuns, tmp_path: Path, runs: int):
    expected = clean("runways", 1, 2)
    shutil.copytree(expected.before, tmp_path / "lake")
    case, begin = replace(expected.case, lake=tmp_path / "lake", runner="prefect"), contest()
    children = [Child(case, begin=begin) for _ in range(runs)]

    begin.set()
    answers = [child.end() for child in children]

    reports = [answer.report for answer in answers if answer and answer.report]
    assert ["completed"] + ["skipped"] * (runs - 1) == sorted(report.state for report in reports)
    assert {"Completed": 1, "Skipped": runs - 1} == Counter(ended("runways", report.run_id)[0] for report in reports)
    assert_equal(expected.tables, case.lake)
    assert "skipped" == case.run().state
    assert_sound(case)
