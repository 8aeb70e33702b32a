"""Which units a run does again: by files, by versions of tables, by code; and what stays."""

from __future__ import annotations

import os
from typing import Any

import polars as pl

from dataflow import Workflow
from dataflow.lake.seams import Seam
from tests.dataflow.engine.made import Made, done, nonzero, states
from tests.faults.harness import injected


def double(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.with_columns(twice=pl.col("amount").cast(pl.Int64) * 2)


def triple(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.with_columns(twice=pl.col("amount").cast(pl.Int64) * 3)


def add_rates(doubled: pl.LazyFrame, rates: pl.LazyFrame) -> pl.LazyFrame:
    return doubled.join(rates, on="month", how="left")


def by_month(made: Made, function: object = double) -> Workflow:
    workflow = made.workflow()
    month: dict[str, Any] = {"partition_by": ["month"]}
    made.source(workflow, "orders", storage=month)
    made.source(workflow, "rates")
    workflow.add_task("doubled", function, ["orders"], storage=month, **month)  # pyright: ignore[reportArgumentType]
    workflow.add_task("rated", add_rates, ["doubled", "rates"], storage=month, **month)
    return workflow


def three_months(made: Made) -> None:
    for month in (1, 2, 3):
        made.csv(f"orders/{month}.csv", "month,amount", [f"{month},{month}0", f"{month},{month}1"])
    made.csv("rates/all.csv", "month,rate", ["1,a", "2,b", "3,c", "4,d"])


def work(made: Made, workflow: Workflow, **options: bool) -> dict[str, tuple[int, int]]:
    """Run, and say how many units each stage ran and left."""
    with injected() as reached:
        report = made.run(workflow, **options)
    assert report.state in ("completed", "skipped"), report.reason
    staged = [place.what.split(" ")[0] for place in reached if place.seam is Seam.UNIT_STAGED]
    found = {s.stage: (s.units, s.units_fresh) for s in report.stages}
    assert {stage: staged.count(stage) for stage in found} == {stage: ran for stage, (ran, _) in found.items()}
    return found


def test_a_new_file_runs_its_own_units_only(made: Made):
    three_months(made)
    assert {"orders": (3, 0), "rates": (1, 0), "doubled": (3, 0), "rated": (3, 0)} == work(made, by_month(made))
    made.csv("orders/4.csv", "month,amount", ["4,40", "2,29"])

    assert {"orders": (1, 3), "rates": (0, 1), "doubled": (2, 2), "rated": (2, 2)} == work(made, by_month(made))

    amounts = ["10", "11", "20", "21", "29", "30", "31", "40"]
    assert [(a, int(a) * 2) for a in amounts] == made.rows("rated", "amount", "twice")
    assert {"orders": (0, 4), "rates": (0, 1), "doubled": (0, 4), "rated": (0, 4)} == work(made, by_month(made))


def test_a_corrected_file_replaces_its_rows(made: Made):
    three_months(made)
    work(made, by_month(made))
    made.csv("orders/2.csv", "month,amount", ["2,99"])

    assert {"orders": (1, 2), "rates": (0, 1), "doubled": (1, 2), "rated": (1, 2)} == work(made, by_month(made))

    assert [("10",), ("11",), ("30",), ("31",), ("99",)] == made.rows("orders", "amount")
    assert [("10", "a"), ("11", "a"), ("30", "c"), ("31", "c"), ("99", "b")] == made.rows("rated", "amount", "rate")


def test_a_file_that_was_only_touched_is_not_landed_again(made: Made):
    three_months(made)
    work(made, by_month(made))
    os.utime(made.root / "in" / "orders" / "2.csv", (1, 1))

    report = made.run(by_month(made))

    assert ("skipped", "no new or changed files") == (report.state, report.stage("orders").reason)


def test_a_file_that_is_gone_keeps_its_rows(made: Made):
    three_months(made)
    work(made, by_month(made))
    (made.root / "in" / "orders" / "2.csv").unlink()

    assert "skipped" == made.run(by_month(made)).state
    work(made, by_month(made), incremental=False)

    assert 6 == made.frame("orders").height == made.frame("rated").height


def test_a_changed_input_that_is_read_whole_runs_all_units(made: Made):
    three_months(made)
    work(made, by_month(made))
    made.csv("rates/all.csv", "month,rate", ["1,x", "2,y", "3,z"])

    report = done(made.run(by_month(made)))

    assert {"orders": "skipped", "rates": "published", "doubled": "skipped", "rated": "published"} == states(report)
    assert (3, 0) == (report.stage("rated").units, report.stage("rated").units_fresh)
    assert "rates changed (version 0 → 1)" == report.stage("rated").reason
    assert ["x", "x", "y", "y", "z", "z"] == [rate for (rate,) in made.rows("rated", "rate")]


def test_full_runs_everything_and_changes_nothing(made: Made):
    three_months(made)
    work(made, by_month(made))
    before = made.rows("rated", "month", "amount", "twice", "rate", "_row_id")

    found = work(made, by_month(made), incremental=False)

    assert {"orders": (3, 0), "rates": (1, 0), "doubled": (3, 0), "rated": (3, 0)} == found
    assert before == made.rows("rated", "month", "amount", "twice", "rate", "_row_id")


def test_changed_code_runs_all_units(made: Made):
    three_months(made)
    work(made, by_month(made))

    report = done(made.run(by_month(made, triple)))

    assert "its code, rules or settings changed" == report.stage("doubled").reason
    assert {"orders": "skipped", "rates": "skipped", "doubled": "published", "rated": "published"} == states(report)
    assert [30, 33, 60, 63, 90, 93] == [twice for (twice,) in made.rows("rated", "twice")]


def test_a_partition_that_is_gone_is_dropped_downstream(made: Made):
    three_months(made)
    made.csv("orders/3.csv", "month,amount", ["3,30", "2,31"])
    work(made, by_month(made))
    made.csv("orders/3.csv", "month,amount", ["2,31"])

    report = done(made.run(by_month(made)))

    assert [("1",), ("1",), ("2",), ("2",), ("2",)] == made.rows("rated", "month")
    assert (1, 1) == (report.stage("rated").units, report.stage("rated").units_fresh)


def test_where_only_partitions_are_dropped_there_is_nothing_for_the_gate(made: Made):
    made.csv("orders/1.csv", "month,amount", ["1,10"])
    made.csv("orders/2.csv", "month,amount", ["2,20"])
    made.csv("rates/all.csv", "month,rate", ["1,a"])
    workflow = by_month(made)
    rule = {"name": "rows", "expectation": {"type": "expect_table_row_count_to_be_between", "min_value": 1}}
    workflow.add_quality_gate("doubled", [rule])
    done(made.run(workflow))
    made.csv("orders/2.csv", "month,amount", [])

    report = done(made.run(workflow))

    assert [("1", "10")] == made.rows("doubled", "month", "amount") == made.rows("rated", "month", "amount")
    assert ("published", 0, 1) == tuple(getattr(report.stage("doubled"), n) for n in ("state", "units", "units_fresh"))


def test_many_units_are_few_tasks(made: Made):
    for n in range(10):
        made.csv(f"orders/{n}.csv", "month,amount", [f"{n},{n}"])
    workflow = made.workflow(task_groups=3)
    made.source(workflow, "orders", storage={"partition_by": ["month"]})

    report = done(made.run(workflow))

    assert 10 == report.stage("orders").units
    staged = [e.done for e in made.events if e.kind == "unit_staged"]
    assert 3 == len(staged)
    assert 10 == max(staged)


def test_the_lake_grows_by_what_is_new(made: Made):
    three_months(made)
    done(made.run(by_month(made)))
    made.csv("orders/4.csv", "month,amount", ["4,40"])

    report = done(made.run(by_month(made))).stage("doubled")

    assert {"read": 1, "produced": 1, "published": 1} == nonzero(report)
    assert 6 == report.rows_fresh
    assert report.bytes_fresh > report.bytes_written > 0
