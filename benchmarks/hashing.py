"""Native hashing of rows beside a Python function for each row; part of dedup.py."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from benchmarks.figures import Figure, Timing
from dataflow.dedup.hashing import Algorithm, canonical_text, row_hash

SAMPLE = 200_000
"""Rows that the Python function hashes; the native sides hash all."""
ALGORITHMS: list[Algorithm] = ["sha256", "md5", "xxh3_128"]
HASHED = ["id", "user", "kind", "at", "value"]


def hash_sides(frame: pl.DataFrame) -> dict[str, Callable[[], object]]:
    """Each algorithm over five columns, and sha256 of the same text by a Python function for each row."""

    def native(algorithm: Algorithm) -> Callable[[], object]:
        return lambda: frame.lazy().select(row_hash(HASHED, frame.schema, algorithm)).collect(engine="streaming")

    text, sample = canonical_text(HASHED, frame.schema).alias("text"), frame.head(SAMPLE)

    def hashed(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    def by_row(row: Mapping[str, Any]) -> str:
        parts = ["~:" if v is None else f"{len(str(v).encode())}:{v}" for v in row.values()]
        return hashlib.sha256("".join(parts).encode()).hexdigest()

    return {
        **{algorithm: native(algorithm) for algorithm in ALGORITHMS},
        "Python, hash alone": lambda: sample.select(text).select(pl.col("text").map_elements(hashed, pl.String)),
        "Python, text and hash": lambda: sample.select(pl.struct(HASHED).map_elements(by_row, pl.String)),
    }


def hash_figures(timings: Mapping[str, list[Timing]], rows: int) -> list[Figure]:
    """Rows for each second of CPU, and how many times faster native sha256 is than Python's."""
    per_row = {
        # A tick is the least that can be told.
        name: max(0.01, statistics.median(run.cpu for run in runs))
        / (min(SAMPLE, rows) if name.startswith("Python") else rows)
        for name, runs in timings.items()
    }
    figures = [Figure(f"hash {name}", 1e-6 / cost, "M rows/CPU s", "higher") for name, cost in per_row.items()]
    faster = per_row["Python, text and hash"] / per_row["sha256"]
    return [*figures, Figure("native_hash_faster_than_python", faster, better="higher")]
