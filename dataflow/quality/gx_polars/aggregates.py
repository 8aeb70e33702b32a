"""Metrics of one column that are one value, as Polars expressions."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from .conditions import Column

AGGREGATES: dict[str, Callable[[Column], pl.Expr]] = {}
"""Metrics of one column, by name: the column (row condition applied) -> its one value."""
AGGREGATES["column.min"] = lambda asked: asked.expr.min()
AGGREGATES["column.max"] = lambda asked: asked.expr.max()
AGGREGATES["column.mean"] = lambda asked: asked.expr.mean()
AGGREGATES["column.sum"] = lambda asked: asked.expr.sum()
AGGREGATES["column.median"] = lambda asked: asked.expr.median()
AGGREGATES["column.standard_deviation"] = lambda asked: asked.expr.std()
AGGREGATES["column.distinct_values.count"] = lambda asked: asked.expr.drop_nulls().n_unique()
