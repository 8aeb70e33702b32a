"""Which window a row falls into."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

import polars as pl

WINDOW_START, WINDOW_END = "window_start", "window_end"
"""The columns that a window adds."""
_DAY = timedelta(days=1)
_MONDAY = 4
"""The first Monday, in days since 1 January 1970."""


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
        day = local.dt.date().to_physical().cast(pl.Int64)
        first = day - (day - (0 if size.days % 7 else _MONDAY)) % size.days
        return lf.with_columns(window_start=_midnight(first, edge), window_end=_midnight(first + size.days, edge))
    width = size // timedelta(microseconds=1)
    # On the physical instant: truncating in local time would cut an hour that the clocks repeat in two.
    instant = local.to_physical()
    start = (instant - instant.mod(width)).cast(edge)
    return lf.with_columns(window_start=start).with_columns(
        window_end=(pl.col("window_start").to_physical() + width).cast(edge)
    )


def _midnight(day: pl.Expr, edge: pl.Datetime) -> pl.Expr:
    """The first instant of a local day, which is given in days since 1 January 1970."""
    clock = (day * (_DAY // timedelta(microseconds=1))).cast(pl.Datetime("us"))
    if edge.time_zone is None:
        return clock
    # Where clocks are put back over midnight it comes twice, and the day begins with the first.
    if not _skips_midnights(edge.time_zone):
        return clock.dt.replace_time_zone(edge.time_zone, ambiguous="earliest")
    exact = clock.dt.replace_time_zone(edge.time_zone, ambiguous="earliest", non_existent="null")
    # Where clocks skip midnight, the day begins when they land: 24 hours after the midnight before.
    before = (clock - _DAY).dt.replace_time_zone(edge.time_zone, ambiguous="earliest", non_existent="null")
    return pl.coalesce(exact, before + _DAY)


@lru_cache(maxsize=64)
def _skips_midnights(time_zone: str) -> bool:
    """Whether clocks ever jumped over midnight: in few zones, and only those pay for the second look."""
    midnights = pl.datetime_range(datetime(1900, 1, 1), datetime(2100, 1, 1), "1d", time_unit="us", eager=True)
    return midnights.dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null").has_nulls()
