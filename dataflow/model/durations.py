"""Lengths of time as people write them in a configuration."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

_UNITS = "weeks", "days", "hours", "minutes", "seconds", "milliseconds"
_PART = re.compile(rf"(\d+(?:\.\d+)?)\s*((?:{'|'.join(unit[:-1] for unit in _UNITS)})s?)\b[\s,]*", re.IGNORECASE)
_CALENDAR = re.compile(r"[+-]?P[^T]*[YM]", re.IGNORECASE)
_ISO = TypeAdapter(timedelta)
_ACCEPTED = "write it like '1 day', '6 hours', '1 day 6 hours' or 'PT90M'"


def parse_duration(value: Any) -> timedelta:
    """Read ``1 day 6 hours``, ISO 8601 or a timedelta.

    Errors: PydanticCustomError, for a bare number too, since it does not say its unit,
        and for ISO months and years, since they have no fixed length.

    Example:
        >>> parse_duration("1 day 6 hours")
        datetime.timedelta(days=1, seconds=21600)
    """
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not value.strip():
        raise PydanticCustomError("duration", f"a duration with its unit is expected; {_ACCEPTED}")
    try:
        parts = _parts(value.strip())
        if parts:
            return timedelta(**parts)
        if value.strip().lstrip("+-").upper().startswith("P") and not _CALENDAR.match(value.strip()):
            return _ISO.validate_python(value.strip())
    except (ValidationError, OverflowError):
        pass
    raise PydanticCustomError("duration", f"cannot be read as a duration; {_ACCEPTED}")


def _parts(text: str) -> dict[str, float]:
    parts: dict[str, float] = {}
    at = 0
    while match := _PART.match(text, at):
        unit = match[2].lower().rstrip("s") + "s"
        parts[unit] = parts.get(unit, 0) + float(match[1])
        at = match.end()
    return parts if at == len(text) else {}


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        raise PydanticCustomError("duration", f"may not be negative; {_ACCEPTED}")
    return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise PydanticCustomError("duration", f"must be longer than nothing; {_ACCEPTED}")
    return value


def iso_text(value: timedelta) -> str:
    """A length of time in ISO 8601, in days and seconds."""
    # Pydantic would write 365 days as a year, which is none.
    return f"P{value.days}DT{value.seconds}.{value.microseconds:06d}S"


_ISO_TEXT = PlainSerializer(iso_text, return_type=str, when_used="json")
_IN_EDITORS = WithJsonSchema({"type": "string", "examples": ["1 day", "6 hours", "1 day 6 hours", "PT90M"]})
Duration = Annotated[timedelta, BeforeValidator(lambda v: _not_negative(parse_duration(v))), _ISO_TEXT, _IN_EDITORS]
PositiveDuration = Annotated[timedelta, BeforeValidator(lambda v: _positive(parse_duration(v))), _ISO_TEXT, _IN_EDITORS]
