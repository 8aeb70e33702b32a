"""What a batch may be, beside a frame: a frame of which something is known, and Parquet files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import polars as pl

from .facts import Facts
from .footers import read_facts


@dataclass(frozen=True)
class KnownFrame:
    """A frame, and what is known of its rows without reading them."""

    frame: pl.DataFrame | pl.LazyFrame
    facts: Facts = field(default_factory=Facts)


@dataclass(frozen=True)
class ParquetFiles:
    """Parquet files as one batch: scanned where rows must be read, and their footers settle what they can.

    Errors: ValueError for no files and no schema; OSError or PolarsError for files that cannot be read.
    """

    paths: Sequence[str | os.PathLike[str]]
    schema: Mapping[str, pl.DataType] | None = None
    """The columns; None to take them from the first file."""
    storage_options: Mapping[str, Any] | None = None
    facts: Facts | None = None
    """What is known; None to read the footers of local files."""

    def known(self) -> KnownFrame:
        """The rows of all files."""
        facts = read_facts(self.paths) if self.facts is None else self.facts
        if self.paths:
            options = None if self.storage_options is None else dict(self.storage_options)
            paths = [os.fspath(path) for path in self.paths]
            schema = None if self.schema is None else dict(self.schema)
            return KnownFrame(pl.scan_parquet(paths, schema=schema, storage_options=options, glob=False), facts)
        if self.schema is None:
            raise ValueError("ParquetFiles has no paths: say which columns an empty batch has (schema=)")
        return KnownFrame(pl.LazyFrame(schema=dict(self.schema)), facts)


Batch: TypeAlias = pl.DataFrame | pl.LazyFrame | KnownFrame | ParquetFiles
BATCHES = (pl.DataFrame, pl.LazyFrame, KnownFrame, ParquetFiles)


def known(batch: Batch) -> KnownFrame:
    """A batch as a frame and what is known of it."""
    if isinstance(batch, ParquetFiles):
        return batch.known()
    return batch if isinstance(batch, KnownFrame) else KnownFrame(batch)
