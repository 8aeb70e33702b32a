"""One run of a pipeline at a time, whoever else is at work, and whatever becomes of the runs."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

from dataflow.errors import CommitConflict, LeaseHeld, LeaseLost
from dataflow.lake import lease as lease_module
from dataflow.lake.commit import publish_change
from dataflow.lake.journal import Entry, Journal
from dataflow.lake.lake import Lake
from dataflow.lake.lease import acquire, alive, read_state
from dataflow.lake.lock import Lock
from dataflow.lake.state import Intent, Lease, Outputs, Released
from dataflow.model import RowCounts, TableVersion
from tests.dataflow.lake.journals import take_and_keep
from tests.dataflow.lake.tables import change, values

SPAWN = get_context("spawn")


@pytest.fixture(autouse=True)
def _no_run_is_over(monkeypatch: pytest.MonkeyPatch):
    # Runs of different tests share their ids here, as runs never do.
    monkeypatch.setattr(lease_module, "_over", set())


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def lease(**changes: Any) -> Lease:
    mine = {
        "number": 1,
        "run_id": "r1",
        "host": socket.gethostname(),
        "process_id": os.getpid(),
        "process_started_at": psutil.Process().create_time(),
        "ttl_seconds": 60.0,
        "beat_at": datetime.now(UTC),
    }
    return Lease(**{**mine, **changes})


def dead_process() -> tuple[int, float]:
    """The id and start of a process that is no more."""
    process = SPAWN.Process(target=int)
    process.start()
    found = process.pid, psutil.Process(process.pid).create_time()
    process.join()
    assert found[0] is not None
    return found[0], found[1]


def leave_lease(lake: Lake, **changes: Any) -> Lease:
    """A lease in the journal as another run would have written it; its beat may lie in the past."""
    left = lease(**changes)
    Journal(lake).append(
        Entry(kind="lease", pipeline="p", run_id=left.run_id, body=left.model_dump_json()),
        Lock("dataflow:p", left.number),
        acquire=True,
    )
    return left


# ---------------------------------------------------------------- taking it


def test_of_four_processes_one_holds_the_lease(lake: Lake) -> None:
    answers = SPAWN.Queue()
    processes = [
        SPAWN.Process(target=take_and_keep, args=(lake.uri, "p", f"r{n}", answers, 600, 300)) for n in range(4)
    ]
    for process in processes:
        process.start()
    found = [answers.get(timeout=120) for _ in processes]
    for process in processes:
        process.kill()
        process.join()

    assert [1, "LeaseHeld", "LeaseHeld", "LeaseHeld"] == sorted((answer for _, answer in found), key=str)
    winner = next(run_id for run_id, answer in found if answer == 1)
    state = read_state(lake, "p").lease
    assert state is not None
    assert winner == state.run_id


def test_a_run_that_gave_its_lease_back_is_followed_at_once(lake: Lake) -> None:
    first = acquire(lake, "p", "r1", ttl_seconds=60)
    with pytest.raises(
        LeaseHeld, match=rf"pipeline 'p' is being run already: run r1, process {os.getpid()} on .*last heard of at"
    ):
        acquire(lake, "p", "r2", ttl_seconds=60)
    first.release(clean=True)
    second = acquire(lake, "p", "r2", ttl_seconds=60)

    assert (2, False, ()) == (second.lock.number, second.took_over, second.state.unswept)


def test_pipelines_do_not_wait_for_each_other(lake: Lake) -> None:
    assert 1 == acquire(lake, "p", "r1", ttl_seconds=60).lock.number
    assert 1 == acquire(lake, "q", "r2", ttl_seconds=60).lock.number
    assert {"p": "r1", "q": "r2"} == {name: read_state(lake, name).lease.run_id for name in "pq"}  # pyright: ignore[reportOptionalMemberAccess]


def test_an_entry_of_another_pipeline_in_between_is_not_a_held_lease(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = acquire(lake, "q", "other", ttl_seconds=60)
    between = [lambda: other.record("swept", Released(clean=True))] * 3
    _just_before_commit(monkeypatch, "dataflow:p", between)

    assert 1 == acquire(lake, "p", "r1", ttl_seconds=60).lock.number
    assert [] == between


def test_a_pipeline_that_never_finds_a_gap_says_so_and_may_be_tried_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = acquire(lake, "q", "other", ttl_seconds=60)
    monkeypatch.setattr(lease_module, "_ATTEMPTS", 3)
    _just_before_commit(monkeypatch, "dataflow:p", [lambda: other.record("swept", Released(clean=True))] * 9)

    with pytest.raises(CommitConflict) as caught:
        acquire(lake, "p", "r1", ttl_seconds=60)
    assert caught.value.retryable


def _just_before_commit(monkeypatch: pytest.MonkeyPatch, app: str, between: list[Callable[[], None]]) -> None:
    """Do something each time after ``app`` has looked at the journal and before it writes."""
    outlast = Lock.outlast

    def interrupted(self: Lock, seen: int | None, uri: str) -> None:
        outlast(self, seen, uri)
        if self.app == app and between:
            between.pop()()

    monkeypatch.setattr(Lock, "outlast", interrupted)


# ---------------------------------------------------------------- the dead and the living


def test_a_dead_process_on_this_machine_is_taken_over_at_once(lake: Lake) -> None:
    answers = SPAWN.Queue()
    process = SPAWN.Process(target=take_and_keep, args=(lake.uri, "p", "r1", answers, 3600, 0))
    process.start()
    assert ("r1", 1) == answers.get(timeout=120)
    process.join()
    held = acquire(lake, "p", "r2", ttl_seconds=60)

    assert (2, True, ("r1",)) == (held.lock.number, held.took_over, held.state.unswept)


def test_a_zombie_is_dead(lake: Lake) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    try:
        until = time.monotonic() + 10
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
            time.sleep(0.01)
        assert not alive(lease(process_id=pid, process_started_at=psutil.Process(pid).create_time()))
    finally:
        os.waitpid(pid, 0)


@pytest.mark.parametrize(
    ("changes", "lives"),
    [
        ({}, True),
        ({"released": True}, False),
        ({"process_started_at": psutil.Process().create_time() + 0.5}, True),
        ({"process_started_at": psutil.Process().create_time() - 500}, False),
        ({"beat_at": datetime.now(UTC) - timedelta(seconds=61)}, False),
        ({"host": "elsewhere", "process_id": 1}, True),
        ({"host": "elsewhere", "beat_at": datetime.now(UTC) - timedelta(seconds=61)}, False),
    ],
)
def test_who_counts_as_alive(changes: dict[str, Any], lives: bool) -> None:
    assert lives == alive(lease(**changes))


def test_a_process_that_is_gone_is_not_alive() -> None:
    pid, started_at = dead_process()
    assert not alive(lease(process_id=pid, process_started_at=started_at))


def test_another_machine_is_believed_until_its_time_is_up(lake: Lake) -> None:
    leave_lease(lake, host="elsewhere", process_id=1, ttl_seconds=1.0)
    with pytest.raises(LeaseHeld, match="process 1 on elsewhere"):
        acquire(lake, "p", "r2", ttl_seconds=60)
    time.sleep(1.1)

    assert acquire(lake, "p", "r2", ttl_seconds=60).took_over


def test_a_heartbeat_keeps_a_lease_alive(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    held = acquire(lake, "p", "r1", ttl_seconds=1).beat_every(0.2)
    time.sleep(1.5)
    with pytest.raises(LeaseHeld):
        acquire(lake, "p", "r2", ttl_seconds=60)
    held.stop()
    time.sleep(1.1)

    assert acquire(lake, "p", "r2", ttl_seconds=60).took_over


# ---------------------------------------------------------------- being taken over


def test_a_run_that_was_taken_over_can_write_no_more(lake: Lake) -> None:
    old = acquire(lake, "p", "r1", ttl_seconds=0)
    batch = change(lake, pl.DataFrame({"v": [1]}), seq=1)
    intent = Intent(
        stage="t",
        batch_id=batch.batch_id,
        epoch=0,
        seq=1,
        changes=(batch,),
        units=(),
        inputs=(),
        fingerprint="f",
        counts=RowCounts(),
    )
    publish_change(lake, batch, old.lock)
    old.record("intent", intent, stage="t", batch_id=intent.batch_id)
    new = acquire(lake, "p", "r2", ttl_seconds=60)

    with pytest.raises(LeaseLost, match="another run took the lease over"):
        old.record("swept", Released(clean=True))
    with pytest.raises(LeaseLost):
        old.release(clean=True)
    late = change(lake, pl.DataFrame({"v": [2]}), seq=2, run_id="late")
    with pytest.raises(LeaseLost):
        publish_change(lake, late, old.lock)
    assert [1] == values(lake)
    assert 2 == publish_change(lake, late, new.lock).version, "version 1 is the fence"


def test_the_heart_of_a_run_that_was_taken_over_notices(lake: Lake) -> None:
    old = acquire(lake, "p", "r1", ttl_seconds=0).beat_every(0.1)
    assert old._heart is not None
    # Its beats do not keep it alive: they have no time to live.
    acquire(lake, "p", "r2", ttl_seconds=60)
    old._heart.join(timeout=10)

    assert isinstance(old.lost, LeaseLost)
    assert not old._heart.is_alive()


def test_a_heart_outlives_trouble_with_the_storage(lake: Lake) -> None:
    held = acquire(lake, "p", "r1", ttl_seconds=60)
    journal = Path(lake.path("_journal", "_delta_log"))
    aside = journal.with_name("aside")
    journal.rename(aside)
    journal.write_text("")
    held.beat_every(0.05)
    time.sleep(0.3)
    journal.unlink()
    aside.rename(journal)
    before = len(Journal(lake).entries())
    until = time.monotonic() + 10
    while len(Journal(lake).entries()) == before and time.monotonic() < until:
        time.sleep(0.05)
    held.stop()

    assert None is held.lost
    assert len(Journal(lake).entries()) > before


def test_a_beat_of_an_older_run_does_not_refresh_the_lease_of_another(lake: Lake) -> None:
    acquire(lake, "p", "r1", ttl_seconds=60)
    before = read_state(lake, "p").lease
    Journal(lake).append(Entry(kind="beat", pipeline="p", run_id="r0"), Lock("dataflow:p", 1))

    assert before == read_state(lake, "p").lease


# ---------------------------------------------------------------- releasing


@pytest.mark.parametrize("clean", [True, False])
def test_the_next_run_sweeps_after_one_that_left_files(lake: Lake, clean: bool) -> None:
    acquire(lake, "p", "r1", ttl_seconds=60).release(clean=clean)
    held = acquire(lake, "p", "r2", ttl_seconds=60)
    assert (() if clean else ("r1",)) == held.state.unswept

    held.record("swept", Outputs(outputs=()))
    assert () == held.refresh().unswept


def test_releasing_does_not_fail_when_the_next_run_is_quick(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    first = acquire(lake, "p", "r1", ttl_seconds=60)
    for _ in range(70):
        first.record("swept", Released(clean=True))
    archive = first._journal.archive

    def quick(*args: Any) -> bool:
        acquire(lake, "p", "r2", ttl_seconds=60)
        return archive(*args)

    monkeypatch.setattr(first._journal, "archive", quick)
    first.release(clean=True)

    after = read_state(lake, "p").lease
    assert after is not None
    assert ("r2", False) == (after.run_id, after.released)


def test_state_is_read_without_touching_anything(lake: Lake) -> None:
    assert "p" == read_state(lake, "p").pipeline
    assert not Path(lake.uri).exists()


def test_threads_of_a_run_may_record_at_once(lake: Lake) -> None:
    held = acquire(lake, "p", "r1", ttl_seconds=60).beat_every(0.02)
    threads = [
        threading.Thread(
            target=lambda n=n: held.record(
                "published",
                Outputs(outputs=(TableVersion(table=f"t{n}", uri="u", version=n),)),
                stage=f"s{n}",
                batch_id=f"b{n}",
            )
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held.stop()

    entries = Journal(lake).entries()
    assert {f"b{n}" for n in range(8)} == {e.batch_id for e in entries if e.kind == "published"}
    assert list(range(len(entries))) == [e.seq for e in entries], "an entry's number is that of its commit"


def test_a_run_that_ended_without_giving_back_its_lease_does_not_block_the_next_in_its_process(lake):
    ended = acquire(lake, "p", "r1", ttl_seconds=600)
    ended.stop()
    assert acquire(lake, "p", "r2", ttl_seconds=600).took_over
