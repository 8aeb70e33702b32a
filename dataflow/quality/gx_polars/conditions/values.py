"""Questions about a value alone: missing, between, in a set; and whether it repeats."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import polars as pl

from .literals import aligned, bound, key, members
from .questions import CONDITIONS, Column, Keys, Kwargs, Schema, always, column, of_column


def within(
    value: pl.Expr, low: Any, high: Any, strict_min: object, strict_max: object, dtype: pl.DataType | None = None
) -> pl.Expr:
    """Whether a value lies between its bounds; what has a unit needs the type to be compared exactly.

    Errors: ValueError where there is no bound, or the bounds are the wrong way round.
    """
    if low is None and high is None:
        raise ValueError("min_value and max_value cannot both be None")
    if low is not None and high is not None and low > high:
        raise ValueError("min_value cannot be greater than max_value")
    if dtype is not None:
        value, low, high = aligned(value, dtype, low, high)
    parts: list[pl.Expr] = []
    if low is not None:
        parts.append(value > low if strict_min else value >= low)
    if high is not None:
        parts.append(value < high if strict_max else value <= high)
    return reduce(pl.Expr.__and__, parts)


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
    low, high = bound(asked, min_value), bound(asked, max_value)
    inside = within(asked.expr, low, high, strict_min, strict_max, asked.dtype)
    # Polars sorts NaN above every number; it is not between any two.
    return inside & asked.expr.is_not_nan() if asked.dtype.is_float() and max_value is None else inside


@of_column("column_values.in_set")
def _in_set(asked: Column, value_set: Sequence[Any] | None) -> pl.Expr:
    return always(asked) if value_set is None else key(asked).is_in(members(asked, value_set).implode())


@of_column("column_values.not_in_set")
def _not_in_set(asked: Column, value_set: Sequence[Any] | None) -> pl.Expr:
    return always(asked) if value_set is None else _in_set(asked, value_set).not_()


def _unique(domain: Kwargs, _: Kwargs, schema: Schema) -> Keys:
    asked = column(schema, domain["column"])
    return Keys(asked.expr.is_not_null(), (asked.name,))


CONDITIONS["column_values.unique"] = _unique
