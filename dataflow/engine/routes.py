"""Sends rows along their routes: good ones go on, those that broke a rule or could not be read go to a side table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import polars as pl

from dataflow.engine.job import QUARANTINE_ID, READABLE, side_table
from dataflow.engine.passing import Aside
from dataflow.engine.writing import Writing
from dataflow.quality.routing import Routed
from dataflow.sources import BROKEN, LINE, RAW


def sink_routed(writing: Writing, frame: pl.LazyFrame) -> None:
    """Stage the good rows of ``frame``, and beside them those that the gate's rules set aside."""
    writing.sink(sink_aside_by_rules(writing, frame))


def sink_aside_by_rules(writing: Writing, frame: pl.LazyFrame) -> pl.LazyFrame:
    """Stage the rows that the gate's rules set aside, and those that they repair as they were.

    Returns the good ones, for one sink: the others are told apart as they pass on to it.
    """
    apart = list[Aside]()

    def part(rows: pl.LazyFrame, which: pl.Expr) -> tuple[pl.LazyFrame, pl.LazyFrame]:
        apart.append(Aside(rows.collect_schema(), which))
        return apart[0].over(rows), apart[0].rows

    routed = writing.job.routed(frame, part=part)
    _sink_sides(writing, routed, lambda _: apart[0].found)
    return routed.good


def look_aside_by_rules(writing: Writing, frame: pl.LazyFrame) -> pl.LazyFrame:
    """The same, where ``frame`` may be asked any number of times: for the others it is looked through by itself.

    Returns the good ones, which may be asked as often.
    """
    routed = writing.job.routed(frame)
    # Whether there are any is told by the columns of the rules alone.
    _sink_sides(writing, routed, lambda rows: bool(rows.select(pl.len()).collect().item()))
    return routed.good


def _sink_sides(writing: Writing, routed: Routed, there: Callable[[pl.LazyFrame], bool]) -> None:
    job, aside = writing.job, routed.quarantined
    if aside is not None:
        if job.stage.kind == "source":
            # So that the table has a place for what could not be read.
            aside = aside.with_columns(pl.lit(None, pl.Int64).alias(LINE), pl.lit(None, pl.String).alias(RAW))
        aside = _numbered(writing, aside)
    for what, rows in (("quarantine", aside), ("dropped", routed.dropped), ("repaired", routed.repaired)):
        if rows is not None:
            writing.sink_later(rows, side_table(job.stage.name, what), "side", partial(there, rows))


def sink_broken(writing: Writing, frame: pl.LazyFrame) -> pl.LazyFrame:
    """Stage the rows of ``frame`` that could not be read; return the others, for one sink."""
    if BROKEN not in frame.collect_schema():
        return frame
    job, why = writing.job, pl.col(BROKEN)
    told = (
        pl.concat_list(pl.lit(READABLE)).alias("_rules"),
        why.alias("_reason"),
        pl.lit(job.started_at, pl.Datetime("us", "UTC")).alias("_quarantined_at"),
        pl.col(LINE).cast(pl.Int64),
        pl.col(RAW).cast(pl.String),
    )
    apart = Aside(frame.collect_schema(), why.is_not_null())
    kept = [c for c in frame.collect_schema() if c not in (BROKEN, LINE, RAW)]
    broken = _numbered(writing, apart.rows.select(*kept, *told), "broken-")
    writing.sink_later(broken, side_table(job.stage.name, "quarantine"), "broken", lambda: apart.found)
    return apart.over(frame).filter(why.is_null()).select(kept)


def _numbered(writing: Writing, aside: pl.LazyFrame, mark: str = "") -> pl.LazyFrame:
    """Give quarantined rows a name of their own, by which they are found when they are sent again."""
    begins = f"{writing.job.plan.batch_id}/{writing.planned.unit.id}/{mark}"
    number = pl.col(QUARANTINE_ID).cast(pl.String)
    return aside.with_row_index(QUARANTINE_ID).with_columns(pl.concat_str(pl.lit(begins), number).alias(QUARANTINE_ID))
