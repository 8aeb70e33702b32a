"""The journal's log, followed commit by commit: what one run sees of another one's entries."""

from __future__ import annotations

import shutil
import time
from functools import partial
from pathlib import Path

import pytest
from deltalake import DeltaTable

from dataflow.errors import CommitConflict, LakeCorrupt, LeaseLost
from dataflow.lake.journal import TABLE, Entry, Journal
from dataflow.lake.journal_log import JournalLog
from dataflow.lake.lake import Lake
from dataflow.lake.lease import HeldLease, acquire, read_state
from dataflow.lake.log import Action, Log
from dataflow.lake.seams import Seam, watch
from dataflow.lake.state import Outputs, Stale

NONE = Outputs(outputs=())


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def folder(lake: Lake) -> Path:
    return Path(lake.path(TABLE, "_delta_log"))


def kinds(journal: Journal) -> list[str]:
    return [entry.kind for entry in journal.entries()]


def record(lease: HeldLease, times: int) -> None:
    for _ in range(times):
        lease.record("swept", NONE)


def test_a_run_opens_the_journal_once(lake: Lake, opened: list[str]) -> None:
    acquire(lake, "p", "r1", ttl_seconds=60).release(clean=True)
    opened.clear()

    lease = acquire(lake, "p", "r2", ttl_seconds=60)
    record(lease, 5)
    assert () == lease.refresh().unswept
    lease.release(clean=True)
    assert [TABLE] == opened


def test_entries_of_two_writers_come_in_one_order(lake: Lake) -> None:
    one, other = acquire(lake, "p", "r1", ttl_seconds=60), acquire(lake, "q", "r2", ttl_seconds=60)
    journal = Journal(lake)
    for _ in range(5):
        record(one, 1)
        record(other, 2)
        assert list(range(len(journal.entries()))) == [entry.seq for entry in journal.entries()]

    assert journal.entries() == Journal(lake).entries()
    assert ["lease", "lease", *["swept"] * 15] == kinds(journal)


def test_what_delta_rs_reads_is_what_was_followed(lake: Lake) -> None:
    record(acquire(lake, "p", "r1", ttl_seconds=60), 3)
    followed, anew = JournalLog(lake), JournalLog(lake)
    followed.look()
    record(acquire(lake, "q", "r2", ttl_seconds=60), 3)

    followed.look()
    anew.look()
    assert (anew.version, anew.files, anew.schema) == (followed.version, followed.files, followed.schema)
    for app in ("dataflow:p", "dataflow:q", "dataflow:none"):
        assert anew.transaction(app) == followed.transaction(app)
    assert anew.id == followed.id


def test_another_pipeline_archives_in_between(lake: Lake) -> None:
    other = acquire(lake, "q", "r2", ttl_seconds=60)
    record(other, 1)
    lease = acquire(lake, "p", "r1", ttl_seconds=60)
    record(lease, 70)
    before = other.refresh().lease
    lease.release(clean=True)

    record(other, 1)
    assert ["checkpoint", "checkpoint", "swept"] == kinds(Journal(lake))
    assert before == other.refresh().lease


def test_a_lease_that_was_taken_over_is_lost(lake: Lake) -> None:
    lease = acquire(lake, "p", "r1", ttl_seconds=60)
    record(lease, 1)
    lease.stop()
    acquire(lake, "p", "r2", ttl_seconds=60)

    with pytest.raises(LeaseLost, match="another run took the lease over"):
        record(lease, 1)


def test_the_version_after_one_that_is_not_the_newest_is_taken(lake: Lake) -> None:
    record(acquire(lake, "p", "r1", ttl_seconds=60), 1)
    log = JournalLog(lake)
    log.look()
    journal = Journal(lake)
    add = journal._write([Entry(kind="beat", pipeline="p", run_id="r1")], archived=False)
    record(acquire(lake, "q", "r2", ttl_seconds=60), 1)

    with pytest.raises(CommitConflict, match="another writer committed version 2"):
        log.put(add, "dataflow:p", 1)


@pytest.mark.parametrize("after", [1, 3, 6])
def test_a_journal_that_was_begun_anew_is_another_one(lake: Lake, after: int) -> None:
    lease = acquire(lake, "p", "r1", ttl_seconds=60)
    record(lease, 2)
    shutil.rmtree(lake.path(TABLE))
    record(acquire(lake, "q", "r2", ttl_seconds=60), after)

    record(lease, 1)
    assert ["lease", *["swept"] * (after + 1)] == kinds(Journal(lake))


