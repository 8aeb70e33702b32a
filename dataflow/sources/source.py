"""The seam that every source fits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Protocol

import polars as pl

from dataflow.model import Frozen


class Item(Frozen):
    """One thing that a source delivers as a whole, a file say: what becomes a unit."""

    name: str
    """What the item is called for good: a path or URI."""
    size_bytes: int
    modified_at: float
    """Seconds since the epoch."""


class Source(Protocol):
    """A place that data comes from."""

    Config: ClassVar[type[Frozen]]
    """What ``config.options`` may hold."""

    def __init__(self, name: str, config: Any) -> None: ...

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

    def contract(self, items: Sequence[Item]) -> tuple[str, ...]:
        """The columns that every item must have: as configured, else those of the first item."""
        ...

    def scan(self, item: Item, *, columns: Sequence[str], row_index: str) -> pl.LazyFrame:
        """The item's rows as they are: ``columns``, and the rows' number from 0 as ``row_index``.

        Errors: SchemaDrift where the item's columns are others; SourceCorrupt where it cannot be read.
        """
        ...

    def verify(self, item: Item, nulls: Collection[str]) -> None:
        """Called after the item was read, with the columns that held nulls: doubt may be settled by reading it strictly.

        Text files are why: a line that ends too early looks like one whose last fields are empty.
        Errors: SourceCorrupt.
        """
        ...
