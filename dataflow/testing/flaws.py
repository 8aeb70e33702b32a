"""What can be wrong with rows: each flaw knows how to damage them, and the rule that finds the damage."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from dataflow.errors import ConfigError
from dataflow.quality.patterns import regex_problem

EMAIL = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"
_UNREADABLE = ("n/a", "--", "see note", "1 000,50", "?")
_KINDS = {"DOUBLE": pl.Float64(), "BIGINT": pl.Int64()}

Spoil = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]
"""Sound rows, and as many other rows that stay as they are -> the rows damaged."""


@dataclass(frozen=True)
class Damage:
    """A flaw that has seen the frame which it is going to damage."""

    spoil: Spoil
    broken: pl.Expr
    """True of the rows that break the rule: the truth, worked out without a gate. Null counts as false."""
    rule: Mapping[str, Any]
    """``predicate`` or ``expectation`` of the rule that finds the broken rows."""
    suits: pl.Expr = field(default_factory=lambda: pl.lit(value=True))
    """Rows that can be damaged, beyond having a value and breaking nothing yet."""
    partners: bool = False
    """Whether each damaged row needs another that stays as it is."""


@dataclass(frozen=True)
class Flaw:
    """``count`` rows to be damaged in ``columns``; a flaw of one's own is one of these too."""

    name: str
    columns: tuple[str, ...]
    count: int
    description: str
    plan: Callable[[pl.DataFrame], Damage]

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ConfigError(f"flaw {self.name!r}: {self.count} rows cannot be damaged; count from 0 up")

    def named(self, name: str) -> Flaw:
        """The same flaw under another name: that of its defect and of its rule."""
        return replace(self, name=name)


def nulls(column: str, count: int) -> Flaw:
    """Rows without a value."""

    def plan(frame: pl.DataFrame) -> Damage:
        none = pl.lit(None, dtype=frame.schema[column]).alias(column)
        broken = pl.col(column).is_null()
        return Damage(lambda rows, _: rows.with_columns(none), broken, {"predicate": f'"{column}" IS NOT NULL'})

    return Flaw(f"null_{column}", (column,), count, f"{column} is missing", plan)


