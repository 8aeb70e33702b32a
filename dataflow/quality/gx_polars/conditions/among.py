"""Questions to a value among all of them: order, z-scores, outliers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from .questions import CONDITIONS, Among, Column, Kwargs, Schema, column

Breaks = Callable[[pl.Expr], pl.Expr]
Builder = Callable[..., Breaks]


def among(name: str) -> Callable[[Builder], Builder]:
    """Register a question to each value among all that are asked; the builder says which of them break it."""

    def register(builder: Builder) -> Builder:
        def condition(domain: Kwargs, values: Kwargs, schema: Schema) -> Among:
            asked = column(schema, domain["column"])
            return Among(asked.expr.is_not_null(), (asked.name,), builder(asked, **values))

        CONDITIONS[name] = condition
        return builder

    return register


@among("column_values.increasing")
def _increasing(_: Column, strictly: bool | None = None, **__: Any) -> Breaks:
    return lambda values: values <= values.shift(1) if strictly else values < values.shift(1)


@among("column_values.decreasing")
def _decreasing(_: Column, strictly: bool | None = None, **__: Any) -> Breaks:
    return lambda values: values >= values.shift(1) if strictly else values > values.shift(1)


@among("column_values.z_score.under_threshold")
def _z_score(asked: Column, threshold: float | None = None, double_sided: bool | None = None) -> Breaks:
    if threshold is None:
        raise ValueError("threshold is missing: the z-score that no value may reach")
    measure = _instant if asked.dtype.is_temporal() else _measure(asked)

    def breaks(values: pl.Expr) -> pl.Expr:
        numbers = measure(values)
        spread = numbers.std()
        score = (numbers - numbers.mean()) / pl.when(spread > 0).then(spread)
        # Where there is no z-score (one value, all the same, something infinite) nothing is far off.
        known = pl.when(score.is_not_nan()).then(score)
        return known.abs() >= abs(threshold) if double_sided else known >= threshold

    return breaks


@among("column_values.not_outliers")
def _not_outliers(asked: Column, method: str | None = None, multiplier: float | None = None) -> Breaks:
    if method not in ("iqr", "std"):
        raise ValueError(f"method {method!r} is not known: 'iqr' or 'std'")
    measure, reach = _measure(asked), 1.5 if multiplier is None else multiplier

    def fences(values: pl.Expr) -> pl.Expr:
        numbers = measure(values)
        low, high = _finite(numbers.quantile(0.25, "linear")), _finite(numbers.quantile(0.75, "linear"))
        margin = reach * (high - low)
        return (numbers < low - margin) | (numbers > high + margin)

    def distance(values: pl.Expr) -> pl.Expr:
        numbers = measure(values)
        centre, margin = _finite(numbers.mean()), reach * _finite(numbers.std())
        return pl.when(margin <= 0).then(numbers != centre).otherwise((numbers - centre).abs() >= margin)

    return fences if method == "iqr" else distance


def _finite(measure: pl.Expr) -> pl.Expr:
    return pl.when(measure.is_finite()).then(measure)


def _instant(values: pl.Expr) -> pl.Expr:
    return values.to_physical().cast(pl.Float64)


def _measure(asked: Column) -> Breaks:
    """The values as numbers; NaN, of which there is no measure, as null."""
    if not (asked.dtype.is_numeric() or isinstance(asked.dtype, pl.Boolean | pl.Null)):
        raise ValueError(f"column {asked.name!r} holds {asked.dtype}: how far a value is off needs numbers")
    return lambda values: values.cast(pl.Float64).fill_nan(None)
