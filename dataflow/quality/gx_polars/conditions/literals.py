"""What a caller writes as bounds and sets, as the column's type."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from dateutil import parser as dates

from .questions import Column


def bound(asked: Column, value: Any) -> Any:
    """A bound as the column's type: text and days become instants where the column holds them; in UTC unless they say."""
    if asked.dtype.is_temporal() and isinstance(value, str):
        value = dates.parse(value)
        if asked.dtype == pl.Time:
            return value.time()
        if asked.dtype == pl.Date and value.time() == dt.time():
            value = value.date()
    if not isinstance(asked.dtype, pl.Datetime) or not isinstance(value, dt.date):
        return value
    moment = value if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time())
    if asked.dtype.time_zone is None:
        return moment if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)
    aware = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    return aware.astimezone(ZoneInfo(asked.dtype.time_zone))  # Polars compares instants of one zone only


def members(asked: Column, values: Iterable[Any]) -> pl.Series:
    """The values that the column's type can hold at all: the others cannot be in it."""
    dtype, kept = asked.dtype, [value for value in values if value is not None]
    if dtype.is_numeric():
        return _numbers(dtype, [value for value in kept if isinstance(value, int | float | Decimal)])
    if dtype.is_temporal():
        return pl.Series(
            [bound(asked, v) for v in kept if isinstance(v, str | dt.date | dt.time | dt.timedelta)], dtype=dtype
        )
    if dtype == pl.Boolean:
        return pl.Series([bool(v) for v in kept if v in (0, 1)], dtype=dtype)
    return pl.Series([v for v in kept if isinstance(v, str)], dtype=pl.String)


def _numbers(dtype: pl.DataType, values: list[int | float | Decimal]) -> pl.Series:
    if dtype.is_integer():
        whole = [int(v) for v in values if v == v and abs(v) < 2**100 and v == int(v)]
        return pl.Series(whole, dtype=pl.Int128).cast(dtype, strict=False).drop_nulls()
    if not isinstance(dtype, pl.Decimal):
        return pl.Series([float(v) for v in values], dtype=pl.Float64).cast(dtype)
    # 1.55 is not among tenths, and must not become one by rounding.
    limit = Decimal(10) ** (dtype.precision - dtype.scale)
    with localcontext(prec=100):
        near = [v for v in (Decimal(str(v)) for v in values) if v.is_finite() and abs(v) < limit]
        return pl.Series([v for v in near if v == round(v, dtype.scale)], dtype=dtype)


def key(asked: Column) -> pl.Expr:
    """The column as what its ``members`` are compared with."""
    plain = asked.dtype.is_numeric() or asked.dtype.is_temporal() or asked.dtype == pl.Boolean
    return asked.expr if plain else asked.text
