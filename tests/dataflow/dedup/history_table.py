"""A history table in memory: applies what ``scd2`` says batch by batch, and checks that it says what it may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from dataflow.dedup import REASON, TABLE_ROW, Settled
from dataflow.dedup.scd2 import Scd2, Scd2Options
from dataflow.quality.predicate import parse_predicate
from tests.dataflow.dedup.folds import numbered

UNCOUNTED = ("_row_id", "_seen_at")
"""Columns that may depend on how rows arrived."""


class HistoryTable:
    """A table and all that it was given."""

    def __init__(self, **options: Any) -> None:
        self.strategy = Scd2(Scd2Options.model_validate(options))
        self.rows: pl.DataFrame | None = None
        self.landed: list[pl.LazyFrame] = []
        self.asked = 0
        """How often all that is landed was asked for."""
        self.settled: Settled | None = None
        self.batches = 0

    def add(self, batch: pl.DataFrame, *, by_hand: bool = False) -> pl.DataFrame:
        """Settle a batch; returns the rows that were dropped. Rows sent ``by_hand`` are not among those landed."""
        rows = self._routed(batch)
        if not by_hand:
            self.landed.append(rows)
        table = None if self.rows is None else numbered(self.rows).lazy()
        settled = self.strategy.settle(rows, table, self._everything)
        self.settled, self.batches = settled, self.batches + 1
        added, dropped = settled.added.collect(), pl.DataFrame()
        if settled.dropped is not None:
            dropped = settled.dropped.collect()
        given = rows.collect()
        assert given.height == added.height + dropped.height
        if "_row_id" in given.columns:
            assert sorted(given["_row_id"]) == sorted([*added["_row_id"], *dropped["_row_id"]])
        assert dropped[REASON].null_count() == 0
        self._write(settled, added)
        self._check()
        return dropped

    def _write(self, settled: Settled, added: pl.DataFrame) -> None:
        parts = [added]
        if self.rows is not None:
            kept = self.rows
            if settled.replaced is not None:
                gone = settled.replaced.collect()
                kept = numbered(kept).join(gone, on=TABLE_ROW, how="anti", maintain_order="left").drop(TABLE_ROW)
                assert self.rows.height - gone.height == kept.height
            parts.append(kept)
            if settled.rewritten is not None:
                rewritten = settled.rewritten.collect()
                assert set(self.rows.columns) == set(rewritten.columns)
                parts.append(rewritten)
        self.rows = pl.concat(parts, how="diagonal")

    def _check(self) -> None:
        assert self.rows is not None
        key = list(self.strategy.unique_by)
        assert self.rows.height == self.rows.unique(key).height
        assert self.rows["is_current"].to_list() == self.rows["valid_to"].is_null().to_list()

    def _routed(self, batch: pl.DataFrame) -> pl.LazyFrame:
        """The derived rows that no rule sets aside."""
        good = [parse_predicate(rule["predicate"]).expr for rule in self.strategy.rules]
        return self.strategy.derive(batch.lazy()).filter(good)

    def _everything(self) -> pl.LazyFrame:
        self.asked += 1
        return pl.concat(self.landed)

    def history(self, *columns: str) -> list[tuple[Any, ...]]:
        """The table as it has to be however rows arrived."""
        assert self.rows is not None
        shown = self.rows.select(columns) if columns else self.rows.drop(UNCOUNTED, strict=False)
        return sorted(shown.rows(), key=repr)


def replay(batches: Sequence[pl.DataFrame], make: Callable[[], HistoryTable]) -> HistoryTable:
    """A table that was given ``batches`` in their order."""
    table = make()
    for batch in batches:
        table.add(batch)
    return table
