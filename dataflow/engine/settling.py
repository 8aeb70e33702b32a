"""Settles a batch with the table that it comes to, as the stage's strategy says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from dataflow.dedup import REASON, TABLE_ROW
from dataflow.engine.effect import Effect, scan_table, take_effect
from dataflow.engine.routes import look_aside_by_rules, sink_aside_by_rules
from dataflow.engine.writing import Writing
from dataflow.errors import ConfigError


def settle(
    writing: Writing,
    produced: pl.LazyFrame,
    everything: Callable[[], pl.LazyFrame],
    *,
    anew: bool,
    going: pl.LazyFrame | None = None,
) -> Effect:
    """Stage what ``produced`` does to the table; ``anew`` where the table is computed from all of its input.

    With ``going``, ``produced`` is all there is to tell of these rows of the table: they are replaced by what it comes to.
    """
    job = writing.job
    assert job.stage.strategy is not None
    strategy = job.stage.strategy.strategy
    if taken := [name for name in (TABLE_ROW, REASON) if name in produced.collect_schema()]:
        raise ConfigError(
            f"stage {job.stage.name!r}: its rows have a column {taken[0]!r}, a name that strategies keep for themselves; "
            "rename it before, in a stage with a function",
            stage=job.stage.name,
            column=taken[0],
        )
    # Asked twice, a function may give its rows in another order, or other rows.
    again = job.repeatable
    rows = look_aside_by_rules(writing, produced) if again else _written_down(writing, produced)
    writing.count_now("settled", rows)
    head = None if anew else job.lake.head(job.stage.name)
    before = job.lake.snapshot(head) if head else None
    table = scan_table(job, before) if before and before.files and going is None else None
    settled = strategy.settle(rows, table, everything)
    if going is not None:
        settled = replace(settled, replaced=going)
    return take_effect(writing, settled, before, anew=anew)


def _written_down(writing: Writing, produced: pl.LazyFrame) -> pl.LazyFrame:
    return writing.written_down(sink_aside_by_rules(writing, produced))
