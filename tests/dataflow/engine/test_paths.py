"""Paths through a workflow: gates that branch, and conditions on what gates found."""

from __future__ import annotations

from typing import Any

import polars as pl

from dataflow import Branch, ValidationRule, Workflow
from dataflow.lake.seams import Seam
from tests.dataflow.engine.made import Made, done, failed, states
from tests.faults.harness import Fault, injected


def strict(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.with_columns(pl.col("amount").cast(pl.Int64))


def lenient(orders: pl.LazyFrame) -> pl.LazyFrame:
    return strict(orders).with_columns(pl.col("amount").abs())


def branching(made: Made) -> Workflow:
    workflow = made.workflow()
    made.source(workflow, "orders")
    rule = ValidationRule("positive", "amount > 0", on_fail=Branch("lenient"))
    workflow.add_task("strict", strict, ["orders"], gate=[rule])
    workflow.add_task("below_strict", lambda strict: strict, ["strict"])
    workflow.add_task("lenient", lenient, ["orders"])
    workflow.add_task("below_lenient", lambda lenient: lenient, ["lenient"])
    return workflow


def deliver(made: Made, *amounts: int) -> None:
    made.csv("orders/1.csv", "amount", map(str, amounts))


def test_a_gate_that_passes_does_not_branch(made: Made):
    deliver(made, 5)

    report = done(made.run(branching(made)))

    assert {
        "orders": "published",
        "strict": "published",
        "below_strict": "published",
        "lenient": "skipped",
        "below_lenient": "skipped",
    } == states(report)
    assert "the gate of strict did not branch to it" == report.stage("lenient").reason


def test_a_gate_branches_and_another_stage_runs_instead(made: Made):
    deliver(made, 5, -1)

    report = done(made.run(branching(made)))

    assert {
        "orders": "published",
        "strict": "branched",
        "below_strict": "skipped",
        "lenient": "published",
        "below_lenient": "published",
    } == states(report)
    assert "its gate branched to lenient: positive (1 of 2 rows)" == report.stage("strict").reason
    assert "strict was not published: its gate branched to lenient" == report.stage("below_strict").reason
    assert [(1,), (5,)] == made.rows("below_lenient", "amount")
    assert not (made.lake / "strict" / "_delta_log").exists()
    assert 0 == report.exit_code
    assert ["branched"] == made.frame("_quality_batches").filter(stage="strict")["outcome"].to_list()


def test_once_the_data_is_mended_the_path_leads_back(made: Made):
    deliver(made, 5, -1)
    workflow = branching(made)
    done(made.run(workflow))
    deliver(made, 5, 1)

    report = done(made.run(workflow))

    assert ("published", "skipped") == (report.stage("strict").state, report.stage("lenient").state)
    assert [(1,), (5,)] == made.rows("below_strict", "amount")


def test_a_batch_that_is_refused_does_not_branch(made: Made):
    deliver(made, 5, -1)
    workflow = branching(made)
    workflow.add_quality_gate("strict", [ValidationRule("small", "amount < 3", on_fail="fail")])

    report = made.run(workflow)

    assert "rejected" == report.state
    assert ("rejected", "not_run", "skipped") == tuple(states(report)[s] for s in ("strict", "below_strict", "lenient"))


def conditional(made: Made, when: Any) -> Workflow:
    workflow = made.workflow()
    made.source(workflow, "orders")
    workflow.add_task("clean", strict, ["orders"], gate=[ValidationRule("positive", "amount > 0", severity="warning")])
    workflow.add_task("report", lambda clean: clean.filter(pl.col("amount") <= 0), ["clean"], when=when)
    return workflow


def test_a_condition_on_what_a_gate_found_leads_on_or_not(made: Made):
    workflow = conditional(made, "clean.positive.failed > 0 AND clean.read >= 2")
    deliver(made, 5)
    first = done(made.run(workflow))
    deliver(made, 5, -1)
    second = done(made.run(workflow))

    assert "skipped" == first.stage("report").state
    assert "its condition does not hold: clean.positive.failed > 0 AND clean.read >= 2" == first.stage("report").reason
    assert "published" == second.stage("report").state
    assert [(-1,)] == made.rows("report", "amount")


def test_a_condition_on_a_stage_that_is_up_to_date_asks_its_last_batch(made: Made):
    deliver(made, 5, -1)
    done(made.run(conditional(made, "clean.positive.failed > 1")))

    report = made.run(conditional(made, "clean.positive.failed > 0"))

    assert ("skipped", "published") == (report.stage("clean").state, report.stage("report").state)


def test_a_condition_may_be_a_function(made: Made):
    deliver(made, 5, -1)

    report = done(made.run(conditional(made, lambda quality: not quality["clean"]["positive"]["success"])))

    assert "published" == report.stage("report").state


def test_a_condition_that_fails_fails_its_stage(made: Made):
    deliver(made, 5, -1)

    report = made.run(conditional(made, lambda quality: quality["clean"]["typo"]["success"]))

    assert "KeyError: 'typo'" in failed(report, "report")


def test_a_stage_whose_condition_asks_a_stage_that_failed_is_not_run(made: Made):
    workflow = made.workflow()
    made.source(workflow, "orders")
    workflow.add_task("clean", lambda orders: orders.select("nothing"), ["orders"], gate=[ValidationRule("r", "a > 0")])
    workflow.add_task("beside", lambda orders: orders, ["orders"], when="clean.quarantined = 0")
    deliver(made, 5)

    report = made.run(workflow)

    assert ("failed", "not_run") == (report.stage("clean").state, report.stage("beside").state)
    assert "clean failed" == report.stage("beside").reason


def test_the_plan_tells_of_conditions(made: Made):
    deliver(made, 5)
    workflow = conditional(made, "clean.positive.failed > 0")

    plan = made.plan(workflow)

    assert "if clean.positive.failed > 0" in plan.stages[-1].reason
    assert "if strict branches to it" in {s.stage: s for s in made.plan(branching(made)).stages}["lenient"].reason


def test_a_stage_that_is_branched_to_says_what_else_a_selection_must_name(made: Made):
    deliver(made, 5, -1)
    workflow = branching(made)
    done(made.run(workflow, select="orders"))

    report = made.run(workflow, select="lenient")

    assert "skipped" == report.stage("lenient").state
    assert (
        "it runs where the gate of strict branches to it, which this run leaves out: select both"
        == report.stage("lenient").reason
    )
    assert "published" == done(made.run(workflow, select="strict, lenient")).stage("lenient").state


def test_a_gate_that_branches_to_a_stage_which_was_not_selected_says_so(made: Made):
    deliver(made, 5, -1)
    workflow = branching(made)

    report = done(made.run(workflow, select="orders, strict"))

    assert ("lenient would run instead, but this run leaves it out",) == report.stage("strict").notes


def test_a_refusal_that_cannot_be_recorded_fails_its_stage_alone(made: Made):
    deliver(made, 5, -1)
    workflow = branching(made)
    workflow.add_task("other", lambda orders: orders, ["orders"])

    with injected(Fault(Seam.REFUSAL_RECORDED, 1, "pass")):
        report = made.run(workflow)

    assert "injected at REFUSAL_RECORDED" in failed(report, "strict")
    assert ("published", "skipped") == (report.stage("other").state, report.stage("lenient").state)
    assert "published" == done(made.run(workflow)).stage("lenient").state
