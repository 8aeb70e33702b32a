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

NANOSECONDS = {"ns": 1, "us": 1000, "ms": 1_000_000}


def bound(asked: Column, value: Any) -> Any:
    """A bound as the column's type: text and days become instants where the column holds them; in UTC unless they say."""
    if asked.dtype.is_temporal() and isinstance(value, str):
        value = dates.parse(value)
        if asked.dtype == pl.Time:
            return value.time()
    if asked.dtype == pl.Date and isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date()
    if not isinstance(asked.dtype, pl.Datetime) or not isinstance(value, dt.date):
        return value
    moment = value if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time())
    if asked.dtype.time_zone is None:
        return moment if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)
    aware = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    return aware.astimezone(ZoneInfo(asked.dtype.time_zone))  # Polars compares instants of one zone only


def aligned(value: pl.Expr, dtype: pl.DataType, *bounds: Any) -> tuple[Any, ...]:
    """Instants or spans, and bounds of them, so that Polars compares them exactly: it cuts the finer of two units."""
    given = [one for one in bounds if one is not None]
    kind, unit = (dt.datetime if isinstance(dtype, pl.Datetime) else dt.timedelta), getattr(dtype, "time_unit", "us")
    if all(isinstance(one, kind) for one in given) and (unit == "ns" or not all(_fits(one, dtype) for one in given)):
        return nanoseconds(value, unit), *(None if one is None else _microseconds(one) * 1000 for one in bounds)
    return value, *bounds


def nanoseconds(value: pl.Expr, unit: str) -> pl.Expr:
    """Instants or spans of a unit as integers, of which none is too far off."""
    physical = value.to_physical()
    return physical if unit == "ns" else physical.cast(pl.Int128) * NANOSECONDS[unit]


def _microseconds(one: dt.datetime | dt.timedelta) -> int:
    if isinstance(one, dt.datetime):
        one = one - dt.datetime(1970, 1, 1, tzinfo=None if one.tzinfo is None else dt.UTC)
    return one // dt.timedelta(microseconds=1)


def _fits(one: Any, dtype: pl.DataType) -> bool:
    """Whether a temporal type holds exactly this, and would not cut it."""
    if isinstance(one, dt.datetime) and dtype == pl.Date:
        return False  # a midnight is a day by now
    unit = getattr(dtype, "time_unit", "us")
    if unit == "us" or not isinstance(one, dt.datetime | dt.timedelta):
        return True
    micros = _microseconds(one)
    return micros % 1000 == 0 if unit == "ms" else abs(micros) < 2**63 // 1000


def members(asked: Column, values: Iterable[Any]) -> pl.Series:
    """The values that the column's type can hold at all: the others cannot be in it."""
    dtype, kept = asked.dtype, [value for value in values if value is not None]
    if dtype.is_numeric():
        return _numbers(dtype, [value for value in kept if isinstance(value, int | float | Decimal)])
    if dtype.is_temporal():
        written = [bound(asked, v) for v in kept if isinstance(v, str | dt.date | dt.time | dt.timedelta)]
        return pl.Series([v for v in written if _fits(v, dtype)], dtype=dtype)
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
