"""What a run or a plan comes to: a table, notes in plain words, or one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from dataflow.model import RuleResult, RunReport, StageReport
    from dataflow.plan import Plan

_COUNTS = "read", "published", "deduplicated", "filtered", "quarantined", "late"
_NARROW = 105
_BROKEN = {
    "published": "pub-\nlished",
    "deduplicated": "dedupli-\ncated",
    "filtered": "fil-\ntered",
    "quarantined": "quaran-\ntined",
    "seconds": "sec-\nonds",
}
"""Headings for a terminal that is narrower than the table."""
_STYLES = {
    "passed": "green",
    "published": "green",
    "warned": "yellow",
    "quarantined": "yellow",
    "deferred": "yellow",
    "rejected": "bold red",
    "failed": "bold red",
}


def print_report(console: Console, report: RunReport) -> None:
    """The table of the stages and what is to be said about them; one line for a run that had nothing to do."""
    ran = any(stage.state not in ("skipped", "deferred") for stage in report.stages)
    if ran:
        console.print(report_table(report, narrow=console.width < _NARROW))
    for note in notes(report):
        console.print(f"  {note}", soft_wrap=True)
    reason = f": {report.reason}" if report.reason else ""
    records = f", {report.processed_records:,} records read" if ran else ""
    lake = "" if ran else f"; lake: {report.lake}"
    console.print(f"{report.pipeline} {report.state}{reason} ({report.seconds:.1f} s{records}){lake}", soft_wrap=True)
    if ran:
        console.print(f"lake: {report.lake}", soft_wrap=True)


def report_table(report: RunReport, *, narrow: bool = False) -> Table:
    """One row for each stage, in the order of the pipeline; ``narrow`` fits 80 columns."""
    names = [_BROKEN.get(name, name) if narrow else name for name in (*_COUNTS, "seconds")]
    table = _table("stage", *(Column(name, justify="right") for name in names), "verdict")
    table.padding = (0, 0 if narrow else 1, 0, 0)
    for stage in report.stages:
        counts = [f"{getattr(stage.counts, name):,}" if stage.units else "–" for name in _COUNTS]
        word = _verdict(stage)
        style = _STYLES.get(word, "dim")
        table.add_row(stage.stage, *counts, f"{stage.seconds:.1f}", Text(word, style=style))
    return table


def _table(*columns: Column | str) -> Table:
    return Table(*columns, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)


def _verdict(stage: StageReport) -> str:
    if stage.state == "published":
        return stage.verdict.outcome if stage.verdict else "published"
    return stage.state.replace("_", " ")


def notes(report: RunReport) -> Iterator[str]:
    """What a reader should know of the run, and where to look."""
    yield from (f"repaired: {text}" for text in report.repaired)
    for stage in report.stages:
        if stage.error is not None or stage.state in ("failed", "rejected", "not_run", "deferred"):
            yield f"{stage.stage}: {stage.state.replace('_', ' ')}: {stage.error or stage.reason}"
        yield from (f"{stage.stage}: {text}" for text in (*_set_aside(report, stage), *_findings(stage), *stage.notes))


def _set_aside(report: RunReport, stage: StageReport) -> Iterator[str]:
    if stage.state != "published":
        return
    results = stage.verdict.results if stage.verdict else ()
    if stage.counts.quarantined:
        broken = [f"{r.rule} {r.failed:,}" for r in results if not r.success and r.route == "quarantine"]
        rules = f" ({', '.join(broken)})" if broken else ""
        rows = _rows(stage.counts.quarantined)
        yield f"{rows} in quarantine{rules}, with rule and reason in {_side_table(report, stage, 'quarantine')}"
    if stage.counts.late:
        yield f"{_rows(stage.counts.late)} came too late and are kept in {_side_table(report, stage, 'late')}"


def _findings(stage: StageReport) -> Iterator[str]:
    results = stage.verdict.results if stage.verdict else ()
    for result in results:
        if result.error is not None:
            why = result.error.removeprefix(f"rule {result.rule!r}").removeprefix(" could not be evaluated")
            yield f"rule {result.rule} could not be evaluated: {why.removeprefix(': ')}"
        elif not result.success and result.route in ("warn", "fail"):
            word = "warning" if result.route == "warn" else "refused by"
            yield f"{word} {result.rule}: {_found(result)}"


def _found(result: RuleResult) -> str:
    found = f"{result.failed:,} of {_rows(result.checked)}" if result.failed else f"found {result.observed}"
    return f"{found} ({result.statement})" if result.statement else found


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _side_table(report: RunReport, stage: StageReport, what: str) -> str:
    return f"{report.lake.rstrip('/')}/{stage.stage}__{what}"


def report_json(report: RunReport) -> str:
    """The whole report and what follows from it, as one JSON object."""
    document: dict[str, Any] = report.model_dump(mode="json")
    document |= {
        "processed_records": report.processed_records,
        "quality_metrics": report.quality_metrics,
        "exit_code": report.exit_code,
    }
    return json.dumps(document, default=str)


def failure_json(error: str, exit_code: int) -> str:
    """What went wrong before there could be a report, as one JSON object."""
    return json.dumps({"state": "failed", "reason": error, "exit_code": exit_code})


def print_plan(console: Console, plan: Plan) -> None:
    """What would run, how much of it, and why."""
    figures = [Column(name, justify="right", no_wrap=True) for name in ("units", "rows", "MB", "fresh")]
    table = _table(Column("stage", no_wrap=True), Column("action", no_wrap=True), *figures, "why")
    for stage in plan.stages:
        size = f"{stage.size_bytes / 1e6:,.1f}"
        known = [f"{len(stage.units):,}", f"{stage.rows:,}", size] if stage.action == "run" else ["–"] * 3
        table.add_row(stage.stage, stage.action, *known, f"{stage.units_fresh:,}", Text(stage.reason))
    console.print(table)
    console.print(f"lake: {plan.lake}", soft_wrap=True)
    console.print("nothing was run and nothing was written", soft_wrap=True)


def plan_json(plan: Plan) -> str:
    """The plan as one JSON object."""
    stages = [
        {
            "stage": stage.stage,
            "action": stage.action,
            "reason": stage.reason,
            "units": [planned.unit.label for planned in stage.units],
            "units_fresh": stage.units_fresh,
            "rows": stage.rows,
            "size_bytes": stage.size_bytes,
        }
        for stage in plan.stages
    ]
    return json.dumps({"pipeline": plan.pipeline, "lake": plan.lake, "stages": stages})
