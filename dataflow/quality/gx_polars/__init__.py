"""Great Expectations on Polars: importing this makes ``context.data_sources.add_polars`` available.

Stands alone: it imports nothing of the package around it.
"""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from . import metrics, results
from .conditions import CONDITIONS, Rows
from .datasource import PolarsDataFrameAsset, PolarsDatasource
from .engine import PolarsBatchData, PolarsExecutionEngine
from .expectations import ExpectRowsToSatisfy, make_expectation
from .facts import Evidence, Facts
from .files import KnownFrame, ParquetFiles
from .footers import read_facts
from .schemas import register_types
from .statements import register_dialect

__all__ = [
    "Evidence",
    "ExpectRowsToSatisfy",
    "Facts",
    "KnownFrame",
    "ParquetFiles",
    "PolarsBatchData",
    "PolarsDataFrameAsset",
    "PolarsDatasource",
    "PolarsExecutionEngine",
    "failing_rows",
    "make_expectation",
    "read_facts",
    "register_dialect",
]

metrics.register(PolarsExecutionEngine)
results.mark_results(PolarsExecutionEngine)
results.contain_errors(PolarsExecutionEngine)
register_types(PolarsExecutionEngine)


def failing_rows(expectation: str, arguments: Mapping[str, Any], schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """True of the rows that break an expectation about rows.

    Nulls: never null.
    Errors: ValueError for an expectation that no single row breaks, and for columns that are not there.
    """
    made: Any = make_expectation(expectation, **arguments)
    metric = getattr(made, "map_metric", None)
    question = None
    if metric in CONDITIONS:
        values = {name: getattr(made, name, None) for name in metrics.value_keys(f"{metric}.unexpected_count")}
        question = CONDITIONS[metric](made.dict(), values, schema)
    if not isinstance(question, Rows):
        raise ValueError(f"{expectation} is about the batch: no single row breaks it")
    return question.breaks.fill_null(value=False)
