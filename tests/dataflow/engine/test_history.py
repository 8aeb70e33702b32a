"""Verdicts over time: every batch's, in two tables, once."""

from __future__ import annotations

from contextlib import suppress

import polars as pl

from dataflow import ValidationRule, Workflow
from dataflow.engine.seams import Seam
from tests.dataflow.engine.made import Made, done
from tests.faults.harness import Fault, Injected, injected


def gated(made: Made, *rules: ValidationRule) -> Workflow:
    workflow = made.workflow()
    made.source(workflow, "orders")
    workflow.add_task(
        "clean", lambda orders: orders.with_columns(pl.col("amount").cast(pl.Int64)), ["orders"], gate=rules
    )
    return workflow


POSITIVE = ValidationRule("positive", "amount > 0")
NONE_LOST = ValidationRule("none_lost", "amount > -5", on_fail="fail")
MEAN = ValidationRule(
    "mean",
    expectation={"type": "expect_column_mean_to_be_between", "column": "amount", "min_value": 0},
    severity="info",
)


def deliver(made: Made, *amounts: int) -> None:
    made.csv("orders/1.csv", "amount", map(str, amounts))


def test_published_and_refused_batches_are_told(made: Made):
    workflow = gated(made, POSITIVE, NONE_LOST, MEAN)
    deliver(made, 5, -1)
    first = done(made.run(workflow))
    deliver(made, 5, -9)
    second = made.run(workflow)

    rules = made.frame("_quality_rules").sort("judged_at", "rule")
    assert ["made"] * 6 == rules["pipeline"].to_list()
    assert [first.run_id] * 3 + [second.run_id] * 3 == rules["run_id"].to_list()
    told = rules.select("batch_id", "rule", "route", "success", "failed", "observed", "published").rows()
    assert [
        ("clean.0.1", "mean", "measure", True, 0, "5.0", True),
        ("clean.0.1", "none_lost", "fail", True, 0, None, True),
        ("clean.0.1", "positive", "quarantine", False, 1, None, True),
        ("clean.0.2", "mean", "measure", True, 0, "5.0", False),
        ("clean.0.2", "none_lost", "fail", False, 1, None, False),
        ("clean.0.2", "positive", "quarantine", False, 1, None, False),
    ] == told
    batches = made.frame("_quality_batches").sort("judged_at")
    assert [("clean", "quarantined", True, 2, 1, 1), ("clean", "rejected", False, 2, 1, 1)] == batches.select(
        "stage", "outcome", "published", "read_rows", "quarantined_rows", "published_rows"
    ).rows()


def test_a_run_with_nothing_to_judge_adds_nothing(made: Made):
    workflow = gated(made, POSITIVE)
    deliver(made, 5)
    done(made.run(workflow))
    version = made.version("_quality_rules")

    made.run(workflow)

    assert version == made.version("_quality_rules")


def test_what_an_interrupted_run_did_not_tell_the_next_one_does(made: Made):
    workflow = gated(made, POSITIVE)
    deliver(made, 5)
    for fault in (Fault(Seam.HISTORY_STAGED, 1, "fail"), Fault(Seam.HISTORY_PUBLISHED, 1, "fail")):
        with injected(fault), suppress(Injected):
            made.run(workflow)
        deliver(made, 5, 6)

    made.run(workflow)
    made.run(workflow)

    assert ["clean.0.1", "clean.0.2"] == sorted(made.frame("_quality_rules")["batch_id"])
    assert ["clean.0.1", "clean.0.2"] == sorted(made.frame("_quality_batches")["batch_id"])
    assert 1 == len(list((made.lake / "_quality_rules").glob("*.parquet")))


def test_two_pipelines_share_the_history(made: Made):
    for name in ("one", "two"):
        workflow = Workflow(name, lake=made.lake)
        made.csv(f"{name}/1.csv", "amount", ["5"])
        made.source(workflow, name, gate=[{"name": "there", "predicate": "amount IS NOT NULL"}])
        done(made.run(workflow))

    assert [("one",), ("two",)] == made.rows("_quality_rules", "pipeline")