@pytest.mark.parametrize("slept", [False, True])
def test_a_log_that_was_cleaned_behind_a_run_that_slept(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, slept: bool
) -> None:
    lease = acquire(lake, "p", "r1", ttl_seconds=60)
    record(acquire(lake, "q", "r2", ttl_seconds=60), 5)
    lake.open(TABLE).create_checkpoint()
    gone = range(1, 5) if slept else range(5)
    for version in gone:
        (folder(lake) / f"{version:020}.json").unlink()
    if slept:
        # The version that it had seen last is still there, the next one is not: it is cleaned out right now.
        now = time.time()
        monkeypatch.setattr("dataflow.lake.journal_log.time.time", lambda: now + 3600)

    record(lease, 1)
    assert not (folder(lake) / f"{1:020}.json").exists()
    assert ["lease", "lease", *["swept"] * 6] == kinds(Journal(lake))


@pytest.mark.parametrize("place", ["after the look", "within the look"])
def test_a_run_that_slept_on_its_way_to_the_commit_looks_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    lease, other = acquire(lake, "p", "r1", ttl_seconds=60), acquire(lake, "q", "r2", ttl_seconds=60)
    record(lease, 1)
    slept: list[float] = []

    def sleep() -> None:
        if slept:
            return
        slept.append(time.time() + 7200)
        record(other, 5)
        DeltaTable(lake.table_uri(TABLE)).create_checkpoint()
        for version in range(3, 7):
            (folder(lake) / f"{version:020}.json").unlink()
        monkeypatch.setattr("dataflow.lake.journal_log.time.time", lambda: slept[0])

    if place == "after the look":
        unwatch = watch(lambda seam, what: sleep() if (seam, what) == (Seam.ENTRY_WRITTEN, "stale") else None)
    else:
        commit = Log.commit

        def slow(self: Log, version: int) -> list[Action] | None:
            sleep()
            return commit(self, version)

        unwatch = partial(monkeypatch.setattr, Log, "commit", commit)
        monkeypatch.setattr(Log, "commit", slow)
    try:
        lease.record("stale", Stale(stage="t", reason="asked for"), stage="t")
    finally:
        unwatch()

    assert slept
    # Version 3 was free for the asking: its commit was cleared away, and nobody reads what is put there.
    assert ["lease", "lease", *["swept"] * 6, "stale"] == kinds(Journal(lake))
    assert kinds(Journal(lake)) == kinds(lease._journal)


def test_a_look_while_an_entry_is_being_written_does_not_hide_it(lake: Lake) -> None:
    lease = acquire(lake, "p", "r1", ttl_seconds=60)

    def look(seam: Seam, what: str) -> None:
        if (seam, what) == (Seam.ENTRY_WRITTEN, "stale"):
            lease.refresh()

    unwatch = watch(look)
    try:
        lease.record("stale", Stale(stage="t", reason="asked for"), stage="t")
    finally:
        unwatch()

    assert "t" in lease.refresh().stages


def test_a_broken_commit_is_named(lake: Lake) -> None:
    lease = acquire(lake, "p", "r1", ttl_seconds=60)
    record(acquire(lake, "q", "r2", ttl_seconds=60), 1)
    (folder(lake) / f"{2:020}.json").write_text("garbage{")

    with pytest.raises(LakeCorrupt, match=rf"{2:020}\.json is broken or gone"):
        record(lease, 1)


def test_half_a_fold_is_folded_anew(lake: Lake) -> None:
    lease = acquire(lake, "p", "r1", ttl_seconds=60)
    broken = Entry(kind="intent", pipeline="p", run_id="r1", body="{}")
    lease._journal.append(broken, lease.lock)
    lease.record("swept", NONE)

    for _ in range(2):
        with pytest.raises(LakeCorrupt, match=r"journal entry 1 \(intent"):
            lease.refresh()
        lease._has_recorded = True
    with pytest.raises(LakeCorrupt, match=r"journal entry 1 \(intent"):
        read_state(lake, "p")


def test_a_state_stays_as_it_was_told(lake: Lake) -> None:
    lease = acquire(lake, "p", "r1", ttl_seconds=60)
    before = lease.state
    kept = before.model_copy(deep=True)
    lease.record("stale", Stale(stage="t", reason="asked for"), stage="t")

    assert "t" in lease.refresh().stages
    assert kept == before
