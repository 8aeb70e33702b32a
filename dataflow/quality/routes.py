"""What a failing rule does: the routes that take an argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl


@dataclass(frozen=True)
class Repair:
    """Failing rows get a new value in ``column``; they are checked once more, then published or quarantined.

    ``function`` makes the new value from the column's expression, and may read other columns of the row with
    ``pl.col``; only failing rows take it. Rows are never added or lost, and the column keeps its type.

    Example:
        >>> Repair("email", lambda email: email.str.strip_chars().str.to_lowercase()).column
        'email'
    """

    column: str
    function: Callable[[pl.Expr], pl.Expr]


@dataclass(frozen=True)
class Branch:
    """The batch is not published, and ``stage`` runs instead."""

    stage: str


OnFail = Literal["fail", "quarantine", "drop", "warn"] | Repair | Branch
"""What a rule does when it fails."""


@dataclass(frozen=True)
class QuarantineLimit:
    """A gate refuses a batch of which more than this is set aside (quarantined or dropped)."""

    rows: int | None = None
    share: float | None = None
    """Of the rows that the stage produced, from 0 to 1."""
