"""What each metric of Great Expectations is, as Polars expressions: one registry, a few lines each."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import reduce
from typing import Any, TypeAlias, overload

import polars as pl
from dateutil import parser as dates

Schema: TypeAlias = Mapping[str, pl.DataType]
Kwargs: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Rows:
    """A question to each row: ``about`` are the rows that are asked (None: all), ``breaks`` those that answer no.

    ``about`` is never null; a null in ``breaks`` says that the row was not asked.
    """

    about: pl.Expr | None
    breaks: pl.Expr
    columns: tuple[str, ...]
    shared: Mapping[str, pl.Expr] = field(default_factory=dict[str, pl.Expr])
    """Columns that both refer to, so that what costs is worked out once."""


@dataclass(frozen=True)
class Keys:
    """A key that must not repeat among the rows that ``about`` is true of (None: all)."""

    about: pl.Expr | None
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """A column, as a builder sees it."""

    name: str
    dtype: pl.DataType
    expr: pl.Expr

    @property
    def text(self) -> pl.Expr:
        return self.expr if self.dtype == pl.String else self.expr.cast(pl.String)


Condition = Callable[[Kwargs, Kwargs, Schema], Rows | Keys]
CONDITIONS: dict[str, Condition] = {}
"""Map metrics, by name: domain arguments, value arguments, schema -> the question."""


def column(schema: Schema, name: str) -> Column:
    """The column of that name.

    Errors: ValueError that says which columns there are.
    """
    if name not in schema:
        near = difflib.get_close_matches(name, list(schema), n=1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f'The column "{name}" in BatchData does not exist.{guess} Columns: {", ".join(schema)}.')
    return Column(name, schema[name], pl.col(name))


def of_column(name: str, *, ask_nulls: bool = False) -> Callable[[Callable[..., pl.Expr]], Callable[..., pl.Expr]]:
    """Register a question to each value of a column.

    The builder says what is true of a good value; null where there is no value.
    """

    def register(builder: Callable[..., pl.Expr]) -> Callable[..., pl.Expr]:
        def condition(domain: Kwargs, values: Kwargs, schema: Schema) -> Rows:
            asked = column(schema, domain["column"])
            return Rows(None if ask_nulls else asked.expr.is_not_null(), builder(asked, **values).not_(), (asked.name,))

        CONDITIONS[name] = condition
        return builder

    return register


@overload
def both(first: pl.Expr, second: pl.Expr | None) -> pl.Expr: ...
@overload
def both(first: pl.Expr | None, second: pl.Expr | None) -> pl.Expr | None: ...
def both(first: pl.Expr | None, second: pl.Expr | None) -> pl.Expr | None:
    """Where both are true; None stands for every row."""
    return second if first is None else first if second is None else first & second


def considered(
    domain: Kwargs, names: Sequence[str], *, any_missing: str, all_missing: str, never: str
) -> pl.Expr | None:
    """The rows that ``ignore_row_if`` leaves; None for all."""
    present = [pl.col(name).is_not_null() for name in names]
    rule = domain.get("ignore_row_if")
    left = {any_missing: reduce(pl.Expr.__and__, present), all_missing: reduce(pl.Expr.__or__, present), never: None}
    if rule not in left:
        raise ValueError(f'Unrecognized value of ignore_row_if ("{rule}"); accepted: {", ".join(left)}.')
    return left[rule]


def bound(asked: Column, value: Any) -> Any:
    """A bound as the column's type: text and days become instants where the column holds them; in UTC unless they say."""
    if asked.dtype.is_temporal() and isinstance(value, str):
        value = dates.parse(value)
        if asked.dtype == pl.Date and value.time() == dt.time():
            value = value.date()
    if not isinstance(asked.dtype, pl.Datetime) or not isinstance(value, dt.date):
        return value
    moment = value if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time())
    if asked.dtype.time_zone is None:
        return moment if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment


def within(value: pl.Expr, low: Any, high: Any, strict_min: object, strict_max: object) -> pl.Expr:
    """Whether a value lies between its bounds.

    Errors: ValueError where there is no bound, or the bounds are the wrong way round.
    """
    if low is None and high is None:
        raise ValueError("min_value and max_value cannot both be None")
    if low is not None and high is not None and low > high:
        raise ValueError("min_value cannot be greater than max_value")
    parts: list[pl.Expr] = []
    if low is not None:
        parts.append(value > low if strict_min else value >= low)
    if high is not None:
        parts.append(value < high if strict_max else value <= high)
    return reduce(pl.Expr.__and__, parts)


