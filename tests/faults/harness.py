"""Runs a pipeline in a process of its own, and ends or stops it at a chosen visit of a seam.

Children are forked from a server that has imported everything and started no thread: they begin in milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from dataflow import Engine, Workflow
from dataflow.errors import LakeUnavailable
from dataflow.lake.seams import Seam, watch
from dataflow.model import RunReport
from tests.faults.pipelines import PIPELINES
from tests.faults.shop import LEASE_SECONDS

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "dataflow.engine",
        "dataflow.engine.inline",
        "dataflow.quality.gx_polars",
        "dataflow.workflow",
        "pyarrow.parquet",
        "tasks.runner",
    ]
)
_PATIENCE_SECONDS = 120.0
Act = Literal["kill", "stop", "fail", "pass"]


class Injected(RuntimeError):
    """An error that nobody foresaw."""


@dataclass(frozen=True)
class Fault:
    """What happens at the ``visit``-th time that ``seam`` is reached."""

    seam: Seam
    visit: int = 1
    act: Act = "kill"
    after_ms: float = 0.0
    """How long after that: a kill by the clock, while the run goes on."""

    def __call__(self) -> None:
        if self.after_ms:
            _kill_in(self.after_ms)
            return
        match self.act:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "fail":
                raise Injected(f"injected at {self.seam.name}")
            case "pass":
                raise LakeUnavailable(f"injected at {self.seam.name}; it is tried again")


def _kill_in(ms: float) -> None:
    clock = threading.Timer(ms / 1000, os.kill, (os.getpid(), signal.SIGKILL))
    clock.daemon = True
    clock.start()


@dataclass(frozen=True)
class Reached:
    """A seam that a run came by."""

    seam: Seam
    what: str
    at: float
    """Seconds, on a clock of the process."""


@dataclass(frozen=True)
class Case:
    """A pipeline, its input and its lake."""

    pipeline: str
    inputs: Path
    lake: Path
    deliveries: int = 1
    lease_seconds: float = LEASE_SECONDS
    runner: Literal["inline", "prefect"] = "inline"
    replays: str | None = None
    """A stage whose quarantined rows are sent again, instead of a run."""
    moves: str | None = None
    """A source that is moved back to its beginning before the run."""
    backfills: tuple[str, str, str] | None = None
    """A stage, and from where to where it is computed again, instead of a run."""
    rebuilds: str | None = None
    """A damaged stage that is computed again, instead of a run."""
    restores: tuple[str, int | None] | None = None
    """A damaged stage that is mended before the run, and to which version it is brought back."""

    def workflow(self) -> Workflow:
        return PIPELINES[self.pipeline](self.inputs, self.lake, self.deliveries, self.lease_seconds)

    @property
    def usual(self) -> Case:
        """A plain run of the same pipeline."""
        return Case(self.pipeline, self.inputs, self.lake, self.deliveries, self.lease_seconds, self.runner)

    def run(self) -> RunReport:
        """Run it here, without faults."""
        engine, workflow = Engine(runner=self.runner), self.workflow()
        if self.replays:
            return engine.replay(workflow, self.replays)
        if self.backfills:
            done = engine.backfill(workflow, *self.backfills, threads=1, batch_units=1)
            return done.downstream or done.batches[-1]
        if self.rebuilds:
            return engine.rebuild(workflow, self.rebuilds)
        if self.restores:
            engine.restore(workflow, *self.restores)
        if self.moves:
            engine.move(workflow, self.moves)
        return engine.execute(workflow)


@contextmanager
def injected(*faults: Fault) -> Iterator[list[Reached]]:
    """Let ``faults`` happen in this process; gives the seams that were reached, in order."""
    reached: list[Reached] = []
    lock = threading.Lock()

    def visit(seam: Seam, what: str) -> None:
        with lock:
            reached.append(Reached(seam, what, time.perf_counter()))
            times = sum(place.seam == seam for place in reached)
        for fault in faults:
            if (fault.seam, fault.visit) == (seam, times):
                fault()

    unwatch = watch(visit)
    try:
        yield reached
    finally:
        unwatch()


@dataclass(frozen=True)
class Answer:
    """What a child's run came to."""

    report: RunReport | None
    error: str | None
    reached: tuple[Reached, ...]


class Child:
    """A run in a process of its own."""

    def __init__(self, case: Case, *faults: Fault, kill_after_ms: float | None = None, begin: Any = None) -> None:
        self._answer, theirs = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=_work, args=(case, faults, kill_after_ms, begin, theirs, _settings()))
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def end(self) -> Answer | None:
        """Wait for the end; what it answered, None where it was killed before it could."""
        try:
            answer = self._answer.recv() if self._answer.poll(_PATIENCE_SECONDS) else None
        except EOFError:
            answer = None
        self._process.join(_PATIENCE_SECONDS)
        # The clock may strike between the answer and the exit.
        ends = {0, -signal.SIGKILL} if answer else {-signal.SIGKILL}
        assert self._process.exitcode in ends, f"exit code {self._process.exitcode}"
        self._answer.close()
        self._process.close()
        return answer

    def wait_until_stopped(self) -> None:
        """Wait until the fault ``stop`` has happened."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while psutil.Process(self.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < until, "it never stopped"
            time.sleep(0.01)

    def go_on(self) -> None:
        """Let a stopped run continue."""
        os.kill(self.pid, signal.SIGCONT)


def contest() -> Any:
    """Something that children wait at, so that they begin at the same moment: see ``begin`` of ``Child``."""
    return _CONTEXT.Event()


def _settings() -> dict[str, str]:
    """Of Prefect: a forked child would see those of the moment when the server of forks began."""
    return {name: value for name, value in os.environ.items() if name.startswith("PREFECT_")}


def _work(
    case: Case,
    faults: tuple[Fault, ...],
    kill_after_ms: float | None,
    begin: Any,
    answer: Any,
    settings: dict[str, str],
) -> None:
    os.environ.update(settings)
    if "prefect.context" in sys.modules:
        sys.modules["prefect.context"].refresh_global_settings_context()
    if begin is not None:
        begin.wait()
    if kill_after_ms is not None:
        _kill_in(kill_after_ms)
    report, error = None, None
    with injected(*faults) as reached:
        try:
            report = case.run()
        except Exception as caught:
            error = f"{type(caught).__name__}: {caught}"
    answer.send(Answer(report, error, tuple(reached)))
