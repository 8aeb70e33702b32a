"""Which columns of a table are the user's, and which a strategy may add."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from dataflow.errors import ConfigError


def user_columns(columns: Iterable[str], added: Collection[str] = ()) -> list[str]:
    """The columns that neither the engine (``_row_id`` and the like) nor a strategy (``added``) brought."""
    return [column for column in columns if not column.startswith("_") and column not in added]


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
