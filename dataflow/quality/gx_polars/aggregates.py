"""Metrics of one column that are one value: a few expressions for the one collect, and what their values say."""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import polars as pl
from great_expectations.constants import MAX_DISTINCT_VALUES
from great_expectations.metrics.column.descriptive_stats import DescriptiveStats

from .answers import Ask
from .conditions import Column, members

Aggregate: TypeAlias = Callable[..., pl.Expr | Ask]
AGGREGATES: dict[str, Aggregate] = {}
"""Metrics of one column, by name: the column (row condition applied) and value arguments -> what to ask."""


def of_values(name: str) -> Callable[[Aggregate], Aggregate]:
    """Register a metric of the values of a column."""

    def register(builder: Aggregate) -> Aggregate:
        AGGREGATES[name] = builder
        return builder

    return register


def aggregate(name: str, asked: Column, values: dict[str, Any]) -> Ask:
    """What to ask for a metric of a column."""
    made = AGGREGATES[name](asked, **values)
    return made if isinstance(made, Ask) else Ask((made,), lambda found: found[0])


def _number(asked: Column) -> pl.Expr:
    """As in pandas, decimals are averaged as floats."""
    return asked.expr.cast(pl.Float64) if isinstance(asked.dtype, pl.Decimal) else asked.expr


AGGREGATES["column.min"] = lambda asked: asked.expr.min()
AGGREGATES["column.max"] = lambda asked: asked.expr.max()
AGGREGATES["column.mean"] = lambda asked: _number(asked).mean()
AGGREGATES["column.sum"] = lambda asked: _number(asked).sum()
AGGREGATES["column.median"] = lambda asked: _number(asked).median()
AGGREGATES["column.standard_deviation"] = lambda asked: _number(asked).std()
AGGREGATES["column.non_null_count"] = lambda asked: asked.expr.count()
# Great Expectations divides by it, and relies on numpy's way to divide by zero.
AGGREGATES["column_values.nonnull.count"] = lambda asked: Ask((asked.expr.count(),), lambda found: np.int64(found[0]))
AGGREGATES["column_values.null.count"] = lambda asked: asked.expr.null_count()
AGGREGATES["column_values.length.min"] = lambda asked: asked.text.str.len_chars().min()
AGGREGATES["column_values.length.max"] = lambda asked: asked.text.str.len_chars().max()


@of_values("column.distinct_values.count")
def _distinct(asked: Column) -> Ask:
    # Filtering the nulls away would copy the column.
    return Ask(_distinct_exprs(asked), lambda found: _without_null(*found))


def _distinct_exprs(asked: Column) -> tuple[pl.Expr, pl.Expr]:
    return asked.expr.n_unique(), asked.expr.null_count()


def _without_null(distinct: int, nulls: int) -> int:
    return distinct - (nulls > 0)


@of_values("column.distinct_values.count.under_threshold")
def _few(asked: Column, threshold: int) -> Ask:
    return Ask(_distinct_exprs(asked), lambda found: _without_null(*found) < threshold)


@of_values("column.unique_proportion")
def _unique_share(asked: Column) -> Ask:
    exprs = (*_distinct_exprs(asked), asked.expr.count())
    return Ask(exprs, lambda found: _without_null(*found[:2]) / found[2] if found[2] else 0)


@of_values("column.non_null_proportion")
def _present_share(asked: Column) -> Ask:
    return Ask((asked.expr.count(), asked.expr.len()), lambda found: found[0] / found[1] if found[1] else 0)


@of_values("column.descriptive_stats")
def _described(asked: Column) -> Ask:
    names = ("min", "max", "mean", "standard_deviation")
    exprs = tuple(aggregate(f"column.{name}", asked, {}).exprs[0] for name in names)
    return Ask(exprs, lambda found: DescriptiveStats(**dict(zip(names, found, strict=True))))


@of_values("column.distinct_values")
def _values(asked: Column) -> Ask:
    return Ask((asked.expr.unique().implode(),), lambda found: set(found[0]))


@of_values("column.most_common_value")
def _most_common(asked: Column) -> pl.Expr:
    return asked.expr.drop_nulls().mode().sort().implode()


def _foreign(asked: Column, value_set: Iterable[Any] | None) -> pl.Expr:
    """The values that are not in a set; nulls are not asked."""
    known = members(asked, value_set or ())
    plain = asked.expr if known.dtype == asked.dtype else asked.text
    return plain.filter(plain.is_in(known.implode()).not_())


@of_values("column.distinct_values.not_in_set.count")
def _count_foreign(asked: Column, value_set: Iterable[Any] | None) -> pl.Expr:
    return _foreign(asked, value_set).n_unique()


@of_values("column.distinct_values.not_in_set")
def _list_foreign(asked: Column, value_set: Iterable[Any] | None, limit: int | None = None) -> pl.Expr:
    return _foreign(asked, value_set).unique().bottom_k(limit or MAX_DISTINCT_VALUES).sort().implode()


@of_values("column.distinct_values.missing_from_column")
def _list_missing(asked: Column, value_set: Iterable[Any] | None, limit: int | None = None) -> Ask:
    return _missing(asked, value_set, lambda missing: missing[: limit or MAX_DISTINCT_VALUES])


@of_values("column.distinct_values.missing_from_column.count")
def _count_missing(asked: Column, value_set: Iterable[Any] | None) -> Ask:
    return _missing(asked, value_set, len)


def _missing(asked: Column, value_set: Iterable[Any] | None, finish: Callable[[list[Any]], Any]) -> Ask:
    """The values of a set that are not in the column, those that its type cannot hold among them."""
    as_held = {value: members(asked, (value,)) for value in dict.fromkeys(value_set or ())}
    known = members(asked, as_held)
    plain = asked.expr if known.dtype == asked.dtype else asked.text
    held = plain.filter(plain.is_in(known.implode())).unique().implode()

    def read(found: tuple[Any, ...]) -> Any:
        there = set(found[0])
        return finish([value for value, one in as_held.items() if one.is_empty() or one[0] not in there])

    return Ask((held,), read)


@of_values("column.value_counts")
def _value_counts(asked: Column, sort: str = "value", collate: str | None = None) -> Ask:
    if sort not in ("value", "count", "none"):
        raise ValueError("sort must be either 'value', 'count', or 'none'")
    if collate is not None:
        raise ValueError("collate is not supported by the Polars engine")

    def read(found: tuple[Any, ...]) -> pd.Series:
        pairs = [tuple(one.values()) for one in found[0]]
        if sort != "none":
            pairs.sort(key=lambda pair: pair[0] if sort == "value" else -pair[1])
        index = pd.Index([value for value, _ in pairs], name="value", dtype=object).infer_objects()
        return pd.Series([count for _, count in pairs], index=index, name="count", dtype="int64")

    return Ask((asked.expr.drop_nulls().value_counts().implode(),), read)
