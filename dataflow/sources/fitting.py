"""Rows of one schema as rows of another: a value moves where nothing of it is lost, else its row is marked as broken."""

from __future__ import annotations

import polars as pl

from dataflow.sources.files.fit import always_fits, json_ready
from dataflow.sources.files.types import type_name, typed
from dataflow.sources.source import BROKEN, LINE, RAW


def common_type(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    """The type that values of both are moved to; text where there is no other.

    Example:
        >>> common_type(pl.Int64(), pl.Float64()), common_type(pl.Boolean(), pl.Int64())
        (Float64, String)
    """
    if always_fits(one, other):
        return other
    if always_fits(other, one):
        return one
    if isinstance(one, pl.Decimal) or isinstance(other, pl.Decimal):
        exact = all(dtype.is_integer() or isinstance(dtype, pl.Decimal) for dtype in (one, other))
        scales = [dtype.scale for dtype in (one, other) if isinstance(dtype, pl.Decimal)]
        return pl.Decimal(38, max(scales)) if exact else pl.String()
    if one.is_numeric() and other.is_numeric():
        return pl.Float64()
    if {type(one), type(other)} == {pl.Date, pl.Datetime}:
        return one if isinstance(one, pl.Datetime) else other
    return pl.String()


def fitting(rows: pl.LazyFrame, found: pl.Schema, wanted: pl.Schema, *, row_index: str) -> pl.LazyFrame:
    """``rows`` of the types ``found`` (and ``row_index``) with the columns of ``wanted``; one that is not there is null.

    A row with a value that its column's type cannot hold has the reason in ``BROKEN``, which quotes no value, and in
    ``RAW`` the row as it is.
    """
    columns = {c: _value(c, found[c], dtype) if c in found else pl.lit(None, dtype) for c, dtype in wanted.items()}
    doubtful = [c for c, dtype in wanted.items() if c in found and not always_fits(found[c], dtype)]
    plain = [*(value.alias(c) for c, value in columns.items()), row_index]
    if not doubtful:
        return rows.select(plain)
    unfit = {c: pl.col(c).is_not_null() & columns[c].is_null() for c in doubtful}
    why = {c: f"a value of type {type_name(found[c])} that is no {type_name(wanted[c])}" for c in doubtful}
    reasons = [pl.when(wrong).then(pl.lit(f"column {c!r}: {why[c]}")) for c, wrong in unfit.items()]
    # Of rows that fit, which are the most, no JSON is made.
    broken = pl.any_horizontal(*unfit.values())
    told = [pl.when(broken).then(json_ready(c, dtype)).alias(c) for c, dtype in found.items()]
    return rows.select(
        *plain,
        pl.coalesce(reasons).alias(BROKEN),
        pl.when(broken).then(pl.struct(told).struct.json_encode()).alias(RAW),
        (pl.col(row_index).cast(pl.Int64) + 1).alias(LINE),
    )


def _value(column: str, found: pl.DataType, wanted: pl.DataType) -> pl.Expr:
    value = pl.col(column)
    if always_fits(found, wanted):
        return value if found == wanted else value.cast(wanted)
    if isinstance(found, pl.String):
        return typed(value, wanted)
    # Of a day and a local time either can stand for the other, but not of these and an instant.
    instants = {dtype.time_zone is not None for dtype in (found, wanted) if isinstance(dtype, pl.Datetime)}
    times = found.is_temporal() and wanted.is_temporal() and len(instants) == 1
    if not times and not (found.is_numeric() and wanted.is_numeric()):
        return pl.lit(None, wanted)
    cast = value.cast(wanted, strict=False)
    return pl.when(cast.cast(found, strict=False) == value).then(cast)
