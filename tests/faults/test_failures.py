"""A step raises at a seam, or the run is stopped: what the run says, and that the next one repairs."""

from __future__ import annotations

import random
import shutil
import threading
from pathlib import Path

import pytest

from dataflow.lake.seams import Seam
from dataflow.model import RunReport
from tests.faults.harness import Case, Fault, Injected, injected
from tests.faults.kills import SHOP, CleanRuns, assert_repaired
from tests.faults.sample import SEED, parameters
from tests.faults.soundness import assert_equal, assert_sound

IN_A_STEP = (
    Seam.ROWS_WRITTEN,
    Seam.UNIT_WRITTEN,
    Seam.MANIFEST_DRAFTED,
    Seam.UNIT_STAGED,
    Seam.AUDITED,
    Seam.INTENT_RECORDED,
    Seam.SIDE_TABLE_PUBLISHED,
    Seam.TABLE_PUBLISHED,
    Seam.PUBLICATION_RECORDED,
    Seam.MANIFESTS_CLEARED,
)
"""Seams inside of what a runner runs, and tries again where the error says that this may help."""
OF_A_STAGE = (*IN_A_STEP, Seam.FILES_RESERVED)
"""Seams where an error is one of a stage, and the others go on."""
VISITS = {True: 2, False: 1}


def run_with(case: Case, *faults: Fault) -> RunReport | None:
    """The report of a run in which ``faults`` happen; None where it raised what was injected."""
    with injected(*faults):
        try:
            return case.run()
        except Injected:
            return None
        finally:
            # The engine does not wait for units of other stages, but the next run here must not meet them.
            for thread in threading.enumerate():
                if thread.name.startswith("dataflow_"):
                    thread.join()


@pytest.mark.parametrize(("first", "last", "seam"), parameters("failures", SHOP))
def test_shop_fails_at_every_seam(
    shop_inputs: Path, clean: CleanRuns, tmp_path: Path, subtests: pytest.Subtests, first: int, last: int, seam: Seam
):
    expected = clean("shop", first, last)
    count = expected.visits[seam]
    for visit in sorted(
        random.Random(f"{SEED} {seam}").sample(range(1, count + 1), min(VISITS[seam in OF_A_STAGE], count))
    ):
        with subtests.test(visit=visit):
            shutil.copytree(expected.before, tmp_path / f"lake-{visit}")
            case = Case("shop", shop_inputs, tmp_path / f"lake-{visit}", last)

            report = run_with(case, Fault(seam, visit, "fail"))

            if report is not None:
                assert "failed" == report.state
                assert "Injected: injected at " + seam.name in report.reason
            # Entries are written by stages, and beside them.
            assert seam is Seam.ENTRY_WRITTEN or (report is None) == (seam not in OF_A_STAGE)
            assert_repaired(case, expected)


@pytest.mark.parametrize(("first", "last", "seam"), parameters("passing", [s for s in SHOP if s[2] in IN_A_STEP]))
def test_an_error_that_passes_is_got_over(
    shop_inputs: Path, clean: CleanRuns, tmp_path: Path, subtests: pytest.Subtests, first: int, last: int, seam: Seam
):
    expected = clean("shop", first, last)
    count = expected.visits[seam]
    for visit in sorted(random.Random(f"{SEED} {seam}").sample(range(1, count + 1), min(VISITS[True], count))):
        with subtests.test(visit=visit):
            shutil.copytree(expected.before, tmp_path / f"lake-{visit}")
            case = Case("shop", shop_inputs, tmp_path / f"lake-{visit}", last)

            report = run_with(case, Fault(seam, visit, "pass"))

            assert report is not None
            assert "completed" == report.state
            assert_equal(expected.tables, case.lake)
            assert_sound(case)


def test_every_attempt_fails(shop_inputs: Path, clean: CleanRuns, tmp_path: Path):
    expected = clean("shop", 0, 1)
    case = Case("shop", shop_inputs, tmp_path / "lake", 1)

    report = run_with(case, *(Fault(Seam.AUDITED, visit, "pass") for visit in (1, 2, 3)))

    assert report is not None
    assert "failed" == report.state
    assert ["failed", "not_run"] == sorted({s.state for s in report.stages} - {"published"})
    assert_repaired(case, expected)
