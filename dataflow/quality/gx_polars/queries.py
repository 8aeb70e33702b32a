"""Metrics that are queries: SQL over the one frame of a batch, and over nothing else."""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import polars as pl
import sqlglot
from great_expectations.constants import MAX_RESULT_RECORDS
from great_expectations.data_context.data_context.context_factory import project_manager
from great_expectations.expectations.metrics.query_metric_provider import QueryMetricProvider
from sqlglot import exp
from sqlglot.errors import SqlglotError

from .answers import Data, Look
from .conditions import Kwargs

TABLE, ROWS = "batch", "rows"


def run_query(data: Data, query: str) -> pl.LazyFrame:
    """The rows of a query, in which ``{batch}`` stands for the batch.

    Errors: ValueError for what is not one query over the batch alone, PolarsError for what Polars cannot do.
    """
    statement = QueryMetricProvider._format_query(query, batch=TABLE)
    _check(statement)
    # Polars' own reading of the statement has the last word on what it would read.
    plan = _execute(pl.LazyFrame(schema=dict(data.schema)), statement).explain(optimized=False)
    if re.search(r"^\s*[\w ]*\bSCAN \[", plan, re.MULTILINE):
        raise ValueError(f"the query reads files; it may read {{batch}} only: {statement}")
    return _execute(data.frame if data.mask is None else data.frame.filter(data.mask), statement)


def _execute(frame: pl.LazyFrame, statement: str) -> pl.LazyFrame:
    return pl.SQLContext({TABLE: frame}, eager=False).execute(statement)


def _check(statement: str) -> None:
    try:
        parsed = sqlglot.parse(statement, read="postgres")
    except SqlglotError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"the query cannot be read: {reason}: {statement}") from error
    if len(parsed) != 1 or not isinstance(parsed[0], exp.Query):
        raise ValueError(f"not a query: write one SELECT over {{batch}}: {statement}")
    known = {TABLE, *(named.alias for named in parsed[0].find_all(exp.CTE))}
    sources = [one.this for one in parsed[0].find_all(exp.From, exp.Join)]
    for source in (*sources, *parsed[0].find_all(exp.Table)):  # a table may stand in parentheses
        if not isinstance(source, exp.Subquery) and not _is_named(source, known):
            raise ValueError(f"the query reads {source.sql()}; it may read {{batch}} only: {statement}")


def _is_named(source: Any, known: set[str]) -> bool:
    plain = isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier)
    return plain and source.name in known and not source.db


def _table(data: Data, query: str) -> Look:
    rows = run_query(data, query)
    return Look(rows.head(MAX_RESULT_RECORDS), pl.DataFrame.to_dicts, tuple(rows.collect_schema()))


def _count(data: Data, query: str) -> Look:
    return Look(run_query(data, query).select(pl.len().alias(ROWS)), lambda found: int(found.item()), (ROWS,))


def _comparison(_: Data, values: Kwargs) -> Any:
    """The rows of a query to another data source: to the frame that it was handed last, or to a database."""
    name, query = values["comparison_data_source_name"], values["comparison_query"]
    engine: Any = project_manager.get_datasources()[name].get_execution_engine()
    if hasattr(engine, "execute_query"):
        return QueryMetricProvider._get_sqlalchemy_records_from_substituted_batch_subquery(query, engine)
    batch = getattr(engine, "latest", None)
    if batch is None:
        raise ValueError(
            f"nothing to compare with: data source {name!r} holds no Polars frame; get a batch of it first"
        )
    return _table(Data(batch.frame, batch.schema), query)


QUERIES: dict[str, Callable[[Data, Kwargs], Any]] = {
    "unexpected_rows_query.table": lambda data, values: _table(data, values["unexpected_rows_query"]),
    "unexpected_rows_query.row_count": lambda data, values: _count(data, values["unexpected_rows_query"]),
    "query.table": lambda data, values: _table(data, values["query"]),
    "query.row_count": lambda data, values: _count(data, values["query"]),
    "base_query.table": lambda data, values: _table(data, values["base_query"]),
    "comparison_query.data_source_table": _comparison,
}
