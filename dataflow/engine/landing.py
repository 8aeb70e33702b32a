"""Lands one item of a source: its rows as they are, numbered; what cannot be read is set aside with its reason."""

from __future__ import annotations

import polars as pl

from dataflow.engine.job import BATCH_ID, QUARANTINE, StageJob, is_system
from dataflow.engine.routes import sink_broken, sink_routed
from dataflow.engine.writing import Writing
from dataflow.errors import ConfigError, SourceCorrupt
from dataflow.model import ROW_ID, ROWS_PER_FILE, SOURCE_FILE, Manifest, RowCounts
from dataflow.plan import PlannedUnit
from dataflow.sources import BROKEN


def land_unit(job: StageJob, planned: PlannedUnit, writing: Writing) -> Manifest:
    """Stage the rows of an item; where they cannot be read in the plain way, those that can be saved.

    Errors: SourceError, and what Polars raises where nothing can be saved.
    """
    assert job.source is not None
    assert planned.item is not None
    if taken := [c for c in job.contract if is_system(c) or c in (BROKEN, *QUARANTINE)]:
        raise ConfigError(
            f"source {job.stage.name!r}: column {taken[0]!r} has a name that dataflow keeps for itself; rename it in the file",
            stage=job.stage.name,
        )
    try:
        rows = job.source.scan(planned.item, job.contract, row_index=ROW_ID)
        _stage(job, planned, writing, rows)
        job.source.verify(planned.item, writing.nulls())
        return _landed(job, planned, writing)
    except (SourceCorrupt, pl.exceptions.PolarsError, OSError):
        salvaged = job.source.salvage(planned.item, job.contract, row_index=ROW_ID)
        if salvaged is None:
            raise
    writing.start_over()
    _stage(job, planned, writing, salvaged)
    # Of short lines there is no doubt any more; the item may still have changed meanwhile.
    job.source.verify(planned.item, ())
    return _landed(job, planned, writing)


def _stage(job: StageJob, planned: PlannedUnit, writing: Writing, raw: pl.LazyFrame) -> None:
    assert planned.record is not None
    numbered = raw.with_columns(
        (pl.lit(planned.record.file_id * ROWS_PER_FILE, pl.Int64) + pl.col(ROW_ID).cast(pl.Int64)).alias(ROW_ID),
        pl.lit(job.plan.batch_id).alias(BATCH_ID),
        pl.lit(job.started_at, pl.Datetime("us", "UTC")).alias("_ingested_at"),
        pl.lit(planned.record.name).alias(SOURCE_FILE),
    )
    readable = sink_broken(writing, numbered)
    sink_routed(writing, writing.counting("read", readable))
    writing.collect()


def _landed(job: StageJob, planned: PlannedUnit, writing: Writing) -> Manifest:
    broken = sum(f.rows for f in writing.files if f.role == "broken")
    if broken:
        writing.notes.append(
            f"{planned.unit.label}: {broken} row{'' if broken == 1 else 's'} could not be read; "
            f"{job.stage.name}__quarantine tells line and reason"
        )
    rows = writing.counted("read") + broken
    return writing.manifest(writing.outcome(RowCounts(read=rows, produced=rows)))
