"""Types of columns as people write them, and text as values of these types."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial

import polars as pl

from dataflow.errors import hint

_INSTANT = pl.Datetime("us", "UTC")
_TYPES: dict[str, pl.DataType] = {
    **dict.fromkeys(("string", "text", "str", "varchar", "utf8", "json"), pl.String()),
    **dict.fromkeys(("int8", "tinyint"), pl.Int8()),
    **dict.fromkeys(("int16", "smallint"), pl.Int16()),
    **dict.fromkeys(("int32",), pl.Int32()),
    **dict.fromkeys(("int64", "int", "integer", "bigint", "long"), pl.Int64()),
    **dict.fromkeys(("float32", "real"), pl.Float32()),
    **dict.fromkeys(("float64", "float", "double", "number"), pl.Float64()),
    **dict.fromkeys(("boolean", "bool"), pl.Boolean()),
    "date": pl.Date(),
    **dict.fromkeys(("datetime", "timestamp"), pl.Datetime("us")),
    **dict.fromkeys(("datetime_utc", "timestamptz", "instant"), _INSTANT),
}
_DECIMAL = re.compile(r"(?:decimal|numeric)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_DIGITS = 38
_NAMES = ("string", "int8", "int16", "int32", "int64", "float32", "float64", "boolean", "date", "datetime")
_ACCEPTED = (*_NAMES, "datetime_utc", "decimal(10,2)", "json")

_FIRST = date(1000, 1, 1)
Reading = Callable[[pl.Expr], pl.Expr]

DATE_FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d %B %Y", "%B %d, %Y", "%d-%b-%Y")
"""Dates that can be read in one way only. 1/2/2025 cannot: whether day or month comes first is for ``date_formats``."""
DATETIME_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d")
INSTANT_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
_TRUE = ("true", "True", "TRUE", "t", "T", "yes", "Yes", "YES", "1")
_FALSE = ("false", "False", "FALSE", "f", "F", "no", "No", "NO", "0")


def column_type(text: str) -> pl.DataType:
    """The Polars type that ``text`` names.

    Errors: ValueError with the nearest accepted name.
    Example:
        >>> column_type("bigint"), column_type("decimal(10, 2)")
        (Int64, Decimal(precision=10, scale=2))
    """
    name = text.strip().lower()
    if found := _TYPES.get(name):
        return found
    if decimal := _DECIMAL.fullmatch(name):
        precision, scale = int(decimal[1]), int(decimal[2] or 0)
        if not 0 < precision <= _DIGITS or scale > precision:
            raise ValueError(f"{text!r}: a decimal has 1 to {_DIGITS} digits, and no more of them behind the point")
        return pl.Decimal(precision, scale)
    if name.startswith("uint"):
        raise ValueError(f"{text!r}: a Delta table has no unsigned integers; say int64 or decimal(20,0)")
    raise ValueError(f"unknown type {text!r}{hint(name, _ACCEPTED)}")


def type_name(dtype: pl.DataType) -> str:
    """How a type is called in messages."""
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision},{dtype.scale})"
    return next((name for name in _ACCEPTED if _TYPES.get(name) == dtype), str(dtype))


def typed(text: pl.Expr, wanted: pl.DataType, date_formats: Sequence[str] = ()) -> pl.Expr:
    """Text as values of ``wanted``; null where it is no such value, or where something of it would be lost.

    Example:
        >>> pl.select(typed(pl.lit("1.50"), pl.Decimal(10, 1)), typed(pl.lit("2.5"), pl.Int64()).alias("n")).row(0)
        (Decimal('1.5'), None)
    """
    first, *others = readings(wanted, date_formats)
    return otherwise(first(text), text, others)


def otherwise(read: pl.Expr, text: pl.Expr, others: Sequence[Reading]) -> pl.Expr:
    """``read``, and where it is null what another reading makes of the text."""
    left = pl.when(read.is_null()).then(text)
    return pl.coalesce([read, *(reading(left) for reading in others)]) if others else read


def readings(wanted: pl.DataType, date_formats: Sequence[str] = ()) -> list[Reading]:
    """The ways in which text may be a value of ``wanted``, the most usual first; text that is none becomes null."""
    if isinstance(wanted, pl.String):
        return [lambda text: text]
    if isinstance(wanted, pl.Boolean):
        # Not replace_strict, for which Polars 2.1 holds the whole file in memory.
        return [lambda text: pl.when(text.is_in(_TRUE)).then(True).when(text.is_in(_FALSE)).then(False)]
    if isinstance(wanted, pl.Decimal):
        return [partial(_decimal, wanted=wanted)]
    if isinstance(wanted, pl.Date):
        formats = [f for f in date_formats if not _tells_time(f)] or DATE_FORMATS
        return [partial(_date, date_format=f) for f in formats]
    if isinstance(wanted, pl.Datetime):
        # A time's offset may not be lost, nor made up.
        given = [f for f in date_formats if _tells_time(f) and ("z" in f) == (wanted.time_zone is not None)]
        formats = given or (DATETIME_FORMATS if wanted.time_zone is None else INSTANT_FORMATS)
        return [partial(_time, date_format=f, wanted=wanted) for f in formats]
    return [partial(_float if wanted.is_float() else _integer, wanted=wanted)]


def _integer(text: pl.Expr, wanted: pl.DataType) -> pl.Expr:
    return text.cast(wanted, strict=False)


def _float(text: pl.Expr, wanted: pl.DataType) -> pl.Expr:
    value = text.cast(wanted, strict=False)
    too_large = pl.when(value.is_infinite()).then(text).str.contains(r"\d").fill_null(False)
    return pl.when(~too_large).then(value)


def _decimal(text: pl.Expr, wanted: pl.Decimal) -> pl.Expr:
    before, behind = wanted.precision - wanted.scale, wanted.scale
    exact = text.str.contains(rf"^[+-]?0*\d{{0,{before}}}(?:\.\d{{0,{behind}}}0*)?$")
    return pl.when(exact).then(text).cast(wanted, strict=False)


def _tells_time(date_format: str) -> bool:
    return re.search(r"%[HIMSTRXcs+]", date_format) is not None


def _date(text: pl.Expr, date_format: str) -> pl.Expr:
    value = text.str.to_date(date_format, strict=False)
    # A year of two digits would be taken for one of the first century.
    return pl.when(value >= _FIRST).then(value)


def _time(text: pl.Expr, date_format: str, wanted: pl.Datetime) -> pl.Expr:
    if wanted.time_zone is not None:
        text = text.str.replace(r"[zZ]$", "+00:00")
    value = text.str.to_datetime(date_format, time_unit="us", time_zone=wanted.time_zone, strict=False)
    return pl.when(value.dt.date() >= _FIRST).then(value)
