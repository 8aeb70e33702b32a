"""Moves the position of a source: a person's wish becomes a new epoch, in which what lies beyond is read again.

The wish is one entry of the journal: it marks the units beyond the position as stale. The next batch of the source reads
them again and replaces their rows in the very commit that adds the new ones; whatever ends a run before that, the
entry stays.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dataflow.engine.positions import Wish, beyond, cursor_in, position_of, records_of, refused, unit_of
from dataflow.engine.pulling import open_source
from dataflow.engine.repair import check_owner, repair
from dataflow.engine.watermarks import position_now
from dataflow.errors import ConfigError, SourceError, SourceUnavailable
from dataflow.lake.lake import Lake
from dataflow.lake.lease import HeldLease, held, read_state
from dataflow.lake.naming import unit_id_of
from dataflow.lake.state import FileRecord, PipelineState, Stale
from dataflow.model import Frozen
from dataflow.plan import count
from dataflow.sources import Source
from dataflow.sources.spooled import SpooledSource
from dataflow.workflow import Stage, Workflow

_NAMED = 3
"""So many files are named where there are more."""


class Move(Frozen):
    """What a wish comes to."""

    source: str
    epoch: int
    """That which begins."""
    position: dict[str, Any]
    """Where the source is then."""
    asked: bool
    """Whether the source is asked again, and not only what it answered before is read again."""
    files: tuple[str, ...]
    """What is read again."""
    units: tuple[str, ...]
    rows: int
    """Published rows that are replaced."""
    size_bytes: int
    downstream: tuple[str, ...]
    """Stages that follow with what changes."""

    @property
    def text(self) -> str:
        begins = f"source {self.source!r} begins epoch {self.epoch}"
        if self.asked:
            since = json.dumps(self.position["cursor"]) if self.position["cursor"] is not None else "its beginning"
            return (
                f"{begins}: it is asked again from {since}, and its answer replaces {count(self.rows, 'row')} at most"
            )
        read = f"{count(len(self.files), 'file')} ({count(self.rows, 'row')}) read again, and replaced by what"
        return f"{begins}: {read} {'it holds' if len(self.files) == 1 else 'they hold'}"


def move(lake: Lake, workflow: Workflow, wish: Wish, run_id: str) -> Move:
    """Grant ``wish`` under the pipeline's lease: the next run reads again what lies beyond the position.

    Errors: ConfigError where the position cannot be taken; SourceUnavailable; LakeError, LeaseHeld while a run is at work.
    """
    if not read_state(lake, workflow.name).intents:
        # What is refused touches nothing. Where a batch is begun and not finished, that comes first.
        foresee(lake, workflow, wish)
    with held(lake, workflow.name, run_id, ttl_seconds=workflow.run.lease_seconds) as lease:
        repair(lake, workflow, lease)
        found = _foreseen(lake, workflow, lease.refresh(), wish)
        _begin(lease, workflow, found, wish)
    return found


def foresee(lake: Lake, workflow: Workflow, wish: Wish) -> Move:
    """What granting ``wish`` comes to; touches nothing.

    Errors: ConfigError where the position cannot be taken; SourceUnavailable, LakeError.
    """
    state = read_state(lake, workflow.name)
    check_owner(lake, workflow, state)
    return _foreseen(lake, workflow, state, wish)


def grant(lake: Lake, workflow: Workflow, lease: HeldLease, wishes: Sequence[Wish]) -> tuple[str, ...]:
    """Grant ``wishes`` at the start of a run, those that were not granted before; says what begins.

    Errors: ConfigError where one cannot be granted; then none is.
    """
    state = lease.refresh() if wishes else lease.state
    new = [wish for wish in wishes if not wish.name or state.stage(wish.source).wish != wish.name]
    moves = [_foreseen(lake, workflow, state, wish) for wish in new]
    for found, wish in zip(moves, new, strict=True):
        _begin(lease, workflow, found, wish)
    return tuple(f"{wish.place}: {found.text}" for found, wish in zip(moves, new, strict=True))


def _begin(lease: HeldLease, workflow: Workflow, found: Move, wish: Wish) -> None:
    source = open_source(workflow.stages[found.source], lease.lake, workflow.name)
    if found.asked and isinstance(source, SpooledSource):
        # Before the entry: where a run is killed in between, the same wish may be told and granted once more.
        source.rewind(found.position.get("cursor"))
    place = json.dumps(wish.position, default=str) if wish.position else "its beginning"
    why = f"its position was moved back to {place} (epoch {found.epoch})"
    body = Stale(stage=found.source, units=found.units, epoch=found.epoch, reason=why, wish=wish.name)
    lease.record("stale", body, stage=found.source)


def _foreseen(lake: Lake, workflow: Workflow, state: PipelineState, wish: Wish) -> Move:
    try:
        return _checked(lake, workflow, state, wish)
    except ConfigError as error:
        if not wish.place:
            raise
        raise ConfigError(f"{wish.place}: {error}; {wish.undo}", **error.details) from error


def _checked(lake: Lake, workflow: Workflow, state: PipelineState, wish: Wish) -> Move:
    stage = source_stage(workflow, wish.source)
    published = state.stage(stage.name)
    records = [r for r in records_of(state, stage.name) if unit_of(r) in published.units]
    if not records:
        raise ConfigError(
            f"source {stage.name!r}: nothing of it is published yet, the next run reads it from its beginning",
            source=stage.name,
        )
    source, current = open_source(stage, lake, workflow.name), position_now(workflow, lake, state, stage.name)
    asks, cursor = cursor_in(wish.position, current)
    if asks and isinstance(source, SpooledSource):
        again = _held_from(source, records, wish, cursor)
    else:
        again = beyond(stage.name, records, wish.position, current)
        _check_there(source, stage, again)
    if not again:
        raise refused(stage.name, wish.position, f"nothing was read after it, the source is at {json.dumps(current)}")
    units = tuple(unit_of(record) for record in again)
    chosen = set(units)
    marked = {k: u.model_copy(update={"key": ""}) if k in chosen else u for k, u in published.units.items()}
    after = state.model_copy(update={"stages": {stage.name: published.model_copy(update={"units": marked})}})
    return Move(
        source=stage.name,
        epoch=published.epoch + 1,
        position={**current, **position_of(after, stage.name), **({"cursor": cursor} if "cursor" in current else {})},
        asked=asks and isinstance(source, SpooledSource),
        files=tuple(record.name for record in again),
        units=units,
        rows=_landed_rows(lake, stage.name, chosen),
        size_bytes=sum(record.size_bytes for record in again),
        downstream=tuple(name for name in workflow.stages if name in workflow.select(f"{stage.name}+") - {stage.name}),
    )


def _held_from(source: SpooledSource, records: Sequence[FileRecord], wish: Wish, cursor: object) -> list[FileRecord]:
    """What was landed of a source's answers that hold rows from ``cursor`` on."""
    try:
        names = {item.name for item in source.held_from(cursor)}
    except SourceUnavailable:
        raise
    except SourceError as error:
        raise refused(wish.source, wish.position, str(error)) from error
    return [record for record in records if record.name in names]