def duplicates(key: str | Sequence[str], count: int) -> Flaw:
    """Rows with the key of another row, and values of their own: two things under one name."""
    names = _names(key)

    def spoil(rows: pl.DataFrame, partners: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(partners.select(names))

    def plan(frame: pl.DataFrame) -> Damage:
        return Damage(spoil, _repeated(names), _unique(names), partners=True)

    return Flaw(f"duplicate_{'_'.join(names)}", names, count, f"{', '.join(names)} is that of another row", plan)


def repeats(key: str | Sequence[str], count: int, *, columns: Sequence[str]) -> Flaw:
    """Rows that are another row once more, in all ``columns``, the key among them: delivered twice."""
    names = _names(key)
    if outside := [name for name in names if name not in columns]:
        raise ConfigError(f"repeats: the key {outside[0]!r} is not among its columns; add it")
    flaw = duplicates(names, count)

    def spoil(rows: pl.DataFrame, partners: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(partners.select(columns))

    return Flaw(
        f"repeated_{'_'.join(names)}",
        tuple(columns),
        count,
        "the row is another row once more",
        lambda frame: replace(flaw.plan(frame), spoil=spoil),
    )


def out_of_range(column: str, count: int, *, low: Any, high: Any) -> Flaw:
    """Values below ``low`` and above ``high`` in turn: numbers, dates or instants."""
    if not low <= high:
        raise ConfigError(f"out_of_range of {column!r}: low {low!r} is above high {high!r}; swap them")

    def plan(frame: pl.DataFrame) -> Damage:
        dtype, value = frame.schema[column], pl.col(column)
        _fits(column, dtype, "a number, a date or an instant", fits=dtype.is_numeric() or _is_moment(dtype))
        rule = {"type": "expect_column_values_to_be_between", "column": column, "min_value": low, "max_value": high}
        return Damage(
            lambda rows, _: _with_values(rows, column, [_beyond(low, high, n) for n in range(rows.height)]),
            (value < low) | (value > high),
            {"expectation": rule},
        )

    return Flaw(f"{column}_out_of_range", (column,), count, f"{column} is not between {low} and {high}", plan)


def malformed(column: str, count: int, *, pattern: str = EMAIL) -> Flaw:
    """Texts that ``pattern`` (a Rust regular expression; by default that of an e-mail address) does not find itself in."""
    if problem := regex_problem(pattern):
        raise ConfigError(f"malformed {column!r}: the pattern {pattern!r} cannot be used: {problem}")

    def plan(frame: pl.DataFrame) -> Damage:
        value = pl.col(column)
        _fits(column, frame.schema[column], "a text", fits=frame.schema[column] == pl.String)
        # What typing and exporting do to a text; the first that the pattern refuses is taken.
        wounds = (
            value.str.replace_all("@", " at ", literal=True),
            value.str.reverse(),
            pl.lit("?") + value,
            value + pl.lit(" "),
            value.str.head(1),
            pl.lit("?"),
            pl.lit(""),
        )
        wounded = pl.coalesce(pl.when(~text.str.contains(pattern)).then(text) for text in wounds)
        return Damage(
            lambda rows, _: rows.with_columns(wounded.alias(column)),
            ~value.str.contains(pattern),
            {"predicate": f"\"{column}\" MATCHES '{pattern.replace(chr(39), chr(39) * 2)}'"},
            suits=wounded.is_not_null(),
        )

    return Flaw(f"malformed_{column}", (column,), count, f"{column} does not match {pattern}", plan)


def swapped(earlier: str, later: str, count: int) -> Flaw:
    """Rows whose two values have changed places, so that what begins ends first."""

    def plan(frame: pl.DataFrame) -> Damage:
        first, second = pl.col(earlier), pl.col(later)
        return Damage(
            lambda rows, _: rows.with_columns(second.alias(earlier), first.alias(later)),
            first > second,
            {"predicate": f'"{earlier}" <= "{later}"'},
            suits=first < second,
        )

    return Flaw(f"swapped_{earlier}_{later}", (earlier, later), count, f"{earlier} is after {later}", plan)


def late(column: str, count: int, *, by: timedelta) -> Flaw:
    """Event times ``by`` before the earliest of the frame, as if the rows had been held up on their way."""
    if by <= timedelta(0):
        raise ConfigError(f"late {column!r}: by {by} is no delay; give a positive timedelta")

    def plan(frame: pl.DataFrame) -> Damage:
        dtype, earliest = frame.schema[column], frame[column].min()
        _fits(column, dtype, "a date or an instant", fits=_is_moment(dtype))
        if dtype == pl.Date and by < timedelta(days=1):
            raise ConfigError(
                f"late {column!r}: by {by} is less than a day, which a date cannot show; give a day or more"
            )
        rule = {"type": "expect_column_values_to_be_between", "column": column, "min_value": earliest}
        return Damage(
            lambda rows, _: rows.with_columns(pl.lit(earliest, dtype=dtype).sub(by).cast(dtype).alias(column)),
            pl.col(column) < earliest,
            {"expectation": rule},
        )

    return Flaw(f"late_{column}", (column,), count, f"{column} is {by} before all others", plan)


def orphans(column: str, count: int, *, known: Collection[Any] | None = None) -> Flaw:
    """References (numbers or texts) to what is not among ``known``, by default the values that the column has."""

    def plan(frame: pl.DataFrame) -> Damage:
        series = frame[column]
        _fits(
            column,
            series.dtype,
            "a whole number or a text",
            fits=series.dtype.is_integer() or series.dtype == pl.String,
        )
        values = sorted(series.drop_nulls().unique()) if known is None else list(known)
        return Damage(
            lambda rows, _: _with_values(rows, column, _strangers(values, rows.height, text=series.dtype == pl.String)),
            ~pl.col(column).is_in(values),
            {"expectation": {"type": "expect_column_values_to_be_in_set", "column": column, "value_set": values}},
        )

    return Flaw(f"orphan_{column}", (column,), count, f"{column} refers to nothing that is known", plan)


def unreadable(column: str, count: int, *, kind: str = "DOUBLE") -> Flaw:
    """Texts that are no number, in a column of texts that should be: ``DOUBLE`` or ``BIGINT``."""
    if kind not in _KINDS:
        raise ConfigError.unknown("kind of number", kind, _KINDS)

    def plan(frame: pl.DataFrame) -> Damage:
        value = pl.col(column)
        _fits(column, frame.schema[column], "a text", fits=frame.schema[column] == pl.String)
        return Damage(
            lambda rows, _: _with_values(rows, column, [_UNREADABLE[n % len(_UNREADABLE)] for n in range(rows.height)]),
            value.is_not_null() & value.cast(_KINDS[kind], strict=False).is_null(),
            {"predicate": f'"{column}" IS NULL OR TRY_CAST("{column}" AS {kind}) IS NOT NULL'},
        )

    return Flaw(f"unreadable_{column}", (column,), count, f"{column} is no {kind}", plan)


def _fits(column: str, dtype: pl.DataType, wanted: str, *, fits: bool) -> None:
    if not fits:
        raise ConfigError(f"column {column!r} is {dtype}, where {wanted} is needed; choose another", column=column)


def _is_moment(dtype: pl.DataType) -> bool:
    return dtype == pl.Date or isinstance(dtype, pl.Datetime)


def _names(key: str | Sequence[str]) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else tuple(key)


def _repeated(names: Sequence[str]) -> pl.Expr:
    known = pl.all_horizontal(pl.col(name).is_not_null() for name in names)
    return known & pl.struct(names).is_duplicated()


def _unique(names: Sequence[str]) -> dict[str, Any]:
    if len(names) == 1:
        return {"expectation": {"type": "expect_column_values_to_be_unique", "column": names[0]}}
    compound = {"column_list": list(names), "ignore_row_if": "any_value_is_missing"}
    return {"expectation": {"type": "expect_compound_columns_to_be_unique", **compound}}


def _with_values(rows: pl.DataFrame, column: str, values: Sequence[Any]) -> pl.DataFrame:
    try:
        return rows.with_columns(pl.Series(column, values).cast(rows.schema[column]))
    except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
        raise ConfigError(
            f"column {column!r} of {rows.schema[column]} cannot hold {values[0]!r}: {error}; choose other bounds or column",
            column=column,
        ) from error


def _beyond(low: Any, high: Any, number: int) -> Any:
    step: Any = timedelta(days=1 + number) if isinstance(low, date | datetime) else 1 + number
    return high + step if number % 2 else low - step


def _strangers(known: Collection[Any], count: int, *, text: bool) -> list[Any]:
    if not text:
        top = max((value for value in known if value is not None), default=0)
        return [top + 1 + number for number in range(count)]
    taken, found, number = set(known), list[str](), 0
    while len(found) < count:
        number += 1
        if (name := f"unknown-{number}") not in taken:
            found.append(name)
    return found
