"""Hashes of rows that are the same in every version and on every platform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import polars as pl
import polars_hash as polars_hash  # gives expressions chash, nchash and bytes

from dataflow.errors import ConfigError

Algorithm = Literal["sha256", "md5", "xxh3_128"]

_NULL = "~"
_EXACT = 2**53
"""Below this magnitude every whole number is a float of its own."""


def row_hash(columns: Sequence[str], schema: pl.Schema, algorithm: Algorithm = "sha256") -> pl.Expr:
    """The hash of ``canonical_text(columns, schema)`` as UTF-8, in lowercase hexadecimal digits.

    ``sha256`` (64 digits) and ``md5`` (32) are those of ``hashlib``, ``xxh3_128`` (32) is that of ``xxhash``. Who may
    wish to bring about a collision is kept out by sha256 only.
    Nulls: never null.
    Errors: ConfigError as from ``canonical_text``.
    """
    text: Any = canonical_text(columns, schema)
    if algorithm == "sha256":
        return text.chash.sha2_256()
    if algorithm == "md5":
        return text.nchash.md5()
    return text.nchash.xxh3_128(return_binary=True, byte_order="big").bin.encode("hex")


def canonical_text(columns: Sequence[str], schema: pl.Schema) -> pl.Expr:
    """One text for each row, which two rows share only where they are alike in all ``columns``.

    The columns' values follow each other in the order given, names left out. A value is written as the length of its
    text in bytes of UTF-8, ``:``, and its text; null is ``~:``. So ``("a", "bc")`` is ``1:a2:bc`` and ``(null, "")``
    is ``~:0:``. The text of a value, by type:

    - String, Categorical, Enum: the characters as they are, without Unicode normalisation.
    - Boolean: ``true`` or ``false``.
    - integers of every width: decimal digits, ``-`` in front of negative ones.
    - Float16, Float32, Float64: whole numbers between -2**53 and 2**53, both left out, as integers are, so that 1.0 is ``1``
      and -0.0 is ``0``; all others ``x`` and the 16 lowercase hexadecimal digits of the value's eight bytes as an
      IEEE 754 double, highest first: 1.5 is ``x3ff8000000000000``, infinity ``x7ff0000000000000``. Every NaN is
      ``NaN``. A Float32 is the double of the same value, so that 0.1 differs in the two types.
    - Decimal: digits without trailing zeros after the point, and no point where none are left: 1.50 is ``1.5``,
      100.00 is ``100``, -0.50 is ``-0.5``.
    - Date: days since 1970-01-01.
    - Datetime: microseconds since 1970-01-01T00:00:00 UTC, whatever the unit and zone, finer ones rounded down; where
      there is no zone the time is taken to be UTC.
    - Duration: microseconds, finer ones rounded down. Time: nanoseconds since midnight.
    - Binary: two lowercase hexadecimal digits for each byte.
    - List, Array, Struct: the values in it, each written as above with its length, in their order.

    Types do not take part: 1, 1.0 and "1" are alike, and a column that is widened keeps its hashes.

    Shape: lazy and streaming, one text a row.
    Nulls: never null.
    Errors: ConfigError for no columns, a column that ``schema`` lacks, and a type that has no text.
    Example:
        >>> frame = pl.DataFrame({"a": ["x", None], "b": [1.5, 2.0]})
        >>> frame.select(canonical_text(["a", "b"], frame.schema)).to_series().to_list()
        ['1:x17:x3ff8000000000000', '~:1:2']
    """
    if not columns:
        raise ConfigError("a hash of no columns was asked for; name at least one")
    for column in columns:
        if column not in schema:
            raise ConfigError.unknown("column to hash", column, schema, column=column)
    return pl.concat_str([part for column in columns for part in _parts(pl.col(column), schema[column], column)])


def grouping_key(columns: Sequence[str], schema: pl.Schema) -> pl.Expr:
    """A number that all rows with one canonical text share, many times cheaper than the text.

    Others may share it by chance, and the next process may give other numbers: it is for finding candidates.
    Nulls: never null.
    """
    values = [
        pl.col(c) if schema[c].base_type() in _AS_THEY_ARE else _text(pl.col(c), schema[c], c).alias(c) for c in columns
    ]
    return pl.struct(values).hash()


def _parts(value: pl.Expr, dtype: Any, column: str) -> list[pl.Expr]:
    # One flat list of parts: texts in texts would be copied once more.
    text = _text(value, dtype, column)
    return [text.str.len_bytes().cast(pl.String).fill_null(_NULL), pl.lit(":"), text.fill_null("")]


def _text(value: pl.Expr, dtype: Any, column: str) -> pl.Expr:
    """The text of a value, null where it is null."""
    if isinstance(dtype, pl.Struct):
        return _struct(value, dtype, column)
    if isinstance(dtype, pl.List | pl.Array):
        return _list(value, dtype, column)
    if isinstance(dtype, pl.Decimal):
        return _decimal(value, dtype)
    if isinstance(dtype, pl.Datetime | pl.Duration):
        return _microseconds(value, dtype)
    write = _WRITERS.get(dtype.base_type())
    if write is None:
        raise ConfigError(
            f"column {column!r} is of type {dtype}, which has no canonical text; leave it out of the hashed columns or cast it",
            column=column,
        )
    return write(value)


def _plain(value: pl.Expr) -> pl.Expr:
    return value.cast(pl.String)


def _number(value: pl.Expr) -> pl.Expr:
    return value.to_physical().cast(pl.String)


def _float(value: pl.Expr) -> pl.Expr:
    double: Any = value.cast(pl.Float64)
    whole = (double.floor() == double) & (double.abs() < _EXACT)
    digits = double.cast(pl.Int64, strict=False).cast(pl.String)
    bits = pl.concat_str(pl.lit("x"), double.bytes.to_be().bin.encode("hex"))
    return pl.when(whole).then(digits).when(double.is_nan()).then(pl.lit("NaN")).otherwise(bits)


def _binary(value: pl.Expr) -> pl.Expr:
    return value.bin.encode("hex")


def _decimal(value: pl.Expr, dtype: pl.Decimal) -> pl.Expr:
    digits = value.cast(pl.String)
    return digits.str.strip_chars_end("0").str.strip_chars_end(".") if dtype.scale else digits


def _microseconds(value: pl.Expr, dtype: pl.Datetime | pl.Duration) -> pl.Expr:
    count = value.to_physical()
    if dtype.time_unit == "ns":
        count = count.floordiv(1000)
    elif dtype.time_unit == "ms":
        count = count.cast(pl.Int128) * 1000
    return count.cast(pl.String)


def _list(value: pl.Expr, dtype: pl.List | pl.Array, column: str) -> pl.Expr:
    items = value.arr.to_list() if isinstance(dtype, pl.Array) else value
    return items.list.eval(pl.concat_str(_parts(pl.element(), dtype.inner, column))).list.join("")


def _struct(value: pl.Expr, dtype: pl.Struct, column: str) -> pl.Expr:
    parts = [
        part
        for field in dtype.fields
        for part in _parts(value.struct.field(field.name), field.dtype, f"{column}.{field.name}")
    ]
    return pl.when(value.is_not_null()).then(pl.concat_str(parts) if parts else pl.lit(""))


_WRITERS: dict[Any, Callable[[pl.Expr], pl.Expr]] = {
    **dict.fromkeys((pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null), _plain),
    **dict.fromkeys((pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128), _plain),
    **dict.fromkeys((pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.UInt128), _plain),
    **dict.fromkeys((pl.Date, pl.Time), _number),
    **dict.fromkeys((pl.Float16, pl.Float32, pl.Float64), _float),
    pl.Binary: _binary,
}
_AS_THEY_ARE = {*_WRITERS, pl.Decimal} - {pl.Null, pl.Categorical, pl.Enum, pl.Float16}
"""Types whose values are alike for Polars exactly where their texts are."""
