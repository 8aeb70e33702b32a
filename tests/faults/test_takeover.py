"""Runs that meet: started together, or one that was taken for dead and wakes up."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from dataflow.lake.lake import Lake
from dataflow.lake.seams import Seam, watch
from tests.faults.harness import Answer, Case, Child, Fault, contest
from tests.faults.kills import LEASE_SECONDS, CleanRuns, taken_over
from tests.faults.sample import parameters
from tests.faults.soundness import assert_equal, assert_sound, ordered, tables

STOPPED_AT = (
    Seam.LEASE_TAKEN,
    Seam.FILES_RESERVED,
    Seam.STAGE_PLANNED,
    Seam.UNIT_WRITTEN,
    Seam.UNIT_STAGED,
    Seam.STAGE_STAGED,
    Seam.ROUTED,
    Seam.INTENT_RECORDED,
    Seam.SIDE_TABLE_PUBLISHED,
    Seam.TABLE_PUBLISHED,
    Seam.PUBLICATION_RECORDED,
    Seam.RELEASE_RECORDED,
    Seam.HISTORY_STAGED,
    Seam.HISTORY_PUBLISHED,
)


@pytest.mark.parametrize("seam", parameters("stopped", STOPPED_AT))
def test_a_run_that_was_taken_over_may_not_commit(shop_inputs: Path, clean: CleanRuns, tmp_path: Path, seam: Seam):
    expected = clean("shop", 1, 2)
    shutil.copytree(expected.before, tmp_path / "lake")
    case = Case("shop", shop_inputs, tmp_path / "lake", 2, LEASE_SECONDS)

    taken_over(case, seam)

    assert_equal(expected.tables, case.lake)
    assert "skipped" == case.run().state
    assert_sound(case)


def test_a_run_that_wakes_while_another_tells_its_history_tells_nothing(shop_inputs: Path, tmp_path: Path):
    case = Case("shop", shop_inputs, tmp_path / "lake", 1, LEASE_SECONDS)
    sleeper = Child(case, Fault(Seam.HISTORY_STAGED, act="stop"))
    sleeper.wait_until_stopped()
    time.sleep(LEASE_SECONDS * 1.1)
    later = Case("shop", shop_inputs, tmp_path / "lake", 2, LEASE_SECONDS)
    answers: list[Answer | None] = []

    def wake(seam: Seam, what: str) -> None:
        if seam is Seam.HISTORY_STAGED and not answers:
            sleeper.go_on()
            answers.append(sleeper.end())

    unwatch = watch(wake)
    try:
        taker = later.run()
    finally:
        unwatch()

    (answer,) = answers
    assert answer is not None
    assert str(answer.error).startswith("LeaseLost: "), answer
    assert "completed" == taker.state
    later.run()
    for table, key in (("_quality_rules", ["stage", "batch_id", "rule"]), ("_quality_batches", ["stage", "batch_id"])):
        told = pl.read_delta(str(case.lake / table))
        assert told.select(key).n_unique() == told.height
        assert {1, 2} == set(told["batch_id"].str.split(".").list.last().cast(int))
    assert_sound(later)


def test_a_stopped_run_counts_as_alive_until_its_lease_ends(shop_inputs: Path, tmp_path: Path):
    case = Case("shop", shop_inputs, tmp_path / "lake")
    sleeper = Child(case, Fault(Seam.UNIT_STAGED, act="stop"))
    sleeper.wait_until_stopped()

    held = case.run()
    sleeper.go_on()
    answer = sleeper.end()

    assert "skipped" == held.state
    assert "is being run already" in held.reason
    assert answer is not None
    assert answer.report is not None
    assert "completed" == answer.report.state
    assert_sound(case)


CONTESTS = [(pipeline, runs) for pipeline in ("shop", "events", "runways") for runs in (2, 4)]


@pytest.mark.parametrize(("pipeline", "runs"), parameters("contests", CONTESTS))
def test_of_runs_that_start_together_one_publishes(clean: CleanRuns, tmp_path: Path, pipeline: str, runs: int):
    expected = clean(pipeline, 1, 2)
    shutil.copytree(expected.before, tmp_path / "lake")
    case, begin = replace(expected.case, lake=tmp_path / "lake"), contest()
    children = [Child(case, begin=begin) for _ in range(runs)]

    begin.set()
    answers = [child.end() for child in children]

    reports = [answer.report for answer in answers if answer and answer.report]
    assert ["completed"] + ["skipped"] * (runs - 1) == sorted(report.state for report in reports)
    assert_equal(expected.tables, case.lake)
    assert "skipped" == case.run().state
    assert_sound(case)


@pytest.mark.parametrize("pipeline", parameters("compaction", ["runways", "events", "shop"]))
def test_another_program_compacts_and_vacuums_all_the_while(clean: CleanRuns, tmp_path: Path, pipeline: str):
    expected = clean(pipeline, 1, 2)
    shutil.copytree(expected.before, tmp_path / "lake")
    case = replace(expected.case, lake=tmp_path / "lake")
    done = threading.Event()

    def compact() -> None:
        while not done.is_set():
            for table in tables(case.lake):
                # It loses where a run commits first, and a table may be there in part only.
                with suppress(DeltaError, OSError):
                    handle = DeltaTable(str(case.lake / table))
                    handle.optimize.compact()
                    handle.vacuum(dry_run=False)

    other = threading.Thread(target=compact)
    other.start()
    try:
        reports = [case.run() for _ in range(3)]
    finally:
        done.set()
        other.join()
    last = case.run()

    assert {report.state for report in reports} <= {"completed", "skipped", "failed"}
    assert "skipped" == last.state or "skipped" == case.run().state
    for table, frame in expected.tables.items():
        # Compacted files lack the columns that the table is partitioned by: the log has them.
        found = ordered(Lake(case.lake).read(table).collect())
        assert frame.equals(found.select(frame.columns)), table
