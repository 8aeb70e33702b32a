"""Which columns of a table are the user's, and which a strategy may add."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from dataflow.dedup.strategy import REASON, TABLE_FILE
from dataflow.errors import ConfigError
from dataflow.model import SOURCE_FILE, is_row_id

_OURS = {SOURCE_FILE, TABLE_FILE, REASON, "_batch_id", "_ingested_at", "_duplicate_of", "_seen_at"}
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
