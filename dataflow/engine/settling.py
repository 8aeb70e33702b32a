"""Settles a batch with the table that it comes to, as the stage's strategy says."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from dataflow.dedup import REASON, TABLE_FILE
from dataflow.engine.effect import Effect, scan_table, take_effect
from dataflow.engine.writing import Writing
from dataflow.errors import ConfigError
from dataflow.workflow.strategies import as_they_are


def settle(writing: Writing, produced: pl.LazyFrame, everything: Callable[[], pl.LazyFrame], *, anew: bool) -> Effect:
    """Stage what ``produced`` does to the table; ``anew`` where the table is computed from all of its input."""
    job = writing.job
    assert job.stage.strategy is not None
    strategy = job.stage.strategy.strategy
    if taken := [name for name in (TABLE_FILE, REASON) if name in produced.collect_schema()]:
        raise ConfigError(
            f"stage {job.stage.name!r}: its rows have a column {taken[0]!r}, a name that strategies keep for themselves; "
            "rename it before, in a stage with a function",
            stage=job.stage.name,
            column=taken[0],
        )
    rows = writing.sink_aside_by_rules(produced)
    if job.stage.function is not as_they_are:
        # Asked twice, a function may give its rows in another order, or other rows.
        rows = writing.written_down(rows)
    head = None if anew else job.lake.head(job.stage.name)
    before = job.lake.snapshot(head) if head else None
    table = scan_table(job, before) if before and before.files else None
    return take_effect(writing, rows, strategy.settle(rows, table, everything), before, anew=anew)
