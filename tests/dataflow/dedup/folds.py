"""A table in memory that batches are settled with, as the engine does it with files."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from dataflow.dedup import REASON, TABLE_ROW, Settled, Strategy
from dataflow.model.values import ROW_ID


def numbered(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of a table as a strategy sees them."""
    return rows.with_row_index(TABLE_ROW).cast({TABLE_ROW: pl.UInt64})


@dataclass
class Fold:
    """The rows of a table, and what became of the rows of all batches so far."""

    strategy: Strategy
    rows: pl.DataFrame | None = None
    dropped: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    changes: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    """What changed, of strategies that tell."""
    notes: list[str] = field(default_factory=list[str])
    batches: int = 0
    rewritten: int = 0
    """Rows of the table that were replaced."""

    def settle(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Settle one batch; returns the rows that it added."""
        rows = self.strategy.derive(batch.lazy())
        table = None if self.rows is None or not self.rows.height else numbered(self.rows).lazy()
        settled = self.strategy.settle(rows, table, lambda: rows)
        added = settled.added.collect()
        assert TABLE_ROW not in added.columns
        gone = 0
        if settled.dropped is not None:
            dropped = settled.dropped.collect()
            assert dropped[REASON].null_count() == 0
            gone = dropped.height
            self.dropped.append(dropped)
            if ROW_ID in batch.columns:
                ends = pl.concat([added[ROW_ID], dropped[ROW_ID]])
                assert batch[ROW_ID].sort().to_list() == ends.sort().to_list()
        assert batch.height == added.height + gone
        survivors = [] if self.rows is None or settled.overwrites else [self.rows]
        if settled.replaced is not None and survivors:
            assert not settled.overwrites
            leaving = settled.replaced.collect()
            self.rewritten += leaving.height
            assert [TABLE_ROW] == leaving.columns
            left = numbered(survivors[0]).join(leaving, on=TABLE_ROW, how="anti", maintain_order="left").drop(TABLE_ROW)
            assert survivors[0].height - leaving.height == left.height
            survivors = [left]
        carried = [] if settled.rewritten is None else [settled.rewritten.collect()]
        self.rows = pl.concat([*survivors, *carried, added])
        self._note(settled)
        return added

    def _note(self, settled: Settled) -> None:
        if settled.changes is not None:
            self.changes.append(settled.changes.collect())
        self.notes += settled.notes
        self.batches += 1

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows were dropped, by reason."""
        return dict(pl.concat(self.dropped)[REASON].value_counts().sort(REASON).iter_rows())

    def table(self, *without: str) -> pl.DataFrame:
        """The table's rows in an order of their own, without ``without``."""
        assert self.rows is not None
        plain = self.rows.drop(without)
        return plain.sort(plain.columns)
