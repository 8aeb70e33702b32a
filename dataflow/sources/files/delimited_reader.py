"""Reads CSV files: by Polars, and where that fails, record by record."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial

import polars as pl

from dataflow.errors import SourceCorrupt
from dataflow.sources.files.config import FileConfig
from dataflow.sources.files.delimited import check_lengths, header
from dataflow.sources.files.drift import check_columns
from dataflow.sources.files.fit import Fit, Terms
from dataflow.sources.files.listing import Listing
from dataflow.sources.files.packing import lines, unpacked
from dataflow.sources.files.reader import Reader
from dataflow.sources.files.records import records
from dataflow.sources.files.salvage import MARKS, from_records, streamed
from dataflow.sources.source import Item


class DelimitedReader(Reader):
    """Fields are text; the contract may say more of them."""

    def __init__(self, config: FileConfig, listing: Listing) -> None:
        super().__init__(config, listing)
        self._doubtful: set[str] = set()
        """Files whose last column is not landed: no null of it is seen where a line ends too early."""

    def columns(self, items: Sequence[Item]) -> Iterator[dict[str, pl.DataType]]:
        for item in items:
            yield dict.fromkeys(self._header(item), pl.String())

    def scan(self, item: Item, terms: Terms, row_index: str) -> pl.LazyFrame:
        names = self._header(item)
        check_columns(names, terms, self.config.separator)
        if names[-1] not in terms.schema:
            self._doubtful.add(item.name)
        frame = pl.scan_csv(
            item.name,
            infer_schema=False,
            separator=self.config.separator,
            row_index_name=row_index,
            storage_options=self.config.storage_options or None,
            glob=False,
        )
        fit = Fit(pl.Schema(dict.fromkeys(names, pl.String())), terms)
        return fit.forgivingly(frame, row_index) if terms.rescues else fit.strictly(frame, row_index)

    def verify(self, item: Item, nulls: Collection[str]) -> None:
        """Look for lines that end too early: ``scan`` fills them up, so that the last column holds a null.

        Errors: SourceCorrupt.
        """
        names = self._header(item)
        if names[-1] not in nulls and item.name not in self._doubtful:
            return
        with self.reading(item) as file:
            check_lengths(file, names, self.config.separator)

    def salvage(self, item: Item, terms: Terms, row_index: str) -> pl.LazyFrame | None:
        """Record by record; None where not even the header can be read."""
        try:
            names = self._header(item)
        except SourceCorrupt:
            return None
        check_columns(names, terms, self.config.separator)
        self._doubtful.discard(item.name)
        make = partial(self._records, item, names, terms, row_index)
        return streamed(make, pl.Schema({**terms.schema, row_index: pl.Int64(), **MARKS}), item.name)

    def _records(self, item: Item, names: list[str], terms: Terms, row_index: str) -> Iterator[pl.DataFrame]:
        with self.reading(item) as file, unpacked(file) as stream:
            found = records(lines(stream), self.config.separator)
            next(found, None)
            yield from from_records(found, names, terms, row_index)

    def _header(self, item: Item) -> list[str]:
        with self.reading(item) as file:
            return header(file, self.config.separator)
