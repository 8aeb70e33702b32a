"""``flows/etl.py status``: every table, fresh or stale and why, who is at work, and what is left to finish."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from dataflow import Engine
from dataflow.config import Flags
from dataflow.engine.mending import WAY_OUT
from dataflow.engine.status import Status, TableStatus
from dataflow.plan import count
from flows.summary import plain_table
from flows.terminal import (
    AsJson,
    ConfigFile,
    LakePlace,
    Mode,
    Overrides,
    Paths,
    Scale,
    Seed,
    Source,
    Strategies,
    console_of,
    declared,
    errors_told,
    say,
)

_STYLES = {"fresh": "green", "stale": "yellow", "follows": "yellow", "damaged": "bold red", "unknown": "bold red"}
_ROOMY = 110
"""The width from which on there is a column for the watermark and one for the batch."""
_FEW = 6
"""As many partitions are listed; of more, it is told how many."""


def status(
    config: ConfigFile = None,
    source: Source = None,
    mode: Mode = None,
    scale: Scale = None,
    seed: Seed = None,
    path: Paths = None,
    strategy: Strategies = None,
    lake: LakePlace = None,
    overrides: Overrides = None,
    select: Annotated[
        list[str] | None, typer.Option(help="stage, +stage (with all it needs), stage+ (with all that need it).")
    ] = None,
    partitions: Annotated[bool, typer.Option("--partitions", help="List every partition of every table.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show how the tables stand; read only, also while a run is under way. Exit code 1 where a table is damaged."""
    several = {"path": tuple(path or ()), "strategy": tuple(strategy or ())}
    flags = Flags.model_validate(
        {"source": source, "mode": mode, "scale": scale, "seed": seed, "lake": lake, **several}
    )
    with errors_told(debug=False, as_json=as_json) as outcome:
        found = Engine(runner="inline").status(declared(config, flags, overrides or ()), select=select or ())
        if as_json:
            say(status_json(found))
        else:
            print_status(console_of(), found, every_partition=partitions)
        outcome.code = found.exit_code
    return outcome.code


def status_json(found: Status) -> str:
    """The whole status as one JSON object."""
    return json.dumps({**found.model_dump(mode="json"), "exit_code": found.exit_code}, ensure_ascii=False)


def print_status(console: Console, found: Status, *, every_partition: bool = False) -> None:
    """The table of the tables, and what is to be said about them."""
    console.print(status_table(found, roomy=console.width >= _ROOMY))
    for table in found.tables:
        for note in _notes(table, roomy=console.width >= _ROOMY):
            console.print(f"  {table.table}: {note}", soft_wrap=True)
    if every_partition:
        console.print(partition_table(found))
    for line in _about(found):
        console.print(line, soft_wrap=True)


def status_table(found: Status, *, roomy: bool) -> Table:
    """One row for each table, in the order of the pipeline."""
    figures = [Column(name, justify="right", no_wrap=True) for name in ("rows", "MB")]
    more = ("last batch", "watermark") if roomy else ()
    table = plain_table("table", Column("state", no_wrap=True), *figures, Column("published", no_wrap=True), *more)
    for one in found.tables:
        known = one.version is not None
        sizes = (f"{one.rows:,}", f"{one.size_bytes / 1e6:,.1f}") if known else ("–", "–")
        told = (one.batch_id or "–", _moment(one.event_time)) if roomy else ()
        state = Text(one.state, style=_STYLES.get(one.state, "dim"))
        table.add_row(one.table, state, *sizes, _moment(one.published_at), *told)
    return table


def partition_table(found: Status) -> Table:
    """One row for each partition of each table."""
    figures = [Column(name, justify="right", no_wrap=True) for name in ("rows", "MB")]
    table = plain_table("table", "partition", Column("state", no_wrap=True), *figures, "batch", "why")
    for one in found.tables:
        for part in one.partitions:
            state = Text(part.state, style=_STYLES.get(part.state, ""))
            sizes = f"{part.rows:,}", f"{part.size_bytes / 1e6:,.1f}"
            table.add_row(one.table, part.label, state, *sizes, part.batch_id or "–", Text(part.why))
    return table


def _moment(at: datetime | None) -> str:
    return "–" if at is None else f"{at:%Y-%m-%d %H:%M}"


def _notes(table: TableStatus, *, roomy: bool) -> Iterator[str]:
    if table.state != "fresh":
        yield f"{table.state}: {table.why}"
    if len(table.partitions) > 1:
        yield _summed(table)
    if table.position is not None:
        position = ", ".join(f"{name} {_plain(value)}" for name, value in table.position.items())
        yield f"position: {position}" + (f" (epoch {table.epoch})" if table.epoch else "")
    if table.event_time is not None and not roomy:
        yield f"watermark: {_moment(table.event_time)}"
    if table.quarantined:
        yield f"{count(table.quarantined, 'row')} in {table.table}__quarantine"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _summed(table: TableStatus) -> str:
    """How many partitions there are of each state; those that are not fresh by name where they are few."""
    told: list[str] = []
    for state, number in Counter(part.state for part in table.partitions).items():
        labels = [part.label for part in table.partitions if part.state == state]
        listed = f" ({', '.join(labels)})" if state != "fresh" and number <= _FEW else ""
        told.append(f"{number:,} {state}{listed}")
    return f"{count(len(table.partitions), 'partition')}: {', '.join(told)}"


def _about(found: Status) -> Iterator[str]:
    """The lake as a whole: what is broken, who is at work, what is left to finish, what belongs together."""
    yield from (f"damaged: {text}" for text in found.damage)
    if found.damage:
        yield f"  {WAY_OUT}"
    if found.holder is not None:
        who = found.holder
        word = "at work" if who.alive else "died, the next run takes over"
        heard = f"last heard of at {who.beat_at:%Y-%m-%d %H:%M:%S} UTC"
        yield f"run {who.run_id}: {word} (process {who.process_id} on {who.host}, {heard})"
    for batch in found.pending:
        yield f"batch {batch.batch_id} is begun and not finished ({', '.join(batch.tables)}): a run finishes it"
    if found.unswept:
        yield f"{count(len(found.unswept), 'interrupted run')} may have left staged files: the next run sweeps them"
    yield _release(found)
    yield f"lake: {found.lake}"


def _now(version: int | None) -> str:
    return "now it cannot be read" if version is None else f"now {version}"


def _release(found: Status) -> str:
    if not found.release:
        return "last release: none yet"
    versions = {one.table: one.version for one in found.tables}
    moved = [
        f"{name} {version} ({_now(versions[name])})"
        for name, version in found.release.items()
        if name in versions and versions[name] != version
    ]
    rest = count(len(found.release) - len(moved), "table")
    return f"last release: {', '.join([*moved, f'{rest} as now'])}"
