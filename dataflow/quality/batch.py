"""What a gate is shown of a batch: staged frames, and what is known about them without a scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl


@dataclass(frozen=True)
class FileFacts:
    """A Parquet file as the Delta log describes it."""

    path: str
    rows: int
    stats: str = "{}"
    """Statistics in the log's JSON: numRecords, nullCount, minValues, maxValues; bounds may be wider than the values."""
    partition: Mapping[str, str | None] = field(default_factory=dict[str, str | None])


@dataclass(frozen=True)
class Files:
    """Files of one table, and how to read some of them."""

    files: tuple[FileFacts, ...]
    scan: Callable[[Sequence[str]], pl.LazyFrame]
    """The rows of the files at these paths."""
    partition_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """A staged batch before its gate."""

    good: Files
    """Rows that are going to be published."""
    quarantined: Files | None = None
    """Rows that were set aside: the stage's columns as they were, ``_rules`` (all that they broke), ``_reason``."""
    dropped: Files | None = None
    """Rows that are dropped, told like quarantined ones."""
    repaired: Files | None = None
    """Published rows that a repair made good, told as they were before, like quarantined ones."""
    distinct: tuple[tuple[str, ...], ...] = ()
    """Keys of which the stage has just left one row each, in the whole batch."""
    kept: Files | None = None
    """Files of the stage's table that stay when the batch is published; for rules about the table."""
    references: Mapping[str, pl.LazyFrame] = field(default_factory=dict[str, pl.LazyFrame])
    """Pinned versions of the tables that rules refer to, by name."""
    broken: int = 0
    """Rows that could not be read, and so were set aside without a rule."""
