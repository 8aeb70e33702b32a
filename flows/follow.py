"""``flows/etl.py --follow``: looks for what is new at an interval, and runs where something is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from dataflow import Engine, RunReport, Workflow
from dataflow.engine.events import Event
from dataflow.errors import ConfigError, DataFlowError, LeaseLost
from dataflow.plan import count
from flows.display import Output
from flows.terminal import displayed, show_report, tell

EVERY_SECONDS = 10.0
_LONGEST_SECONDS = 300.0
"""Rounds that come to nothing are made less and less often, up to this."""


@dataclass
class Follower:
    """Rounds of one pipeline.

    A round that finds nothing new leaves no trace. One that does is a run like any other: it takes the lease and gives
    it back, so that other runs have their turn in between.
    """

    workflow: Workflow
    execute: Callable[[Engine], RunReport]
    select: tuple[str, ...] = ()
    runner: str = "prefect"
    as_json: bool = False
    every_seconds: float = EVERY_SECONDS
    _rounds: int = 0
    _runs: int = 0
    _in_vain: int = 0
    """Rounds in a row that failed for a reason that may pass, or published nothing."""
    _errors: list[BaseException] = field(default_factory=list[BaseException])
    """What made stages of the round fail."""

    def follow(self) -> int:
        """Make rounds until one fails for good, with its exit code; Ctrl-C and SIGTERM end it as they end a run.

        Errors: DataFlowError that will not pass by itself.
        """
        while True:
            began = time.monotonic()
            code = self._round()
            if code:
                return code
            self._show()
            time.sleep(max(0.0, began + self._wait() - time.monotonic()))

    def _wait(self) -> float:
        longest = max(self.every_seconds, _LONGEST_SECONDS)
        return min(self.every_seconds * 2 ** min(self._in_vain, 16), longest)

    def _round(self) -> int:
        """The exit code with which it is to end; 0 where it goes on."""
        self._rounds += 1
        self._errors.clear()
        try:
            why = Engine(runner="inline").due(self.workflow, select=self.select)
            if why is None:
                self._in_vain = 0
                return 0
            return self._run(why)
        except DataFlowError as error:
            if not self._passes(error):
                raise
            self._fail(str(error))
            return 0

    def _run(self, why: str) -> int:
        self._wipe()
        report = displayed(
            self.workflow, self.execute, runner=self.runner, as_json=self.as_json, opening=why, listen=self._listen
        )
        self._runs += 1
        if report.state != "skipped" or report.repaired:
            show_report(report, runner=self.runner, as_json=self.as_json)
        if report.exit_code:
            if not (self._errors and all(map(self._passes, self._errors))):
                return report.exit_code
            self._fail(report.reason)
            return 0
        published = report.repaired or any(stage.state == "published" for stage in report.stages)
        self._in_vain = 0 if published else self._in_vain + 1
        return 0

    def _listen(self, event: Event) -> None:
        if event.kind == "stage_finished" and event.error is not None:
            self._errors.append(event.error)

    def _passes(self, error: BaseException) -> bool:
        """Whether a later round may well do better: the source, the lake or, once it was there, Prefect is out of reach."""
        away = isinstance(error, ConfigError) and error.details.get("key") == "PREFECT_API_URL"
        return isinstance(error, LeaseLost) or getattr(error, "retryable", False) or (away and self._runs > 0)

    def _fail(self, why: str) -> None:
        self._in_vain += 1
        tell(f"{why}; the next round is in {self._wait():.0f} s", "warning: ")

    def _show(self) -> None:
        """One line that stays the last, on a terminal; nothing elsewhere."""
        if sys.stderr.isatty():
            self._wipe()
            told = (
                f"following every {self.every_seconds:g} s: {count(self._rounds, 'round')}, {count(self._runs, 'run')}"
            )
            output = Output(sys.stderr)
            output.write(f"{told}, looked at {datetime.now():%H:%M:%S}")
            output.flush()

    def _wipe(self) -> None:
        if sys.stderr.isatty():
            Output(sys.stderr).write("\r\x1b[2K")
