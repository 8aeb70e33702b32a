"""The deliveries of a batch of messages: as they are sent, and as they arrive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from dataflow.sources.simulation.draws import Draws, Integers

SCHEMA = pl.Schema(
    {
        "message_id": pl.String(),
        "value": pl.Int64(),
        "event_time": pl.Datetime("us", "UTC"),
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "received_at": pl.Datetime("us", "UTC"),
    }
)
CHUNK = 1 << 16
"""Messages that are worked on at a time."""


@dataclass(frozen=True)
class Deliveries:
    """Arrays of equal length, one place for each delivery."""

    number: Integers
    """The message's."""
    sent: Integers
    """Instants in microseconds since the epoch: of a late duplicate, one in the batch that it comes with."""
    received: Integers
    event: Integers
    value: Integers
    partition: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.number)

    def take(self, places: slice | Integers) -> Deliveries:
        return Deliveries(*(column[places] for column in self._columns()))

    def then(self, more: Deliveries) -> Deliveries:
        return Deliveries(*map(np.concatenate, zip(self._columns(), more._columns(), strict=True)))

    def _columns(self) -> tuple[Any, ...]:
        return tuple(vars(self).values())


def sent(draws: Draws, first: int, stop: int) -> Deliveries:
    """Deliveries in the order in which they are sent, duplicates behind the message in whose place they come."""
    event, partition = draws.places(first, stop)
    number, value = np.arange(first, stop), draws.values(first, stop)
    received = event + draws.first_delays(first, stop)
    once = Deliveries(number, event, received, event, value, partition)
    twice = draws.twice(first, stop)
    if not twice.any():
        return once
    both = once.take(np.repeat(np.arange(stop - first), 1 + twice))
    again = np.cumsum(1 + twice)[twice] - 1
    both.received[again] = (event + draws.second_delays(first, stop))[twice]
    late = draws.late(first, stop)
    if late.any():
        size = draws.config.batch_size
        places, before = again[late[twice]], (first - size, stop - size)
        old_event, old_partition = draws.places(*before)
        for column, old in (
            (both.number, number - size),
            (both.event, old_event),
            (both.value, draws.values(*before)),
            (both.partition, old_partition),
        ):
            column[places] = old[late]
    return both


def chunks(draws: Draws, first: int, stop: int) -> Iterator[Deliveries]:
    """``sent``, a chunk of messages at a time."""
    for start in range(first, stop, CHUNK):
        yield sent(draws, start, min(start + CHUNK, stop))


def arrived(draws: Draws, first: int, stop: int) -> Iterator[Deliveries]:
    """The deliveries of a batch in the order in which they arrive; of those at one instant, in the order of sending.

    Memory: a chunk, and what is still on its way at its end, which delays bound.
    """
    waiting: Deliveries | None = None
    for start in range(first, stop, CHUNK):
        end = min(start + CHUNK, stop)
        new = sent(draws, start, end)
        known = waiting.then(new) if waiting else new
        known = known.take(np.argsort(known.received, kind="stable"))
        # What is sent later may still arrive before the rest.
        settled = len(known) if end == stop else int(np.searchsorted(known.received, draws.earliest(end)))
        yield known.take(slice(settled))
        waiting = known.take(slice(settled, None))


class Offsets:
    """Numbers the deliveries of a batch in each partition.

    A batch begins where the one before cannot reach, so that none has to be counted for another: offsets have gaps,
    as those of Kafka have after a compaction.
    """

    def __init__(self, draws: Draws, batch: int) -> None:
        self._next = np.full(draws.config.partitions, 2 * draws.config.batch_size * batch, np.int64)

    def of(self, partition: NDArray[np.int32]) -> Integers:
        """The offsets of the next deliveries."""
        # Numpy sorts 16 bits by counting.
        order = np.argsort(partition.astype(np.uint16), kind="stable")
        counts = np.bincount(partition, minlength=len(self._next))
        starts = np.cumsum(counts) - counts
        offsets = np.empty(len(partition), np.int64)
        offsets[order] = np.arange(len(partition)) + np.repeat(self._next - starts, counts)
        self._next += counts
        return offsets


def to_frame(draws: Draws, rows: Deliveries, offset: Integers, columns: list[str] | None = None) -> pl.DataFrame:
    """The rows as they are landed, or ``columns`` of them."""
    arrays = {
        "value": rows.value,
        "event_time": rows.event,
        "partition": rows.partition,
        "offset": offset,
        "received_at": rows.received,
    }
    wanted = list(SCHEMA) if columns is None else columns
    return pl.DataFrame(
        [
            _strings(name, draws.ids(rows.number.view(np.uint64)))
            if name == "message_id"
            else pl.Series(name, arrays[name]).cast(SCHEMA[name])
            for name in wanted
        ],
    )


def _strings(name: str, letters: NDArray[np.uint8]) -> pl.Series:
    """A row of letters as a string each."""
    rows, length = letters.shape
    ends = np.arange(0, rows * length + 1, length, dtype=np.int64)
    buffers = (pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(letters)))  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return pl.Series(name, pa.LargeStringArray.from_buffers(rows, *buffers))  # pyright: ignore
