"""The world's runways: what an airport has.

Pure functions from LazyFrames to LazyFrames; ``config/runways.yaml`` makes a pipeline of them.
"""

from __future__ import annotations

import polars as pl


def summarise_airports(runways_current: pl.LazyFrame) -> pl.LazyFrame:
    """Runways of each airport, how many of them are open and lighted, and the longest open one.

    Shape: (n, m) -> (a, 5), a airports
    Units: feet
    Nulls: a runway without a known length counts, and is not the longest; null where no open one has a known length.
    """
    is_open = pl.col("closed") == "0"
    length = pl.col("length_ft").cast(pl.Int64, strict=False)
    return (
        runways_current.group_by("airport_ident")
        .agg(
            pl.len().cast(pl.Int64).alias("runways"),
            is_open.sum().cast(pl.Int64).alias("open_runways"),
            (pl.col("lighted") == "1").sum().cast(pl.Int64).alias("lighted_runways"),
            length.filter(is_open).max().alias("longest_open_ft"),
        )
        .sort("airport_ident")
    )
