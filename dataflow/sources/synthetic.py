"""Messages as a pub/sub would deliver them, made whole columns at a time."""

from __future__ import annotations

from collections.abc import Generator
from typing import ClassVar

import polars as pl

from dataflow.model import Frozen
from dataflow.sources.generation import GenerationConfig
from dataflow.sources.messages import MessageSource
from dataflow.sources.registry import register_source
from dataflow.sources.simulation.arrivals import Offsets, arrived, to_frame


class SyntheticConfig(GenerationConfig):
    """Options of ``type: polars_synthetic``."""


@register_source("polars_synthetic")
class SyntheticSource(MessageSource):
    """Makes messages by the million, with or without chaos; its rows are those of ``pubsub`` where nothing waits."""

    Config: ClassVar[type[Frozen]] = SyntheticConfig
    kind = "polars_synthetic"

    def rows(self, first: int, stop: int, columns: list[str] | None) -> Generator[pl.DataFrame]:
        """The batch a chunk at a time, sorted by arrival."""
        offsets = Offsets(self.draws, first // self.config.batch_size)
        for deliveries in arrived(self.draws, first, stop):
            yield to_frame(self.draws, deliveries, offsets.of(deliveries.partition), columns)
