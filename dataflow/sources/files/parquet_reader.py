"""Reads Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from dataflow.lake.schema import storable
from dataflow.sources.files.drift import check_columns
from dataflow.sources.files.fit import UNFIT, Fit, Terms, json_ready, nameless
from dataflow.sources.files.reader import UNREADABLE, Reader
from dataflow.sources.source import BROKEN, LINE, RAW, Item


class ParquetReader(Reader):
    """Columns have types; a file that is cut short has lost its footer, and with it everything."""

    def columns(self, items: Sequence[Item]) -> Iterator[dict[str, pl.DataType]]:
        """As a Delta table stores them."""
        for item in items:
            found = self._frame(item)[1]
            yield dict(storable(found, self.listing.source))

    def scan(self, item: Item, terms: Terms, row_index: str) -> pl.LazyFrame:
        """A column of another type is judged by its values."""
        frame, found = self._frame(item)
        check_columns(found.names(), terms)
        frame, fit = frame.with_row_index(row_index), Fit(found, terms)
        if terms.rescues:
            return fit.forgivingly(frame, row_index)
        if not fit.unfit or terms.mode == "freeze":
            return fit.strictly(frame, row_index)
        told = pl.struct([json_ready(c, dtype) for c, dtype in found.items()]).struct.json_encode()
        marked = frame.with_columns(told.alias(RAW), pl.lit(None, pl.Int64).alias(LINE))
        return fit.forgivingly(marked, row_index).rename({UNFIT: BROKEN})

    def salvage(self, item: Item, terms: Terms, row_index: str) -> pl.LazyFrame | None:
        """None: a file that cannot be read has nothing to be saved.

        Errors: SchemaDrift where it can be read, but has values that the contract refuses.
        """
        frame, found = self._frame(item)
        fit = Fit(found, terms)
        if terms.mode == "freeze" and fit.unfit:
            flags = fit.flagged(frame).select(pl.col(UNFIT).drop_nulls().first()).collect().item()
            if flags is not None:
                raise terms.drift(f" has {flags}")
        return None

    def _frame(self, item: Item) -> tuple[pl.LazyFrame, pl.Schema]:
        self.check_filled(item)
        storage = self.config.storage_options or None
        try:
            frame = pl.scan_parquet(item.name, storage_options=storage, glob=False, hive_partitioning=False)
            found = frame.collect_schema()
        except UNREADABLE as error:
            raise self.unreadable(item, error) from error
        if (taken := nameless(found)) is not None:
            raise self.unreadable(item, f"{taken!r} can be no column's name")
        return frame, found
