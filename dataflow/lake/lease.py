"""One run of a pipeline at a time: a lease in the journal, kept alive by a heartbeat."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Self

import psutil

from dataflow.errors import CommitConflict, DataFlowError, LeaseHeld, LeaseLost
from dataflow.lake.commit import fence
from dataflow.lake.fold import Told, fold
from dataflow.lake.journal import Entry, Journal, Kind
from dataflow.lake.lake import Lake
from dataflow.lake.lock import Lock
from dataflow.lake.seams import Seam, reach
from dataflow.lake.state import Lease, PipelineState, Released
from dataflow.model import Frozen

_ATTEMPTS = 20


_over: set[str] = set()
"""Runs of this process that have ended: a server or notebook lives on, and its process id says nothing."""


class HeldLease:
    """A pipeline's lease while this run holds it; every journal entry of the run goes through it."""

    def __init__(self, lake: Lake, pipeline: str, run_id: str, lock: Lock, told: Told, *, took_over: bool) -> None:
        self.lake = lake
        self.pipeline = pipeline
        self.run_id = run_id
        self.lock = lock
        self.state = told.state()
        """What the journal said when the lease was taken; entries of this run are folded in on ``refresh``."""
        self.took_over = took_over
        self.lost: LeaseLost | None = None
        self.recorded = 0
        """Judgements up to this journal entry are in the tables of the quality history."""
        self._journal = told.journal
        self._told = told
        self._has_recorded = False
        """Whether there are entries of this run that ``state`` knows nothing of."""
        self._stopped = threading.Event()
        self._heart: threading.Thread | None = None

    def record(self, kind: Kind, body: Frozen, *, stage: str | None = None, batch_id: str | None = None) -> None:
        """Append an entry. Errors: LeaseLost."""
        entry = Entry(
            kind=kind,
            pipeline=self.pipeline,
            run_id=self.run_id,
            stage=stage,
            batch_id=batch_id,
            body=body.model_dump_json(),
        )
        try:
            self._journal.append(entry, self.lock)
        finally:
            # Only now: a look of another thread in between would not see it. And also where the answer got lost.
            self._has_recorded = True

    def refresh(self) -> PipelineState:
        """The state with all that this run has recorded.

        Nobody else tells of the pipeline while the lease is held, and who has lost it learns that by the next entry:
        without one of its own there is nothing to look for.
        """
        if self._has_recorded:
            self._has_recorded = False
            self.state = self._told.state()
        return self.state

    @property
    def journal_id(self) -> str:
        """Which journal the lease is in."""
        return self._journal.id

    def beat_every(self, seconds: float) -> Self:
        """Keep the lease alive from a thread of its own until ``release``."""
        self._heart = threading.Thread(target=self._beat, args=(seconds,), name="dataflow-heartbeat", daemon=True)
        self._heart.start()
        return self

    def _beat(self, seconds: float) -> None:
        while not self._stopped.wait(seconds):
            try:
                self._journal.append(Entry(kind="beat", pipeline=self.pipeline, run_id=self.run_id), self.lock)
            except LeaseLost as error:
                self.lost = error
                return
            except DataFlowError:
                # A beat that fails is made up by the next one; only a lost lease ends the run.
                continue

    def release(self, *, clean: bool) -> None:
        """Give the lease back. ``clean`` says that no staged file was left behind."""
        self.stop()
        self.record("released", Released(clean=clean, recorded=self.recorded))
        self._journal.archive(self._checkpoints, self.lock)

    def _checkpoints(self, entries: list[Entry]) -> list[Entry]:
        states = fold(entries)
        return [
            Entry(kind="checkpoint", pipeline=name, run_id=self.run_id, body=s.model_dump_json())
            for name, s in states.items()
        ]

    def stop(self) -> None:
        """End the heartbeat; to this process the run is over, even where the lake could not be told (a full disk)."""
        self._stopped.set()
        _over.add(self.run_id)
        if self._heart is not None:
            self._heart.join()


