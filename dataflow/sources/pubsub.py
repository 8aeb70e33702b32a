"""Messages through a simulated pub/sub: partitions, bounded buffers, redelivery, slow deliveries."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import starmap
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from dataflow.model import Frozen
from dataflow.sources.generation import GenerationConfig
from dataflow.sources.messages import MessageSource
from dataflow.sources.registry import register_source
from dataflow.sources.simulation.arrivals import Deliveries, Integers, Offsets, chunks, to_frame
from dataflow.sources.simulation.broker import Broker, Buffer, Message, Received
from dataflow.sources.simulation.draws import Draws
from dataflow.sources.simulation.stepped_loop import SteppedLoop

_TAKEN = 8192
"""Deliveries that go to Polars together."""
_PATIENCE_US = 250_000
"""In real time they go sooner, few as they may be, so that a reader can stop: 0.25 s."""


class PubSubConfig(GenerationConfig):
    """Options of ``type: pubsub``."""

    mode: Literal["chaos"] = "chaos"  # pyright: ignore[reportIncompatibleVariableOverride]
    """A simulation without chaos is not offered: ``polars_synthetic`` makes such messages faster."""
    buffer_size: int = Field(default=1000, ge=1)
    """Deliveries that a partition keeps for the consumer; where one more arrives, the producer waits."""
    consume_seconds: float = Field(default=0.0, ge=0, le=86_400)
    """What the consumer takes for a message; buffers fill where that is more than it has."""
    time: Literal["virtual", "real"] = "virtual"
    """``virtual`` leaps over the time in which nothing happens, ``real`` sleeps through it; the rows are the same."""


@register_source("pubsub")
class PubSubSource(MessageSource):
    """Simulates a pub/sub in asyncio, in the thread that reads it."""

    Config: ClassVar[type[Frozen]] = PubSubConfig
    kind = "pubsub"

    def __init__(self, name: str, config: PubSubConfig) -> None:
        super().__init__(name, config)
        self._pubsub = config

    @property
    def fingerprint(self) -> str:
        """All settings but the scale, and whether one has to wait for the messages."""
        return self.config.model_dump_json(exclude={"scale", "time"})

    def rows(self, first: int, stop: int, columns: list[str] | None) -> Generator[pl.DataFrame]:
        """The batch as the consumer receives it; who closes this early ends the simulation."""
        real = self._pubsub.time == "real"
        loop = SteppedLoop(self.draws.begins(first), real=real)
        try:
            broker = self.broker(loop, first, stop)
            while not broker.over:
                taken = loop.run(broker.take(_TAKEN, patience_us=_PATIENCE_US if real else None))
                yield _to_frame(self.draws, taken, columns)
        finally:
            loop.finish()

    def broker(self, loop: SteppedLoop, first: int, stop: int) -> Broker:
        """The pub/sub for the messages ``first`` to ``stop`` of a batch."""
        offsets = Offsets(self.draws, first // self.config.batch_size)
        firsts = offsets.of(np.arange(self.config.partitions, dtype=np.int32))
        buffers = [Buffer(self._pubsub.buffer_size, offset) for offset in firsts.tolist()]
        consume_us = round(self._pubsub.consume_seconds * 1e6)
        return Broker(loop, _messages(self.draws, first, stop), buffers, consume_us=consume_us)


def _messages(draws: Draws, first: int, stop: int) -> Iterator[Message]:
    for each in chunks(draws, first, stop):
        columns = (each.number, each.event, each.value, each.partition, each.sent, each.received - each.sent)
        yield from starmap(Message, zip(*(column.tolist() for column in columns), strict=True))


def _to_frame(draws: Draws, taken: list[Received], columns: list[str] | None) -> pl.DataFrame:
    arrays: list[Any] = [np.array(values, np.int64) for values in zip(*taken, strict=True)] or [_NONE] * 6
    number, event, value, partition, offset, received = arrays
    rows = Deliveries(number, received, received, event, value, partition.astype(np.int32))
    return to_frame(draws, rows, offset, columns)


_NONE: Integers = np.empty(0, np.int64)
