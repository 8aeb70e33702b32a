"""My flow: one sentence on whose question it answers.

``config/my_flow.yaml`` says what is read, in which order the functions below run and what must be
true of their rows; the functions say what is computed, and know neither files nor Prefect.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

import dataflow

CONFIG = Path(__file__).resolve().parents[1] / "config" / "my_flow.yaml"


def type_orders(bronze_orders: pl.LazyFrame) -> pl.LazyFrame:
    """Text to types.

    Shape: (n, 4) -> (n, 4).
    Nulls: a value that cannot be read becomes null, and the gate judges it.
    """
    return bronze_orders.select(
        pl.col("order_id").cast(pl.Int64, strict=False),
        pl.col("ordered_at").str.to_datetime("%Y-%m-%d %H:%M:%S", time_zone="UTC", strict=False),
        "region",
        pl.col("amount").cast(pl.Int64, strict=False),
    )


def sum_by_day(orders: pl.LazyFrame) -> pl.LazyFrame:
    """Orders and their amount, by day in UTC.

    Shape: (n, 4) -> (m, 3), m <= n.
    """
    return orders.group_by(pl.col("ordered_at").dt.date().alias("ordered_on")).agg(
        pl.len().cast(pl.Int64).alias("orders"), pl.col("amount").sum()
    )


if __name__ == "__main__":
    report = dataflow.Engine().execute(dataflow.Workflow.from_yaml(CONFIG))
    print(f"{report.state}: {report.lake}", report.reason)
    raise SystemExit(report.exit_code)