@contextmanager
def held(
    lake: Lake, pipeline: str, run_id: str, *, ttl_seconds: float, broken: Collection[str] = ()
) -> Generator[HeldLease]:
    """Hold the lease for work that is no run; what ends it early leaves the lease to the next run's repair.

    Errors: LeaseHeld while a run is at work.
    """
    lease = acquire(lake, pipeline, run_id, ttl_seconds=ttl_seconds, broken=broken).beat_every(ttl_seconds / 3)
    try:
        yield lease
    except LeaseLost:
        lease.stop()
        raise
    except BaseException:
        # The first error is the one to tell.
        with suppress(DataFlowError):
            lease.release(clean=False)
        raise
    lease.release(clean=True)


def read_state(lake: Lake, pipeline: str) -> PipelineState:
    """What the journal says of ``pipeline`` now; touches nothing."""
    return Told(Journal(lake), pipeline).state()


def acquire(lake: Lake, pipeline: str, run_id: str, *, ttl_seconds: float, broken: Collection[str] = ()) -> HeldLease:
    """Take the lease of ``pipeline``, if need be from a dead run, whose tables are then fenced, all but ``broken`` ones.

    Errors: LeaseHeld where another run is alive; CommitConflict where other pipelines leave no gap to write in.
    """
    attempt, told = 1, Told(Journal(lake), pipeline)
    while (taken := _take(told, pipeline, run_id, ttl_seconds, last=attempt == _ATTEMPTS)) is None:
        time.sleep(random.uniform(0, 0.02 * attempt))
        attempt += 1
    before, lock = taken
    took_over = before.is_held
    try:
        reach(Seam.LEASE_RECORDED, pipeline)
        if took_over:
            fence(lake, sorted(before.tables - {*broken}), lock)
        return HeldLease(lake, pipeline, run_id, lock, told, took_over=took_over)
    except BaseException:
        # Nobody is going to give this lease back: while the process lives, it must not pass for one at work.
        _over.add(run_id)
        raise


def _take(
    told: Told, pipeline: str, run_id: str, ttl_seconds: float, *, last: bool
) -> tuple[PipelineState, Lock] | None:
    """The state before the lease was taken, and the lock; None where another run's entry came in between."""
    before = told.state()
    if before.lease is not None and alive(before.lease):
        raise _held(before.lease, pipeline)
    lease = _lease(before.lease, run_id, ttl_seconds)
    lock = Lock(f"dataflow:{pipeline}", lease.number)
    try:
        told.journal.append(
            Entry(kind="lease", pipeline=pipeline, run_id=run_id, body=lease.model_dump_json()), lock, acquire=True
        )
    except (CommitConflict, LeaseLost):
        # A run of this pipeline was quicker, or one of another pipeline wrote: the journal will tell.
        if last:
            raise
        return None
    return before, lock


def _lease(before: Lease | None, run_id: str, ttl_seconds: float) -> Lease:
    return Lease(
        number=1 + (before.number if before is not None else 0),
        run_id=run_id,
        host=socket.gethostname(),
        process_id=os.getpid(),
        process_started_at=psutil.Process().create_time(),
        ttl_seconds=ttl_seconds,
        beat_at=datetime.now(UTC),
    )


def alive(lease: Lease) -> bool:
    """Whether the holder may still be at work: its process on this machine, its heartbeat elsewhere."""
    if lease.released or lease.run_id in _over:
        return False
    here, silent = lease.host == socket.gethostname(), datetime.now(UTC) - lease.beat_at
    if here and not _process_lives(lease):
        return False
    if here and silent < timedelta():
        # The clock was set back; that the process lives is known without it.
        return True
    # A beat from far in the future is another machine's wrong clock: nobody should wait for that day.
    return abs(silent) < timedelta(seconds=lease.ttl_seconds)


def _process_lives(lease: Lease) -> bool:
    try:
        process = psutil.Process(lease.process_id)
        return abs(process.create_time() - lease.process_started_at) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _held(lease: Lease, pipeline: str) -> LeaseHeld:
    return LeaseHeld(
        f"pipeline {pipeline!r} is being run already: run {lease.run_id}, process {lease.process_id} on {lease.host}, last heard of at {lease.beat_at:%Y-%m-%d %H:%M:%S} UTC",
        pipeline=pipeline,
        run_id=lease.run_id,
    )
