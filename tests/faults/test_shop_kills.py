"""Every kind of stage, killed at every seam: in a first run, in an incremental one, and while it is repaired."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from dataflow.lake.seams import Seam
from tests.faults.conftest import Clean
from tests.faults.harness import Case, Child, Fault
from tests.faults.kills import AFTER_AN_INTENT, SHOP, CleanRuns, assert_repaired, kill
from tests.faults.sample import SEED, parameters

VISITS = 2
"""Of those of one seam in a run, chosen by the seed."""


def shop_case(inputs: Path, lake: Path, expected: Clean, deliveries: int) -> Case:
    """A lake of its own in the state before the run."""
    shutil.copytree(expected.before, lake)
    return Case("shop", inputs, lake, deliveries)


@pytest.mark.parametrize(("first", "last", "seam"), parameters("shop", SHOP))
def test_shop_killed_at_every_seam(
    shop_inputs: Path, clean: CleanRuns, tmp_path: Path, subtests: pytest.Subtests, first: int, last: int, seam: Seam
):
    expected = clean("shop", first, last)
    count = expected.visits[seam]
    for visit in sorted(random.Random(f"{SEED} {seam}").sample(range(1, count + 1), min(VISITS, count))):
        with subtests.test(visit=visit):
            case = shop_case(shop_inputs, tmp_path / f"lake-{visit}", expected, last)

            kill(case, Fault(seam, visit))

            assert_repaired(case, expected)


@pytest.mark.parametrize("seam", parameters("again", list(Seam)))
def test_shop_killed_again_while_it_is_repaired(shop_inputs: Path, clean: CleanRuns, tmp_path: Path, seam: Seam):
    expected = clean("shop", 1, 2)
    case = shop_case(shop_inputs, tmp_path / "lake", expected, 2)
    chance = random.Random(f"{SEED} {seam}")
    before = chance.choice(AFTER_AN_INTENT)
    kill(case, Fault(before, chance.randint(1, expected.visits[before])))

    # Less may be left to do than the first time, and the second run may get to its end.
    Child(case, Fault(seam)).end()

    assert_repaired(case, expected)
