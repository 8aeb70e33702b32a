"""What sources that make messages have in common: batches as items, and a scan that Polars draws chunk by chunk."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import parse_qs, quote, urlsplit

import polars as pl
from polars.io.plugins import register_io_source

from dataflow.errors import SourceUnavailable
from dataflow.model import digest
from dataflow.sources.generation import GenerationConfig
from dataflow.sources.simulation.arrivals import CHUNK, SCHEMA
from dataflow.sources.simulation.draws import START_US, Draws
from dataflow.sources.source import Item, Source


@dataclass(frozen=True)
class Drawn:
    """What was drawn for some batches."""

    messages: int
    duplicates: int
    late: int
    """Of these duplicates, those of messages of the batch before."""


class MessageSource(Source):
    """Makes messages, a batch at a time; each batch is an item that is the same whatever ``scale`` is."""

    kind: ClassVar[str]
    """The source type's name, with which its items' names begin."""

    def __init__(self, name: str, config: GenerationConfig) -> None:
        self.name = name
        self.config = config
        self.draws = Draws(config)

    @abstractmethod
    def rows(self, first: int, stop: int, columns: list[str] | None) -> Generator[pl.DataFrame]:
        """The deliveries of one batch, messages ``first`` to ``stop``, in order of arrival, or ``columns`` of them."""
        ...

    def items(self) -> Sequence[Item]:
        """The batches; the last may be shorter than the others."""
        return [self._item(batch) for batch in range(-(-self.config.scale // self.config.batch_size))]

    def _item(self, batch: int) -> Item:
        first, stop = self._messages(batch)
        return Item(
            name=f"{self.kind}://{quote(self.name)}?seed={self.config.seed}&batch={batch:06d}",
            size_bytes=(stop - first) * (self.config.id_length + 40),
            modified_at=START_US / 1e6,
        )

    def content_hash(self, item: Item) -> str:
        """The settings, and which messages they are: all that decides the content."""
        return digest(self.fingerprint, *self._of(item))

    @property
    def fingerprint(self) -> str:
        """All settings but the scale, which earlier batches do not depend on."""
        return self.config.model_dump_json(exclude={"scale"})

    def contract(self, items: Sequence[Item], held: pl.Schema | None) -> pl.Schema:
        """The columns of a message, always the same."""
        return SCHEMA

    def scan(self, item: Item, schema: pl.Schema, *, row_index: str) -> pl.LazyFrame:
        """The batch's deliveries in order of arrival, made while they are read.

        Memory: some chunks of the batch, whatever its size.
        """
        first, stop = self._of(item)

        def read(
            columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, _size: int | None
        ) -> Iterator[pl.DataFrame]:
            # Closed also where Polars has enough: a simulation is then stopped half-way.
            with closing(self.rows(first, stop, columns)) as frames:
                for frame in frames:
                    found = frame if predicate is None else frame.filter(predicate)
                    yield found if limit is None else found.head(limit)
                    limit = None if limit is None else limit - found.height
                    if limit is not None and limit <= 0:
                        return

        made = register_io_source(read, schema=SCHEMA, is_pure=True, explain_name=self.kind, explain_detail=item.name)
        return made.select(list(schema)).with_row_index(row_index).select(*schema, row_index)

    def notes(self, items: Sequence[Item]) -> Sequence[str]:
        """What ``random`` drew for the settings, and how many duplicates there are."""
        if self.config.mode == "speed" or not items:
            return ()
        drawn = self.drawn(items)
        numbers = [
            f"{name} {getattr(self.draws.chaos, name):g}"
            for name, value in self.config.chaos
            if isinstance(value, tuple)
        ]
        by_seed = f"chaos.mode random drew, by seed {self.config.seed}: {', '.join(numbers)}"
        counts = f"{drawn.messages:,} messages made, {drawn.duplicates:,} of the deliveries are duplicates, {drawn.late:,} of them a batch late"
        return (by_seed, counts) if numbers else (counts,)

    def drawn(self, items: Sequence[Item]) -> Drawn:
        """How many messages and duplicates these batches have, counted from the draws and not from the rows."""
        messages = duplicates = late = 0
        for first, stop in map(self._of, items):
            messages += stop - first
            for start in range(first, stop, CHUNK):
                end = min(start + CHUNK, stop)
                duplicates += int(self.draws.twice(start, end).sum())
                late += int(self.draws.late(start, end).sum())
        return Drawn(messages, duplicates, late)

    def _of(self, item: Item) -> tuple[int, int]:
        """The messages of an item.

        Errors: SourceUnavailable for one that was made by another seed or scale.
        """
        batch = parse_qs(urlsplit(item.name).query).get("batch", [""])[0]
        asked = item.model_copy(update={"content_hash": None})
        if batch.isdecimal() and asked == self._item(int(batch)) and self._messages(int(batch))[0] < self.config.scale:
            return self._messages(int(batch))
        raise SourceUnavailable(
            f"source {self.name!r}: {item.name} is not of these settings (seed {self.config.seed}, scale "
            f"{self.config.scale:,}, batch_size {self.config.batch_size:,}); run with those that it was made by",
            source=self.name,
            item=item.name,
        )

    def _messages(self, batch: int) -> tuple[int, int]:
        size = self.config.batch_size
        return batch * size, min((batch + 1) * size, self.config.scale)
