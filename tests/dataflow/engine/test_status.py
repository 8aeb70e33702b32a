"""How a lake stands, told without touching it: empty, in the middle of a run, after one that died, damaged."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import polars as pl
import pytest

from dataflow import Engine, Workflow
from dataflow.engine.run import new_run_id
from dataflow.engine.status import Status, TableStatus
from dataflow.lake.lake import Lake
from dataflow.lake.lease import acquire, held
from dataflow.lake.seams import Seam, watch
from tests.dataflow.engine.made import AT_ONCE, Made, done


def pipeline(made: Made) -> Workflow:
    workflow = made.workflow()
    known = {"name": "known", "predicate": "price IS NOT NULL"}
    made.source(workflow, "orders", storage={"partition_by": ["month"]}, gate=[known])
    workflow.add_task("prices", prices, depends_on=["orders"], partition_by=["month"], retry=AT_ONCE["retry"])
    workflow.add_task("total", total, depends_on=["prices"], retry=AT_ONCE["retry"])
    return workflow


def prices(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.with_columns(pl.col("price").cast(pl.Int64))


def total(prices: pl.LazyFrame) -> pl.LazyFrame:
    return prices.select(pl.col("price").sum())


def deliver(made: Made, *months: int) -> None:
    for month in months:
        made.csv(f"orders/{month}.csv", "month,price", [f"{month},{month}", f"{month},"])


def look(made: Made, **options: str) -> Status:
    return Engine(runner="inline").status(pipeline(made), **options)


def told(status: Status) -> dict[str, tuple[str, str]]:
    return {table.table: (table.state, table.why) for table in status.tables}


def table(status: Status, name: str) -> TableStatus:
    return next(table for table in status.tables if table.table == name)


def test_an_empty_lake(made: Made):
    deliver(made, 1, 2)

    status = look(made)

    assert {"orders": "stale", "prices": "follows", "total": "follows"} == {n: s for n, (s, _) in told(status).items()}
    assert ("2 new files", "after orders: what changes there tells which partitions are stale") == (
        told(status)["orders"][1],
        told(status)["prices"][1],
    )
    orders = table(status, "orders")
    assert (None, None, 0, 0) == (orders.version, orders.published_at, orders.rows, orders.quarantined)
    assert [("1.csv", "new"), ("2.csv", "new")] == [(p.label, p.state) for p in orders.partitions]
    assert (None, (), {}, (), 0) == (status.holder, status.pending, status.release, status.damage, status.exit_code)
    assert not made.lake.exists()


def test_a_source_that_was_never_asked_is_not_fresh(made: Made):
    workflow = Workflow("shop", lake=made.lake)
    workflow.add_source(
        "orders", {"type": "database", "url": f"sqlite:///{made.lake.parent}/shop.db", "table": "orders"}
    )

    assert {"orders": ("stale", "nothing of it is landed yet")} == told(Engine(runner="inline").status(workflow))


def test_partitions_are_told_in_the_order_in_which_people_count(made: Made):
    deliver(made, 10, 9, 1)

    assert ["1.csv", "9.csv", "10.csv"] == [p.label for p in table(look(made), "orders").partitions]


def test_tables_that_are_up_to_date(made: Made):
    deliver(made, 1, 2)
    began = datetime.now(UTC)
    done(made.run(pipeline(made)))
    before = made.files()

    status = look(made)

    assert {"fresh"} == {state for state, _ in told(status).values()}
    orders, months = table(status, "orders"), table(status, "prices")
    assert (2, 2, 0, "orders.0.1") == (orders.rows, orders.quarantined, orders.version, orders.batch_id)
    assert orders.published_at is not None
    assert began < orders.published_at < datetime.now(UTC)
    assert {"files": 2, "file_id": 2} == {k: (orders.position or {})[k] for k in ("files", "file_id")}
    files = sum(file.stat().st_size for file in (made.lake / "prices").rglob("*.parquet"))
    assert files == months.size_bytes == sum(part.size_bytes for part in months.partitions)
    assert [("month=1", "fresh", 1, "prices.0.1"), ("month=2", "fresh", 1, "prices.0.1")] == sorted(
        (p.label, p.state, p.rows, p.batch_id) for p in months.partitions
    )
    assert {"orders": 0, "prices": 0, "total": 0} == status.release
    assert before == made.files()


def test_what_is_stale_and_why(made: Made):
    deliver(made, 1, 2)
    done(made.run(pipeline(made)))
    deliver(made, 2, 3)
    made.csv("orders/2.csv", "month,price", ["2,7"])

    status = look(made)

    assert {"1.csv": "fresh", "2.csv": "stale", "3.csv": "new"} == {
        p.label: p.state for p in table(status, "orders").partitions
    }
    assert ["2.csv", "3.csv"] == sorted(p.label for p in table(status, "orders").stale)
    assert {"follows"} == {p.state for p in table(status, "prices").partitions}

    done(made.run(pipeline(made), select="orders"))
    status = look(made)
    assert ("stale", {"month=1": "fresh", "month=2": "stale", "month=3": "new"}) == (
        told(status)["prices"][0],
        {p.label: p.state for p in table(status, "prices").partitions},
    )


def test_only_what_is_selected(made: Made):
    deliver(made, 1)
    assert ["prices"] == [table.table for table in look(made, select="prices").tables]


def test_a_table_without_input_waits(made: Made):
    deliver(made, 1)
    status = look(made, select="prices")
    assert {"prices": ("waits", "orders has no rows yet")} == told(status)


def test_units_that_are_marked_say_why(made: Made):
    deliver(made, 1, 2)
    done(made.run(pipeline(made)))

    def stop(seam: Seam, _: str) -> None:
        if seam == Seam.STAGE_PLANNED:
            raise KeyboardInterrupt

    unwatch = watch(stop)
    with pytest.raises(KeyboardInterrupt):
        Engine(runner="inline").backfill(pipeline(made), "prices", "2", "2")
    unwatch()

    assert {"month=1": ("fresh", ""), "month=2": ("stale", "backfill from 2 to 2")} == {
        p.label: (p.state, p.why) for p in table(look(made), "prices").partitions
    }


def test_while_a_run_is_at_work(made: Made):
    deliver(made, 1)
    seen: dict[Seam, Status] = {}

    def visit(seam: Seam, what: str) -> None:
        if seam in (Seam.STAGE_PLANNED, Seam.TABLE_PUBLISHED) and what == "orders":
            seen[seam] = look(made)

    unwatch = watch(visit)
    report = done(made.run(pipeline(made)))
    unwatch()

    planned, published = seen[Seam.STAGE_PLANNED], seen[Seam.TABLE_PUBLISHED]
    assert planned.holder is not None
    assert (report.run_id, True) == (planned.holder.run_id, planned.holder.alive)
    assert () == planned.pending
    assert [("orders.0.1", "orders", ("orders__quarantine", "orders"))] == [
        (p.batch_id, p.stage, p.tables) for p in published.pending
    ]


def test_after_a_run_that_died(made: Made):
    deliver(made, 1)
    lake = Lake(made.lake)
    lease = acquire(lake, "made", new_run_id(), ttl_seconds=0.001)

    holder = look(made).holder

    assert holder is not None
    assert (lease.run_id, False) == (holder.run_id, holder.alive)
    with held(lake, "made", new_run_id(), ttl_seconds=60):
        assert (lease.run_id,) == look(made).unswept


def test_a_data_file_that_is_gone(made: Made):
    deliver(made, 1, 2)
    done(made.run(pipeline(made)))
    lost = next((made.lake / "prices").rglob("*.parquet"))
    lost.unlink()

    status = look(made)

    name = lost.relative_to(made.lake / "prices").as_posix()
    assert (f"table 'prices' is damaged: it lacks {name}",) == status.damage
    assert 1 == status.exit_code
    assert ("fresh", "damaged", "unknown") == tuple(state for state, _ in told(status).values())
    assert status.damage[0] == told(status)["total"][1]
    assert {"unknown"} == {part.state for name in ("prices", "total") for part in table(status, name).partitions}


def test_a_log_that_cannot_be_read(made: Made):
    deliver(made, 1)
    done(made.run(pipeline(made)))
    (made.lake / "orders" / "_delta_log" / f"{0:020d}.json").write_text("{")

    status = look(made)

    assert ("damaged", "unknown", "fresh") == tuple(state for state, _ in told(status).values())
    assert (None, 0, 1) == (table(status, "orders").version, table(status, "orders").rows, status.exit_code)


def test_a_quarantine_that_cannot_be_read(made: Made):
    deliver(made, 1)
    done(made.run(pipeline(made)))
    (made.lake / "orders__quarantine" / "_delta_log" / f"{0:020d}.json").write_text("{")

    status = look(made)

    assert (1, 0, "fresh") == (status.exit_code, table(status, "orders").quarantined, told(status)["orders"][0])


def test_a_source_that_cannot_be_listed(made: Made):
    deliver(made, 1)
    done(made.run(pipeline(made)))
    (made.root / "in/orders/1.csv").unlink()

    status = look(made)

    assert "unknown" == told(status)["orders"][0]
    assert str(made.root / "in/orders") in told(status)["orders"][1]
    assert (0, 1) == (status.exit_code, table(status, "orders").rows)


def test_files_that_another_program_rearranged_belong_to_no_partition(made: Made):
    from deltalake import DeltaTable

    deliver(made, 1, 2)
    done(made.run(pipeline(made)))
    DeltaTable(str(made.lake / "orders")).optimize.z_order(["price"])

    orders = table(look(made), "orders")

    assert (2, 0) == (orders.rows, sum(part.rows for part in orders.partitions))


def test_it_is_json(made: Made):
    deliver(made, 1)
    done(made.run(pipeline(made)))
    status = look(made)
    assert status == Status.model_validate(json.loads(status.model_dump_json()))


def test_watermarks_in_event_time(made: Made):
    made.csv("orders/1.csv", "at,price", ["2026-01-01,1", "2026-01-10,1"])
    workflow = made.workflow()
    made.source(workflow, "orders")
    workflow.add_task("typed", lambda orders: orders.with_columns(pl.col("at").str.to_date()), depends_on=["orders"])
    window = {
        "window_size": "1 day",
        "time_column": "at",
        "late_arrival_tolerance": "2 days",
        "trigger_interval": "1 day",
    }
    workflow.add_task(
        "daily", lambda typed: typed.group_by("window_start").agg(pl.len()), depends_on=["typed"], window=window
    )
    done(made.run(workflow))
    made.csv("orders/2.csv", "at,price", ["2026-01-11,1"])
    done(made.run(workflow, select=["orders", "typed"]))

    status = Engine(runner="inline").status(workflow)

    assert {"orders": datetime(2026, 1, 8, tzinfo=UTC), "typed": None, "daily": datetime(2026, 1, 8, tzinfo=UTC)} == {
        table.table: table.event_time for table in status.tables
    }
    assert "waits" == told(status)["daily"][0]
    assert "trigger interval" in told(status)["daily"][1]
