"""Which window a row falls into."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

_DAY = timedelta(days=1)


def window_type(dtype: pl.DataType, time_zone: str | None) -> pl.Datetime:
    """The type of the windows' edges for a time column of type ``dtype``."""
    aware = isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
    return pl.Datetime("us", (time_zone or "UTC") if aware else None)


def assign_windows(lf: pl.LazyFrame, *, time_column: str, size: timedelta, time_zone: str | None) -> pl.LazyFrame:
    """Add ``window_start`` and ``window_end``, the edges of the tumbling window that a row falls into.

    Windows of whole days begin at midnight of ``time_zone`` (by default of UTC), counted from 1 January 1970 (weeks from
    Mondays), and are an hour shorter or longer when its clocks change; other sizes are counted in UTC from the epoch. Times
    without a zone and dates are taken for local ones: their edges have no zone either.
    Nulls: a row without a time is in no window; both edges are null.
    """
    edge = window_type(lf.collect_schema()[time_column], time_zone)
    local = pl.col(time_column).cast(pl.Datetime("us", edge.time_zone))
    if size % _DAY == timedelta(0):
        days = f"{size // _DAY}d" if size.days % 7 else f"{size.days // 7}w"
        start = local.dt.truncate(days)
        # By way of noon: where clocks skip midnight, the next window begins at the first instant of its day.
        end = pl.col("window_start").dt.offset_by(f"{days}12h").dt.truncate("1d")
        return lf.with_columns(window_start=start).with_columns(window_end=end)
    width = size // timedelta(microseconds=1)
    # On the physical instant: truncating in local time would cut an hour that the clocks repeat in two.
    instant = local.to_physical()
    start = (instant - instant.mod(width)).cast(edge)
    return lf.with_columns(window_start=start).with_columns(
        window_end=(pl.col("window_start").to_physical() + width).cast(edge)
    )
