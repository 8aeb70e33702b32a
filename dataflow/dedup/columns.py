"""Which columns of a table are the user's, and which a strategy may add."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import polars as pl

from dataflow.dedup.strategy import REASON, TABLE_ROW
from dataflow.errors import ConfigError
from dataflow.model import SOURCE_FILE, is_row_id

_OURS = {SOURCE_FILE, TABLE_ROW, REASON, "_batch_id", "_ingested_at", "_duplicate_of", "_seen_at"} | {
    "_snapshot",
    "_seen_snapshot",
    "_deleted_in",
}
_PASSING = ("_dlt_", "__gate_")
"""How columns begin in which dlt counts its loads, and a gate its findings: the same row has others each time."""


def user_columns(columns: Iterable[str], added: Collection[str] = ()) -> list[str]:
    """The columns that neither the engine (``_row_id`` and the like) nor a strategy (``added``) brought.

    Example:
        >>> user_columns(["_id", "name", "_rescued", "_row_id", "_batch_id", "_dlt_load_id"])
        ['_id', 'name', '_rescued']
    """
    ours = {*_OURS, *added}
    return [c for c in columns if c not in ours and not is_row_id(c) and not c.startswith(_PASSING)]


def as_held(rows: pl.LazyFrame, held: pl.Schema, columns: Iterable[str]) -> pl.LazyFrame:
    """``rows`` with ``columns`` of the types that the table holds them in, so that they can be found there."""
    schema = rows.collect_schema()
    return rows.cast({column: held[column] for column in columns if schema[column] != held[column]})


def quoted(column: str) -> str:
    """The column as a predicate writes it."""
    return '"' + column.replace('"', '""') + '"'


def check_free(strategy: str, columns: Collection[str], added: Iterable[str]) -> None:
    """Refuse rows that have a column already which the strategy adds.

    Errors: ConfigError that names it.
    """
    for column in added:
        if column in columns:
            raise ConfigError(
                f"strategy {strategy!r} adds a column {column!r}, which the rows have already; rename theirs before, in a stage with a function",
                column=column,
            )
