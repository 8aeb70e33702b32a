"""What a step takes of the process that it runs in: time, CPU, memory."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import psutil

from dataflow.engine.logs import failure, log, within
from dataflow.engine.runner import Step
from dataflow.model import Usage

INTERVAL_SECONDS = 0.05
"""How often memory is looked up; at this pace it takes half a percent of one core."""
_USAGE = "_dataflow_usage"


@dataclass
class Measured:
    """A step under way, or ended."""

    began: float = field(default_factory=time.perf_counter)
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0

    def usage(self, run_id: str) -> Usage:
        """What it took so far."""
        return Usage(run_id=run_id, cpu_seconds=self.cpu_seconds, peak_memory_bytes=self.peak_memory_bytes)


class Meter:
    """Shares what a process takes among the steps that run in it; one thread looks while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[Measured] = []
        self._cpu = 0.0
        self._idle = threading.Event()
        self._process = psutil.Process()

    @contextmanager
    def measured(self) -> Generator[Measured]:
        """Measure what happens inside; complete when left."""
        step = Measured()
        with self._lock:
            self._look()
            self._running.append(step)
            if len(self._running) == 1:
                self._idle = threading.Event()
                threading.Thread(target=self._watch, args=(self._idle,), name="dataflow-usage", daemon=True).start()
        # What the step itself finds in memory counts, however short it is.
        self.sample()
        try:
            yield step
        finally:
            self.sample()
            with self._lock:
                self._running.remove(step)
                if not self._running:
                    self._idle.set()

    def _watch(self, idle: threading.Event) -> None:
        while not idle.wait(INTERVAL_SECONDS):
            self.sample()

    def sample(self) -> None:
        """Look now, and not only when it is time again."""
        with self._lock:
            self._look()

    def _look(self) -> None:
        """Book the CPU since the last look, and the memory of now."""
        now = time.process_time()
        spent, self._cpu = now - self._cpu, now
        if not self._running:
            return
        memory = self._process.memory_info().rss
        for step in self._running:
            step.cpu_seconds += spent / len(self._running)
            step.peak_memory_bytes = max(step.peak_memory_bytes, memory)


@cache
def _meter_of(process: int) -> Meter:
    return Meter()


def meter() -> Meter:
    """The meter of this process; one that was forked has its own."""
    return _meter_of(os.getpid())


meter()  # here, where no second thread asks for it yet


@dataclass(frozen=True)
class Work:
    """Which step is performed; travels to where it runs."""

    run_id: str
    stage: str
    step: str
    unit: str | None = None
    private: bool = False
    attempts: int = 1

    @classmethod
    def of(cls, step: Step, run_id: str, *, private: bool) -> Work:
        return cls(run_id, step.stage, step.name, step.label or None, private, step.retry.attempts)


def perform(work: Work, function: Callable[..., Any], *args: Any) -> tuple[Any, Usage]:
    """Run a step where this is called; answer what it answers, and what it took."""
    with within(run=work.run_id, stage=work.stage, unit=work.unit, private=work.private):
        with meter().measured() as step:
            try:
                answer = function(*args)
            except Exception as error:
                meter().sample()
                _tell_failure(work, step, error)
                error.__dict__[_USAGE] = step.usage(work.run_id)
                raise
        return answer, step.usage(work.run_id)


def usage_of(error: BaseException) -> Usage | None:
    """What the attempt took that ended in ``error``; of one that comes from another process nobody knows."""
    return error.__dict__.get(_USAGE)


def _tell_failure(work: Work, step: Measured, error: Exception) -> None:
    again = work.attempts > 1 and getattr(error, "retryable", False)
    log.log(
        # What is not tried again is told at the end of its stage.
        logging.WARNING if again else logging.DEBUG,
        "%s failed after %.1f s, with %.0f MB in memory at most%s",
        work.step,
        time.perf_counter() - step.began,
        step.peak_memory_bytes / 1e6,
        f"; it is tried at most {work.attempts} times" if again else "",
        **failure(error),
    )


class Spent:
    """What the steps of a run took, stage by stage."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._steps: defaultdict[str, list[Usage]] = defaultdict(list)

    def note(self, stage: str, usage: Usage | None) -> None:
        """Add a step of ``stage``, unless its result was taken over from an earlier run, or nobody knows."""
        if usage is not None and usage.run_id == self._run_id:
            self._steps[stage].append(usage)

    def by(self, stage: str) -> dict[str, Any]:
        """What the steps of ``stage`` took together, as fields of its report."""
        steps = self._steps[stage]
        return {
            "cpu_seconds": sum(step.cpu_seconds for step in steps),
            "peak_memory_bytes": max((step.peak_memory_bytes for step in steps), default=0),
        }
