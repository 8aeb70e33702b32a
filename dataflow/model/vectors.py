"""Rows of published files that are no more."""

from __future__ import annotations

from typing import Literal

from dataflow.model.values import Frozen


class DeletionVector(Frozen):
    """Where the log says that the dead rows of a data file are listed."""

    storage: Literal["u", "i", "p"]
    """``u``: in a file of the table; ``i``: in ``path_or_inline`` itself; ``p``: in a file anywhere."""
    path_or_inline: str
    offset: int | None = None
    size_bytes: int
    cardinality: int
    """How many rows are dead."""


class Deletion(Frozen):
    """A data file of which rows die while the file stays."""

    path: str
    vector: DeletionVector
    """All rows that are dead from then on, those of earlier batches among them."""
