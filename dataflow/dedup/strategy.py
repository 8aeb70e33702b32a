"""The seam that every strategy fits: how the rows of a batch meet those of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import polars as pl

from dataflow.model import Frozen

TABLE_ROW = "_table_row"
"""In the frame of a table: the number of a row, by which it is told that it goes; later rows mostly have greater ones."""
REASON = "_reason"
"""In dropped rows: why the row is not published, in words."""


@dataclass(frozen=True)
class Settled:
    """What a batch does to its table. Every row of the batch is in ``added`` or in ``dropped``, and in one only."""

    added: pl.LazyFrame
    """Rows of the batch that come into the table, with all its columns."""
    dropped: pl.LazyFrame | None = None
    """One row for each row of the batch that does not, as it is to be kept beside the table, with ``REASON``.
    What tells it (its row id, its key) is enough: the row itself is in the input."""
    replaced: pl.LazyFrame | None = None
    """The rows of the table that leave it: their ``TABLE_ROW``, each once."""
    rewritten: pl.LazyFrame | None = None
    """Rows with all the table's columns that come for those, beyond ``added``: closed versions of a history, say."""
    deleted: int = 0
    """As many of ``replaced`` leave for good; in the place of the others come rows."""
    overwrites: bool = False
    """Whether ``added`` and ``rewritten`` are the whole table from now on; ``replaced`` is then left out."""
    changes: pl.LazyFrame | None = None
    """What changed, for ``<stage>__changes``: kept as long as the table is not computed anew, which tells it again."""
    notes: tuple[str, ...] = ()
    """What a reader of the report should know."""


class Strategy(Protocol):
    """Says what becomes of a batch's rows in a table that has rows already.

    Nothing of the table is read that the strategy does not ask for. The engine does the rest: it reads only what is
    new, sends rows along the routes of the gate before they are settled, writes, rewrites the files that hold
    replaced rows, audits, and publishes in one commit. Where it has to compute the table anew, it gives the whole
    input as one batch and no table: what comes of that must not depend on how the input was cut into batches.
    Who derives from this class may leave out all but ``Config``, ``__init__`` and ``settle``.
    """

    Config: ClassVar[type[Frozen]]
    """The strategy's own options."""

    def __init__(self, config: Any) -> None: ...

    @property
    def columns(self) -> Mapping[str, Sequence[str]]:
        """By option: the columns that it names, which the rows must have."""
        return {}

    @property
    def partition_by(self) -> tuple[str, ...]:
        """How the table is partitioned where its storage does not say."""
        return ()

    @property
    def retells(self) -> Mapping[str, Sequence[str]]:
        """By column that the strategy adds: those whose values can be read from it, so that it is as personal as they are."""
        return {}

    @property
    def unique_by(self) -> tuple[str, ...]:
        """The columns of which the table holds each combination once; empty where it does not."""
        return ()

    @property
    def apart_by(self) -> tuple[str, ...]:
        """Columns of the rows that it is given: rows that differ in one of them never meet, so that what left an input
        touches the rows alone that are like it there. Empty where all rows may meet."""
        return ()

    @property
    def rules(self) -> Sequence[Mapping[str, Any]]:
        """Rules that come before those of the gate, as a configuration writes them.

        The columns that they read are in the published rows too, of which the gate asks them once more.
        """
        return ()

    def derive(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """``rows`` with the columns that the strategy adds, each worked out from its row alone, before the gate."""
        return rows

    def settle(self, rows: pl.LazyFrame, table: pl.LazyFrame | None, everything: Callable[[], pl.LazyFrame]) -> Settled:
        """What the batch does to the table.

        ``rows`` are derived and in order of arrival, with ``_row_id`` where rows have one; ``table`` has the table's
        columns and ``TABLE_ROW``, or is None where there are no rows yet; ``everything`` gives all rows of the input,
        those of earlier batches too, derived and without those that the gate sets aside.
        Memory: of the batch's size, not of the table's.
        """
        ...
