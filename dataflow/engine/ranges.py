"""Which units of a stage lie between two bounds: by number, by time, by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from dataflow.errors import ConfigError
from dataflow.model import SOURCE_FILE, Unit

_PERIOD = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?")
_SHOWN = 4


@dataclass(frozen=True)
class Range:
    """From one value to another, both included; None is an open end."""

    since: str | None
    until: str | None

    def __str__(self) -> str:
        if self.since is None:
            return f"up to {self.until}"
        return f"from {self.since} on" if self.until is None else f"from {self.since} to {self.until}"


@dataclass(frozen=True)
class Found:
    """The units of a stage that lie in a range."""

    units: tuple[Unit, ...]
    by: str
    """What was compared, in words: ``month``, ``file name``, ``arrival``; empty for a stage that runs whole."""


def units_within(units: Sequence[Unit], wanted: Range, arrived: Mapping[str, float]) -> Found:
    """The units in the range: by their first partition column, of files by name or by when they arrived.

    ``arrived`` says for the units of a source, by id, when their file was modified last, in seconds since the epoch.
    Bounds that are dates mean the time of arrival there, other bounds the names of files; beside a name, a date is the
    beginning of one. A stage that runs whole is one unit, which any range holds.
    Nulls: a partition whose value is null lies in no range.
    Errors: ConfigError where no unit lies in the range, for bounds that are no values of the column or of two kinds, and
    where the range ends before it begins.
    """
    if not any(unit.partition for unit in units):
        return Found(tuple(units), "")
    column = units[0].partition[0][0]
    if column != SOURCE_FILE:
        return _within({u: str(u.partition[0][1]) for u in units if u.partition[0][1] is not None}, wanted, column)
    dates, others = _kinds(wanted)
    if not others:
        times = {u: f"{datetime.fromtimestamp(arrived[u.id], UTC):%Y-%m-%d %H:%M:%S}" for u in units if u.id in arrived}
        return _within(times, wanted, "arrival")
    for bound in dates if others else ():
        if not any(unit.label.startswith(bound) for unit in units):
            raise ConfigError(
                f"the range {wanted} has ends of two kinds: {others[0]!r} is the name of a file, {bound!r} a time of "
                "arrival; name two files, or give two dates"
            )
    return _within({u: u.label for u in units}, wanted, "file name")


def _kinds(wanted: Range) -> tuple[list[str], list[str]]:
    """The bounds that may mean a time, and those that cannot."""
    bounds = [bound for bound in (wanted.since, wanted.until) if bound is not None]
    return [b for b in bounds if _is_time(b)], [b for b in bounds if not _is_time(b)]


def _within(values: Mapping[Unit, str], wanted: Range, by: str) -> Found:
    kind, order = _order(list(values.values()), by)
    first = None if wanted.since is None else _bound(order, wanted.since, wanted, by, kind)[0]
    last = None if wanted.until is None else _bound(order, wanted.until, wanted, by, kind)[1]
    if first is not None and last is not None and last < first:
        raise ConfigError(f"the range {wanted} ends before it begins; exchange its ends")
    sort = {unit: order(value)[0] for unit, value in values.items()}
    inside = [u for u, key in sort.items() if (first is None or key >= first) and (last is None or key <= last)]
    if not inside:
        raise ConfigError(f"no {by} lies {wanted}; there {_there(values, sort)}")
    return Found(tuple(sorted(inside, key=sort.__getitem__)), by)


Order = Callable[[str], tuple[Any, Any]]
"""From a text to the first and the last value that it means."""


def _order(values: Sequence[str], by: str) -> tuple[str, Order]:
    """How values compare: as numbers or times where all of them are such, else as text."""
    if by == "file name":
        # What begins with the bound is what it names: a name without its ending, a month without its day.
        return "names", lambda text: (text, f"{text}\U0010ffff")
    kinds: list[tuple[str, Order]] = [("numbers", _number), ("dates or times", _span)]
    for kind, order in kinds:
        try:
            for value in values:
                order(value)
        except ValueError:
            continue
        return kind, order
    return "texts", lambda text: (text, text)


def _bound(order: Order, text: str, wanted: Range, by: str, kind: str) -> tuple[Any, Any]:
    try:
        return order(text)
    except ValueError as error:
        raise ConfigError(
            f"the range {wanted}: {text!r} cannot be compared with {by}, whose values are {kind}"
        ) from error


def _number(text: str) -> tuple[Decimal, Decimal]:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(text) from error
    if not number.is_finite():
        raise ValueError(text)
    return number, number


def _span(text: str) -> tuple[datetime, datetime]:
    """The first and the last instant of a year, a month, a day, or of what is an instant itself; UTC unless it says so."""
    if (period := _PERIOD.fullmatch(text)) is None:
        instant = datetime.fromisoformat(text)
        instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
        return instant, instant
    year, month, day = (int(part) if part else None for part in period.groups())
    begin = datetime(year or 0, month or 1, day or 1, tzinfo=UTC)
    if day:
        end = begin + timedelta(days=1)
    elif month:
        end = (begin + timedelta(days=31)).replace(day=1)
    else:
        end = begin.replace(year=begin.year + 1)
    return begin, end - timedelta(microseconds=1)


def _is_time(text: str) -> bool:
    try:
        _span(text)
    except ValueError:
        return False
    return True


def _there(values: Mapping[Unit, str], sort: Mapping[Unit, Any]) -> str:
    """What there is, in words: all of it where it is little."""
    told = list(dict.fromkeys(values[unit] for unit in sorted(values, key=sort.__getitem__)))
    if not told:
        return "is none at all"
    if len(told) > _SHOWN:
        return f"are {len(told):,}: {told[0]} … {told[-1]}"
    return f"{'is' if len(told) == 1 else 'are'} {', '.join(told)}"
