"""What a run or a plan comes to: a table, notes in plain words, or one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from dataflow.engine.spared import spared
from dataflow.plan import count
from dataflow.quality.findings import findings

if TYPE_CHECKING:
    from dataflow.model import RunReport, StageReport

_COUNTS = "read", "published", "deduplicated", "filtered", "quarantined", "dropped", "repaired", "late"
_SELDOM = "dropped", "repaired"
"""Counts that have a column only where a stage has such rows."""
_NARROW = 105
_COLUMN = 10
_FITTING = 6
"""As many counts fit on a narrow terminal; with more, those that no stage has are left out."""
_USED = "CPU s", "peak MB", "rows/s"
"""What stages took of the machine: columns where there is room."""
_HOW = "how"
"""How stages were brought up to date: a column where there is room beside."""
_BROKEN = {
    "published": "pub-\nlished",
    "deduplicated": "dedupli-\ncated",
    "filtered": "fil-\ntered",
    "quarantined": "quaran-\ntined",
    "dropped": "drop-\nped",
    "repaired": "re-\npaired",
    "seconds": "sec-\nonds",
}
"""Headings for a terminal that is narrower than the table."""
_TOLD = "failed", "rejected", "branched", "not_run", "deferred"
"""States of a stage that are told with their reason."""
_STYLES = {
    "passed": "green",
    "published": "green",
    "warned": "yellow",
    "quarantined": "yellow",
    "branched": "yellow",
    "deferred": "yellow",
    "rejected": "bold red",
    "failed": "bold red",
}


def print_report(console: Console, report: RunReport) -> None:
    """The table of the stages and what is to be said about them; one line for a run that had nothing to do."""
    ran = _ran(report)
    if ran:
        console.print(report_table(report, width=console.width))
    for note in notes(report):
        console.print(f"  {note}", soft_wrap=True)
    reason = f": {report.reason}" if report.reason else ""
    records = f", {count(report.processed_records, 'record')} read" if ran else ""
    lake = "" if ran else f"; lake: {report.lake}"
    console.print(f"{report.pipeline} {report.state}{reason} ({report.seconds:.1f} s{records}){lake}", soft_wrap=True)
    if ran:
        console.print(f"lake: {report.lake}", soft_wrap=True)
    if ran and report.heaviest is not None and not _roomy(report, console.width):
        most = f"{report.heaviest.peak_memory_bytes / 1e6:,.0f} MB, in {report.heaviest.stage}"
        console.print(f"CPU: {report.cpu_seconds:.1f} s; most memory: {most}", soft_wrap=True)
    if report.state == "completed" and (told := spared(report)):
        console.print(told, soft_wrap=True)
    if ran and report.data_docs:
        console.print(f"data docs: {report.data_docs}", soft_wrap=True)


def _ran(report: RunReport) -> bool:
    return any(stage.state not in ("skipped", "deferred") for stage in report.stages)


def report_table(report: RunReport, *, width: int = _NARROW) -> Table:
    """One row for each stage, in the order of the pipeline; on a narrow terminal it fits 80 columns."""
    shown = _shown(report)
    narrow = width < _needed(shown)
    if narrow and len(shown) > _FITTING:
        shown = [name for name in shown if name in ("read", "published") or _has(report, name)]
    names = [_BROKEN.get(name, name) if narrow else name for name in (*shown, "seconds")]
    used = _USED if _roomy(report, width) else ()
    hows = [_HOW] if used and any(stage.how for stage in report.stages) else []
    table = plain_table("stage", *(Column(name, justify="right") for name in (*names, *used)), *hows, "verdict")
    table.padding = (0, 0 if narrow else 1, 0, 0)
    for stage in report.stages:
        counts = [_count(stage, name) for name in shown]
        word = _verdict(stage)
        style = _STYLES.get(word, "dim")
        took = _used(stage) if used else ()
        how = [stage.how.kind if stage.how and stage.units else "–"] if hows else []
        table.add_row(stage.stage, *counts, f"{stage.seconds:.1f}", *took, *how, Text(word, style=style))
    return table


def _shown(report: RunReport) -> list[str]:
    return [name for name in _COUNTS if name not in _SELDOM or _has(report, name)]


def _needed(counts: list[str]) -> int:
    """The width from which on headings need not be broken."""
    return _NARROW + (len(counts) - _FITTING) * _COLUMN


def _roomy(report: RunReport, width: int) -> bool:
    """Whether there is room, and reason, for what stages took."""
    return report.heaviest is not None and width >= _needed(_shown(report)) + (len(_USED) + 1) * _COLUMN


def _used(stage: StageReport) -> tuple[str, ...]:
    if not stage.peak_memory_bytes:
        return ("–",) * len(_USED)
    # Of a batch that was not published nobody asks how fast it was.
    rate = f"{stage.rows_per_second:,.0f}" if stage.state == "published" else "–"
    return f"{stage.cpu_seconds:.1f}", f"{stage.peak_memory_bytes / 1e6:,.0f}", rate


def _count(stage: StageReport, name: str) -> str:
    # A batch that is refused has rows that would have been published, but none that were.
    told = stage.units and not (name == "published" and stage.state in ("rejected", "branched"))
    return f"{getattr(stage.counts, name):,}" if told else "–"


def _has(report: RunReport, count: str) -> bool:
    return any(getattr(stage.counts, count) for stage in report.stages)


def plain_table(*columns: Column | str) -> Table:
    """A table without a frame, as all of ours are."""
    return Table(*columns, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)


def _verdict(stage: StageReport) -> str:
    if stage.state == "published":
        return stage.verdict.outcome if stage.verdict else "published"
    return stage.state.replace("_", " ")


def notes(report: RunReport) -> Iterator[str]:
    """What a reader should know of the run, and how to see the rows that it speaks of."""
    yield from (f"repaired: {text}" for text in report.repaired)
    yield from report.notes
    for stage in report.stages:
        if stage.error is not None or stage.state in _TOLD or (_ran(report) and not stage.path_taken):
            yield f"{stage.stage}: {stage.state.replace('_', ' ')}: {stage.error or stage.reason}"
        for finding in findings(stage, report.lake):
            yield f"{stage.stage}: {finding.text}"
            if finding.see:
                yield f"  {finding.see}"
        if stage.state == "published" and stage.counts.late:
            late = f"{report.lake.rstrip('/')}/{stage.stage}__late"
            yield f"{stage.stage}: {stage.counts.late:,} rows came too late"
            yield f"  pl.read_delta({late!r})"
        yield from (f"{stage.stage}: {text}" for text in stage.notes)


def report_json(report: RunReport) -> str:
    """The whole report and what follows from it, as one JSON object."""
    document: dict[str, Any] = report.model_dump(mode="json")
    for told, stage in zip(document["stages"], report.stages, strict=True):
        told |= {"rows_per_second": stage.rows_per_second, "seconds_saved": stage.seconds_saved}
    document |= {
        "cpu_seconds": report.cpu_seconds,
        "rows_skipped": report.rows_skipped,
        "bytes_skipped": report.bytes_skipped,
        "seconds_saved": report.seconds_saved,
        "processed_records": report.processed_records,
        "quality_metrics": report.quality_metrics,
        "exit_code": report.exit_code,
    }
    return json.dumps(document, default=str)


def failure_json(error: str, exit_code: int) -> str:
    """What went wrong before there could be a report, as one JSON object."""
    return json.dumps({"state": "failed", "reason": error, "exit_code": exit_code})
