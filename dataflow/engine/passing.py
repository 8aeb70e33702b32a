"""Rows that are counted, or told apart, on their way to whoever writes them.

What two plans share Polars gives to both, and it keeps whatever the slower of them has not taken yet: beside a writer,
nearly all of a table. So one plan alone takes the rows that are written, and what else is asked is told as they pass.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from weakref import finalize

import polars as pl
from polars.io.plugins import register_io_source

IN_MEMORY_BYTES = 64 << 20
"""Of rows told apart so much stays in memory; more goes to a file."""


class Count:
    """How many rows passed, while the plan ran that ``over`` gave."""

    def __init__(self) -> None:
        self.rows = 0
        self._lock = threading.Lock()

    def over(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """``frame``, of which each row is counted when it is taken; by one plan, once."""
        return frame.map_batches(self._see, streamable=True)

    def _see(self, rows: pl.DataFrame) -> pl.DataFrame:
        # Polars asks from several threads.
        with self._lock:
            self.rows += rows.height
        return rows


class Aside:
    """The rows of which ``which`` is true, among those that passed while the plan ran that ``over`` gave.

    Memory: ``IN_MEMORY_BYTES``, however many there are.
    """

    def __init__(self, schema: pl.Schema, which: pl.Expr) -> None:
        self._schema = schema
        self._which = which
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 (closed with the last plan that reads it)
        self._sizes: list[int] = []
        self._lock = threading.Lock()
        finalize(self, self._file.close)

    def over(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """All rows of ``frame``, each looked at when it is taken; by one plan, once."""
        # Not to be kept here: Polars' plan has this object, and no collector sees through Polars.
        return frame.map_batches(self._see, streamable=True)

    @property
    def found(self) -> bool:
        """Whether there are any."""
        return bool(self._sizes)

    @property
    def rows(self) -> pl.LazyFrame:
        """Those rows, in no order."""

        def read(
            columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, batch: int | None
        ) -> Iterator[pl.DataFrame]:
            for frame in self._frames():
                found = frame if predicate is None else frame.filter(predicate)
                found = found if columns is None else found.select(columns)
                yield found if limit is None else found.head(limit)
                limit = None if limit is None else max(0, limit - found.height)

        return register_io_source(read, schema=self._schema)

    def _see(self, rows: pl.DataFrame) -> pl.DataFrame:
        found = rows.filter(self._which)
        if found.height:
            # As bytes: a few rows of a frame would keep the text of all of them in memory.
            written = found.serialize()
            with self._lock:
                self._sizes.append(self._file.write(written))
        return rows

    def _frames(self) -> Iterator[pl.DataFrame]:
        place = 0
        for size in self._sizes:
            with self._lock:
                self._file.seek(place)
                written = self._file.read(size)
            yield pl.DataFrame.deserialize(written)
            place += size