def source_stage(workflow: Workflow, name: str) -> Stage:
    """The stage of this name, if it is a source.

    Errors: ConfigError.
    """
    sources = [stage.name for stage in workflow.stages.values() if stage.kind == "source"]
    if name in workflow.stages and name not in sources:
        raise ConfigError(
            f"stage {name!r} is computed, only sources have a position: {', '.join(sources)}; what is computed follows them",
            source=name,
        )
    if name not in sources:
        raise ConfigError.unknown("source", name, sources)
    return workflow.stages[name]


def _check_there(source: Source, stage: Stage, again: Sequence[FileRecord]) -> None:
    """Errors: ConfigError where files of the range are no more at the source: their rows would leave for nothing."""
    there = {item.name for item in source.items()}
    gone = [record for record in again if record.name not in there]
    if not gone:
        return
    names = ", ".join(record.name for record in gone[:_NAMED]) + (", ..." if len(gone) > _NAMED else "")
    last = gone[-1].file_id
    out = f"; back to file id {last}, after the last of these, is possible" if last < again[-1].file_id else ""
    raise ConfigError(
        f"source {stage.name!r} can no longer be read that far back: {count(len(gone), 'file')} of {len(again)} "
        f"{'is' if len(gone) == 1 else 'are'} not there any more ({names}), and {'its' if len(gone) == 1 else 'their'} rows could "
        f"not be read again; put {'it' if len(gone) == 1 else 'them'} back{out}",
        source=stage.name,
    )


def _landed_rows(lake: Lake, table: str, units: set[str]) -> int:
    head = lake.head(table)
    return sum(file.rows for file in lake.snapshot(head).files if unit_id_of(file.path) in units) if head else 0
