"""Deliveries: a sample as the files that a source would find."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import polars as pl

from dataflow.errors import ConfigError
from dataflow.testing.samples import Sample

_WRITE: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "csv": pl.DataFrame.write_csv,
    "parquet": pl.DataFrame.write_parquet,
    "jsonl": pl.DataFrame.write_ndjson,
}


def write_delivery(
    folder: str | os.PathLike[str],
    sample: Sample | pl.DataFrame,
    *,
    format: Literal["csv", "parquet", "jsonl"] = "csv",
    parts: int = 1,
    name: str = "part",
) -> tuple[Path, ...]:
    """Write the rows in ``parts`` files of as equal length as can be, in the order of the rows: ``part-000.csv``, …

    Errors: ConfigError for an unknown format, and for less than one part.
    """
    if format not in _WRITE:
        raise ConfigError.unknown("format of a delivery", format, _WRITE)
    if parts < 1:
        raise ConfigError(f"a delivery of {parts} parts is none; ask for 1 or more")
    frame = sample.frame if isinstance(sample, Sample) else sample
    Path(folder).mkdir(parents=True, exist_ok=True)
    bounds = [frame.height * part // parts for part in range(parts + 1)]
    paths = tuple(Path(folder, f"{name}-{part:03}.{format}") for part in range(parts))
    for path, start, end in zip(paths, bounds, bounds[1:], strict=False):
        _WRITE[format](frame[start:end], path)
    return paths
