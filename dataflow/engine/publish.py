"""Publishes an audited batch: intent, then one commit per table, then the record that it is done."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from dataflow.engine.changes import table_changes
from dataflow.engine.job import StageJob
from dataflow.errors import CommitConflict, LakeCorrupt, LakeError, SchemaConflict
from dataflow.lake import manifests as manifest_store
from dataflow.lake.commit import publish_change
from dataflow.lake.deletion_vectors import vector_paths
from dataflow.lake.lake import Lake
from dataflow.lake.lease import HeldLease
from dataflow.lake.seams import Seam, reach
from dataflow.lake.state import Intent, LateStep, Outputs, UnitState
from dataflow.model import Manifest, RowCounts, TableVersion, Verdict, manifest_digest
from dataflow.windows.lateness import advance


@dataclass
class Publication:
    """A batch on its way into its tables: an attempt goes on where the one before it stopped."""

    job: StageJob
    manifests: Sequence[Manifest]
    verdict: Verdict
    lease: HeldLease
    began: float
    """When the stage was begun, by ``time.perf_counter``."""
    intent: Intent | None = None
    recorded: bool = False
    outputs: Outputs | None = None


def publish_batch(batch: Publication) -> Outputs:
    """Publish exactly what the verdict is about.

    Errors: LakeError where the staged files are not those of the verdict; LeaseLost; CommitConflict; SchemaConflict.
    """
    job, lease = batch.job, batch.lease
    # Made once: after its first commit the tables no longer say what the batch found.
    intent = batch.intent = batch.intent or _promise(batch)
    if not batch.recorded:
        promise(intent, lease)
        batch.recorded = True
    if batch.outputs is None:
        batch.outputs = fulfil(job.lake, intent, lease)
        reach(Seam.PUBLICATION_RECORDED, intent.stage)
    manifest_store.clear(job.lake, job.stage.name)
    reach(Seam.MANIFESTS_CLEARED, job.stage.name)
    return batch.outputs


def promise(intent: Intent, lease: HeldLease) -> None:
    """Say in the journal what is going to be committed: from here on it is finished, whatever ends the run."""
    lease.record("intent", intent, stage=intent.stage, batch_id=intent.batch_id)
    reach(Seam.INTENT_RECORDED, intent.stage)


def fulfil(lake: Lake, intent: Intent, lease: HeldLease) -> Outputs:
    """Commit what of ``intent`` is not committed yet, and say in the journal that it is done.

    Errors: LeaseLost, CommitConflict, SchemaConflict, LakeCorrupt.
    """
    outputs = _commit(lake, intent, lease)
    lease.record("published", outputs, stage=intent.stage, batch_id=intent.batch_id)
    return outputs


def _promise(batch: Publication) -> Intent:
    job, manifests, verdict = batch.job, batch.manifests, batch.verdict
    if verdict.digest != manifest_digest(manifests):
        raise LakeError(
            f"stage {job.stage.name!r}: the staged files are not those that the gate judged; nothing is published. Run again",
            stage=job.stage.name,
        )
    seconds = time.perf_counter() - batch.began if job.plan.in_full else None
    return _intent(job, manifests, verdict, seconds).model_copy(update={"left": _unmarked(batch)})


def _unmarked(batch: Publication) -> tuple[str, ...]:
    """Of the published units that the batch leaves for later, those that the journal does not know as stale yet.

    A backfill of many batches names them once, not in each.
    """
    known = batch.lease.state.stage(batch.job.stage.name).units
    return tuple(id for id in batch.job.plan.left if id in known and known[id].key)


def _commit(lake: Lake, intent: Intent, lease: HeldLease) -> Outputs:
    """Commit what of ``intent`` is not committed yet."""
    outputs: list[TableVersion] = []
    for change in intent.changes:
        outputs.append(publish_change(lake, change, lease.lock))
        own = change.table == intent.stage
        reach(Seam.TABLE_PUBLISHED if own else Seam.SIDE_TABLE_PUBLISHED, change.table)
    return Outputs(outputs=tuple(outputs))


def roll_forward(lake: Lake, lease: HeldLease) -> list[str]:
    """Finish the batches that earlier runs had begun to publish.

    One that cannot be finished any more, as another writer replaced files or changed the table, or as staged files
    are gone, is abandoned: it is planned again, and no later run stumbles over it.
    """
    done: list[str] = []
    for intent in lease.state.intents.values():
        try:
            fulfil(lake, intent, lease)
            reach(Seam.PUBLICATION_RECORDED, intent.stage)
            done.append(f"batch {intent.batch_id}, begun by an interrupted run, was finished")
        except (CommitConflict, SchemaConflict, LakeCorrupt):
            lease.record("abandoned", Outputs(outputs=()), stage=intent.stage, batch_id=intent.batch_id)
            manifest_store.clear(lake, intent.stage)
            _discard(lake, intent)
            done.append(f"batch {intent.batch_id}, begun by an interrupted run, could not be finished{_again(intent)}")
        reach(Seam.INTENT_ROLLED_FORWARD, intent.stage)
    return done


def _again(intent: Intent) -> str:
    """How what an abandoned batch was to publish is published after all."""
    if not intent.replays:
        return " and is done again"
    return (
        f"; of the rows that it sent again, those that are no more in quarantine are in {intent.stage}__replayed, "
        f"and a run with --full sets them aside anew"
    )


def _discard(lake: Lake, intent: Intent) -> None:
    """Delete what an abandoned batch had staged, but for what some of its tables have taken already."""
    for change in intent.changes:
        named = lake.logged(change.table)
        staged = {file.path for file in change.adds} | vector_paths(change.deletes)
        for path in staged - named:
            if lake.fs.exists(place := lake.path(change.table, path)):
                lake.fs.rm_file(place)


def _intent(job: StageJob, manifests: Sequence[Manifest], verdict: Verdict, full_seconds: float | None) -> Intent:
    counts = sum((m.counts for m in manifests), RowCounts())
    before = job.late_steps
    newest = max((m.event_time_max for m in manifests if m.event_time_max), default=None)
    steps = before
    if job.stage.window is not None and newest is not None:
        known = [(step.file_id, step.watermark) for step in before]
        moved = advance(known, job.file_id_max, newest, job.stage.window.late_arrival_tolerance)
        steps = tuple(LateStep(file_id=file_id, watermark=watermark) for file_id, watermark in moved)
    assert job.plan.inputs is not None
    return Intent(
        stage=job.stage.name,
        batch_id=job.plan.batch_id,
        epoch=job.plan.epoch,
        seq=job.plan.seq,
        changes=tuple(c.model_copy(update={"marks": _marks(job, steps)}) for c in table_changes(job, manifests)),
        units=tuple(UnitState(unit=m.unit, key=m.key, batch_id=m.batch_id) for m in manifests),
        replays=job.plan.replays,
        dropped=job.plan.dropped,
        inputs=tuple(s.version for s in job.plan.inputs.values()),
        fingerprint=job.plan.fingerprint,
        counts=counts,
        verdict=verdict,
        event_time_max=newest,
        late_steps=steps[-1:],
        full_seconds=full_seconds,
    )


def _marks(job: StageJob, steps: Sequence[LateStep]) -> dict[str, str]:
    """What a commit repeats of the journal, for whoever reads a table's history."""
    marks = {"dataflow_epoch": str(job.plan.epoch)}
    if job.position is not None:
        marks["dataflow_position"] = json.dumps(job.position)
    if steps:
        marks["dataflow_event_time"] = steps[-1].watermark.isoformat()
    return marks
