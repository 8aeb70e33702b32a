"""Message events: how many arrive in each window of time.

Pure functions from LazyFrames to LazyFrames; ``config/events.yaml`` makes a pipeline of them.
"""

from __future__ import annotations

import polars as pl


def count_per_window(events: pl.LazyFrame) -> pl.LazyFrame:
    """Deliveries, distinct messages, and the sum of these messages' values, by window of event time.

    A message that is delivered twice counts twice among the deliveries and once in the sum.

    Shape: (n, m) -> (w, 5), w windows
    Nulls: a message without a value counts, and adds nothing to the sum.
    """
    window = ["window_start", "window_end"]
    once = events.unique(["message_id", *window], keep="any")
    values = once.group_by(window).agg(pl.len().alias("messages"), pl.col("value").sum().alias("value_sum"))
    deliveries = events.group_by(window).agg(pl.len().alias("deliveries"))
    return deliveries.join(values, on=window, how="inner").sort("window_start")
