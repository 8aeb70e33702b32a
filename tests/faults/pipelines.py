"""The pipelines that are killed: flights cut to two months, and a small shop that has every kind of stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

import dataflow
from dataflow.model import Frozen
from dataflow.sources.spooled import Pull, SpooledSource

ROOT = Path(__file__).resolve().parents[2]
LEASE_SECONDS = 120.0


def flights(inputs: Path, lake: Path, deliveries: int, lease_seconds: float = LEASE_SECONDS) -> dataflow.Workflow:
    """``config/flights.yaml`` as it is, with as many months of flights as there are deliveries.

    July has a row for quarantine; May, after it, is too late for the windows.
    """
    months = [str(inputs / f"flights-2013-{month}.csv.gz") for month in ("07", "05")[:deliveries]]
    return dataflow.Workflow.from_yaml(
        ROOT / "config" / "flights.yaml",
        lake=lake,
        overrides={
            "sources.bronze_flights.path": json.dumps(months),
            "run.lease_seconds": str(lease_seconds),
            **_impatient("bronze_flights", "sources"),
            **_impatient("flights", "stages"),
        },
    )


def _impatient(stage: str, kind: str) -> dict[str, str]:
    return {f"{kind}.{stage}.retry.delay_seconds": "0"}


NOW: dict[str, Any] = {"retry": {"delay_seconds": 0}}


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
    run = dataflow.PipelineConfig.model_fields["run"].get_default().model_copy(update={"lease_seconds": lease_seconds})
    workflow = dataflow.Workflow("shop", lake=lake, run=run)
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


def refused(inputs: Path, lake: Path, deliveries: int, lease_seconds: float = LEASE_SECONDS) -> dataflow.Workflow:
    """A source whose gate lets nothing through."""
    workflow = dataflow.Workflow("refused", lake=lake)
    workflow.add_source("orders", {"path": str(inputs / "delivery-1"), **NOW})
    workflow.add_quality_gate("orders", [dataflow.ValidationRule("nobody", "customer = 'nobody'", on_fail="fail")])
    return workflow


class Counted(Frozen):
    """Options of ``Letters``."""

    count: int


class Letters(SpooledSource):
    """Is asked for letters, and gives those that it did not give before."""

    Config: ClassVar[type[Frozen]] = Counted

    def pull(self, state: dict[str, Any] | None) -> Pull:
        given = (state or {"given": 0})["given"]
        yield [{"n": n, "letter": chr(97 + n)} for n in range(given, self.config.count)]
        return {"given": self.config.count}


def messages(inputs: Path, lake: Path, deliveries: int, lease_seconds: float = LEASE_SECONDS) -> dataflow.Workflow:
    """Messages with duplicates in their batch and in the next one, settled by every strategy, and a file with broken lines."""
    run = dataflow.PipelineConfig.model_fields["run"].get_default().model_copy(update={"lease_seconds": lease_seconds})
    workflow = dataflow.Workflow("messages", lake=lake, run=run)
    chaos = {"duplicate_rate": 0.3, "late_duplicate_rate": 0.5, "slow_rate": 0.2}
    made = {"type": "polars_synthetic", "scale": 400 * deliveries, "batch_size": 400, "chaos": chaos}
    workflow.add_source("events", {**made, **NOW})
    names = [str(inputs / f"people-{number}.jsonl") for number in range(1, deliveries + 1)]
    workflow.add_source("people", {"path": names, "format": "jsonl", **NOW})
    workflow.add_source("letters", {"type": "tests.faults.pipelines:Letters", "count": 3 * deliveries, **NOW})
    workflow.add_task("alphabet", None, ["letters"], strategy={"type": "polars_merge", "dedup_key": ["letter"]}, **NOW)
    day = {"storage": {"partition_by": ["partition_date"]}}
    workflow.add_task(
        "bronze", None, ["events"], strategy={"type": "bronze_append", "partition_date": "event_time"}, **day, **NOW
    )
    newest = {"type": "polars_merge", "dedup_key": ["message_id"], "sort_by": ["received_at"]}
    small = [{"name": "value_is_small", "predicate": "value < 900000", "on_fail": "quarantine"}]
    workflow.add_task("merged", None, ["events"], strategy=newest, gate=small, **NOW)
    eager = {"type": "eager_dedup", "hash_columns": ["message_id", "value"], "write_mode": "overwrite"}
    workflow.add_task("eager", None, ["events"], strategy=eager, **NOW)
    workflow.add_task(
        "history", None, ["people"], strategy={"type": "scd2", "key": ["id"], "effective_at": "at"}, **NOW
    )
    return workflow


def write_messages(inputs: Path) -> None:
    """Two deliveries of people: the second changes some, late for one of them; a line of each is broken."""
    inputs.mkdir(parents=True, exist_ok=True)
    for number, people in enumerate(
        [[(n, 2, f"name {n}") for n in range(9)], [(3, 4, "new"), (5, 1, "late"), (7, 3, "name 7")]]
    ):
        lines = [json.dumps({"id": i, "at": f"2024-01-0{day}", "name": name}) for i, day, name in people]
        (inputs / f"people-{number + 1}.jsonl").write_text("\n".join([*lines, '{"id": 1, "at"']) + "\n")


PIPELINES: dict[str, Callable[..., dataflow.Workflow]] = {
    "flights": flights,
    "shop": shop,
    "refused": refused,
    "messages": messages,
}
