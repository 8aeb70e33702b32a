"""Which units of a stage are stale, and why: reads the journal and the tables' logs, touches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from dataflow.errors import PlanError
from dataflow.incremental.files import Detection, detect
from dataflow.incremental.fingerprint import code_fingerprint
from dataflow.lake.lake import Lake, Partition, Snapshot
from dataflow.lake.state import FileRecord, PipelineState, StageState
from dataflow.model import Unit, digest
from dataflow.sources import Item, Source
from dataflow.workflow import Stage

Action = Literal["run", "skip", "wait", "depends"]


@dataclass(frozen=True)
class PlannedUnit:
    """A unit that is to be run."""

    unit: Unit
    key: str
    """Names the unit's result: same key, same rows."""
    rows: int = 0
    size_bytes: int = 0
    item: Item | None = None
    """The file that a source unit lands, and its record."""
    record: FileRecord | None = None
    added: tuple[str, ...] | None = None
    """Files that the first input gained since the last batch, where only these are read."""


@dataclass(frozen=True)
class StagePlan:
    """What a run would do with a stage, and why."""

    stage: str
    action: Action
    reason: str
    units: tuple[PlannedUnit, ...] = ()
    units_fresh: int = 0
    dropped: tuple[Unit, ...] = ()
    inputs: Mapping[str, Snapshot] | None = None
    fingerprint: str = ""
    seq: int = 0
    epoch: int = 0
    unrecorded: tuple[FileRecord, ...] = ()
    """Files that the journal must learn of before they are landed."""

    @property
    def batch_id(self) -> str:
        return _batch_id(self.stage, self.epoch, self.seq)

    @property
    def merges(self) -> bool:
        """Whether the batch adds to what is published, rather than replacing its units."""
        return any(u.added is not None for u in self.units)

    @property
    def rows(self) -> int:
        return sum(u.rows for u in self.units)

    @property
    def size_bytes(self) -> int:
        return sum(u.size_bytes for u in self.units)


@dataclass(frozen=True)
class Plan:
    """What ``--plan`` prints."""

    pipeline: str
    lake: str
    stages: tuple[StagePlan, ...]


def _batch_id(stage: str, epoch: int, seq: int) -> str:
    return f"{stage}.{epoch}.{seq}"


def next_batch_id(stage: str, state: StageState) -> str:
    """The id of the batch that comes after the last one published."""
    return _batch_id(stage, state.epoch, state.seq + 1)


def stage_fingerprint(stage: Stage, source: Source | None = None) -> str:
    """Changes when the stage's code or settings would give other rows or files."""
    code = source.fingerprint if source is not None else code_fingerprint(stage.function) if stage.function else ""
    storage = stage.storage.model_dump_json(exclude={"format"})
    window = stage.window.model_dump_json(exclude={"trigger_interval"}) if stage.window else ""
    rules = [
        (r.name, r.predicate, sorted((r.expectation or {}).items(), key=str), r.severity, r.mostly, r.on_fail)
        for r in stage.gate
    ]
    return digest(
        code,
        stage.inputs,
        stage.partition_by,
        stage.rows,
        stage.members,
        stage.deduplicate,
        stage.incremental,
        window,
        storage,
        rules,
    )


def plan_source(stage: Stage, source: Source, state: PipelineState, *, full: bool) -> StagePlan:
    """One unit per file: those whose content or landing changed are stale.

    A file that is gone from the source stays landed: archiving a delivery must not delete its rows.
    """
    ledger = {record.name: record for record in state.files.values() if record.source == stage.name}
    items = source.items()
    found = detect(stage.name, items, ledger, source.content_hash, next_file_id=state.next_file_id)
    fingerprint = stage_fingerprint(stage, source)
    before = state.stage(stage.name)
    planned = [
        PlannedUnit(
            unit=Unit(stage=stage.name, partition=(("file", item.name),)),
            key=digest(stage.name, item.name, record.content_hash, fingerprint, before.epoch),
            size_bytes=item.size_bytes,
            item=item,
            record=record,
        )
        for item, record in zip(items, found.records, strict=True)
    ]
    stale = tuple(u for u in planned if full or _key_of(before, u.unit) != u.key)
    return StagePlan(
        stage=stage.name,
        action="run" if stale else "skip",
        reason=_source_reason(stale, found, before, fingerprint, full),
        units=stale,
        units_fresh=len(planned) - len(stale),
        inputs={},
        fingerprint=fingerprint,
        seq=before.seq + 1,
        epoch=before.epoch,
        unrecorded=found.unrecorded,
    )


def _key_of(state: StageState, unit: Unit) -> str | None:
    known = state.units.get(unit.id)
    return known.key if known else None


def _source_reason(
    stale: Sequence[PlannedUnit], found: Detection, before: StageState, fingerprint: str, full: bool
) -> str:
    if not stale:
        return "no new or changed files"
    if full:
        return f"asked for in full: {_count(len(stale), 'file')}"
    if before.seq and before.fingerprint != fingerprint:
        return f"its settings changed: {_count(len(stale), 'file')} to land again"
    changed = sum(u.unit.partition[0][1] in found.changed for u in stale)
    parts = [_count(len(stale) - changed, "new file")] if len(stale) > changed else []
    return ", ".join(parts + ([_count(changed, "changed file")] if changed else []))


