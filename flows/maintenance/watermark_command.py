"""The command line of watermarks: how far sources are read, and back to where they are moved."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column

import dataflow
from dataflow.config import Flags
from dataflow.engine.epochs import Move
from dataflow.engine.positions import ACCEPTED, read_off
from dataflow.errors import ConfigError
from dataflow.plan import count
from flows.maintenance.watermark import SCRIPT
from flows.summary import plain_table
from flows.terminal import (
    AsJson,
    ConfigFile,
    LakePlace,
    LogLevel,
    console_of,
    declared,
    errors_told,
    run_app,
    say,
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
SourceName = Annotated[str | None, typer.Option("--source", help="The source; may be left out where there is one.")]
Foresee = Annotated[bool, typer.Option("--plan", help="Say what would be read again; touch nothing.")]
_NAMED = 5


@app.command()
def show(
    config: ConfigFile = None,
    lake: LakePlace = None,
    source: SourceName = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> int:
    """Show up to where each source is read, its epoch, its last batch, and before when rows are late."""

    def act(workflow: dataflow.Workflow) -> None:
        marks = _engine().watermarks(workflow)
        if source is not None:
            _source(workflow, source)
            marks = {name: mark for name, mark in marks.items() if name == source}
        for mark in marks.values():
            mark.pop("wish")
        if as_json:
            say(json.dumps({"pipeline": workflow.name, "watermarks": marks}, indent=2, ensure_ascii=False))
        elif marks:
            _print(marks)
        else:
            lake = _engine().lake(workflow).uri
            console_of().print(f"nothing of {workflow.name} is read yet; lake: {lake}", soft_wrap=True)

    return _told(config, lake, log_level, act, as_json=as_json)


@app.command("set")
def set_position(
    to: Annotated[
        str | None,
        typer.Option(
            help="Back to here: the last file that counts as read, or its id; a date or time, to read again what arrived "
            "from then on; of a source that is asked, its cursor."
        ),
    ] = None,
    position: Annotated[str | None, typer.Option(help=f"The same as JSON: {ACCEPTED}.")] = None,
    source: SourceName = None,
    config: ConfigFile = None,
    lake: LakePlace = None,
    plan: Foresee = False,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> int:
    """Move a source back: a new epoch begins, in which the next run reads again what lies beyond the position.

    What is read again replaces its rows in the batch that adds them, and stages downstream follow.
    """

    def act(workflow: dataflow.Workflow) -> None:
        if (to is None) == (position is None):
            raise ConfigError("set takes one of --to and --position; reset goes back to the beginning")
        name = _source(workflow, source)
        _move(workflow, name, _wanted(workflow, name, to, position), plan=plan, as_json=as_json)

    return _told(config, lake, log_level, act, as_json=as_json)


@app.command()
def reset(
    source: SourceName = None,
    config: ConfigFile = None,
    lake: LakePlace = None,
    plan: Foresee = False,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> int:
    """Move a source back to its beginning; see set."""

    def act(workflow: dataflow.Workflow) -> None:
        _move(workflow, _source(workflow, source), None, plan=plan, as_json=as_json)

    return _told(config, lake, log_level, act, as_json=as_json)


def _engine() -> dataflow.Engine:
    return dataflow.Engine(runner="inline")


def _told(
    config: Path | None,
    lake: str | None,
    log_level: Any,
    act: Callable[[dataflow.Workflow], None],
    *,
    as_json: bool,
) -> int:
    with errors_told(debug=log_level == "DEBUG", as_json=as_json) as outcome:
        act(declared(config, Flags(lake=lake, log_level=log_level)))
        outcome.code = 0
    return outcome.code


def _source(workflow: dataflow.Workflow, name: str | None) -> str:
    sources = [stage.name for stage in workflow.stages.values() if stage.kind == "source"]
    if name is None and len(sources) == 1:
        return sources[0]
    if name is None:
        raise ConfigError(f"--source is missing: name one of {', '.join(sources)}")
    if name not in workflow.stages:
        raise ConfigError.unknown("source", name, sources)
    return name


def _wanted(workflow: dataflow.Workflow, source: str, to: str | None, position: str | None) -> Any:
    if position is None:
        mark = _engine().watermarks(workflow).get(source)
        return read_off(to or "", mark["position"] if mark else {})
    try:
        return json.loads(position)
    except ValueError as error:
        raise ConfigError(f"--position {position}: it is not JSON ({error}); a position is {ACCEPTED}") from error


def _move(workflow: dataflow.Workflow, source: str, position: Any, *, plan: bool, as_json: bool) -> None:
    found = _engine().move(workflow, source, position, plan=plan)
    if as_json:
        say(json.dumps({"planned": plan, **found.model_dump(mode="json", exclude={"units"})}, indent=2, default=str))
        return
    console = console_of()
    for line in _lines(found, planned=plan):
        console.print(line, soft_wrap=True)


def _lines(found: Move, *, planned: bool) -> list[str]:
    names = ", ".join(name.rsplit("/", 1)[-1] for name in found.files[:_NAMED])
    more = f" and {count(len(found.files) - _NAMED, 'other')}" if len(found.files) > _NAMED else ""
    what = f"{count(len(found.files), 'file')} ({found.size_bytes:,} bytes, {count(found.rows, 'published row')})"
    how = (
        "the source is asked again and replaces rows of" if found.asked else "read again, and their rows replaced, are"
    )
    begins = "would begin" if planned else "begins"
    follow = [f"what changes by that goes on to {', '.join(found.downstream)}"] if found.downstream else []
    return [
        f"{found.source}: epoch {found.epoch} {begins} at {json.dumps(found.position)}",
        f"by the next run {how} {what}: {names}{more}",
        *follow,
    ]


def _print(marks: dict[str, dict[str, Any]]) -> None:
    epoch = Column("epoch", justify="right", no_wrap=True)
    # On a narrow terminal names are folded, not cut: they are what set takes.
    names = [Column(name, overflow="fold") for name in ("source", "read up to", "last batch")]
    table = plain_table(*names[:2], epoch, names[2], Column("late before", no_wrap=True))
    for source, mark in marks.items():
        position = ", ".join(f"{key} {value}" for key, value in mark["position"].items())
        table.add_row(source, position, str(mark["epoch"]), mark["batch_id"] or "–", _moment(mark["event_time"]))
    console_of().print(table)


def _moment(at: str | None) -> str:
    return "–" if at is None else f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; every error is one line on stderr."""
    return run_app(app, SCRIPT, arguments)
