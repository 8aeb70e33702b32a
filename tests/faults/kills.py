"""What the tests of kills have in common."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from dataflow.engine.seams import Seam
from tests.faults.conftest import Clean
from tests.faults.harness import Case, Child, Fault
from tests.faults.soundness import assert_equal, assert_sound

OF_A_RUN = [seam for seam in Seam if seam not in (Seam.INTENT_ROLLED_FORWARD, Seam.REFUSAL_RECORDED, Seam.PULLED)]
"""Seams that every run reaches; the others need a run that was killed before, a gate that refuses, or a source that is
asked."""
AFTER_AN_INTENT = (Seam.INTENT_RECORDED, Seam.SIDE_TABLE_PUBLISHED, Seam.TABLE_PUBLISHED)
SHOP = [(first, last, seam) for first, last in ((0, 1), (1, 2)) for seam in OF_A_RUN]
"""First and second run of the shop, and every seam in them."""
CleanRuns = Callable[..., Clean]


def kill(case: Case, *faults: Fault) -> None:
    assert None is Child(case, *faults).end(), "the run went on to its end"


def kill_after(case: Case, ms: float) -> None:
    """Kill a run by the clock; one that was quicker is run again from nothing, with half the time."""
    while Child(case, kill_after_ms=ms).end() is not None:
        shutil.rmtree(case.lake)
        ms /= 2


def assert_repaired(case: Case, expected: Clean) -> None:
    """The next run makes good what the one before left, and the one after it has nothing to do."""
    assert case.run().state in ("completed", "skipped")
    assert_equal(expected.tables, case.lake)
    assert_sound(case)
    third = case.run()
    assert ("skipped", "nothing new", ()) == (third.state, third.reason, third.repaired)
