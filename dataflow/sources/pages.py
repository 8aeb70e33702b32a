"""Pages of rows as data frames, whatever form they come in; of what is in them nothing is lost.

Lists of objects, as APIs give them, tell no types: each column gets the one that holds all its values, else text.
Objects, lists and other nested values become JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, cast

import polars as pl

_ROWS = 10_000
"""Rows of small pages are put together up to this number: the more, the fewer types contradict each other."""
_EXACT = 2**53
"""Up to here every integer is a float."""
_LONGEST = 2**63
_CASTS: dict[type[pl.DataType], pl.DataType] = {
    pl.UInt8: pl.Int16(),
    pl.UInt16: pl.Int32(),
    pl.UInt32: pl.Int64(),
    pl.UInt64: pl.Int64(),
    pl.Int128: pl.Int64(),
    pl.Float16: pl.Float32(),
    pl.Duration: pl.Int64(),
}
"""What stands for types that a Delta table cannot hold, where all values allow it; durations are in microseconds."""


def frames(pages: Iterable[Any]) -> Iterator[pl.DataFrame]:
    """The rows of ``pages``, as frames of types that a Delta table can hold; a column without a value is left out.

    A page is a frame (Polars, pandas, Arrow), an object, or a list of objects or values.
    Errors: TypeError for a page that is none of these.
    """
    rows: list[Mapping[str, Any]] = []
    for page in pages:
        found = _frame(page)
        if found is None:
            rows += _rows(page)
        if rows and (found is not None or len(rows) >= _ROWS):
            yield from _whole(from_rows(rows))
            rows = []
        if found is not None:
            yield from _whole(_plain(found))
    yield from _whole(from_rows(rows))


def _whole(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    if frame.height and frame.width:
        yield frame


def _frame(page: Any) -> pl.DataFrame | None:
    if isinstance(page, pl.LazyFrame):
        return page.collect()
    if isinstance(page, pl.DataFrame):
        return page
    kind = type(page).__module__.partition(".")[0]
    read = cast(Any, pl)
    if kind == "pyarrow":
        found = read.from_arrow(page)
        return found if isinstance(found, pl.DataFrame) else found.to_frame()
    return read.from_pandas(page) if kind == "pandas" else None


def _rows(page: Any) -> list[Mapping[str, Any]]:
    if page is None:
        return []
    if isinstance(page, Mapping):
        return [cast(Mapping[str, Any], page)]
    if isinstance(page, Sequence) and not isinstance(page, str | bytes):
        items = cast(Sequence[Any], page)
        return [item if isinstance(item, Mapping) else {"value": item} for item in items]
    if isinstance(page, str | bytes | int | float | date | Decimal):
        return [{"value": page}]
    raise TypeError(f"a page is of type {type(page).__name__}, not a list of objects or a data frame")


def from_rows(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """A frame of ``rows``, with the columns in the order in which they come first."""
    names = dict.fromkeys(name for row in rows for name in row)
    return from_columns((str(name), [row.get(name) for row in rows]) for name in names)


def from_columns(columns: Iterable[tuple[str, list[Any]]]) -> pl.DataFrame:
    """A frame of columns of values, each with the type that holds them all; one without a value is left out."""
    found = [_column(name, values) for name, values in columns]
    return pl.DataFrame([column for column in found if column is not None])


def _column(name: str, values: list[Any]) -> pl.Series | None:
    kinds: set[type[Any]] = {type(value) for value in values if value is not None}
    if not kinds:
        return None
    if kinds == {str}:
        # At once, where no half of a character is among them.
        with suppress(UnicodeEncodeError):
            return pl.Series(name, values, pl.String)
    for fits, dtype in _KINDS:
        if all(fits(kind) for kind in kinds):
            return _typed(name, values, dtype)
    return pl.Series(name, [_text(value) for value in values], pl.String)


def _typed(name: str, values: list[Any], dtype: type[pl.DataType]) -> pl.Series:
    known = [value for value in values if value is not None]
    text = False
    if dtype is pl.Int64:
        text = not all(-_LONGEST <= value < _LONGEST for value in known)
    elif dtype is pl.Float64:
        text = any(isinstance(value, int) and abs(value) > _EXACT for value in known)
    elif dtype is pl.Decimal:
        return _decimals(name, values)
    elif dtype is pl.Datetime:
        return _instants(name, values)
    if text or dtype is pl.String:
        return pl.Series(name, [_text(value) for value in values], pl.String)
    return pl.Series(name, values, dtype)


def _decimals(name: str, values: list[Any]) -> pl.Series:
    known = [value for value in values if value is not None]
    scale = max((max(0, -value.as_tuple().exponent) for value in known if value.is_finite()), default=0)
    if all(value.is_finite() and max(value.adjusted() + 1, 0) + scale <= 38 for value in known):
        return pl.Series(name, values, pl.Decimal(38, scale))
    return pl.Series(name, [_text(value) for value in values], pl.String)


def _instants(name: str, values: list[Any]) -> pl.Series:
    zoned = {value.tzinfo is not None for value in values if value is not None}
    if len(zoned) > 1:
        return pl.Series(name, [_text(value) for value in values], pl.String)
    if all(type(value) is datetime for value in values if value is not None):
        dtype = pl.Datetime("us", "UTC" if zoned == {True} else None)
        with suppress(ValueError):
            # At once, but for those of libraries, say pendulum's, and for hours before the year 1, or after 9999.
            found = pl.Series(name, values, dtype)
            _ = found.min(), found.max()
            return found
    if zoned == {False}:
        return pl.Series(name, [None if v is None else datetime.fromisoformat(v.isoformat()) for v in values])
    try:
        plain = [None if v is None else v.astimezone(UTC).replace(tzinfo=None) for v in values]
    except OverflowError:
        # Hours before the year 1, or after 9999.
        return pl.Series(name, [_text(value) for value in values], pl.String)
    local = [None if v is None else datetime.fromisoformat(v.isoformat()) for v in plain]
    return pl.Series(name, local, pl.Datetime("us")).dt.replace_time_zone("UTC")


def _is(*kinds: type) -> Callable[[type], bool]:
    return lambda kind: issubclass(kind, kinds) and (kind is not bool or bool in kinds)


_KINDS: tuple[tuple[Callable[[type], bool], type[pl.DataType]], ...] = (
    (_is(bool), pl.Boolean),
    (_is(int), pl.Int64),
    (_is(int, float), pl.Float64),
    (_is(str), pl.String),
    (_is(datetime), pl.Datetime),
    (lambda kind: issubclass(kind, date) and not issubclass(kind, datetime), pl.Date),
    (_is(Decimal), pl.Decimal),
    (_is(bytes), pl.Binary),
)


def _text(value: Any) -> str | None:
    """A value as text: text as it is, the rest as JSON or as it is usually written."""
    if value is None:
        return None
    if isinstance(value, str):
        found = str(value)
    elif isinstance(value, bool | int | float | Mapping | list | tuple):
        found = _json(value)
    else:
        found = _inner(value)
    # JSON may hold halves of characters, which no file can.
    return found.encode("utf-8", "backslashreplace").decode()


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_inner)
    except TypeError:
        # An object whose keys are no text.
        return str(value)


def _inner(value: Any) -> str:
    if isinstance(value, date | time):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """``frame`` in types that a Delta table can hold; a column of another becomes text where values would be lost."""
    columns = [_storable(column) for column in frame.iter_columns() if column.null_count() < len(column)]
    return pl.DataFrame(columns)


def _storable(column: pl.Series) -> pl.Series:
    dtype = column.dtype
    if isinstance(dtype, pl.List | pl.Array | pl.Struct | pl.Object):
        return pl.Series(column.name, [_text(value) for value in column.to_list()], pl.String)
    if isinstance(dtype, pl.Categorical | pl.Enum | pl.Time):
        return column.cast(pl.String)
    if isinstance(dtype, pl.Duration):
        return column.dt.total_microseconds()
    wanted = _CASTS.get(type(dtype))
    if isinstance(dtype, pl.Datetime):
        wanted = pl.Datetime("us", "UTC" if dtype.time_zone else None)
    if wanted is None or wanted == dtype:
        return column
    cast_ = column.cast(wanted, strict=False)
    return cast_ if cast_.cast(dtype, strict=False).equals(column) else column.cast(pl.String)
