"""What is declared of increments is taken, and refused where the function's plan shows it to be wrong."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from dataflow import Workflow
from dataflow.errors import PlanError
from dataflow.lake.lake import Lake
from dataflow.lake.lease import acquire
from dataflow.lake.state import Stale
from dataflow.model import How
from tests.dataflow.engine.made import Made, done, failed, nonzero


def same(sales: pl.LazyFrame) -> pl.LazyFrame:
    return sales


def opaque(sales: pl.LazyFrame) -> pl.LazyFrame:
    return sales.map_batches(lambda frame: frame)


def totals(sales: pl.LazyFrame) -> pl.LazyFrame:
    return sales.group_by("shelf").agg(pl.col("amount").cast(pl.Int64).sum())


def opaque_totals(sales: pl.LazyFrame) -> pl.LazyFrame:
    return totals(opaque(sales))


def pipeline(made: Made, function: Any, incremental: Any = None, **more: Any) -> Workflow:
    workflow = made.workflow()
    made.source(workflow, "sales")
    workflow.add_task("out", function, ["sales"], incremental=incremental, **more)
    return workflow


def twice(made: Made, function: Any, incremental: Any = None, **more: Any) -> How:
    """How the second of two runs, with a new file, brought the table up to date."""
    made.csv("sales/1.csv", "shelf,amount", ["a,1", "b,2"])
    done(made.run(pipeline(made, function, incremental, **more)))
    made.csv("sales/2.csv", "shelf,amount", ["b,3", "c,4"])
    report = done(made.run(pipeline(made, function, incremental, **more))).stage("out")
    assert report.how is not None
    return report.how


def test_nothing_declared_is_proven(made: Made):
    assert How(kind="append", why="proven: each row comes of one row of its first input") == twice(made, same)


def test_full_is_full(made: Made):
    assert How(kind="full", why="declared") == twice(made, same, "full")
    assert 4 == made.frame("out").height


def test_what_cannot_be_read_is_computed_in_full(made: Made):
    why = "its plan contains a Python function, whose inputs the plan does not show"
    assert How(kind="full", why=why) == twice(made, opaque)


def test_what_is_declared_is_trusted_where_the_plan_cannot_be_read(made: Made):
    assert How(kind="append", why="declared") == twice(made, opaque, "append")
    assert [("a", "1"), ("b", "2"), ("b", "3"), ("c", "4")] == made.rows("out", "shelf", "amount")
    made.csv("sales/3.csv", "shelf,amount", ["d,5"])
    note = (
        "that increments are safe is declared and not proven: its plan contains a Python function, whose inputs the plan "
        "does not show"
    )
    assert note in done(made.run(pipeline(made, opaque, "append"))).stage("out").notes


def test_slices_are_declared_by_columns(made: Made):
    how = twice(made, opaque_totals, {"by": ["shelf"]})

    assert ("partition", "declared; touched values of shelf are computed again") == (how.kind, how.why)
    assert [("a", 1), ("b", 5), ("c", 4)] == made.rows("out", "shelf", "amount")


def test_partition_is_by_the_partitions_of_the_table(made: Made):
    how = twice(made, totals, "partition", storage={"partition_by": ["shelf"]})

    assert ("partition", "declared; touched values of shelf are computed again") == (how.kind, how.why)
    assert [("a", 1), ("b", 5), ("c", 4)] == made.rows("out", "shelf", "amount")


def test_a_null_is_a_value_to_recompute_by(made: Made):
    made.csv("sales/1.csv", "shelf,amount", [",1", "b,2"])
    done(made.run(pipeline(made, totals)))
    made.csv("sales/2.csv", "shelf,amount", [",3"])

    report = done(made.run(pipeline(made, totals))).stage("out")

    assert [("b", 2), (None, 4)] == made.rows("out", "shelf", "amount")
    assert {"read": 2, "aggregated": 2, "produced": 1, "published": 1, "updated": 1, "unchanged": 1} == nonzero(report)


def test_one_row_per_key_is_recomputed_by_key(made: Made):
    dedup = {"deduplicate": {"key": ["shelf"]}}

    how = twice(made, same, **dedup)

    assert ("partition", "proven: rows that differ in shelf never meet") == (how.kind, how.why)
    assert [("a", "1"), ("b", "2"), ("c", "4")] == made.rows("out", "shelf", "amount")
    assert [("b", "3")] == made.rows("out__duplicates", "shelf", "amount")
    made.csv("sales/1.csv", "shelf,amount", ["a,1"])
    done(made.run(pipeline(made, same, **dedup)))
    assert [("a", "1"), ("b", "3"), ("c", "4")] == made.rows("out", "shelf", "amount")
    assert [] == made.rows("out__duplicates", "shelf", "amount")


def test_a_rule_about_the_batch_asks_for_all_of_it_unless_increments_are_declared(made: Made):
    rule = {"name": "enough", "expectation": {"type": "expect_table_row_count_to_be_between", "min_value": 1}}
    how = twice(made, same, gate=[rule])
    assert "full" == how.kind
    assert how.why.startswith("its rule 'enough' is about the whole batch; say scope: table, or declare `incremental`")


def test_a_rule_about_the_table_goes_with_increments(made: Made):
    expectation = {"type": "expect_table_row_count_to_be_between", "min_value": 1, "max_value": 4}
    rule = {"name": "enough", "expectation": expectation, "scope": "table"}
    assert "append" == twice(made, same, gate=[rule]).kind
    made.csv("sales/3.csv", "shelf,amount", ["d,5"])
    assert "rejected" == made.run(pipeline(made, same, gate=[rule])).state


@pytest.mark.parametrize(
    ("function", "incremental", "message"),
    [
        (
            totals,
            "append",
            "stage 'out': incremental: append is for functions that make each row of one row, but rows are grouped "
            "(group_by); its rows stay apart by shelf: say {by: [shelf]}, or leave `incremental` out",
        ),
        (
            lambda sales: sales.head(3),
            "append",
            "stage 'out': incremental: append is for functions that make each row of one row, but head, tail or slice "
            "keep some rows only; leave `incremental` out, and it is computed in full",
        ),
        (
            totals,
            {"by": ["amount"]},
            "stage 'out': touched values of 'amount' cannot be recomputed by themselves: either rows that differ in it "
            "meet (rows are grouped (group_by)), or it does not come unchanged from an input; its rows stay apart by "
            "shelf: say {by: [shelf]}, or leave `incremental` out",
        ),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_done(made: Made, function: Any, incremental: Any, message: str):
    made.csv("sales/1.csv", "shelf,amount", ["a,1"])
    workflow = pipeline(made, function, incremental)

    assert message == failed(made.run(workflow), "out")
    with pytest.raises(PlanError, match="stage 'out'"):
        made.plan(workflow, select="out")


def test_a_column_that_the_table_does_not_have_is_named(made: Made):
    made.csv("sales/1.csv", "shelf,amount", ["a,1"])
    report = made.run(pipeline(made, opaque, {"by": ["self"]}))
    assert "incremental.by names 'self', which its function does not return; did you mean 'shelf'?" in failed(
        report, "out"
    )


def test_keys_that_come_more_than_once_are_told(made: Made):
    made.csv("sales/1.csv", "shelf,amount", ["a,1", "a,3", "b,2", "b,2"])
    workflow = pipeline(made, None, strategy={"type": "polars_merge", "dedup_key": ["shelf"], "sort_by": ["amount"]})

    notes = done(made.run(workflow)).stage("out").notes

    assert "2 keys came more than once; resolved by sort_by amount, keep last, ties by content" in notes


def test_a_stage_that_was_marked_stale_is_computed_in_full_and_says_why(made: Made):
    assert "append" == twice(made, same).kind
    lake = Lake(made.lake)
    lease = acquire(lake, "made", "by-hand", ttl_seconds=60)
    lease.record("stale", Stale(stage="out", reason="somebody asked for it"))
    lease.release(clean=True)

    report = done(made.run(pipeline(made, same))).stage("out")

    assert ("somebody asked for it", How(kind="full", why="somebody asked for it")) == (report.reason, report.how)
    assert {"read": 4, "produced": 4, "published": 4} == nonzero(report)
    assert 4 == made.frame("out").height
    assert "skipped" == made.run(pipeline(made, same)).state
