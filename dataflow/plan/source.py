"""Which files of a source are to be landed."""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.incremental.files import Detection, detect
from dataflow.lake.state import PipelineState, StageState
from dataflow.model import SOURCE_FILE, Unit, digest
from dataflow.plan.fingerprint import stage_fingerprint
from dataflow.plan.units import PlannedUnit, StagePlan, count
from dataflow.sources import Source
from dataflow.workflow import Stage


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
            unit=Unit(stage=stage.name, partition=((SOURCE_FILE, item.name),)),
            key=digest(stage.name, item.name, record.content_hash, fingerprint),
            size_bytes=item.size_bytes,
            item=item,
            record=record,
        )
        for item, record in zip(items, found.records, strict=True)
    ]
    keys = {unit_id: unit.key for unit_id, unit in before.units.items()}
    stale = tuple(u for u in planned if full or keys.get(u.unit.id) != u.key)
    return StagePlan(
        stage=stage.name,
        action="run" if stale else "skip",
        reason=_source_reason(stale, found, before, fingerprint, full) + _left(before, planned, fingerprint, full),
        units=stale,
        units_fresh=len(planned) - len(stale),
        inputs={},
        fingerprint=fingerprint,
        seq=before.seq + 1,
        epoch=before.epoch,
        unrecorded=found.unrecorded,
    )


def _source_reason(
    stale: Sequence[PlannedUnit], found: Detection, before: StageState, fingerprint: str, full: bool
) -> str:
    if not stale:
        return "no new or changed files"
    if full:
        return f"asked for in full: {count(len(stale), 'file')}"
    if before.seq and before.fingerprint != fingerprint:
        return f"its settings changed: {count(len(stale), 'file')} to land again"
    changed = sum(u.unit.partition[0][1] in found.changed for u in stale)
    parts = [count(len(stale) - changed, "new file")] if len(stale) > changed else []
    return ", ".join(parts + ([count(changed, "changed file")] if changed else []))


def _left(before: StageState, planned: Sequence[PlannedUnit], fingerprint: str, full: bool) -> str:
    """What is said of files that are gone where all the others are landed in another way."""
    gone = len(before.units.keys() - {unit.unit.id for unit in planned})
    changed = before.seq > 0 and before.fingerprint != fingerprint
    told = "is not there any more and stays" if gone == 1 else "are not there any more and stay"
    return f"; {count(gone, 'file')} {told} as landed" if gone and (full or changed) else ""
