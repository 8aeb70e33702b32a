"""``flows/etl.py --follow``: looks for what is new at an interval, and runs where something is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime

from dataflow import Engine, RunReport, Workflow
from dataflow.engine.due import LEFT
from dataflow.engine.events import Event
from dataflow.errors import ConfigError, DataFlowError, LakeError, LeaseLost, PlanError
from dataflow.plan import count
from flows.display import Output
from flows.edited import EditedBlocks
from flows.terminal import displayed, show_report, tell

EVERY_SECONDS = 10.0
_LONGEST_SECONDS = 300.0
"""What comes to nothing is tried less and less often, up to this."""
_DECLARED = ConfigError, PlanError, LakeError
"""Errors of what the pipeline is told to do, where it has never done it."""


@dataclass
class Follower:
    """Rounds of one pipeline.

    A round that finds nothing new leaves no trace. One that does is a run like any other: it takes the lease and gives
    it back, so that other runs have their turn in between. What is wrong is told once, and looked at again at every
    interval: a run is tried again when something has changed, and less and less often while nothing has.
    """

    workflow: Workflow
    execute: Callable[[Engine], RunReport]
    select: tuple[str, ...] = ()
    runner: str = "prefect"
    as_json: bool = False
    every_seconds: float = EVERY_SECONDS
    _rounds: int = 0
    _runs: int = 0
    _well: bool = False
    """Whether a round ever went well: what fails from then on is not how the pipeline is declared."""
    _in_vain: int = 0
    """Looks or runs in a row that failed, or published nothing."""
    _tried: frozenset[str] = frozenset()
    """The keys of what the last of these runs was to do."""
    _again_at: float = 0.0
    """When it is tried again though nothing has changed."""
    _told: str = ""
    """What was told to be wrong."""
    _errors: list[BaseException] = field(default_factory=list[BaseException])
    """What made stages of the round fail."""

    def follow(self) -> int:
        """Make rounds until one shows that the pipeline cannot run as it is declared, with that run's exit code.

        Ctrl-C and SIGTERM end it as they end a run.
        Errors: DataFlowError, of the first round.
        """
        with ExitStack() as stack:
            blocks = stack.enter_context(EditedBlocks(self.workflow)) if self.runner == "prefect" else None
            while True:
                began = time.monotonic()
                pause, code = self._round(blocks)
                if code:
                    return code
                self._show()
                time.sleep(max(0.0, began + pause - time.monotonic()))

    def _wait(self) -> float:
        longest = max(self.every_seconds, _LONGEST_SECONDS)
        return min(self.every_seconds * 2 ** min(self._in_vain, 16), longest)

    def _round(self, blocks: EditedBlocks | None) -> tuple[float, int]:
        """After how many seconds the next one begins; and the exit code with which it is to end, 0 where it goes on."""
        self._rounds += 1
        try:
            due = self._due(blocks)
        except DataFlowError as error:
            self._check(error)
            self._in_vain += 1
            pause = self._wait() if error.retryable else self.every_seconds
            self._tell(str(error), f"looked at again in {pause:g} s")
            return pause, 0
        if not due:
            self._goes_well()
        elif due.keys() - self._tried or time.monotonic() >= self._again_at:
            return self.every_seconds, self._run(due)
        return self.every_seconds, 0

    def _due(self, blocks: EditedBlocks | None) -> dict[str, str]:
        """What there is to do, by key, and why."""
        found = Engine(runner="inline").due(self.workflow, select=self.select)
        due = dict(found.reasons) if found is not None else {}
        if blocks is not None and not due.keys() - self._tried:
            # Without a server of somebody else's, one is started by the first run, and not to look.
            wish = blocks.due(started=self._runs > 0)
            due |= wish.reasons if wish is not None else {}
        return due

    def _run(self, due: dict[str, str]) -> int:
        new = next((why for key, why in due.items() if key not in self._tried), None)
        self._tried = frozenset({*due, LEFT})
        self._in_vain = 0 if new else self._in_vain
        self._errors.clear()
        self._wipe()
        try:
            report = displayed(
                self.workflow,
                self.execute,
                runner=self.runner,
                as_json=self.as_json,
                # The lines of a night are found by the clock; those of a run count its seconds.
                opening=f"{new} ({datetime.now():%Y-%m-%d %H:%M:%S})" if new else None,
                listen=self._listen,
            )
        except DataFlowError as error:
            self._check(error)
            self._fails(str(error))
            return 0
        self._runs += 1
        return self._judge(report)

    def _judge(self, report: RunReport) -> int:
        """What is told of a run, and the exit code with which it is to end, 0 where it goes on."""
        published = report.repaired or any(stage.state == "published" for stage in report.stages)
        known = bool(report.exit_code) and report.reason == self._told and not published
        if not known and (report.state != "skipped" or report.repaired):
            show_report(report, runner=self.runner, as_json=self.as_json)
        if report.exit_code:
            if any(map(self._is_declared, self._errors)):
                return report.exit_code
            self._fails(report.reason, again=report.state != "rejected")
        elif published:
            self._goes_well()
        else:
            self._well = True
            self._put_off()
        return 0

    def _listen(self, event: Event) -> None:
        if event.kind == "stage_finished" and event.error is not None:
            self._errors.append(event.error)

    def _check(self, error: DataFlowError) -> None:
        if self._is_declared(error):
            raise error

    def _is_declared(self, error: BaseException) -> bool:
        """Whether it fails for how the pipeline is declared, which a later delivery or edit does not mend."""
        passes = getattr(error, "retryable", False) or isinstance(error, LeaseLost)
        return not self._well and not passes and isinstance(error, _DECLARED)

    def _goes_well(self) -> None:
        if self._told:
            tell(f"{self.workflow.name} goes on", "note: ")
        self._well, self._in_vain, self._tried, self._told = True, 0, frozenset(), ""

    def _fails(self, why: str, *, again: bool = True) -> None:
        self._put_off()
        then = f"the next try is in {self._wait():.0f} s, or" if again else "the next try is"
        self._tell(why, f"{then} when something changes")
        if not again:
            # What its gate refused it would refuse again, and tell so whoever is alerted.
            self._again_at = float("inf")

    def _put_off(self) -> None:
        self._in_vain += 1
        self._again_at = time.monotonic() + self._wait()

    def _tell(self, why: str, then: str) -> None:
        """Say what is wrong, and what will be done about it; once, as long as it is the same."""
        if why != self._told:
            self._wipe()
            tell(f"{why}; {then}", "warning: ")
        self._told = why

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
