"""The command line of the main job: options in, exit code out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

import dataflow
from flows.summary import failure_json, plan_json, print_plan
from flows.terminal import (
    PROJECT,
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
    set_log_level,
)

CONFIG = PROJECT / "config" / "flights.yaml"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Order:
    """What the command line asks for."""

    config: Path
    lake: str | None
    full: bool
    select: tuple[str, ...]
    overrides: tuple[str, ...]
    runner: str
    json: bool


@app.command()
def etl(
    config: ConfigFile = CONFIG,
    lake: LakePlace = None,
    full: Annotated[bool, typer.Option("--full", help="Ignore watermarks: run everything again.")] = False,
    select: Annotated[
        list[str] | None, typer.Option(help="stage, +stage (with all it needs), stage+ (with all that need it).")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, for any key of the YAML.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would run and why; touch nothing.")] = False,
    as_json: AsJson = False,
    runner: RunnerName = "prefect",
    log_level: LogLevel = None,
) -> int:
    """Run a pipeline: land its sources, compute what is stale, check it, publish it.

    Exit code 0 for success and for nothing to do, 1 for a rejected gate or a failed run, 2 for bad usage or
    configuration, 130 when interrupted.
    """
    order = Order(config, lake, full, tuple(select or ()), tuple(overrides or ()), runner, as_json)
    set_log_level(log_level)
    with errors_told(debug=log_level == "DEBUG") as outcome:
        outcome.code = show_plan(order) if plan else run(order)
    if as_json and outcome.error:
        say(failure_json(outcome.error, outcome.code))
    return outcome.code


def run(order: Order) -> int:
    """Execute the pipeline, show its progress and what it came to."""
    workflow = declared(order.config, order.lake, order.overrides)

    def execute(engine: dataflow.Engine) -> dataflow.RunReport:
        return engine.execute(workflow, incremental=not order.full, select=order.select)

    return run_shown(workflow, execute, runner=order.runner, as_json=order.json, opening="starting")


def show_plan(order: Order) -> int:
    """Print what would run."""
    workflow = declared(order.config, order.lake, order.overrides)
    plan = dataflow.Engine(runner=order.runner).plan(workflow, incremental=not order.full, select=order.select)
    if order.json:
        say(plan_json(plan))
    else:
        print_plan(console_of(), plan)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; every error is one line on stderr."""
    return run_app(app, "flows/etl.py", arguments)
