"""The command line of the replay: which rows, listed, exported or sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.table import Column

import dataflow
from dataflow.config import Flags
from dataflow.errors import ConfigError
from dataflow.plan import count
from dataflow.quality.causes import cause
from flows.maintenance.replay_quarantine import SCRIPT
from flows.summary import plain_table
from flows.terminal import (
    AsJson,
    ConfigFile,
    LakePlace,
    LogLevel,
    RunnerName,
    console_of,
    declared,
    errors_told,
    run_app,
    run_shown,
    say,
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
_WRITE: dict[str, Callable[[pl.DataFrame, Path], None]] = {
    ".csv": lambda frame, path: frame.with_columns(pl.col("_rules").list.join(" ")).write_csv(path),
    ".parquet": lambda frame, path: frame.write_parquet(path),
    ".jsonl": lambda frame, path: frame.write_ndjson(path),
}


@app.command()
def replay(
    stage: Annotated[str, typer.Argument(help="The stage whose quarantined rows are meant.")],
    config: ConfigFile = None,
    lake: LakePlace = None,
    rule: Annotated[list[str] | None, typer.Option(help="Rows that broke this rule (any of several).")] = None,
    batch: Annotated[list[str] | None, typer.Option(help="Rows that this batch set aside (any of several).")] = None,
    where: Annotated[str | None, typer.Option(help='Rows of which this is true: "order_id IN (17, 18)".')] = None,
    edited: Annotated[Path | None, typer.Option(help="Send these rows (CSV, Parquet, JSONL) instead.")] = None,
    export: Annotated[Path | None, typer.Option(help="Write the chosen rows here, to be edited; send nothing.")] = None,
    show: Annotated[
        bool, typer.Option("--list", help="Count the chosen rows by rule and batch; send nothing.")
    ] = False,
    as_json: AsJson = False,
    runner: RunnerName = "prefect",
    log_level: LogLevel = None,
) -> int:
    """Send quarantined rows through their stage's deduplication and gate again; what passes is published.

    Rows are sent once: they leave the quarantine in the batch that publishes them, and STAGE__replayed keeps them as
    they were. Exit codes are those of flows/etl.py.
    """
    chosen = dataflow.Chosen(tuple(rule or ()), tuple(batch or ()), where, None if edited is None else str(edited))
    with errors_told(debug=log_level == "DEBUG", as_json=as_json) as outcome:
        workflow = declared(config, Flags(lake=lake, log_level=log_level))
        if show or export is not None:
            outcome.code = _look(workflow, stage, chosen, export, as_json=as_json)
        else:
            outcome.code = run_shown(
                workflow,
                lambda engine: engine.replay(workflow, stage, chosen),
                runner=runner,
                as_json=as_json,
                opening=f"sending quarantined rows of {stage} again",
            )
    return outcome.code


def _look(
    workflow: dataflow.Workflow, stage: str, chosen: dataflow.Chosen, export: Path | None, *, as_json: bool
) -> int:
    try:
        rows = dataflow.Engine(runner="inline").quarantined(workflow, stage, chosen).collect()
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"--where {chosen.where}: {' '.join(cause(str(error)).split())}") from error
    if export is None:
        _say_counts(rows, stage, as_json=as_json)
        return 0
    if export.suffix not in _WRITE:
        raise ConfigError(f"--export {export}: rows are written as {', '.join(_WRITE)}; name one of these")
    try:
        _WRITE[export.suffix](rows, export)
    except OSError as error:
        raise ConfigError(f"--export {export}: cannot be written ({error.strerror or error})") from error
    except pl.exceptions.ComputeError as error:
        raise ConfigError(f"--export {export}: {error}; columns of lists need .parquet or .jsonl") from error
    if as_json:
        say(json.dumps({"stage": stage, "rows": rows.height, "exported_to": str(export)}))
        return 0
    console_of().print(
        f"{count(rows.height, 'row')} of {stage} written to {export}; edit them, then send them with --edited {export}",
        soft_wrap=True,
    )
    return 0


def _say_counts(rows: pl.DataFrame, stage: str, *, as_json: bool) -> None:
    counts = rows.group_by("_batch_id", "_reason").len("rows").sort("_batch_id", "_reason")
    if as_json:
        told = [{"batch_id": batch, "reason": reason, "rows": number} for batch, reason, number in counts.iter_rows()]
        say(json.dumps({"stage": stage, "rows": rows.height, "quarantined": told}))
        return
    table = plain_table("batch", Column("rows", justify="right", no_wrap=True), "why")
    for batch, reason, number in counts.iter_rows():
        table.add_row(batch, f"{number:,}", reason)
    console_of().print(f"Quarantine of {stage}: {count(rows.height, 'row')}")
    console_of().print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; every error is one line on stderr."""
    return run_app(app, SCRIPT, arguments)
