"""The seam that every source fits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Literal, Protocol

import polars as pl
from pydantic import Field

from dataflow.model import Frozen
from dataflow.model.values import Detect

BROKEN = "_broken"
"""Why a row cannot be landed, in words; null in rows that can. Only what ``scan`` and ``salvage`` return has it."""
RAW = "_raw"
"""Beside ``BROKEN``: the row as it was delivered, as text. Bytes that are no UTF-8 are written ``\\xff``."""
LINE = "_line"
"""Beside ``BROKEN``: the line of the file, from 1."""
RESCUED = "_rescued"
"""A column of the landed table: a JSON object with what was delivered and fits no column; null where all fits."""


class Item(Frozen):
    """One thing that a source delivers as a whole, a file say: what becomes a unit."""

    name: str
    """What the item is called for good: a path or URI."""
    size_bytes: int
    modified_at: float
    """Seconds since the epoch."""
    etag: str | None = None
    """What an object store calls the content."""
    content_hash: str | None = None
    """Of the content for which the landing was planned."""
    restates: str | None = None
    """The name of an earlier item whose rows are delivered once more: what was not late then is not late now."""


class Watching(Frozen):
    """How a source's items are watched: what counts as changed, as complete and as gone."""

    detect: Detect = "auto"
    """What tells that an item changed. ``auto``: its content, looked at where size, time or ETag differ. ``modified``:
    size and time alone. ``etag``: the object store's ETag. ``content``: its content, looked at in every run."""
    removed: Literal["keep", "delete"] = "keep"
    """What becomes of the rows of an item that is gone."""
    settle_seconds: float = Field(default=0, ge=0)
    """Items that changed less than so long ago wait for the next run."""

    def is_settled(self, item: Item, now: float) -> bool:
        """Whether the item was left alone for long enough at ``now`` (seconds since the epoch)."""
        # A time far in the future is a wrong clock, which nobody should wait for.
        return abs(now - item.modified_at) >= self.settle_seconds


class Source(Protocol):
    """A place that data comes from; who derives from it gets what most sources do for what has a body here."""

    Config: ClassVar[type[Frozen]]
    """What ``config.options`` may hold."""

    def __init__(self, name: str, config: Any) -> None: ...

    @property
    def watching(self) -> Watching:
        """How items are watched."""
        return Watching()

    def items(self) -> Sequence[Item]:
        """What is there now, in the order in which it is to be numbered."""
        ...

    def content_hash(self, item: Item) -> str:
        """Names the item's content."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when the same item would be landed as other rows."""
        ...

    def contract(self, items: Sequence[Item], held: pl.Schema | None) -> pl.Schema:
        """The columns and types with which these items are landed.

        ``held`` are those of the table, where it was landed by the same settings: inferred once, then held.
        """
        ...

    def scan(self, item: Item, schema: pl.Schema, *, row_index: str) -> pl.LazyFrame:
        """The item's rows as they are: the columns of ``schema``, and the rows' number from 0 as ``row_index``.

        Rows that cannot be landed may be among them, marked by ``BROKEN``, ``RAW`` and ``LINE``.
        Errors: SchemaDrift where the item's columns are others; SourceCorrupt where it cannot be read.
        """
        ...

    def verify(self, item: Item, nulls: Collection[str]) -> None:
        """Called after the item was read, with the columns that held nulls: doubt may be settled by reading it strictly.

        Text files are why: a line that ends too early looks like one whose last fields are empty.
        Errors: SourceCorrupt; SourceUnavailable where the item changed while it was read.
        """
        return

    def salvage(self, item: Item, schema: pl.Schema, *, row_index: str) -> pl.LazyFrame | None:
        """``scan`` once more, slowly and forgivingly, where it or ``verify`` failed: what is broken is marked as such.

        None where there is no such way to read it.
        """
        return None

    def notes(self, items: Sequence[Item]) -> Sequence[str]:
        """What a reader of the report should know of these items, which were landed."""
        return ()
