"""What a run shows while it works: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from dataflow.plan import count

if TYPE_CHECKING:
    from dataflow.engine.events import Event
    from dataflow.model import StageReport

_LINES_PER_STAGE = 10


class Display(Protocol):
    """An observer of the engine that is open while a run lasts."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def __call__(self, event: Event) -> None: ...


def display_on(console: Console, opening: str) -> Display:
    """Bars where ``console`` is a terminal, lines where it is a file or a pipe."""
    return Bars(console, opening) if console.is_terminal else Lines(console, opening)


def ending(report: StageReport) -> str:
    """How a stage ended, in a few words."""
    if report.state == "published":
        outcome = f", {report.verdict.outcome}" if report.verdict else ""
        return f"published {count(report.counts.published, 'row')}{outcome}"
    return f"{report.state.replace('_', ' ')}: {report.error or report.reason}"


class Output:
    """A stream that may end before the run does, closed by its reader or on a full disk: the run goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text``, or let it go where the stream has ended."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Pass on what is buffered."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _give_up(self, error: OSError) -> None:
        # What is buffered has to go somewhere, at the latest when the process ends.
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            print(f"warning: the output cannot be written ({error.strerror}); the run goes on", file=sys.stderr)


class Lines:
    """One line for each step forward; a stage of many units says every tenth."""

    def __init__(self, console: Console, opening: str) -> None:
        self._console = console
        self._opening = opening
        self._began = time.perf_counter()

    def __enter__(self) -> Lines:
        self._say(self._opening)
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to clear away."""

    def __call__(self, event: Event) -> None:
        """Say what happened, if it is worth a line."""
        if text := self._text(event):
            self._say(text)

    def _say(self, text: str) -> None:
        self._console.print(f"{time.perf_counter() - self._began:6.1f} s  {text}", soft_wrap=True)

    def _text(self, event: Event) -> str:
        match event.kind:
            case "run_started":
                return count(event.total, "stage")
            case "waiting" | "repaired":
                return f"{event.kind}: {event.text}"
            case "granted":
                return event.text
            case "pulled":
                return f"{event.stage}: {event.text}"
            case "stage_started":
                return f"{event.stage}: {event.total} to do ({event.text})"
            case "unit_staged" if _worth_a_line(event.done, event.total):
                return f"{event.stage}: {event.done} of {event.total} staged"
            case "stage_audited":
                return f"{event.stage}: judged, {event.text}"
            case "stage_finished" if event.report is not None:
                return f"{event.stage}: {ending(event.report)} ({event.done} of {count(event.total, 'stage')})"
            case _:
                return ""


def _worth_a_line(done: int, total: int) -> bool:
    return done * _LINES_PER_STAGE // max(total, 1) > (done - 1) * _LINES_PER_STAGE // max(total, 1)


class Bars:
    """One bar for each stage under way; they vanish when the run ends and its table is printed."""

    def __init__(self, console: Console, opening: str) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="·"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=console,
            transient=True,
        )
        self._run = self._progress.add_task("run", total=1, text=opening)
        self._stages: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Move the bars."""
        match event.kind:
            case "run_started":
                self._progress.update(self._run, total=event.total, text="")
            case "waiting" | "repaired":
                self._progress.update(self._run, text=f"{event.kind}: {event.text}")
            case "granted":
                self._progress.update(self._run, text=event.text)
            case "pulled" if event.stage is not None:
                self._progress.update(self._bar(event.stage), text=event.text)
            case "stage_planned" | "stage_started" if event.stage is not None:
                self._progress.update(self._bar(event.stage), total=max(event.total, 1), text=event.text)
            case "unit_staged" if event.stage is not None:
                self._progress.update(self._bar(event.stage), completed=event.done, total=event.total, text="staging")
            case "stage_audited" if event.stage is not None:
                self._progress.update(self._bar(event.stage), text=f"judged: {event.text}")
            case "stage_finished" if event.report is not None:
                self._finish(event.report)
                self._progress.update(self._run, completed=event.done, total=event.total)
            case _:
                pass

    def _bar(self, stage: str) -> TaskID:
        if stage not in self._stages:
            self._stages[stage] = self._progress.add_task(stage, total=1, text="")
        return self._stages[stage]

    def _finish(self, report: StageReport) -> None:
        bar = self._bar(report.stage)
        total = self._progress.tasks[self._progress.task_ids.index(bar)].total
        # Of a stage that did not end well, the bar stays where it was.
        if report.state in ("published", "branched", "skipped", "deferred"):
            self._progress.update(bar, completed=total)
        self._progress.stop_task(bar)
        self._progress.update(bar, text=ending(report))
