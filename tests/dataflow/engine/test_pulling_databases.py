"""A database under the engine: landed, merged, gone back in, and people told of what was missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable

from dataflow import Engine, RunReport, Workflow
from dataflow.lake.lake import Lake
from dataflow.lake.seams import Seam, watch
from dataflow.lake.spool import Spool
from dataflow.sources.database import DatabaseConfig, DatabaseSource
from tests.dataflow.quality.test_alerts import sink, url
from tests.dataflow.sources.asked import Killed
from tests.dataflow.sources.shop import Shop

fixtures = (sink, url)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def workflow(shop: Shop, **options: Any) -> Workflow:
    found = Workflow("made", lake=shop.root / "lake", **options)
    config = DatabaseConfig.model_validate({"url": f"sqlite:///{shop.root}/shop.db", **orders()})
    found.add_source(
        "orders",
        {"type": "database", "retry": {"delay_seconds": 0}, **config.model_dump(mode="json", exclude_none=True)},
    )
    merged = {"key_columns": ["id"], "timestamp_column": "at"}
    found.add_task("current", lambda orders: orders, depends_on=["orders"], incremental=merged)
    return found


def orders() -> dict[str, Any]:
    return {"table": "orders", "cursor": {"column": "at", "lag": "10 minutes"}, "reconcile": {}}


def run(flow: Workflow) -> RunReport:
    return Engine(runner="inline").execute(flow)


def table(shop: Shop, name: str) -> list[Any]:
    return sorted(pl.read_delta(str(shop.root / "lake" / name)).select("id", "note").rows())


def source(shop: Shop) -> DatabaseSource:
    found = DatabaseSource(
        "orders", DatabaseConfig.model_validate({"url": f"sqlite:///{shop.root}/shop.db", **orders()})
    )
    found.attach(Spool(Lake(shop.root / "lake"), "made", "orders"))
    return found


def test_updates_are_merged_downstream(shop: Shop) -> None:
    shop.put((1, "2026-01-01 12:00:00", "a"), (2, "2026-01-01 12:00:00", "b"))
    assert "completed" == run(workflow(shop)).state
    shop.put((1, "2026-01-01 12:30:00", "updated"), (3, "2026-01-01 11:55:00", "late"))
    assert "completed" == run(workflow(shop)).state
    assert "skipped" == run(workflow(shop)).state

    assert [(1, "a"), (1, "updated"), (2, "b"), (3, "late")] == table(shop, "orders")
    assert [(1, "updated"), (2, "b"), (3, "late")] == table(shop, "current")


def test_missed_rows_are_in_the_report_and_people_are_told(shop: Shop, sink: Any, url: str) -> None:
    shop.put((1, "2026-01-01 12:00:00", "a"))
    flow = workflow(shop, alerts=[{"type": "webhook", "url": url}])
    assert () == run(flow).stage("orders").notes
    shop.put((2, "2026-01-01 11:00:00", "too late"))
    report = run(flow)

    assert "skipped" == report.state
    (note,) = report.stage("orders").notes
    assert "the database has 2 rows, but 1 of them are held: 1 row came later than `cursor.lag` allows" in note
    assert 1 == len(sink.taken)
    assert "missed rows" in str(sink.taken[0])


def test_what_is_read_again_takes_the_place_of_the_old_rows_in_one_commit(shop: Shop) -> None:
    shop.put(*((n, f"2026-01-{n:02d} 12:00:00", "a") for n in range(1, 5)))
    run(workflow(shop))
    shop.sql("update orders set note = 'corrected' where id in (2, 3)")
    assert "skipped" == run(workflow(shop)).state
    before = DeltaTable(shop.root / "lake/orders").version()
    source(shop).rewind("2026-01-03")
    assert [(n, "a") for n in range(1, 5)] == table(shop, "orders")
    report = run(workflow(shop))

    assert "completed" == report.state
    assert before + 1 == DeltaTable(shop.root / "lake/orders").version()
    assert [(1, "a"), (2, "a"), (3, "corrected"), (4, "a")] == table(shop, "orders")
    assert [(1, "a"), (2, "a"), (3, "corrected"), (4, "a")] == table(shop, "current")
    assert "skipped" == run(workflow(shop)).state


@pytest.mark.parametrize(
    "seam", [Seam.PULLED, Seam.FILES_RESERVED, Seam.UNIT_STAGED, Seam.TABLE_PUBLISHED], ids=lambda seam: str(seam)
)
def test_a_run_that_ends_while_it_reads_again_is_made_good(shop: Shop, seam: Seam) -> None:
    shop.put(*((n, f"2026-01-{n:02d} 12:00:00", "a") for n in range(1, 5)))
    run(workflow(shop))
    shop.sql("update orders set note = 'corrected'")
    source(shop).rewind()
    killed: list[str] = []

    def kill(at: Seam, what: str) -> None:
        if at is seam and not killed:
            killed.append(what)
            raise Killed

    end = watch(kill)
    try:
        with pytest.raises(Killed):
            run(workflow(shop))
    finally:
        end()
    assert killed
    run(workflow(shop))

    assert [(n, "corrected") for n in range(1, 5)] == table(shop, "orders") == table(shop, "current")
