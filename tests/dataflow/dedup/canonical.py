"""The canonical text of a row in plain Python, from the documented rules alone."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def written(value: Any) -> str:
    """A value with its length; a row's text is that of its values, joined."""
    if value is None:
        return "~:"
    text = next(write for kind, write in WRITERS if isinstance(value, kind))(value)
    return f"{len(text.encode())}:{text}"


def _float(value: float) -> str:
    if value != value:
        return "NaN"
    if value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return f"x{struct.pack('>d', value).hex()}"


def _decimal(value: Decimal) -> str:
    digits = f"{value:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _datetime(value: datetime) -> str:
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return str((aware - EPOCH) // MICROSECOND)


def _time(value: time) -> str:
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return str((seconds * 10**6 + value.microsecond) * 1000)


def _fields(value: dict[str, Any]) -> str:
    # Hypothesis gives fields in any order; where it does, ``b`` is declared before ``a``.
    return "".join(written(value[field]) for field in sorted(value, reverse=True))


# In the order in which they are asked: a bool is an int, and a datetime a date.
WRITERS: list[tuple[type, Callable[[Any], str]]] = [
    (bool, lambda value: "true" if value else "false"),
    (float, _float),
    (Decimal, _decimal),
    (datetime, _datetime),
    (date, lambda value: str(value.toordinal() - EPOCH.toordinal())),
    (time, _time),
    (timedelta, lambda value: str(value // MICROSECOND)),
    (bytes, bytes.hex),
    (list, lambda value: "".join(map(written, value))),
    (dict, _fields),
    (object, str),
]
