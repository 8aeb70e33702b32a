"""Clocks that jump back: what was written later seems to come from the future, and nothing waits for it or is lost."""

from __future__ import annotations

import shutil
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dataflow.lake import journal, lease, manifests
from dataflow.lake.lake import Lake
from dataflow.lake.seams import Seam
from tests.faults.harness import Case, Child, Fault
from tests.faults.kills import CleanRuns, assert_repaired, kill
from tests.faults.sample import parameters
from tests.faults.soundness import assert_equal, assert_sound

BACK = timedelta(days=2)


def shifted(by: timedelta) -> type[datetime]:
    """A clock that goes wrong by so much."""

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + by

    return Shifted


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``jump(by)``: from now on every clock that the lake is kept by goes wrong by so much."""

    def to(by: timedelta) -> None:
        from dataflow.engine import conductor, repair, run

        for module in (journal, lease, manifests, conductor, repair, run):
            monkeypatch.setattr(module, "datetime", shifted(by))
        really = time.time
        monkeypatch.setattr(time, "time", lambda: really() + by.total_seconds())

    return to


@pytest.mark.parametrize("seam", parameters("clocks", [Seam.UNIT_STAGED, Seam.INTENT_RECORDED, Seam.TABLE_PUBLISHED]))
def test_a_run_killed_before_the_clock_jumped_back_is_repaired(
    shop_inputs: Path, clean: CleanRuns, tmp_path: Path, jump: Any, seam: Seam
):
    expected = clean("shop", 1, 2)
    shutil.copytree(expected.before, tmp_path / "lake")
    case = Case("shop", shop_inputs, tmp_path / "lake", 2)
    kill(case, Fault(seam))

    jump(-BACK)

    assert_repaired(case, expected)


def test_entries_are_in_the_order_in_which_they_were_written(
    shop_inputs: Path, clean: CleanRuns, tmp_path: Path, jump: Any
):
    expected = clean("shop", 1, 2)
    shutil.copytree(expected.before, tmp_path / "lake")
    case = Case("shop", shop_inputs, tmp_path / "lake", 2)

    jump(-BACK)

    assert "completed" == case.run().state
    assert_equal(expected.tables, case.lake)
    assert_sound(case)
    entries = journal.Journal(Lake(case.lake)).entries(archived=True)
    assert [entry.at for entry in entries] != sorted(entry.at for entry in entries)
    assert [entry.seq for entry in entries] == sorted(entry.seq for entry in entries)


def test_a_live_lease_from_the_future_is_respected_and_a_dead_one_is_not(
    shop_inputs: Path, clean: CleanRuns, tmp_path: Path, jump: Any
):
    case = Case("shop", shop_inputs, tmp_path / "lake")
    sleeper = Child(case, Fault(Seam.UNIT_STAGED, act="stop"))
    sleeper.wait_until_stopped()

    jump(-BACK)
    held = case.run()
    sleeper.go_on()
    answer = sleeper.end()

    assert ("skipped", True) == (held.state, "is being run already" in held.reason)
    assert answer is not None
    assert answer.report is not None
    assert "completed" == answer.report.state
    assert_sound(case)


def test_a_lease_of_another_machine_whose_clock_is_ahead_does_not_last_for_ever(
    shop_inputs: Path, clean: CleanRuns, tmp_path: Path, jump: Any, monkeypatch: pytest.MonkeyPatch
):
    case = Case("shop", shop_inputs, tmp_path / "lake")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("socket.gethostname", lambda: "elsewhere")
        lease.acquire(Lake(case.lake), "shop", "dead", ttl_seconds=300)
    assert "skipped" == case.run().state

    jump(-BACK)
    waited = case.run()

    assert "completed" == waited.state, waited.reason
