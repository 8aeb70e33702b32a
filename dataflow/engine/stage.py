"""Runs one unit of a stage: one lazy plan from what it reads to the files that it stages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from dataflow.engine.admission import admit
from dataflow.engine.call import unit_errors
from dataflow.engine.counting import books
from dataflow.engine.increments import compute_increment
from dataflow.engine.job import StageJob
from dataflow.engine.landing import land_unit
from dataflow.engine.logs import log, within
from dataflow.engine.produced import stage_produced
from dataflow.engine.reading import check_named, every_row, produced_rows, read
from dataflow.engine.replay import replay_unit
from dataflow.engine.settling import settle
from dataflow.engine.writing import Writing
from dataflow.errors import BooksUnbalanced
from dataflow.lake import manifests
from dataflow.lake.seams import Seam, reach
from dataflow.model import Manifest, Staged
from dataflow.plan import PlannedUnit


def stage_units(job: StageJob, units: Sequence[PlannedUnit]) -> Staged:
    """Stage the units of one task group, one after the other."""
    manifests: list[Manifest] = []
    for planned in units:
        with within(unit=planned.unit.label):
            manifests.append(stage_unit(job, planned))
            rows = manifests[-1].counts
            log.info("%s, %s: staged %d of %d rows", job.stage.name, planned.unit.label, rows.published, rows.read)
    return Staged(manifests=tuple(manifests))


def stage_unit(job: StageJob, planned: PlannedUnit) -> Manifest:
    """Stage one unit, unless an interrupted run has done so already.

    Errors: StageFailed, SourceCorrupt, SchemaDrift, SchemaConflict, BooksUnbalanced, LakeError.
    """
    found = manifests.load(
        job.lake, job.stage.name, planned.key, batch_id=job.plan.batch_id, expires_after=job.stage.cache.expires_after
    )
    if found is not None:
        return found
    writing = Writing(job, planned)
    try:
        manifest = _write(job, planned, writing)
        manifests.save(job.lake, manifest)
    except Exception:
        # The next attempt may name its files in another way, and overwrite only some of these.
        writing.discard()
        raise
    reach(Seam.UNIT_STAGED, f"{job.stage.name} {planned.unit.label}")
    return manifest


def _write(job: StageJob, planned: PlannedUnit, writing: Writing) -> Manifest:
    with unit_errors(job, planned):
        kind = replay_unit if planned.replays else land_unit if job.source is not None else _compute
        manifest = kind(job, planned, writing)
    if wrong := manifest.counts.imbalance:
        raise BooksUnbalanced(
            f"stage {job.stage.name!r}, {planned.unit.label}: {wrong}; nothing of it is published", stage=job.stage.name
        )
    reach(Seam.UNIT_WRITTEN, f"{job.stage.name} {planned.unit.label}")
    return manifest


def _compute(job: StageJob, planned: PlannedUnit, writing: Writing) -> Manifest:
    if planned.increment is not None:
        return compute_increment(job, planned, writing)
    inputs = admit(job, {name: read(job, name, planned) for name in job.stage.inputs}, writing)
    produced = produced_rows(job, inputs)
    check_named(job, produced)
    if job.stage.strategy is None:
        stage_produced(writing, produced)
        return writing.manifest(books(job, planned, writing, planned.rows))
    effect = settle(writing, produced, partial(every_row, job), anew=True)
    counts = effect.told(books(job, planned, writing, planned.rows))
    return writing.manifest(counts, removes={job.stage.name: effect.removes})
