"""What the tests of kills have in common."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dataflow import RunReport
from dataflow.lake.seams import Seam
from tests.faults.conftest import Clean
from tests.faults.harness import Case, Child, Fault, Reached, injected
from tests.faults.sample import Point, first_fault, second_fault
from tests.faults.soundness import assert_equal, assert_sound

LEASE_SECONDS = 1.0


def taken_over(case: Case, seam: Seam) -> RunReport:
    """The report of a run that took over from one which was stopped at ``seam``, and wakes up after: that publishes nothing more."""
    sleeper = Child(case, Fault(seam, act="stop"))
    sleeper.wait_until_stopped()
    time.sleep(LEASE_SECONDS * 1.1)

    taker = case.run()
    sleeper.go_on()
    answer = sleeper.end()

    assert taker.state in ("completed", "skipped")
    assert answer is not None
    assert str(answer.error).startswith("LeaseLost: "), answer
    return taker


RARE = {
    Seam.TABLE_FENCED: "a lease is taken over",
    Seam.LOG_SET_ASIDE: "a damaged table is mended",
    Seam.INTENT_ROLLED_FORWARD: "a run was killed before",
    Seam.PULLED: "a source is asked",
    Seam.ROWS_MARKED: "replaced rows lie in a large file",
    Seam.REFUSAL_RECORDED: "a gate refuses",
    Seam.SCHEMA_WIDENED: "rows have a new column",
    Seam.JOURNAL_ARCHIVED: "the journal is long",
    Seam.ARTIFACT_WRITTEN: "Prefect shows the run",
    Seam.BLOCK_SAVED: "Prefect shows the run",
}
"""Seams that not every run reaches, and when one does."""
OF_A_RUN = [seam for seam in Seam if seam not in RARE]
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


def kill_drawn(point: Point, expected: Clean, lake: Path) -> Case:
    """Kill a run as ``point`` says, in a lake in the state before it; gives what is to be run again."""
    case = replace(expected.case, lake=lake)
    shutil.copytree(expected.before, lake)
    fault = first_fault(point, expected.reached)
    while Child(case, fault).end() is not None:
        # Only the clock may come too late.
        assert point.way == "inside", f"{fault} did not happen"
        shutil.rmtree(lake)
        shutil.copytree(expected.before, lake)
        fault = replace(fault, after_ms=fault.after_ms / 2)
    if point.way == "twice":
        kill(case, second_fault(point, _repairing(case)))
    return case


def _repairing(case: Case) -> tuple[Reached, ...]:
    """The seams that the repair of ``case`` comes by, tried on a copy of its lake."""
    copy = case.lake.with_name(f"{case.lake.name}-tried")
    shutil.copytree(case.lake, copy)
    with injected() as reached:
        replace(case, lake=copy).run()
    shutil.rmtree(copy)
    return tuple(reached)


def assert_repaired(case: Case, expected: Clean) -> None:
    """The next run makes good what the one before left, and the one after it has nothing to do."""
    assert case.run().state in ("completed", "skipped")
    assert_equal(expected.tables, case.lake)
    assert_sound(case)
    third = case.run()
    assert ("skipped", "nothing new", ()) == (third.state, third.reason, third.repaired)
