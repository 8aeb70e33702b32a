"""What becomes of the rows that a stage produced: one per key, then along the routes of its gate."""

from __future__ import annotations

import polars as pl

from dataflow.config import DeduplicateConfig
from dataflow.dedup.by_key import deduplicate, duplicates
from dataflow.engine.job import StageJob, is_system
from dataflow.engine.routes import sink_routed
from dataflow.engine.writing import Writing
from dataflow.model import ROW_ID


def stage_produced(writing: Writing, produced: pl.LazyFrame) -> None:
    """Stage the rows: good ones for the stage's table, duplicates and those that the gate sets aside beside it."""
    dedup = writing.job.stage.deduplicate
    if dedup is None:
        sink_routed(writing, produced)
        writing.collect()
        return
    # A count beside the sinks would make Polars compute what it counts a second time, but for the cache.
    produced = produced.cache()
    writing.count("produced", produced)
    sink_routed(writing, one_per_key(writing.job, produced, dedup))
    writing.collect()
    stage_duplicates(writing, produced, dedup)


def stage_duplicates(writing: Writing, produced: pl.LazyFrame, dedup: DeduplicateConfig) -> None:
    """Stage the produced rows that deduplication left out, if there are any."""
    if writing.counted("produced") > writing.rows() + writing.rows("quarantine") + writing.rows("dropped"):
        writing.sink_aside("duplicates", _dropped(writing, produced, dedup))
        writing.collect()


def _dropped(writing: Writing, produced: pl.LazyFrame, dedup: DeduplicateConfig) -> pl.LazyFrame:
    """The produced rows that deduplication left out."""
    if _has_single_ids(writing.job, produced.collect_schema()):
        return produced.join(writing.staged(ROW_ID), on=ROW_ID, how="anti", maintain_order="left")
    return duplicates(produced, dedup.key, order_by=_order(writing.job, produced, dedup), keep=dedup.keep)


def one_per_key(job: StageJob, produced: pl.LazyFrame, dedup: DeduplicateConfig) -> pl.LazyFrame:
    """The rows that deduplication leaves, the same ones however often their files were written again since they came."""
    return deduplicate(produced, dedup.key, order_by=_order(job, produced, dedup), keep=dedup.keep)


def _order(job: StageJob, produced: pl.LazyFrame, dedup: DeduplicateConfig) -> list[str]:
    """By what it is decided which row of a key stays."""
    schema = produced.collect_schema()
    if job.as_made and job.is_landed(job.stage.inputs[0]):
        return list(dedup.order_by)
    ids = [ROW_ID] if ROW_ID in schema else []
    if ids and (job.as_made or _has_single_ids(job, schema)):
        return [*dedup.order_by, *ids]
    told = [name for name in schema if not is_system(name) and name not in dedup.order_by]
    return [*dedup.order_by, *ids, *told]


def _has_single_ids(job: StageJob, schema: pl.Schema) -> bool:
    """Whether no two of the produced rows have one id: in a table of ours, a row that became many may have left its id in many."""
    kept = job.carried is not None and job.carried.rows in ("preserved", "subset")
    return kept and job.single_ids and ROW_ID in schema
