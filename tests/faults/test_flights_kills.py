"""A run is killed between every two of its effects; the next one repairs, and nothing is lost, doubled or left over."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dataflow.engine.seams import Seam
from tests.faults.harness import Case, Fault
from tests.faults.kills import AFTER_AN_INTENT, OF_A_RUN, CleanRuns, assert_repaired, kill, kill_after
from tests.faults.sample import SEED, parameters


@pytest.fixture
def flights(flights_data: Path, tmp_path: Path) -> Case:
    return Case("flights", flights_data, tmp_path / "lake", deliveries=2)


@pytest.mark.parametrize("seam", parameters("flights", OF_A_RUN))
def test_flights_killed_at_every_seam(flights: Case, clean: CleanRuns, seam: Seam):
    expected = clean("flights", 0, 2)
    visit = random.Random(f"{SEED} {seam}").randint(1, expected.visits[seam])

    kill(flights, Fault(seam, visit))

    assert_repaired(flights, expected)


@pytest.mark.parametrize("seam", parameters("flights twice", AFTER_AN_INTENT))
def test_flights_killed_while_they_are_repaired(flights: Case, clean: CleanRuns, seam: Seam):
    expected = clean("flights", 0, 2)
    kill(flights, Fault(seam, expected.visits[seam]))

    kill(flights, Fault(Seam.INTENT_ROLLED_FORWARD))

    assert_repaired(flights, expected)


@pytest.mark.parametrize("moment", parameters("moments", range(10)))
def test_flights_killed_at_any_moment(flights: Case, clean: CleanRuns, moment: int):
    expected = clean("flights", 0, 2)
    kill_after(flights, random.Random(f"{SEED} {moment}").uniform(50, 1500))

    assert_repaired(flights, expected)
