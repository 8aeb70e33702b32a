"""Rows are conserved: a stage whose rows do not add up fails, and says which."""

from __future__ import annotations

import polars as pl
import pytest

from dataflow import Workflow
from tests.dataflow.engine.made import Function, Made, done, failed, nonzero


def stage(made: Made, function: Function, *, by: bool = False, **options: object) -> Workflow:
    workflow = made.workflow()
    month = {"partition_by": ["month"]} if by else {}
    made.source(workflow, "orders", storage=month)
    workflow.add_task("made", function, ["orders"], storage=month, **month, **options)  # pyright: ignore
    return workflow


@pytest.fixture
def orders(made: Made) -> Made:
    made.csv("orders/1.csv", "month,id", ["1,a", "1,b", "2,c"])
    return made


def test_a_filter_counts_what_it_leaves_out(orders: Made):
    report = done(orders.run(stage(orders, lambda orders: orders.filter(pl.col("id") != "a"))))

    assert {"read": 3, "filtered": 1, "produced": 2, "published": 2} == nonzero(report.stage("made"))


def test_a_stage_that_preserves_rows_may_not_lose_any(orders: Made):
    said = failed(
        orders.run(stage(orders, lambda orders: orders.filter(pl.col("id") != "a"), rows="preserved")), "made"
    )

    assert "stage 'made', all: declared to preserve rows, but 3 went in and 2 came out" in said
    assert "keep the rows and flag them instead, or declare rows: any" in said
    assert not (orders.lake / "made" / "_delta_log").exists()


def test_a_stage_that_preserves_rows_may_not_multiply_them(orders: Made):
    def twice(orders: pl.LazyFrame) -> pl.LazyFrame:
        return pl.concat([orders, orders])

    said = failed(orders.run(stage(orders, twice, rows="preserved")), "made")

    assert "3 went in and 6 came out; a join multiplies rows: make its right side unique" in said


def grouped(members: pl.Expr) -> Function:
    def function(orders: pl.LazyFrame) -> pl.LazyFrame:
        return orders.group_by("month").agg(members.alias("orders"))

    return function


def test_groups_count_their_members(orders: Made):
    workflow = stage(orders, grouped(pl.len()), rows="grouped", members="orders")

    report = done(orders.run(workflow))

    assert {"read": 3, "aggregated": 3, "produced": 2, "published": 2} == nonzero(report.stage("made"))
    assert [("1", 2), ("2", 1)] == orders.rows("made", "month", "orders")


def test_groups_that_lose_a_member_are_refused(orders: Made):
    workflow = stage(orders, grouped(pl.col("id").filter(pl.col("id") != "b").len()), rows="grouped", members="orders")

    said = failed(orders.run(workflow), "made")

    assert "stage 'made', all: the groups count 2 members in 'orders', but 3 rows went in" == said


def test_an_aggregate_of_no_rows_is_a_row_out_of_nothing(orders: Made):
    orders.csv("orders/1.csv", "month,id", [])

    report = done(orders.run(stage(orders, lambda orders: orders.select(pl.len().alias("n")))))

    assert {"fan_out": 1, "produced": 1, "published": 1} == nonzero(report.stage("made"))
    assert [(0,)] == orders.rows("made", "n")


def test_rows_may_not_leave_their_partition(orders: Made):
    def move(orders: pl.LazyFrame) -> pl.LazyFrame:
        return orders.with_columns(month=pl.when(pl.col("id") == "b").then(pl.lit("9")).otherwise("month"))

    said = failed(orders.run(stage(orders, move, by=True)), "made")

    assert "stage 'made', month=1: 1 rows belong to another partition" in said
    assert "must keep these columns as they are" in said


def test_duplicates_are_kept_aside(orders: Made):
    orders.csv("orders/2.csv", "month,id", ["1,a", "1,z"])
    workflow = stage(orders, lambda orders: orders, by=True, deduplicate={"key": ["month", "id"]})

    report = done(orders.run(workflow))

    assert {"read": 5, "produced": 5, "deduplicated": 1, "published": 4} == nonzero(report.stage("made"))
    assert [("1", "a", 2 << 40)] == orders.rows("made__duplicates", "month", "id", "_row_id"), "the first one stays"
    assert 4 == len(set(orders.rows("made", "month", "id")))


def test_the_last_of_duplicates_may_be_kept(orders: Made):
    orders.csv("orders/2.csv", "month,id", ["1,a"])
    workflow = stage(orders, lambda orders: orders, deduplicate={"key": ["month", "id"], "keep": "last"})

    done(orders.run(workflow))

    assert [("a", 1 << 40)] == orders.rows("made__duplicates", "id", "_row_id")
