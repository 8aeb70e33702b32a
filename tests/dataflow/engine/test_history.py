"""Verdicts over time: every batch's, in two tables, once."""

from __future__ import annotations

import shutil
from contextlib import suppress

import polars as pl
import pytest
from deltalake import DeltaTable

from dataflow import ValidationRule, Workflow
from dataflow.engine import history
from dataflow.lake import journal
from dataflow.lake.seams import Seam
from dataflow.quality import data_docs
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


def test_a_history_that_cannot_be_written_takes_no_published_run_along(made: Made):
    workflow = gated(made, POSITIVE)
    deliver(made, 5)
    made.lake.mkdir()
    (made.lake / "_quality_batches").write_text("in the way")

    report = done(made.run(workflow))

    assert "published" == report.stage("clean").state
    (note,) = report.notes
    assert note.startswith("the quality history is not up to date, the next run writes it: ")
    (made.lake / "_quality_batches").unlink()
    assert () == made.run(workflow).notes
    assert [("clean.0.1",)] == made.rows("_quality_rules", "batch_id") == made.rows("_quality_batches", "batch_id")


def test_docs_that_cannot_be_written_take_no_published_run_along(made: Made):
    workflow = gated(made, POSITIVE)
    deliver(made, 5)
    (made.lake / "_quality" / "made").mkdir(parents=True)
    (made.lake / "_quality" / "made" / "data_docs").write_text("in the way")

    report = done(made.run(workflow))

    assert None is report.data_docs
    assert "the Data Docs are not up to date: " in report.notes[0]
    assert [("clean.0.1",)] == made.rows("_quality_batches", "batch_id")


def test_half_a_result_stops_no_later_run(made: Made):
    workflow = gated(made, POSITIVE)
    deliver(made, 5)
    done(made.run(workflow))
    (whole,) = (made.lake / "_quality" / "made" / "results").iterdir()
    whole.with_name("99991231T235959.000000-clean.0.9.json").write_bytes(whole.read_bytes()[:-9])
    deliver(made, 5, 6)

    report = done(made.run(workflow))

    assert () == report.notes
    pages = (made.lake / "_quality" / "made" / "data_docs" / "batches" / "clean").iterdir()
    assert ["clean-0-1", "clean-0-2"] == sorted(page.name.split("-", 1)[1][:9] for page in pages)


def test_a_lake_that_was_begun_anew_goes_on_with_its_history(made: Made):
    workflow = gated(made, POSITIVE)
    deliver(made, 5)
    first = done(made.run(workflow))
    for table in ("_journal", "orders", "clean"):
        shutil.rmtree(made.lake / table)

    second = done(made.run(workflow))

    assert {first.run_id, second.run_id} == set(made.frame("_quality_rules")["run_id"])
    assert {first.run_id, second.run_id} == set(made.frame("_quality_batches")["run_id"])


def test_what_was_archived_before_it_was_told_is_told_once(made: Made, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal, "_ARCHIVE_AFTER", 1)
    workflow = gated(made, POSITIVE, NONE_LOST)
    deliver(made, 5)
    made.lake.mkdir()
    (made.lake / "_quality_batches").write_text("in the way")
    made.run(workflow)
    deliver(made, -9)
    made.run(workflow)
    (made.lake / "_quality_batches").unlink()
    other = Workflow("other", lake=made.lake)
    made.csv("two/1.csv", "amount", ["5"])
    made.source(other, "two")
    done(made.run(other))

    for _ in range(3):
        made.run(workflow)

    told = made.frame("_quality_batches").sort("judged_at")["outcome"].to_list()
    assert ["passed", *["rejected"] * 4] == told
    assert 2 * len(told) == made.frame("_quality_rules").height


def test_many_small_files_become_one(made: Made, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(history, "MANY_SMALL", 3)
    workflow, told = gated(made, POSITIVE), list[int]()
    for number in range(1, 9):
        deliver(made, *range(number + 1))
        done(made.run(workflow))
        told.append(len(DeltaTable(str(made.lake / "_quality_rules")).file_uris()))

    assert [1, 2, 3, 1, 2, 3, 1, 2] == told
    batches = made.frame("_quality_batches").sort("judged_at")
    assert [f"clean.0.{number}" for number in range(1, 9)] == batches["batch_id"].to_list()
    assert list(range(2, 10)) == batches["read_rows"].to_list()


def test_files_of_another_pipeline_stay(made: Made, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(history, "MANY_SMALL", 1)
    for number, name in enumerate(("one", "two", "one", "two")):
        workflow = Workflow(name, lake=made.lake)
        made.csv(f"{name}/{number}.csv", "amount", ["5"])
        made.source(workflow, name, gate=[{"name": "there", "predicate": "amount IS NOT NULL"}])
        done(made.run(workflow))

    assert 2 == len(DeltaTable(str(made.lake / "_quality_rules")).file_uris())
    assert ["one", "one", "two", "two"] == sorted(made.frame("_quality_rules")["pipeline"])


def test_results_without_a_page_are_deleted(made: Made, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data_docs, "MOST", 2)
    workflow = gated(made, POSITIVE)
    kept = made.lake / "_quality" / "made"
    for number in range(1, 5):
        deliver(made, *range(number + 1))
        done(made.run(workflow))
        (kept / "results" / "stray").touch()  # whatever a file manager leaves there

    (kept / "results" / "stray").unlink()
    assert ["clean.0.3", "clean.0.4"] == sorted(p.stem.split("-", 1)[1] for p in (kept / "results").iterdir())
    assert ["clean-0-3", "clean-0-4"] == sorted(
        p.name.split("-", 1)[1][:9] for p in (kept / "data_docs" / "batches" / "clean").iterdir()
    )
    shutil.rmtree(kept / "data_docs")
    deliver(made, 5)
    done(made.run(workflow))
    assert 2 == len(list((kept / "data_docs" / "batches" / "clean").iterdir()))
