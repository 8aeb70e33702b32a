"""Rows in frames of the size of a file, whatever the size of the pages that they came in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

MAX_BYTES = 128 << 20
"""So much is kept in memory, and goes into one file."""


def sized(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in frames of about ``MAX_BYTES``; frames whose types contradict each other stay apart."""
    held: list[pl.DataFrame] = []
    types: dict[str, pl.DataType] = {}
    size = 0
    for frame in frames:
        if held and any(types.get(name, dtype) != dtype for name, dtype in frame.schema.items()):
            yield pl.concat(held, how="diagonal")
            held, types, size = [], {}, 0
        for part in _cut(frame):
            held.append(part)
            types |= part.schema
            size += part.estimated_size()
            if size >= MAX_BYTES:
                yield pl.concat(held, how="diagonal")
                held, types, size = [], {}, 0
    if held:
        yield pl.concat(held, how="diagonal")


def _cut(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    parts = -(-int(frame.estimated_size()) // MAX_BYTES)
    if frame.height:
        yield from frame.iter_slices(-(-frame.height // max(1, parts)))
