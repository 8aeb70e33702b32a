"""What a gate's verdict does to a batch: published, rows set aside, or refused as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from dataflow import ValidationRule, Workflow
from dataflow.lake.seams import Seam
from tests.dataflow.engine.made import Made, done, failed, nonzero, states
from tests.faults.harness import injected

POSITIVE = ValidationRule("positive", "amount > 0")
SMALL = ValidationRule("small", "amount < 100")
ENOUGH: dict[str, Any] = {
    "name": "enough",
    "expectation": {"type": "expect_table_row_count_to_be_between", "min_value": 2},
}


def typed(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.with_columns(pl.col("amount").cast(pl.Int64))


def gated(made: Made, *rules: Any) -> Workflow:
    workflow = made.workflow()
    month: dict[str, Any] = {"partition_by": ["month"]}
    made.source(workflow, "orders", storage=month)
    workflow.add_task("clean", typed, ["orders"], gate=rules, storage=month, **month)
    workflow.add_task("below", lambda clean: clean, ["clean"])
    workflow.add_task("beside", lambda orders: orders, ["orders"])
    return workflow


def deliver(made: Made, month: int, *amounts: int) -> None:
    made.csv(f"orders/{month}.csv", "month,amount", [f"{month},{amount}" for amount in amounts])


def test_broken_rows_go_to_quarantine_with_what_one_needs_to_know(made: Made):
    deliver(made, 1, 5, -1, 700, 6)
    deliver(made, 2, -800, 7)

    report = done(made.run(gated(made, POSITIVE, SMALL))).stage("clean")

    assert {"read": 6, "produced": 6, "quarantined": 3, "published": 3} == nonzero(report)
    assert [(5,), (6,), (7,)] == made.rows("clean", "amount") == made.rows("below", "amount")
    aside = made.frame("clean__quarantine").sort("_row_id")
    assert [-1, 700, -800] == aside["amount"].to_list()
    assert [["positive"], ["small"], ["positive"]] == aside["_rules"].to_list()
    assert ["positive: amount > 0", "small: amount < 100", "positive: amount > 0"] == aside["_reason"].to_list()
    assert [(1 << 40) + 1, (1 << 40) + 2, 2 << 40] == aside["_row_id"].to_list()
    assert {"clean.0.1"} == set(aside["_batch_id"])
    assert report.verdict is not None
    assert "quarantined" == report.verdict.outcome
    assert {"positive": (6, 2), "small": (6, 1)} == {r.rule: (r.checked, r.failed) for r in report.verdict.results}


def test_a_row_may_break_several_rules(made: Made):
    deliver(made, 1, -1, 5)
    even = ValidationRule("odd", "amount IN (1, 3, 5)")

    done(made.run(gated(made, POSITIVE, even)))

    assert [(["positive", "odd"],)] == made.rows("clean__quarantine", "_rules")


def test_a_unit_that_is_run_again_replaces_its_quarantine(made: Made):
    deliver(made, 1, 5, -1)
    deliver(made, 2, 5, -2)
    done(made.run(gated(made, POSITIVE)))

    done(made.run(gated(made, POSITIVE), incremental=False))
    assert [(-1,), (-2,)] == made.rows("clean__quarantine", "amount")
    deliver(made, 2, 5, 2)

    done(made.run(gated(made, POSITIVE)))

    assert [(-1,)] == made.rows("clean__quarantine", "amount")


def test_a_refused_batch_publishes_nothing_and_the_rest_goes_on(made: Made):
    deliver(made, 1, 5)
    done(made.run(gated(made, POSITIVE)))
    version = made.version("clean")
    deliver(made, 2, 6, -1)
    no_new = ValidationRule("no_bad_share", "amount > 0", on_fail="fail")

    report = made.run(gated(made, no_new))

    assert ("rejected", 1) == (report.state, report.exit_code)
    assert {"orders": "published", "clean": "rejected", "below": "not_run", "beside": "published"} == states(report)
    assert "its gate refused the batch: no_bad_share (1 of 3 rows)" == report.stage("clean").reason
    assert "stage 'clean': its gate refused the batch: no_bad_share (1 of 3 rows)" == report.reason
    assert "clean was rejected" == report.stage("below").reason
    assert version == made.version("clean")
    assert [(5,)] == made.rows("clean", "amount")
    assert not (made.lake / "clean__quarantine" / "_delta_log").exists()


def test_a_refused_batch_is_judged_again_without_being_staged_again(made: Made):
    deliver(made, 1, 5)
    workflow = gated(made, ENOUGH)
    assert "rejected" == made.run(workflow).state

    with injected() as reached:
        report = made.run(workflow)

    assert "rejected" == report.state
    assert [] == [place.what for place in reached if place.seam is Seam.UNIT_WRITTEN]
    assert "clean" in [place.what for place in reached if place.seam is Seam.AUDITED]


def test_what_a_refused_batch_had_staged_goes_when_it_is_of_no_more_use(made: Made):
    deliver(made, 1, 5)
    assert "rejected" == made.run(gated(made, ENOUGH)).state
    deliver(made, 1, 6, 7)

    done(made.run(gated(made, ENOUGH)))

    assert [(6,), (7,)] == made.rows("clean", "amount")
    assert 1 == len(list((made.lake / "clean").rglob("*.parquet")))


def test_a_warning_is_published_and_told(made: Made):
    deliver(made, 1, 5, -1)
    warns = ValidationRule("positive", "amount > 0", severity="warning")
    measures = ValidationRule("tiny", "amount > 3", severity="info")

    report = done(made.run(gated(made, warns, measures)))

    assert [(-1,), (5,)] == made.rows("clean", "amount")
    metrics = report.quality_metrics["clean"]
    assert {"positive": ("warn", False, 1), "tiny": ("measure", False, 1)} == {
        rule: (m["route"], m["success"], m["failed"]) for rule, m in metrics.items()
    }


def test_a_rule_that_cannot_be_evaluated_refuses_the_batch(made: Made):
    deliver(made, 1, 5)

    report = made.run(gated(made, ValidationRule("typo", "amuont > 0", severity="warning")))

    assert "rejected" == report.state
    assert "did you mean 'amount'?" in report.reason


def test_what_is_judged_is_what_is_published(made: Made):
    deliver(made, 1, 5)

    def tamper(seam: Seam, what: str) -> None:
        if (seam, what) == (Seam.ROUTED, "clean"):
            for path in Path(made.lake, "clean").rglob("*.parquet"):
                path.write_bytes(path.read_bytes() + b"x")

    from dataflow.lake.seams import watch

    unwatch = watch(tamper)
    try:
        report = made.run(gated(made, POSITIVE))
    finally:
        unwatch()

    assert "is gone or was changed; nothing of the batch is published" in failed(report, "clean")
    assert not (made.lake / "clean" / "_delta_log").exists()
    done(made.run(gated(made, POSITIVE)))
    assert [(5,)] == made.rows("clean", "amount")
