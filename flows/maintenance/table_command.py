"""The command line that looks after damaged tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

import dataflow
from dataflow.config import Flags
from dataflow.engine.mending import WAY_OUT
from flows.maintenance.table import SCRIPT
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
Stage = Annotated[str, typer.Argument(help="The stage whose table is meant.")]


@app.command()
def check(
    config: ConfigFile = None, lake: LakePlace = None, as_json: AsJson = False, log_level: LogLevel = None
) -> int:
    """Look whether every table has its log and its data files; touch nothing. Exit code 1 where one is damaged."""
    with errors_told(debug=log_level == "DEBUG", as_json=as_json) as outcome:
        workflow = declared(config, Flags(lake=lake, log_level=log_level))
        found = dataflow.Engine(runner="inline").damage(workflow)
        outcome.code = 1 if found else 0
        if as_json:
            say(json.dumps({"damaged": [d.as_json for d in found]}, indent=2))
        else:
            said = [*(damage.said for damage in found), WAY_OUT] if found else [_whole(workflow)]
            for line in said:
                console_of().print(line, soft_wrap=True)
    return outcome.code


def _whole(workflow: dataflow.Workflow) -> str:
    lake = dataflow.Engine(runner="inline").lake(workflow)
    published = any(lake.head(stage) is not None for stage in workflow.stages)
    return "every table is whole" if published else f"no table of {workflow.name} is published yet in {lake.uri}"


@app.command()
def restore(
    stage: Stage,
    version: Annotated[int | None, typer.Option(help="Bring the table back to this version too.")] = None,
    config: ConfigFile = None,
    lake: LakePlace = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> int:
    """Set aside what of the table's log is broken and told elsewhere; with --version, bring the table back to it.

    What was published after that version is computed again by the next run.
    """
    with errors_told(debug=log_level == "DEBUG", as_json=as_json) as outcome:
        workflow = declared(config, Flags(lake=lake, log_level=log_level))
        done = dataflow.Engine(runner="inline").restore(workflow, stage, version)
        if as_json:
            say(json.dumps({"stage": stage, "version": version, "done": done}, indent=2))
        else:
            for line in done or (f"{stage}: nothing to restore; name a --version to go back to, or rebuild the table",):
                console_of().print(line, soft_wrap=True)
        outcome.code = 0
    return outcome.code


@app.command()
def rebuild(
    stage: Stage,
    config: ConfigFile = None,
    lake: LakePlace = None,
    as_json: AsJson = False,
    runner: RunnerName = "prefect",
    log_level: LogLevel = None,
) -> int:
    """Compute again what a damaged table has lost, and what follows from it."""
    with errors_told(debug=log_level == "DEBUG", as_json=as_json) as outcome:
        workflow = declared(config, Flags(lake=lake, log_level=log_level))

        def act(engine: dataflow.Engine) -> dataflow.RunReport:
            return engine.rebuild(workflow, stage)

        outcome.code = run_shown(workflow, act, runner=runner, as_json=as_json, opening=f"rebuilding {stage}")
    return outcome.code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; every error is one line on stderr."""
    return run_app(app, SCRIPT, arguments)
