"""Metrics of how the values of a column are distributed: quantiles, partitions, histograms."""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from great_expectations.expectations.metrics.column_aggregate_metrics.column_partition import (
    _get_column_partition_using_metrics,
)

from .aggregates import of_values
from .answers import Ask
from .conditions import Column, within

POSITIONS: dict[str, Callable[[pl.Expr], tuple[pl.Expr, pl.Expr]]] = {
    # As numpy does it: halfway between two values lies the even one.
    "nearest": lambda at: (at.round(mode="half_to_even"), at.round(mode="half_to_even")),
    "lower": lambda at: (at.floor(), at.floor()),
    "higher": lambda at: (at.ceil(), at.ceil()),
    "midpoint": lambda at: (at.floor(), at.ceil()),
    "linear": lambda at: (at.floor(), at.ceil()),
}
"""Between which two of the sorted values a quantile lies, by the name of the interpolation."""


def _ask_quantiles(asked: Column, quantiles: Sequence[float], interpolation: str) -> tuple[pl.Expr, pl.Expr]:
    """How many values there are, and the two around each quantile: the column is sorted once for all of them."""
    ats = [((asked.expr.count().cast(pl.Int64) - 1) * quantile).cast(pl.Float64) for quantile in quantiles]
    places = [place.cast(pl.Int64) for at in ats for place in POSITIONS[interpolation](at)]
    held = asked.expr.drop_nulls().sort().gather(pl.concat_list(places).explode(), null_on_oob=True)
    return asked.expr.count(), held.implode()


def _read_quantiles(found: tuple[Any, ...], quantiles: Sequence[float], interpolation: str) -> list[Any]:
    count, values = found
    return [
        _between(low, high, (count - 1) * quantile % 1 if interpolation == "linear" else 0.5)
        for quantile, low, high in zip(quantiles, values[::2], values[1::2], strict=True)
    ]


def _between(low: Any, high: Any, share: float) -> Any:
    return low if low == high else low + (high - low) * share


@of_values("column.quantile_values")
def _quantile_values(asked: Column, quantiles: Sequence[float], allow_relative_error: Any = None) -> Ask:
    interpolation = allow_relative_error or "nearest"
    if interpolation not in POSITIONS:
        raise ValueError(
            f"allow_relative_error is the name of an interpolation here; accepted: {', '.join(sorted(POSITIONS))}"
        )
    exprs = _ask_quantiles(asked, quantiles, interpolation)
    return Ask(exprs, lambda found: _read_quantiles(found, quantiles, interpolation))


def _check_numbers(asked: Column) -> None:
    if not asked.dtype.is_numeric():
        raise ValueError(f"column {asked.name!r} holds {asked.dtype}: only numbers can be cut into bins")


@of_values("column.partition")
def _partition(asked: Column, bins: str = "uniform", n_bins: int = 10, allow_relative_error: Any = None) -> Ask:
    _check_numbers(asked)
    quantiles = {"uniform": (0.0, 1.0), "auto": (0.0, 0.25, 0.75, 1.0)}.get(bins, tuple(np.linspace(0, 1, n_bins + 1)))
    interpolation = allow_relative_error or "nearest"

    def finish(found: tuple[Any, ...]) -> Any:
        values = [math.nan if one is None else one for one in _read_quantiles(found, quantiles, interpolation)]
        known = {
            "column_values.nonnull.count": found[0],
            "column.quantile_values": values,
            "column.min": values[0],
            "column.max": values[-1],
        }
        return _get_column_partition_using_metrics(bins=bins, n_bins=n_bins, _metrics=known)  # pyright: ignore

    return Ask(_ask_quantiles(asked, quantiles, interpolation), finish)


@of_values("column.histogram")
def _histogram(asked: Column, bins: Sequence[float]) -> Ask:
    _check_numbers(asked)
    edges = [float(edge) for edge in bins]
    if any(low > high for low, high in pairwise(edges)):
        raise ValueError("the edges of a histogram's bins must increase")
    values = asked.expr.cast(pl.Float64)
    inside = values.filter(values.is_between(edges[0], edges[-1]))
    # The last bin holds its upper edge too.
    bin_of = pl.lit(pl.Series(edges)).search_sorted(inside, side="right").clip(upper_bound=len(edges) - 1)

    def finish(found: tuple[Any, ...]) -> list[int]:
        counts = {one["bin"]: one["count"] for one in found[0]}
        return [counts.get(position, 0) for position in range(1, len(edges))]

    return Ask((bin_of.alias("bin").value_counts().implode(),), finish)


@of_values("column_values.between.count")
def _count_between(
    asked: Column, min_value: Any = None, max_value: Any = None, strict_min: object = None, strict_max: object = None
) -> pl.Expr:
    inside = within(asked.expr, min_value, max_value, strict_min, strict_max)
    # Polars sorts NaN above every number; it is not between any two.
    return (inside & asked.expr.is_not_nan() if asked.dtype.is_float() else inside).sum()
