"""Runs one unit of a stage: one lazy plan from what it reads to the files that it stages."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dataflow.engine.admission import admit
from dataflow.engine.call import call_function, unit_errors
from dataflow.engine.job import BATCH_ID, StageJob, is_system
from dataflow.engine.merge import merge
from dataflow.engine.produced import stage_produced
from dataflow.engine.replay import replay_unit
from dataflow.engine.seams import Seam, reach
from dataflow.engine.writing import Writing
from dataflow.errors import BooksUnbalanced, ConfigError, StageFailed, hint
from dataflow.lake import manifests
from dataflow.lineage.row_ids import row_id_column
from dataflow.model import ROW_ID, ROWS_PER_FILE, SOURCE_FILE, Manifest, RowCounts, Staged
from dataflow.plan import PlannedUnit


def stage_units(job: StageJob, units: Sequence[PlannedUnit]) -> Staged:
    """Stage the units of one task group, one after the other."""
    return Staged(manifests=tuple(stage_unit(job, unit) for unit in units))


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
        kind = replay_unit if planned.replays else _land if job.source is not None else _compute
        manifest = kind(job, planned, writing)
    if wrong := manifest.counts.imbalance:
        raise BooksUnbalanced(
            f"stage {job.stage.name!r}, {planned.unit.label}: {wrong}; nothing of it is published", stage=job.stage.name
        )
    reach(Seam.UNIT_WRITTEN, f"{job.stage.name} {planned.unit.label}")
    return manifest


def _land(job: StageJob, planned: PlannedUnit, writing: Writing) -> Manifest:
    assert job.source is not None
    assert planned.item is not None
    assert planned.record is not None
    if taken := [c for c in job.columns if is_system(c)]:
        raise ConfigError(
            f"source {job.stage.name!r}: column {taken[0]!r} has a name that dataflow keeps for itself; rename it in the file",
            stage=job.stage.name,
        )
    raw = job.source.scan(planned.item, columns=job.columns, row_index=ROW_ID)
    landed = raw.with_columns(
        (pl.lit(planned.record.file_id * ROWS_PER_FILE, pl.Int64) + pl.col(ROW_ID).cast(pl.Int64)).alias(ROW_ID),
        pl.lit(job.plan.batch_id).alias(BATCH_ID),
        pl.lit(job.started_at, pl.Datetime("us", "UTC")).alias("_ingested_at"),
        pl.lit(planned.record.name).alias(SOURCE_FILE),
    )
    writing.count("read", raw)
    writing.sink_routed(landed)
    writing.collect()
    job.source.verify(planned.item, writing.nulls())
    rows = writing.counted("read")
    return writing.manifest(writing.outcome(RowCounts(read=rows, produced=rows)))


def _compute(job: StageJob, planned: PlannedUnit, writing: Writing) -> Manifest:
    frames = {name: _read(job, name, planned) for name in job.stage.inputs}
    frames = admit(job, frames, writing)
    produced = _finish(job, call_function(job.stage, frames, rides=job.rides))
    _check_named(job, produced.collect_schema().names())
    stage_produced(writing, produced)
    merged = merge(writing) if planned.added is not None else None
    counts = _books(job, planned, writing)
    if merged is None:
        return writing.manifest(counts)
    effect = merged.effect(counts.published)
    return writing.manifest(counts.model_copy(update=effect), removes={job.stage.name: merged.removes})


def _check_named(job: StageJob, columns: Sequence[str]) -> None:
    """Errors: ConfigError for a column that the stage's settings name and its function does not return."""
    stage, own = job.stage, [c for c in columns if not is_system(c)]
    named = {
        "storage.partition_by": stage.storage.partition_by,
        "deduplicate.key": stage.deduplicate.key if stage.deduplicate else (),
        "deduplicate.order_by": stage.deduplicate.order_by if stage.deduplicate else (),
        "incremental.key_columns": stage.incremental.key_columns if stage.incremental else (),
        "incremental.timestamp_column": (stage.incremental.timestamp_column,) if stage.incremental else (),
        "members": (stage.members,) if stage.members else (),
    }
    for key, names in named.items():
        if missing := [name for name in names if name not in columns]:
            raise ConfigError(
                f"stage {stage.name!r}: {key} names {missing[0]!r}, which its function does not return{hint(missing[0], own)}",
                stage=stage.name,
                key=key,
            )


def _read(job: StageJob, name: str, planned: PlannedUnit) -> pl.LazyFrame:
    assert job.plan.inputs is not None
    snapshot = job.plan.inputs[name]
    files = snapshot.slice(planned.unit.partition) if name in job.sliced else snapshot.files
    if planned.added is not None and name == job.stage.inputs[0]:
        files = tuple(f for f in files if f.path in planned.added)
    # The log has them in no order of ours, and of rows that are equal otherwise the order of arrival decides.
    return job.lake.scan(snapshot, sorted(files, key=lambda file: job.arrival(file.path)))


def _finish(job: StageJob, frame: pl.LazyFrame) -> pl.LazyFrame:
    """Give the first input's row id its plain name, and say which batch the rows are of."""
    riding = job.carried.columns if job.carried else ()
    first = row_id_column(job.stage.inputs[0])
    renamed = frame.rename({first: ROW_ID}) if first in riding else frame
    return renamed.with_columns(pl.lit(job.plan.batch_id).alias(BATCH_ID))


def _books(job: StageJob, planned: PlannedUnit, writing: Writing) -> RowCounts:
    """Where the rows went; every term from a count of its own or from the footers of files."""
    late = writing.rows("late")
    ended = writing.outcome(RowCounts(read=planned.rows, late=late))
    produced = writing.counted("produced", ended.quarantined + ended.dropped + ended.deduplicated + ended.published)
    given = writing.counted("given", planned.rows - late)
    if given + late != planned.rows:
        raise BooksUnbalanced(
            f"stage {job.stage.name!r}, {planned.unit.label}: its input holds {planned.rows} rows, {given + late} were read",
            stage=job.stage.name,
        )
    base = ended.model_copy(update={"produced": produced})
    if job.stage.rows == "grouped" or (
        job.stage.rows == "any" and job.carried is not None and job.carried.rows == "grouped"
    ):
        members = writing.total(job.stage.members) if job.stage.members else given
        if members != given:
            raise BooksUnbalanced(
                f"stage {job.stage.name!r}, {planned.unit.label}: the groups count {members} members in {job.stage.members!r}, but {given} rows went in",
                stage=job.stage.name,
            )
        # Out of nothing comes a row or none: the sum over no rows is one.
        return base.model_copy(update={"aggregated": given} if given else {"fan_out": produced})
    if job.stage.rows == "preserved" and produced != given:
        raise StageFailed(
            f"stage {job.stage.name!r}, {planned.unit.label}: declared to preserve rows, but {given} went in and {produced} came out; "
            f"{'a join multiplies rows: make its right side unique' if produced > given else 'keep the rows and flag them instead'}, or declare rows: any",
            stage=job.stage.name,
        )
    return base.model_copy(update={"filtered": max(0, given - produced), "fan_out": max(0, produced - given)})
