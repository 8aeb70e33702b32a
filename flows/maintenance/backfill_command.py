"""The command line of the backfill: which stage, from where to where, how much at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from dataflow import Engine, Workflow
from dataflow.config import Flags
from dataflow.engine.backfill import BATCH_UNITS, BackfillPlan, BackfillReport
from dataflow.plan import count
from flows.maintenance.backfill import SCRIPT
from flows.summary import print_report
from flows.terminal import (
    AsJson,
    ConfigFile,
    LakePlace,
    LogLevel,
    RunnerName,
    console_of,
    declared,
    displayed,
    errors_told,
    run_app,
    say,
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
_LISTED = 12


@app.command()
def backfill(
    stage: Annotated[str, typer.Option(help="The stage whose units are computed again.")],
    since: Annotated[
        str | None,
        typer.Option("--from", help="The first partition, file name or date of arrival; none: from the start."),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="The last one, included; none: up to the end.")] = None,
    config: ConfigFile = None,
    lake: LakePlace = None,
    parallel: Annotated[
        int | None, typer.Option(min=1, help="So many units at the same time.", show_default="run.threads")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="So many units are published together.")] = BATCH_UNITS,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would be computed again; touch nothing.")] = False,
    as_json: AsJson = False,
    runner: RunnerName = "prefect",
    log_level: LogLevel = None,
) -> int:
    """Compute a range of a stage again, then what is downstream.

    Partitions are compared as numbers, dates or text, as their values are; a month, 2026-01, means all its days. Files of
    a source are meant by the time of their arrival where both ends are dates, else by name. Whatever ends a backfill,
    the same command goes on with what is left of it. Exit codes are those of flows/etl.py.
    """
    with errors_told(debug=log_level == "DEBUG", as_json=as_json) as outcome:
        workflow = declared(config, Flags(lake=lake, log_level=log_level))
        if plan:
            found = Engine(runner="inline").plan_backfill(workflow, stage, since, until)
            _say_plan(found, as_json=as_json)
            outcome.code = 0
        else:
            report = _work(workflow, (stage, since, until), parallel, batch, runner, as_json=as_json)
            _say_report(report, as_json=as_json)
            outcome.code = report.exit_code
    return outcome.code


def _work(
    workflow: Workflow,
    wanted: tuple[str, str | None, str | None],
    parallel: int | None,
    batch: int,
    runner: str,
    *,
    as_json: bool,
) -> BackfillReport:
    return displayed(
        workflow,
        lambda engine: engine.backfill(workflow, *wanted, threads=parallel, batch_units=batch),
        runner=runner,
        as_json=as_json,
        opening=f"computing a range of {wanted[0]} again",
    )


def _say_plan(found: BackfillPlan, *, as_json: bool) -> None:
    if as_json:
        say(json.dumps(_plan_document(found), ensure_ascii=False))
        return
    console = console_of()
    for line in _plan_lines(found):
        console.print(line, soft_wrap=True)


def _plan_document(found: BackfillPlan) -> dict[str, Any]:
    return {
        "pipeline": found.pipeline,
        "lake": found.lake,
        "stage": found.stage,
        "by": found.by or None,
        "units": [unit.unit.label for unit in found.units],
        "rows": sum(unit.rows for unit in found.units),
        "size_bytes": sum(unit.size_bytes for unit in found.units),
        "resumed": found.resumed,
        "downstream": list(found.downstream),
        "notes": list(found.notes),
    }


def _plan_lines(found: BackfillPlan) -> Iterator[str]:
    labels = [unit.unit.label for unit in found.units]
    shown = ", ".join(labels[:_LISTED]) + (f", ... {labels[-1]}" if len(labels) > _LISTED else "")
    rows, size = (sum(getattr(unit, what) for unit in found.units) for what in ("rows", "size_bytes"))
    meant = f"by {found.by} {found.range}" if found.by else "the whole stage"
    left = "goes on with what is left of this backfill: " if found.resumed else ""
    # Of files that are to be landed, the rows are counted when they are read.
    known = f"{count(rows, 'row')}, {size / 1e6:,.1f} MB" if rows else f"{size / 1e6:,.1f} MB"
    yield f"{found.stage}, {meant}: {left}{count(len(labels), 'unit')} to compute again ({shown}), {known} to read"
    yield from (f"  {note}" for note in found.notes)
    yield f"downstream, where rows change: {', '.join(found.downstream) or 'nothing'}"
    yield f"lake: {found.lake}"
    yield "nothing was run and nothing was written"


def _say_report(report: BackfillReport, *, as_json: bool) -> None:
    if as_json:
        say(json.dumps({**report.model_dump(mode="json"), "exit_code": report.exit_code}, default=str))
        return
    console = console_of()
    for line in _report_lines(report):
        console.print(line, soft_wrap=True)
    if report.downstream is None:
        console.print(f"lake: {report.lake}", soft_wrap=True)
    else:
        print_report(console, report.downstream)


def _report_lines(report: BackfillReport) -> Iterator[str]:
    yield from (f"  {note}" for note in report.notes)
    for label, why in report.failed.items():
        yield f"  {report.stage}, {label}: failed, also alone: {why}"
    if report.left:
        yield f"  {count(len(report.left), 'unit')} left, as nothing came of so many before: {', '.join(report.left[:_LISTED])}"
    again = " (what an earlier one had left)" if report.resumed else ""
    counts = [run.stage(report.stage).counts for run in report.batches]
    rows = count(sum(c.published for c in counts), "row")
    aside = sum(c.quarantined for c in counts)
    told = f"{rows}{f', {aside:,} quarantined' if aside else ''}"
    done = f"{count(len(report.done), 'unit')} ({told}) published in {count(len(report.batches), 'run')}{again}"
    yield f"backfill of {report.stage} {report.state}: {done} in {report.seconds:.1f} s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; every error is one line on stderr."""
    return run_app(app, SCRIPT, arguments)