def members(asked: Column, values: Iterable[Any]) -> pl.Series:
    """The values that the column's type can hold at all: the others cannot be in it."""
    dtype, kept = asked.dtype, [value for value in values if value is not None]
    if dtype.is_integer():
        kept = [int(v) for v in kept if isinstance(v, int | float | Decimal) and v == int(v)]
        return (
            pl.Series([v for v in kept if -(2**63) <= v < 2**63], dtype=pl.Int64).cast(dtype, strict=False).drop_nulls()
        )
    if dtype.is_numeric():
        return pl.Series(
            [v for v in kept if isinstance(v, int | float | Decimal)], dtype=pl.Float64, strict=False
        ).cast(dtype)
    if dtype.is_temporal():
        return pl.Series(
            [bound(asked, v) for v in kept if isinstance(v, str | dt.date | dt.time | dt.timedelta)], dtype=dtype
        )
    if dtype == pl.Boolean:
        return pl.Series([bool(v) for v in kept if v in (0, 1)], dtype=dtype)
    return pl.Series([v for v in kept if isinstance(v, str)], dtype=pl.String)


def _member(asked: Column, values: Iterable[Any]) -> pl.Expr:
    plain = asked.dtype.is_numeric() or asked.dtype.is_temporal() or asked.dtype == pl.Boolean
    return (asked.expr if plain else asked.text).is_in(members(asked, values).implode())


@of_column("column_values.nonnull", ask_nulls=True)
def _present(asked: Column) -> pl.Expr:
    return asked.expr.is_not_null()


@of_column("column_values.null", ask_nulls=True)
def _absent(asked: Column) -> pl.Expr:
    return asked.expr.is_null()


@of_column("column_values.between")
def _between(
    asked: Column, min_value: Any = None, max_value: Any = None, strict_min: object = None, strict_max: object = None
) -> pl.Expr:
    inside = within(asked.expr, bound(asked, min_value), bound(asked, max_value), strict_min, strict_max)
    # Polars sorts NaN above every number; it is not between any two.
    return inside & asked.expr.is_not_nan() if asked.dtype.is_float() and max_value is None else inside


def _any(asked: Column) -> pl.Expr:
    return asked.expr.is_null() | True


@of_column("column_values.in_set")
def _in_set(asked: Column, value_set: Sequence[Any] | None) -> pl.Expr:
    return _any(asked) if value_set is None else _member(asked, value_set)


@of_column("column_values.not_in_set")
def _not_in_set(asked: Column, value_set: Sequence[Any] | None) -> pl.Expr:
    return _any(asked) if value_set is None else _member(asked, value_set).not_()


@of_column("column_values.match_regex")
def _match(asked: Column, regex: str) -> pl.Expr:
    pl.Series([""]).str.contains(regex)  # an impossible pattern fails here, not in the middle of the scan
    return asked.text.str.contains(regex)


@of_column("column_values.not_match_regex")
def _not_match(asked: Column, regex: str) -> pl.Expr:
    return _match(asked, regex).not_()


@of_column("column_values.value_length.between")
def _length(
    asked: Column, min_value: Any = None, max_value: Any = None, strict_min: object = None, strict_max: object = None
) -> pl.Expr:
    return within(asked.text.str.len_chars(), min_value, max_value, strict_min, strict_max)


@of_column("column_values.value_length.equals")
def _length_equals(asked: Column, value: int) -> pl.Expr:
    return asked.text.str.len_chars() == value


def _unique(domain: Kwargs, _: Kwargs, schema: Schema) -> Keys:
    asked = column(schema, domain["column"])
    return Keys(asked.expr.is_not_null(), (asked.name,))


def _compound(domain: Kwargs, _: Kwargs, schema: Schema) -> Keys:
    names = tuple(column(schema, name).name for name in domain["column_list"])
    about = considered(
        domain, names, any_missing="any_value_is_missing", all_missing="all_values_are_missing", never="never"
    )
    return Keys(about, names)


def _greater(domain: Kwargs, values: Kwargs, schema: Schema) -> Rows:
    first, second = column(schema, domain["column_A"]), column(schema, domain["column_B"])
    names = (first.name, second.name)
    about = considered(
        domain, names, any_missing="either_value_is_missing", all_missing="both_values_are_missing", never="neither"
    )
    good = first.expr >= second.expr if values.get("or_equal") else first.expr > second.expr
    return Rows(about, both(good.fill_null(value=False).not_(), about), names)


CONDITIONS["column_values.unique"] = _unique
CONDITIONS["compound_columns.unique"] = _compound
CONDITIONS["column_pair_values.a_greater_than_b"] = _greater
