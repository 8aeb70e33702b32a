"""Damaged tables are mended whatever came before: a dead run, a mending that was interrupted, a log that begins again."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from dataflow import Engine, Workflow
from dataflow.errors import LakeCorrupt
from dataflow.lake.lake import Lake
from dataflow.lake.lease import acquire
from tests.dataflow.engine.made import AT_ONCE, Made, done


@pytest.fixture
def shop(made: Made) -> Made:
    """Two files, one with a row for quarantine, and a sum of what they hold."""
    made.csv("orders/1.csv", "item,price", ["a,1", "b,2"])
    made.csv("orders/2.csv", "item,price", ["c,3", ",4"])
    done(made.run(pipeline(made)))
    return made


def pipeline(made: Made) -> Workflow:
    workflow = made.workflow()
    made.source(workflow, "orders", gate=[{"name": "item_is_known", "predicate": "item IS NOT NULL"}])
    workflow.add_task("total", total, depends_on=["orders"], retry=AT_ONCE["retry"])
    return workflow


def total(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.select(pl.col("price").cast(pl.Int64).sum())


def log(made: Made, table: str) -> Path:
    return made.lake / table / "_delta_log"


def cut_checkpoint(made: Made, table: str) -> Path:
    DeltaTable(str(made.lake / table)).create_checkpoint()
    (checkpoint,) = log(made, table).glob("*.checkpoint.parquet")
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    return checkpoint


def garble(made: Made, table: str) -> None:
    max(log(made, table).glob("*.json")).write_text("garbage{")


def leave_a_lease(made: Made) -> None:
    """As a run does that is killed."""
    acquire(Lake(made.lake), "made", "killed", ttl_seconds=60).stop()


def mend(made: Made, verb: str, stage: str) -> None:
    engine = Engine(runner="inline")
    if verb == "restore":
        engine.restore(pipeline(made), stage)
    else:
        done(engine.rebuild(pipeline(made), stage))


@pytest.mark.parametrize("damage", [cut_checkpoint, garble])
def test_after_a_dead_run_a_table_that_cannot_be_fenced_is_mended(shop: Made, damage: object):
    assert callable(damage)
    leave_a_lease(shop)
    damage(shop, "orders")
    with pytest.raises(LakeCorrupt, match=r"table\.py restore.*table\.py rebuild"):
        shop.run(pipeline(shop))

    mend(shop, "restore" if damage is cut_checkpoint else "rebuild", "orders")

    assert () == Engine(runner="inline").damage(pipeline(shop))
    assert "failed" != shop.run(pipeline(shop)).state
    assert [("a",), ("b",), ("c",)] == shop.rows("orders", "item")
    assert "skipped" == shop.run(pipeline(shop)).state


def test_a_table_that_a_dead_run_may_still_write_to_is_fenced_once_it_can_be_read(shop: Made):
    dead = acquire(Lake(shop.lake), "made", "killed", ttl_seconds=60)
    dead.stop()
    cut_checkpoint(shop, "orders")

    mend(shop, "restore", "orders")

    assert dead.lock.number < (DeltaTable(str(shop.lake / "orders")).transaction_version(dead.lock.app) or 0)


def test_a_checkpoint_that_was_set_aside_without_the_hint_to_it_is_told_and_mended(shop: Made):
    checkpoint = cut_checkpoint(shop, "orders")
    checkpoint.rename(f"{checkpoint}.broken")

    (damage,) = Engine(runner="inline").damage(pipeline(shop))
    mend(shop, "restore", "orders")

    assert "orders" == damage.table
    assert () == Engine(runner="inline").damage(pipeline(shop))
    assert "skipped" == shop.run(pipeline(shop)).state


def test_tables_beside_the_stage_are_restored_with_it(shop: Made):
    cut_checkpoint(shop, "orders__quarantine")
    assert ["orders__quarantine"] == [d.table for d in Engine(runner="inline").damage(pipeline(shop))]

    said = Engine(runner="inline").restore(pipeline(shop), "orders")

    assert ["orders__quarantine"] * 2 == [line.split(" of ")[1].split()[0] for line in said]
    assert () == Engine(runner="inline").damage(pipeline(shop))


def test_what_reads_a_table_whose_log_begins_again_does_not_mistake_its_versions_for_those_before(shop: Made):
    version = shop.version("orders")
    shop.csv("orders/1.csv", "item,price", ["a,1", "b,20"])
    garble(shop, "orders")

    mend(shop, "rebuild", "orders")

    assert version == shop.version("orders")
    assert [(24,)] == shop.rows("total", "price")
