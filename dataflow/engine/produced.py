"""What becomes of the rows that a stage produced: one per key, then along the routes of its gate."""

from __future__ import annotations

import polars as pl

from dataflow.config import DeduplicateConfig
from dataflow.dedup.by_key import deduplicate, duplicates
from dataflow.engine.job import StageJob
from dataflow.engine.writing import Writing
from dataflow.model import ROW_ID


def stage_produced(writing: Writing, produced: pl.LazyFrame) -> None:
    """Stage the rows: good ones for the stage's table, duplicates and those that the gate sets aside beside it."""
    job, dedup = writing.job, _deduplication(writing.job)
    if dedup:
        # A count beside the sinks would make Polars compute what it counts a second time, but for the cache.
        produced = produced.cache()
        writing.count("produced", produced)
    if dedup and job.stage.incremental:
        # A row that is set aside must not have replaced a good one: in a delivery of its own it would not either.
        produced = writing.sink_broken(produced).cache()
        writing.sink(deduplicate(produced, dedup.key, order_by=dedup.order_by, keep=dedup.keep))
    elif dedup:
        writing.sink_routed(deduplicate(produced, dedup.key, order_by=dedup.order_by, keep=dedup.keep))
    else:
        writing.sink_routed(produced)
    writing.collect()
    if dedup and writing.counted("produced") > writing.rows() + writing.rows("quarantine") + writing.rows("dropped"):
        dropped = _dropped(writing, produced, dedup)
        writing.sink_aside("duplicates", dropped)
        writing.collect()


def _deduplication(job: StageJob) -> DeduplicateConfig | None:
    incremental = job.stage.incremental
    if incremental is None:
        return job.stage.deduplicate
    return DeduplicateConfig(key=incremental.key_columns, order_by=(incremental.timestamp_column,), keep="last")


def _dropped(writing: Writing, produced: pl.LazyFrame, dedup: DeduplicateConfig) -> pl.LazyFrame:
    """The produced rows that deduplication left out."""
    carried = writing.job.carried
    if carried and carried.rows in ("preserved", "subset") and ROW_ID in produced.collect_schema():
        return produced.join(writing.staged(ROW_ID), on=ROW_ID, how="anti", maintain_order="left")
    return duplicates(produced, dedup.key, order_by=dedup.order_by, keep=dedup.keep)