def plan_task(
    stage: Stage, inputs: Mapping[str, Snapshot], lake: Lake, state: PipelineState, *, full: bool
) -> StagePlan:
    """One unit per partition, or one for the whole stage: those whose inputs or code changed are stale.

    Errors: PlanError where the declared partitioning is not that of the stage's first input.
    """
    before = state.stage(stage.name)
    fingerprint = stage_fingerprint(stage)
    sliced = sliced_inputs(stage, inputs)
    partitions = (
        sorted({p for name in sliced for p in inputs[name].partitions(stage.partition_by)}, key=str)
        if stage.partition_by
        else [()]
    )
    units = [Unit(stage=stage.name, partition=tuple(zip(stage.partition_by, p, strict=True))) for p in partitions]
    present = {unit.id for unit in units}
    dropped = tuple(u.unit for u in before.units.values() if u.unit.id not in present)
    touched, why = _touched(stage, sliced, inputs, lake, before, fingerprint, full)
    stale = [
        u for u in units if touched is None or u.id not in before.units or tuple(v for _, v in u.partition) in touched
    ]
    if why == "" and not stale and not dropped:
        return StagePlan(stage.name, "skip", "its inputs have not changed", units_fresh=len(units), inputs=inputs)
    wait = _waits(stage, before, full)
    added = _added(stage, inputs, lake, before, fingerprint, full)
    pinned = sorted((name, snapshot.version.version) for name, snapshot in inputs.items())
    planned = tuple(
        _plan_unit(
            unit, stage, inputs, sliced, digest(unit.id, fingerprint, before.epoch, pinned, added is None), added
        )
        for unit in stale
    )
    return StagePlan(
        stage=stage.name,
        action="wait" if wait else "run" if stale or dropped else "skip",
        reason=wait or why or f"{_count(len(stale), 'partition')} touched or new",
        units=() if wait else planned,
        units_fresh=len(units) - len(stale),
        dropped=dropped,
        inputs=inputs,
        fingerprint=fingerprint,
        seq=before.seq + 1,
        epoch=before.epoch,
    )


def sliced_inputs(stage: Stage, inputs: Mapping[str, Snapshot]) -> list[str]:
    """The inputs of which a unit reads its own partition only; it reads the others whole.

    Errors: PlanError where the stage's first input is not partitioned as the stage is.
    """
    if not stage.partition_by:
        return list(inputs)
    sliced = [name for name, snapshot in inputs.items() if set(stage.partition_by) <= set(snapshot.partition_by)]
    first = stage.inputs[0]
    if first not in sliced:
        raise PlanError(
            f"stage {stage.name!r} runs by {', '.join(stage.partition_by)}, but its first input {first!r} is partitioned by "
            f"{', '.join(inputs[first].partition_by) or 'nothing'}; give {first!r} `storage: {{partition_by: [{', '.join(stage.partition_by)}]}}`, "
            f"or take `partition_by` off {stage.name!r} to run it whole",
            stage=stage.name,
        )
    return sliced


def _touched(
    stage: Stage,
    sliced: Sequence[str],
    inputs: Mapping[str, Snapshot],
    lake: Lake,
    before: StageState,
    fingerprint: str,
    full: bool,
) -> tuple[set[Partition] | None, str]:
    """Partitions whose input changed since the last batch, None for all of them; and why, in words."""
    if full:
        return None, "asked for in full"
    if not before.seq:
        return None, "never run before"
    if before.fingerprint != fingerprint:
        return None, "its code, rules or settings changed"
    last = {version.table: version.version for version in before.inputs}
    touched: set[Partition] = set()
    for name, snapshot in inputs.items():
        since, until = last.get(name), snapshot.version.version
        if since is None or since > until:
            return None, f"{name} is not the table that it was"
        by = stage.partition_by if name in sliced else ()
        found = lake.touched(name, since, until, by)
        if found is None:
            return None, f"the log of {name} no longer tells what changed since version {since}"
        if found and not by:
            return None, f"{name} changed (version {since} → {until})"
        touched |= found
    return touched, f"{_count(len(touched), 'partition')} of {', '.join(sliced)} changed" if touched else ""


def _added(
    stage: Stage, inputs: Mapping[str, Snapshot], lake: Lake, before: StageState, fingerprint: str, full: bool
) -> tuple[str, ...] | None:
    """The files that an incremental stage has to read; None where it must read everything."""
    if stage.incremental is None or full or not before.seq or before.fingerprint != fingerprint:
        return None
    last = {version.table: version.version for version in before.inputs}
    first, *others = stage.inputs
    if any(last.get(n) is None or lake.touched(n, last[n], inputs[n].version.version, ()) != set() for n in others):
        return None
    if last.get(first) is None or last[first] > inputs[first].version.version:
        return None
    added = lake.added(first, last[first], inputs[first].version.version)
    return None if added is None else tuple(added)


def _plan_unit(
    unit: Unit,
    stage: Stage,
    inputs: Mapping[str, Snapshot],
    sliced: Sequence[str],
    key: str,
    added: tuple[str, ...] | None,
) -> PlannedUnit:
    slices = {name: inputs[name].slice(unit.partition) for name in sliced}
    first = slices[stage.inputs[0]]
    if added is not None:
        first = slices[stage.inputs[0]] = tuple(f for f in first if f.path in added)
    return PlannedUnit(
        unit=unit,
        key=key,
        rows=sum(f.rows for f in first),
        size_bytes=sum(f.size_bytes for files in slices.values() for f in files),
        added=added,
    )


def _waits(stage: Stage, before: StageState, full: bool) -> str:
    if stage.window is None or before.published_at is None or full:
        return ""
    due = before.published_at + stage.window.trigger_interval
    return f"its trigger interval ends at {due:%Y-%m-%d %H:%M:%S} UTC" if datetime.now(UTC) < due else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
