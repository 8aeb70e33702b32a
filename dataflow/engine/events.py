"""What the engine tells an observer while it works: displays and logs live on these."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dataflow.engine.logs import failure, log, within
from dataflow.model import RunReport, StageReport
from dataflow.plan import count

EventKind = Literal[
    "run_started",
    "waiting",
    "repaired",
    "granted",
    "pulled",
    "stage_planned",
    "stage_started",
    "unit_staged",
    "stage_audited",
    "stage_finished",
    "run_finished",
]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    kind: EventKind
    stage: str | None = None
    done: int = 0
    total: int = 0
    text: str = ""
    report: StageReport | None = None
    error: BaseException | None = None
    """Why the stage of ``report`` failed."""
    private: bool = False
    """Whether the stage has personal data, which errors of other libraries would quote."""
    run: RunReport | None = None
    """What the run that is finished did."""


Observer = Callable[[Event], None]

_LEVELS = {"failed": logging.ERROR, "rejected": logging.ERROR, "not_run": logging.WARNING}
"""Of what did not end well; the rest is worth an INFO."""


def logged(observe: Observer) -> Observer:
    """An observer that logs each event before it passes it on."""

    def tell(event: Event) -> None:
        with within(stage=event.stage, private=event.private):
            _log(event)
        observe(event)

    return tell


def _log(event: Event) -> None:
    match event.kind:
        case "run_started":
            _say(event, f"run started, {count(event.total, 'stage')}")
        case "waiting" | "repaired":
            _say(event, f"{event.kind}: {event.text}")
        case "pulled" | "granted":
            _say(event, event.text)
        case "stage_planned":
            _say(event, f"planned, {count(event.total, 'unit')} to do: {event.text}", logging.DEBUG)
        case "stage_started":
            _say(event, f"started, {count(event.total, 'unit')} to do: {event.text}")
        case "unit_staged":
            _say(event, f"{event.done} of {event.total} units staged", logging.DEBUG)
        case "stage_audited":
            _say(event, f"judged: {event.text}")
        case "stage_finished" if event.report is not None:
            _log_stage(event, event.report)
        case "run_finished" if event.run is not None:
            _log_run(event, event.run)
        case _:
            pass


def _log_stage(event: Event, report: StageReport) -> None:
    word = report.state.replace("_", " ")
    why = (report.error or report.reason).removeprefix(f"stage {report.stage!r}: ")
    text = f"{word} after {report.seconds:.1f} s: {why}"
    if report.state == "published":
        text = f"published {report.counts.published:,} of {report.counts.read:,} rows in {report.seconds:.1f} s"
    more: dict[str, Any] = {"state": report.state, "batch": report.batch_id, "verdict": None}
    if report.verdict is not None:
        more["verdict"] = report.verdict.outcome
    if report.units:
        more |= {f"rows_{name}": number for name, number in report.counts.model_dump().items() if number}
        more |= report.model_dump(include={"bytes_read", "bytes_written", "peak_memory_bytes"})
        more |= {"cpu_seconds": round(report.cpu_seconds, 3), "rows_per_second": round(report.rows_per_second)}
    _say(event, text, _LEVELS.get(report.state, logging.INFO), {"seconds": round(report.seconds, 3), **more})


def _log_run(event: Event, report: RunReport) -> None:
    text = f"run {report.state} after {report.seconds:.1f} s{f': {report.reason}' if report.reason else ''}"
    more = {"state": report.state, "seconds": round(report.seconds, 3), "cpu_seconds": round(report.cpu_seconds, 3)}
    _say(event, text, _LEVELS.get(report.state, logging.INFO), more)


def _say(event: Event, text: str, level: int = logging.INFO, more: Mapping[str, Any] | None = None) -> None:
    told: dict[str, Any] = {} if event.error is None else failure(event.error)
    extra = {"event": event.kind, **(more or {}), **told.pop("extra", {})}
    # Not every handler shows the fields of a record.
    log.log(level, "%s", f"{event.stage}: {text}" if event.stage else text, extra=extra, **told)
