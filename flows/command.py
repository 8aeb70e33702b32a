"""The command line of the main job: options in, exit code out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

import dataflow
from dataflow.config import Flags
from dataflow.errors import ConfigError
from flows.config_command import config
from flows.etl import SCRIPT
from flows.follow import EVERY_SECONDS, Follower
from flows.plan_summary import plan_json, print_plan
from flows.status_command import status
from flows.terminal import (
    CONFIG,
    PROJECT,
    AsJson,
    ConfigFile,
    LakePlace,
    LogFile,
    LogFormat,
    LogLevel,
    Mode,
    Overrides,
    Paths,
    RunnerName,
    Scale,
    Seed,
    Source,
    Strategies,
    console_of,
    declared,
    errors_told,
    run_app,
    run_shown,
    say,
)

__all__ = ["CONFIG", "PROJECT", "app", "main"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command()(config)
app.command()(status)


@dataclass(frozen=True)
class Order:
    """What the command line asks for, once its configuration is read."""

    full: bool
    verify: bool
    select: tuple[str, ...]
    runner: str
    json: bool


@app.callback(invoke_without_command=True)
def etl(
    context: typer.Context,
    config: ConfigFile = None,
    source: Source = None,
    mode: Mode = None,
    scale: Scale = None,
    seed: Seed = None,
    path: Paths = None,
    strategy: Strategies = None,
    lake: LakePlace = None,
    overrides: Overrides = None,
    full: Annotated[bool, typer.Option("--full", help="Ignore watermarks: run everything again.")] = False,
    select: Annotated[
        list[str] | None, typer.Option(help="stage, +stage (with all it needs), stage+ (with all that need it).")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compute increments in full too, and compare before publishing.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would run and why; touch nothing.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on: run again whenever there is something new.")] = False,
    every: Annotated[
        float | None, typer.Option(min=0.1, help="With --follow: look so often, in seconds.", show_default="10")
    ] = None,
    as_json: AsJson = False,
    runner: RunnerName = "prefect",
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    log_file: LogFile = None,
) -> int:
    """Run a pipeline: land its sources, compute what is stale, check it, publish it.

    Exit code 0 for success and for nothing to do, 1 for a rejected gate or a failed run, 2 for bad usage or
    configuration, 130 when interrupted, 143 when terminated.
    """
    if context.invoked_subcommand is not None:
        return _nothing_before(context)
    flags = Flags(
        source=source,
        mode=mode,
        scale=scale,
        path=tuple(path or ()),
        seed=seed,
        strategy=tuple(strategy or ()),
        lake=lake,
        log_level=log_level,
        log_format=log_format,
        log_file=log_file,
    )
    order = Order(full, verify, tuple(select or ()), runner, as_json)
    with errors_told(debug=log_level == "DEBUG", as_json=as_json) as outcome:
        _check_follows(follow, every, {"--full": full, "--plan": plan})
        workflow = declared(config, flags, overrides or ())
        if follow:
            outcome.code = keep_running(workflow, order, every or EVERY_SECONDS)
        else:
            outcome.code = show_plan(workflow, order) if plan else run(workflow, order)
    return outcome.code


def _nothing_before(context: typer.Context) -> int:
    given = [name for name in context.params if _is_given(context, name)]
    if given:
        raise typer.BadParameter(
            f"options come after the command: {context.invoked_subcommand} ... --{given[0].replace('_', '-')} ..."
        )
    return 0


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _check_follows(follow: bool, every: float | None, others: Mapping[str, bool]) -> None:
    if every is not None and not follow:
        raise ConfigError("--every says how often --follow looks; add --follow, or leave it out")
    if follow and (given := [name for name, is_given in others.items() if is_given]):
        raise ConfigError(f"--follow runs what is new, again and again, and {given[0]} once; leave one of them out")


def run(workflow: dataflow.Workflow, order: Order) -> int:
    """Execute the pipeline, show its progress and what it came to."""
    execute = _execution(workflow, order)
    return run_shown(workflow, execute, runner=order.runner, as_json=order.json, opening="starting")


def keep_running(workflow: dataflow.Workflow, order: Order, every_seconds: float) -> int:
    """Execute the pipeline whenever something is new, until a run fails for good."""
    execute = _execution(workflow, order)
    return Follower(workflow, execute, order.select, order.runner, order.json, every_seconds).follow()


def _execution(workflow: dataflow.Workflow, order: Order) -> Callable[[dataflow.Engine], dataflow.RunReport]:
    def execute(engine: dataflow.Engine) -> dataflow.RunReport:
        return engine.execute(workflow, incremental=not order.full, select=order.select, verify=order.verify)

    return execute


def show_plan(workflow: dataflow.Workflow, order: Order) -> int:
    """Print what would run."""
    plan = dataflow.Engine(runner=order.runner).plan(workflow, incremental=not order.full, select=order.select)
    if order.json:
        say(plan_json(plan))
    else:
        print_plan(console_of(), plan)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; every error is one line on stderr."""
    return run_app(app, SCRIPT, arguments)
