"""A small shop that has every kind of stage: two sources, a join, windows with late rows and a merge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

import dataflow

LEASE_SECONDS = 120.0
NOW: dict[str, Any] = {"retry": {"delay_seconds": 0}}
"""What is tried again is tried again at once."""


def leased(seconds: float) -> Any:
    """How a run is run whose lease lasts so long."""
    return dataflow.PipelineConfig.model_fields["run"].get_default().model_copy(update={"lease_seconds": seconds})


def clean(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.with_columns(
        pl.col("amount").cast(pl.Float64, strict=False),
        pl.col("ordered_at").str.to_datetime("%Y-%m-%d %H:%M", time_zone="UTC"),
        pl.col("updated_at").str.to_datetime("%Y-%m-%d %H:%M", time_zone="UTC"),
    )


def halve(amount: pl.Expr) -> pl.Expr:
    return amount / 2


def price(clean_orders: pl.LazyFrame, customers: pl.LazyFrame) -> pl.LazyFrame:
    return clean_orders.join(customers, on="customer", how="left", maintain_order="left")


def sum_days(priced_orders: pl.LazyFrame) -> pl.LazyFrame:
    return priced_orders.group_by("month", "window_start", "region").agg(
        pl.len().alias("orders"), pl.col("amount").sum()
    )


def latest(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.with_columns(pl.col("updated_at").str.to_datetime("%Y-%m-%d %H:%M", time_zone="UTC"))


def shop(inputs: Path, lake: Path, deliveries: int, lease_seconds: float = LEASE_SECONDS) -> dataflow.Workflow:
    """Two sources, a join, windows with late rows and a merge, with duplicates and rows for quarantine."""
    workflow = dataflow.Workflow("shop", lake=lake, run=leased(lease_seconds))
    folders = [str(inputs / f"delivery-{number}") for number in range(1, deliveries + 1)]
    month = {"partition_by": ["month"]}
    workflow.add_source("orders", {"path": folders, "storage": month, "gate": [_present("order_id")], **NOW})
    workflow.add_source("customers", {"path": str(inputs / "customers.csv"), **NOW})
    workflow.add_task(
        "clean_orders",
        clean,
        ["orders"],
        **month,
        rows="preserved",
        deduplicate={"key": ["month", "order_id", "updated_at"]},
        gate=[
            dataflow.ValidationRule("amount_is_positive", "amount IS NOT NULL AND amount >= 0"),
            dataflow.ValidationRule("customer_is_known", "customer <> 'c8'", on_fail="drop"),
            dataflow.ValidationRule("amount_is_small", "amount < 130", on_fail=dataflow.Repair("amount", halve)),
        ],
        storage=month,
        **NOW,
    )
    workflow.add_task("priced_orders", price, rows="preserved", storage=month, **month, **NOW)
    workflow.add_task(
        "daily_orders",
        sum_days,
        rows="grouped",
        members="orders",
        window={"window_size": "1 day", "late_arrival_tolerance": "20 days", "time_column": "ordered_at"},
        storage=month,
        **month,
        **NOW,
    )
    merge = {"key_columns": ["order_id"], "timestamp_column": "updated_at"}
    workflow.add_task("latest_orders", latest, incremental=merge, **NOW)
    return workflow


def _present(column: str) -> dict[str, Any]:
    return {"name": f"{column}_is_present", "predicate": f"{column} IS NOT NULL"}


def write_shop(inputs: Path) -> None:
    """Three months, then one more with late rows for the first, and updates of orders of all of them."""
    inputs.mkdir(parents=True, exist_ok=True)
    customers = [f"c{n},{'north' if n % 2 else 'south'}" for n in range(7)]
    (inputs / "customers.csv").write_text("\n".join(["customer,region", *customers]) + "\n")
    for month in (1, 2, 3):
        _write(inputs / "delivery-1" / f"orders-{month}.csv", [_order(month, n) for n in range(60)])
    late = [_order(1, n + 60) for n in range(5)]
    updates = [_order(month, n, update=1) for month in (1, 2, 3) for n in range(0, 60, 7)]
    _write(inputs / "delivery-2" / "orders-4.csv", [*late, *updates, *(_order(4, n) for n in range(60))])
    _write(inputs / "delivery-2" / "orders-4b.csv", [_order(4, n + 60) for n in range(9)])


def _order(month: int, number: int, update: int = 0) -> str:
    day, key = 1 + number % 28, f"o{month}-{number}"
    if number % 20 == 19:
        key = f"o{month}-{number - 1}"  # a duplicate of the row before, up to the amount
        day = 1 + (number - 1) % 28
    if number == 33 and month < 3:
        key = ""
    amount = "broken" if number % 25 == 24 else str(number + update * 100)
    ordered_at = f"2024-{month:02d}-{day:02d} 10:00"
    updated_at = f"2024-{month + update:02d}-{day:02d} 11:{update:02d}"
    return f"{key},c{number % 9},{month},{amount},{ordered_at},{updated_at}"


def _write(path: Path, rows: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["order_id,customer,month,amount,ordered_at,updated_at", *rows]) + "\n")
