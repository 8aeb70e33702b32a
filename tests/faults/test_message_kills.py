"""Every strategy, killed at every seam: in a first run, and in one that meets rows which the tables have."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from dataflow.engine.seams import Seam
from tests.faults.harness import Case, Fault
from tests.faults.kills import OF_A_RUN, CleanRuns, assert_repaired, kill
from tests.faults.sample import SEED, parameters

MESSAGES = [(first, last, seam) for first, last in ((0, 1), (1, 2)) for seam in sorted([*OF_A_RUN, Seam.PULLED])]


@pytest.mark.parametrize(("first", "last", "seam"), parameters("messages", MESSAGES))
def test_strategies_killed_at_every_seam(
    message_inputs: Path, clean: CleanRuns, tmp_path: Path, first: int, last: int, seam: Seam
):
    expected = clean("messages", first, last)
    visit = random.Random(f"{SEED} {seam}").randint(1, expected.visits[seam])
    shutil.copytree(expected.before, tmp_path / "lake")
    case = Case("messages", message_inputs, tmp_path / "lake", last)

    kill(case, Fault(seam, visit))

    assert_repaired(case, expected)


def test_the_runs_do_what_the_kills_are_about(clean: CleanRuns):
    first, second = clean("messages", 0, 1).tables, clean("messages", 1, 2).tables

    assert first["events"].height < second["events"].height == second["bronze"].height
    assert second["eager"].height == 800 > second["merged"].height
    assert {"eager__duplicates", "merged__duplicates", "merged__quarantine", "people__quarantine"} < set(second)
    assert [3, 5] == second["history"].filter(~second["history"]["is_current"])["id"].unique().sort().to_list()
