"""The pipelines that are killed: flights, events and runways as the repository ships them, cut to what runs in a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import dataflow
from dataflow.model import Frozen
from dataflow.sources.spooled import Pull, SpooledSource
from tests.faults.runways import runways
from tests.faults.shop import LEASE_SECONDS, NOW, shop
from tests.faults.stock import stock

ROOT = Path(__file__).resolve().parents[2]


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
            "sources.bronze_flights.retry.delay_seconds": "0",
            "stages.flights.retry.delay_seconds": "0",
        },
    )


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


def events(inputs: Path, lake: Path, deliveries: int, lease_seconds: float = LEASE_SECONDS) -> dataflow.Workflow:
    """``config/events.yaml`` with every strategy side by side, and beside it people in files and letters that are pulled.

    Messages have duplicates in their batch and in the next one; of people, the files have broken lines.
    """
    workflow = dataflow.Workflow.from_yaml(
        ROOT / "config" / "events.yaml",
        lake=lake,
        overrides={
            "generation.scale": str(200 * deliveries),
            "source.pubsub.batch_size": "200",
            "strategies.enabled": '["bronze_append", "polars_merge", "eager_dedup", "scd2"]',
            "strategies.scd2.key": '["message_id"]',
            "run.lease_seconds": str(lease_seconds),
        },
    )
    names = [str(inputs / f"people-{number}.jsonl") for number in range(1, deliveries + 1)]
    workflow.add_source("people", {"path": names, "format": "jsonl", **NOW})
    workflow.add_source("letters", {"type": "tests.faults.pipelines:Letters", "count": 3 * deliveries, **NOW})
    workflow.add_task("alphabet", None, ["letters"], strategy={"type": "polars_merge", "dedup_key": ["letter"]}, **NOW)
    workflow.add_task(
        "history", None, ["people"], strategy={"type": "scd2", "key": ["id"], "effective_at": "at"}, **NOW
    )
    return workflow


def write_events(inputs: Path) -> None:
    """Two deliveries of people: the second changes some, late for one of them; a line of each is broken."""
    inputs.mkdir(parents=True, exist_ok=True)
    for number, people in enumerate(
        [[(n, 2, f"name {n}") for n in range(9)], [(3, 4, "new"), (5, 1, "late"), (7, 3, "name 7")]]
    ):
        lines = [json.dumps({"id": i, "at": f"2024-01-0{day}", "name": name}) for i, day, name in people]
        (inputs / f"people-{number + 1}.jsonl").write_text("\n".join([*lines, '{"id": 1, "at"']) + "\n")


PIPELINES: dict[str, Callable[..., dataflow.Workflow]] = {
    "flights": flights,
    "events": events,
    "runways": runways,
    "stock": stock,
    "shop": shop,
    "refused": refused,
}
