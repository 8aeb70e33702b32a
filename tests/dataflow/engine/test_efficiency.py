"""What a report says of work that was not done: rows, bytes and time beside a run in full."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from dataflow import Workflow
from dataflow.lake.lake import Lake
from dataflow.lake.lease import read_state
from dataflow.model import RunReport
from tests.dataflow.engine.made import Made


def double(orders: pl.LazyFrame, rates: pl.LazyFrame) -> pl.LazyFrame:
    return orders.join(rates, on="month", how="left")


def by_month(made: Made) -> Workflow:
    workflow = made.workflow()
    made.source(workflow, "orders", storage={"partition_by": ["month"]})
    made.source(workflow, "rates")
    workflow.add_task("doubled", double, ["orders", "rates"], partition_by=["month"])
    return workflow


def deliver(made: Made) -> dict[str, Path]:
    months = {month: made.csv(f"orders/{month}.csv", "month,amount", [f"{month},1", f"{month},2"]) for month in "123"}
    made.csv("rates/all.csv", "month,rate", ["1,a", "2,b", "3,c", "4,d"])
    return months


def skipped(report: RunReport, stage: str) -> tuple[int, int]:
    told = report.stage(stage)
    return told.rows_skipped, told.bytes_skipped


def full_seconds(made: Made, stage: str) -> float | None:
    return read_state(Lake(made.lake), "made").stage(stage).full_seconds


def size_of(made: Made, table: str) -> int:
    return sum(path.stat().st_size for path in (made.lake / table).rglob("*.parquet"))


def test_a_first_run_is_one_in_full_and_spares_nothing(made: Made):
    deliver(made)
    report = made.run(by_month(made))
    assert [True, True, True] == [stage.in_full for stage in report.stages]
    assert (0, 0, 0.0) == (report.rows_skipped, report.bytes_skipped, report.seconds_saved)
    assert [None, None, None] == [stage.full_seconds for stage in report.stages]
    # What is told in the next run is the stage's time up to its intent.
    for stage in report.stages:
        known = full_seconds(made, stage.stage)
        assert known is not None
        assert 0 < known <= stage.seconds


def test_an_increment_tells_what_it_did_not_read_and_the_time_it_saved(made: Made):
    months = deliver(made)
    made.run(by_month(made))
    before = {stage: full_seconds(made, stage) for stage in ("orders", "rates", "doubled")}
    landed, of_orders = sum(path.stat().st_size for path in months.values()), size_of(made, "orders")
    made.csv("orders/4.csv", "month,amount", ["4,1"])
    report = made.run(by_month(made))
    assert (6, landed) == skipped(report, "orders")
    assert (6, of_orders) == skipped(report, "doubled")
    assert [False, False, False] == [stage.in_full for stage in report.stages]
    assert before == {stage.stage: stage.full_seconds for stage in report.stages}
    saved = [(before[stage.stage] or 0) - stage.seconds for stage in report.stages]
    assert saved == [stage.seconds_saved for stage in report.stages]
    assert sum(saved) == report.seconds_saved
    # An increment says nothing of how long all of it takes.
    assert before == {stage: full_seconds(made, stage) for stage in before}


def test_a_run_with_nothing_to_do_skips_everything(made: Made):
    deliver(made)
    made.run(by_month(made))
    report = made.run(by_month(made))
    assert (6, size_of(made, "orders") + size_of(made, "rates")) == skipped(report, "doubled")
    assert (4, (made.root / "in/rates/all.csv").stat().st_size) == skipped(report, "rates")
    assert 6 + 4 + 6 == report.rows_skipped
    assert report.stage("doubled").seconds_saved == full_seconds(made, "doubled")


def test_a_run_in_full_is_remembered_in_the_place_of_the_one_before(made: Made):
    deliver(made)
    made.run(by_month(made))
    first = full_seconds(made, "doubled")
    report = made.run(by_month(made), incremental=False)
    told = report.stage("doubled")
    assert (True, first, 0.0, 0) == (told.in_full, told.full_seconds, told.seconds_saved, told.bytes_skipped)
    assert first != full_seconds(made, "doubled")


def test_the_plan_knows_how_long_a_stage_takes_in_full(made: Made):
    deliver(made)
    assert {None} == {stage.full_seconds for stage in made.plan(by_month(made)).stages}
    made.run(by_month(made))
    made.csv("orders/4.csv", "month,amount", ["4,1"])
    told = {stage.stage: stage.full_seconds for stage in made.plan(by_month(made)).stages}
    assert (full_seconds(made, "orders"), full_seconds(made, "rates")) == (told["orders"], told["rates"])


def test_a_stage_that_fails_has_saved_nothing(made: Made):
    deliver(made)
    made.run(by_month(made))
    made.csv("orders/4.csv", "month,amount,more", ["4,1,2"])
    report = made.run(by_month(made))
    assert "failed" == report.stage("orders").state
    assert 0.0 == report.stage("orders").seconds_saved
