"""What reads files of one format."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl

from dataflow.errors import SourceCorrupt
from dataflow.sources.files.config import FileConfig
from dataflow.sources.files.fit import Terms
from dataflow.sources.files.listing import Listing
from dataflow.sources.source import Item

UNREADABLE = (OSError, ValueError, csv.Error, pl.exceptions.PolarsError)


class Reader(ABC):
    """Reads the files of one format that a source lists."""

    def __init__(self, config: FileConfig, listing: Listing) -> None:
        self.config = config
        self.listing = listing

    @abstractmethod
    def columns(self, items: Sequence[Item]) -> Iterator[dict[str, pl.DataType]]:
        """The columns and types of the files."""
        ...

    @abstractmethod
    def scan(self, item: Item, terms: Terms, row_index: str) -> pl.LazyFrame:
        """The file's rows by ``terms``, read fast; what cannot be landed so makes it fail, at last when it is collected."""
        ...

    def verify(self, item: Item, nulls: Collection[str]) -> None:
        """See that ``scan`` passed over nothing."""
        return

    def salvage(self, item: Item, terms: Terms, row_index: str) -> pl.LazyFrame | None:
        """The file's rows, with those marked that cannot be landed; None where there is no such way to read it."""
        return None

    @contextmanager
    def reading(self, item: Item) -> Generator[Any]:
        """The file, opened.

        Errors: SourceCorrupt where it is empty or cannot be read, SourceUnavailable where it is gone.
        """
        self.check_filled(item)
        try:
            with self.listing.open(item) as file:
                yield file
        except FileNotFoundError:
            self.listing.check_unchanged(item)
            raise
        except UNREADABLE as error:
            raise self.unreadable(item, error) from error

    def check_filled(self, item: Item) -> None:
        """Errors: SourceCorrupt for a file without a byte."""
        if item.size_bytes == 0:
            raise SourceCorrupt(
                f"source {self.listing.source!r}: {item.name} is empty; deliver it again or remove it",
                source=self.listing.source,
                file=item.name,
            )

    def unreadable(self, item: Item, why: object) -> SourceCorrupt:
        """The error that says why a file cannot be read."""
        encoding = "it is not UTF-8 text: " if isinstance(why, UnicodeDecodeError) else ""
        # Without the query plan that Polars prints under it.
        why = next(iter(str(why).splitlines()), type(why).__name__)
        return SourceCorrupt(
            f"source {self.listing.source!r}: {item.name} cannot be read: {encoding}{why}; deliver it again or remove it",
            source=self.listing.source,
            file=item.name,
        )
