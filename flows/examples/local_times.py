"""Times of day on local clocks, and the instants at which the clocks show them.

Expressions only, over a column ``zone`` where rows have zones of their own.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

NEW_YORK = "America/New_York"

ZONES = (
    NEW_YORK,
    "America/Chicago",
    "America/Denver",
    "America/Phoenix",
    "America/Los_Angeles",
    "America/Anchorage",
    "Pacific/Honolulu",
    "America/Puerto_Rico",
    "America/St_Thomas",
)
"""Zones that rows may have; times of rows in another or unknown zone are null."""

MINUTES_A_DAY = 24 * 60


def minutes_of(name: str) -> pl.Expr:
    """A column of minutes as a duration."""
    return pl.duration(minutes=pl.col(name))


def local_time(instant: pl.Expr, zone: str) -> pl.Expr:
    """What clocks in ``zone`` show, as a Datetime without a zone."""
    return instant.dt.convert_time_zone(zone).dt.replace_time_zone(None)


def instant_of(local: pl.Expr, zone: str) -> pl.Expr:
    """When clocks in ``zone`` show ``local``: the first time of two; an hour on where they skip it."""

    def first(local: pl.Expr) -> pl.Expr:
        return local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")

    shown = first(local)
    return pl.coalesce(shown, first(pl.when(shown.is_null()).then(local + pl.duration(hours=1))))


def by_zone(function: Callable[[pl.Expr, str], pl.Expr], times: pl.Expr) -> pl.Expr:
    """``function`` of ``times`` and each row's own zone.

    Polars takes a zone for a whole column, so each zone has a branch; rows of other zones are null in it, which costs
    next to nothing.
    """
    return pl.coalesce(function(pl.when(pl.col("zone") == zone).then(times), zone) for zone in ZONES)


def next_time(flights: pl.LazyFrame, name: str, *, after: pl.Expr, clock: str) -> pl.LazyFrame:
    """Add ``name``: the next instant after ``after`` at which the clock in the row's zone shows ``clock``.

    The clocks' readings are compared: this day where ``clock`` is the later time of day there, else the next day.
    """
    start, day = pl.col(name), pl.col(name).dt.truncate("1d")
    this_day, next_day = day + minutes_of(clock), day + pl.duration(days=1) + minutes_of(clock)
    return (
        # Three steps, so that no expression repeats the branches of another.
        flights.with_columns(by_zone(local_time, after).alias(name))
        .with_columns(pl.when(this_day > start).then(this_day).otherwise(next_day).alias(name))
        .with_columns(by_zone(instant_of, pl.col(name)).alias(name))
    )


def shows(local: pl.Expr, clock: str) -> pl.Expr:
    """Whether ``local`` has the time of day ``clock``, in minutes since midnight; null where one is unknown."""
    return local.dt.hour().cast(pl.Int32) * 60 + local.dt.minute() == pl.col(clock) % MINUTES_A_DAY
