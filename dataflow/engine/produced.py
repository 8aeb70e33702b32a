"""What becomes of the rows that a stage produced: one per key, then along the routes of its gate."""

from __future__ import annotations

import polars as pl

from dataflow.config import DeduplicateConfig
from dataflow.dedup.by_key import deduplicate, duplicates
from dataflow.engine.writing import Writing
from dataflow.model import ROW_ID


def stage_produced(writing: Writing, produced: pl.LazyFrame) -> None:
    """Stage the rows: good ones for the stage's table, duplicates and those that the gate sets aside beside it."""
    dedup = writing.job.stage.deduplicate
    if dedup is None:
        writing.sink_routed(produced)
        writing.collect()
        return
    # A count beside the sinks would make Polars compute what it counts a second time, but for the cache.
    produced = produced.cache()
    writing.count("produced", produced)
    writing.sink_routed(deduplicate(produced, dedup.key, order_by=dedup.order_by, keep=dedup.keep))
    writing.collect()
    if writing.counted("produced") > writing.rows() + writing.rows("quarantine") + writing.rows("dropped"):
        writing.sink_aside("duplicates", _dropped(writing, produced, dedup))
        writing.collect()


def _dropped(writing: Writing, produced: pl.LazyFrame, dedup: DeduplicateConfig) -> pl.LazyFrame:
    """The produced rows that deduplication left out."""
    carried = writing.job.carried
    if carried and carried.rows in ("preserved", "subset") and ROW_ID in produced.collect_schema():
        return produced.join(writing.staged(ROW_ID), on=ROW_ID, how="anti", maintain_order="left")
    return duplicates(produced, dedup.key, order_by=dedup.order_by, keep=dedup.keep)
