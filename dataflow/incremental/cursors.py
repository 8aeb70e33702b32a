"""Cursors: columns that tell which rows of a database or an API are new, and what is asked anew so that none is missed.

The next question begins at the position less the lag, that value itself included: rows with the same value may have come
later, and rows with a smaller one may have been committed later. What is delivered twice by that is found by comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, TypeAlias, cast

import polars as pl
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from dataflow.model import Frozen
from dataflow.model.durations import iso_text, parse_duration

Kind = Literal["number", "date", "datetime", "instant", "text"]
"""``datetime`` is a time of day somewhere, ``instant`` one that says its zone."""
Value: TypeAlias = int | float | Decimal | date | datetime | str
Nulls = Literal["refuse", "every_time", "ignore"]


def _lag(value: Any) -> timedelta | Decimal:
    try:
        number = None if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        number = None
    found = number if number is not None and number.is_finite() else parse_duration(value)
    if found < timedelta(0) if isinstance(found, timedelta) else found < 0:
        raise PydanticCustomError("lag", "may not be negative; write a duration like '10 minutes', or a number")
    return found


def _written(value: timedelta | Decimal) -> Any:
    if isinstance(value, timedelta):
        return iso_text(value)
    return int(value) if value == value.to_integral_value() else float(value)


Lag = Annotated[
    timedelta | Decimal,
    BeforeValidator(_lag),
    PlainSerializer(_written, when_used="json"),
    WithJsonSchema({"type": ["string", "number"], "examples": ["10 minutes", "1 day", 1000]}),
]
"""A duration for columns of times, a number for columns of numbers."""


class CursorConfig(Frozen):
    """A column whose values grow, and what is known of rows that do not keep to that."""

    column: str = Field(min_length=1)
    """The column; a row is new where its value is beyond those that were seen."""
    lag: Lag = Decimal(0)
    """So far behind the greatest value seen a row may appear, because it was committed late. What is so far behind is asked
    again each time."""
    key: tuple[str, ...] | None = None
    """Columns that name a row: one that was delivered is known again, and an updated one is told from another."""
    nulls: Nulls = "refuse"
    """Rows without a value: an error, or asked for every time, or ignored and counted."""


def kind_of(value: object) -> Kind | None:
    """What kind of position a value is; None where it is none, as for truth values, bytes and NaN."""
    if isinstance(value, bool) or value != value:
        return None
    if isinstance(value, int | float | Decimal):
        return "number"
    if isinstance(value, datetime):
        return "datetime" if value.tzinfo is None else "instant"
    if isinstance(value, date):
        return "date"
    return "text" if isinstance(value, str) else None


def greatest(values: Iterable[Any]) -> tuple[Kind, Value] | None:
    """The greatest of ``values`` and its kind; None where there is none.

    Nulls: passed over.
    Errors: ValueError, in words, for values that have no order among each other, or none at all.
    """
    known = [value for value in values if value is not None]
    kinds: set[Kind | None] = {kind_of(value) for value in known}
    if None in kinds:
        wrong = next(value for value in known if kind_of(value) is None)
        raise ValueError(f"a value of type {type(wrong).__name__}{' (NaN)' if wrong != wrong else ''} is no position")
    if len(kinds) > 1:
        raise ValueError(f"values of several kinds ({', '.join(sorted(str(k) for k in kinds))}) have no order")
    kind = next(iter(kinds), None)
    return None if kind is None else (kind, max(known))


def to_json(value: Value) -> int | float | str:
    """A value as JSON holds it and as people write it: numbers as they are, decimals and times as text.

    Example:
        >>> to_json(datetime(2026, 1, 31, 9, tzinfo=UTC)), to_json(Decimal("1.50")), to_json(7)
        ('2026-01-31T09:00:00+00:00', '1.50', 7)
    """
    if isinstance(value, datetime):
        return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def from_json(kind: Kind, written: Any) -> Value:
    """What ``to_json`` wrote, or a person: a day stands for its beginning, a time without a zone for one in UTC.

    Errors: ValueError, in words, where it is no value of this kind.
    Example:
        >>> from_json("instant", "2026-01-31")
        datetime.datetime(2026, 1, 31, 0, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        if kind == "number":
            return _number(written)
        if kind == "text":
            return _text(written)
        found = datetime.fromisoformat(_text(written).strip())
    except (ValueError, InvalidOperation):
        raise ValueError(f"{written!r} is no {_WORDS[kind]}") from None
    return _time(kind, found, written)


_WORDS: dict[Kind, str] = {
    "number": "number",
    "date": "day like 2026-01-31",
    "datetime": "time like 2026-01-31T09:00:00, without a zone",
    "instant": "time like 2026-01-31T09:00:00+00:00",
    "text": "text",
}


def _number(written: Any) -> int | float | Decimal:
    if isinstance(written, bool) or not isinstance(written, int | float | str):
        raise ValueError
    if isinstance(written, int | float):
        return written
    found = Decimal(written)
    if not found.is_finite():
        raise ValueError
    return found


def _text(written: Any) -> str:
    if not isinstance(written, str):
        raise ValueError
    return written


def _time(kind: Kind, found: datetime, written: Any) -> date | datetime:
    if kind == "date" and (found.time() != time(0) or found.tzinfo is not None):
        raise ValueError(f"{written!r} is no {_WORDS[kind]}")
    if kind == "date":
        return found.date()
    if kind == "instant":
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    if found.tzinfo is not None:
        raise ValueError(f"{written!r} is no {_WORDS[kind]}")
    return found


def to_state(value: Value) -> dict[str, Any]:
    """A value and its kind, as a state holds them.

    Example:
        >>> from_state(to_state(date(2026, 1, 31)))
        datetime.date(2026, 1, 31)
    """
    return {"kind": kind_of(value), "value": to_json(value)}


def from_state(held: Mapping[str, Any]) -> Value:
    """What ``to_state`` was given."""
    return from_json(held["kind"], held["value"])


def further(column: str, position: Value | None, values: Iterable[Any]) -> Value | None:
    """The position after ``values`` of a column were seen: the greatest of all, never one before ``position``.

    An instant of the future does not move it beyond the present: it would hide the rows that come until then.
    Nulls: passed over.
    Errors: ValueError, in words, for values that have no order among each other or with ``position``.
    """
    try:
        found = greatest(values)
    except ValueError as error:
        raise ValueError(f"cursor {column!r}: {error}; take another column") from None
    if found is None:
        return position
    kind, value = found
    if kind == "instant":
        value = min(cast(Any, value), datetime.now(UTC))
    if position is not None and kind_of(position) != kind:
        raise ValueError(
            f"cursor {column!r} holds values of another kind than before (now {kind}, before {kind_of(position)}); "
            "make them alike, or reset the source, and everything is read again"
        )
    return value if position is None else max(cast(Any, value), position)


def start(value: Value, lag: timedelta | Decimal) -> Value:
    """Where to ask from: ``lag`` before ``value``; rows with exactly this value are asked too.

    Errors: ValueError, in words, where such values have no distance of such a lag.
    Example:
        >>> start(datetime(2026, 1, 31, 9), timedelta(minutes=10)), start(100, Decimal(7))
        (datetime.datetime(2026, 1, 31, 8, 50), 93)
    """
    if lag == type(lag)(0):
        return value
    if isinstance(value, str):
        raise ValueError("text has no distance; leave `lag` out, or use a column of numbers or times")
    timed = isinstance(value, date)
    if timed != isinstance(lag, timedelta):
        raise ValueError(f"`lag` has to be {'a duration like 10 minutes' if timed else 'a number'} for such values")
    if isinstance(value, date):
        assert isinstance(lag, timedelta)
        return _earlier(value, lag)
    assert isinstance(lag, Decimal)
    if isinstance(value, float):
        return value - float(lag)
    found = value - lag
    return int(found) if isinstance(value, int) and found == found.to_integral_value() else found


def _earlier(value: date | datetime, lag: timedelta) -> date | datetime:
    # A part of a day before a day is the day before.
    whole = lag if isinstance(value, datetime) else timedelta(days=-(-lag // timedelta(days=1)))
    try:
        return value - whole
    except OverflowError:
        return datetime.min.replace(tzinfo=value.tzinfo) if isinstance(value, datetime) else date.min


def at_or_after(column: str, value: Value) -> pl.Expr:
    """The rows whose value is not before ``value``.

    Nulls: null.
    """
    return pl.col(column) >= (Decimal(value) if isinstance(value, int) else value)
