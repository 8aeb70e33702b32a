"""Reads JSON lines: by Arrow, and where that fails, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import polars as pl

from dataflow.sources.files.fit import Fit, Terms
from dataflow.sources.files.inference import Kinds
from dataflow.sources.files.objects import rows
from dataflow.sources.files.packing import lines, unpacked
from dataflow.sources.files.reader import Reader
from dataflow.sources.files.salvage import MARKS, from_rows, streamed
from dataflow.sources.files.strict_json import strict_frames
from dataflow.sources.source import RESCUED, Item


class JsonReader(Reader):
    """A file may have no line; an object may lack fields."""

    def columns(self, items: Sequence[Item]) -> Iterator[dict[str, pl.DataType]]:
        """Those of the first objects of all files together, as one object need not have every field."""
        kinds = Kinds()
        for item in items:
            with self.reading(item) as file, unpacked(file) as stream:
                kinds.look(lines(stream))
        yield dict(kinds.schema())

    def scan(self, item: Item, terms: Terms, row_index: str) -> pl.LazyFrame:
        make = partial(self._frames, item, terms, row_index)
        return streamed(make, pl.Schema({**terms.schema, row_index: pl.Int64()}), item.name)

    def salvage(self, item: Item, terms: Terms, row_index: str) -> pl.LazyFrame | None:
        make = partial(self._rows, item, terms, row_index)
        return streamed(make, pl.Schema({**terms.schema, row_index: pl.Int64(), **MARKS}), item.name)

    def check_filled(self, item: Item) -> None:
        """A file without a byte has no lines, and that is no fault."""

    def _frames(self, item: Item, terms: Terms, row_index: str) -> Iterator[pl.DataFrame]:
        known = pl.Schema({c: t for c, t in terms.schema.items() if c != RESCUED and c not in terms.constants})
        begin = 0
        with self.reading(item) as file:
            for frame in strict_frames(file, known):
                numbered = frame.with_row_index(row_index, begin).lazy()
                begin += frame.height
                yield Fit(frame.schema, terms).strictly(numbered, row_index).collect()

    def _rows(self, item: Item, terms: Terms, row_index: str) -> Iterator[pl.DataFrame]:
        with self.reading(item) as file, unpacked(file) as stream:
            yield from from_rows(rows(lines(stream)), terms, row_index)
