"""Which partitions of a computed stage are stale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from dataflow.errors import PlanError
from dataflow.lake.lake import Lake, Partition, Snapshot
from dataflow.lake.state import PipelineState, StageState
from dataflow.model import Unit, digest
from dataflow.plan.fingerprint import stage_fingerprint
from dataflow.plan.units import PlannedUnit, StagePlan, count
from dataflow.workflow import Stage


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
        _plan_unit(unit, stage, inputs, sliced, digest(unit.id, fingerprint, pinned, added is None), added)
        for unit in stale
    )
    return StagePlan(
        stage=stage.name,
        action="wait" if wait else "run" if stale or dropped else "skip",
        reason=wait or why or f"{count(len(stale), 'partition')} touched or new",
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
            return None, f"{name} has other columns since version {since}, or its log no longer tells what changed"
        if found and not by:
            return None, f"{name} changed (version {since} → {until})"
        touched |= found
    return touched, f"{count(len(touched), 'partition')} of {', '.join(sliced)} changed" if touched else ""


def _added(
    stage: Stage, inputs: Mapping[str, Snapshot], lake: Lake, before: StageState, fingerprint: str, full: bool
) -> tuple[str, ...] | None:
    """The files that a stage with a strategy has to read; None where it must read everything."""
    if stage.strategy is None or full or not before.seq or before.fingerprint != fingerprint:
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
