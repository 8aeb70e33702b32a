"""Deliveries are what a file source lands, and a gate in a pipeline decides as it does without a lake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest

from dataflow import ConfigError, Engine, Workflow
from dataflow.testing import orders, run_gate, write_delivery

SAMPLE = orders(101, seed=3, defects={"null_key": 3, "bad_email": 4, "out_of_range": 5})


@pytest.mark.parametrize("format", ["csv", "parquet", "jsonl"])
def test_the_parts_hold_all_rows_in_their_order(tmp_path: Path, format: Literal["csv", "parquet", "jsonl"]):
    paths = write_delivery(tmp_path / "new", SAMPLE, format=format, parts=4)
    assert [f"part-00{n}.{format}" for n in range(4)] == [path.name for path in paths]
    read: Any = {"csv": pl.read_csv, "parquet": pl.read_parquet, "jsonl": pl.read_ndjson}[format]
    parts = [read(path, columns=["order_id"]) if format != "jsonl" else read(path) for path in paths]
    assert [25, 25, 25, 26] == [part.height for part in parts]
    assert SAMPLE.frame["order_id"].equals(pl.concat([part.select("order_id") for part in parts])["order_id"])


def test_a_frame_is_a_delivery_too(tmp_path: Path):
    (path,) = write_delivery(tmp_path, pl.DataFrame({"a": [1]}), name="late")
    assert ("late-000.csv", "a\n1\n") == (path.name, path.read_text())


def test_what_is_no_delivery_is_told(tmp_path: Path):
    with pytest.raises(ConfigError, match="unknown format of a delivery 'cvs'; did you mean 'csv'"):
        write_delivery(tmp_path, SAMPLE, format="cvs")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="a delivery of 0 parts is none; ask for 1 or more"):
        write_delivery(tmp_path, SAMPLE, parts=0)


def test_a_pipeline_finds_what_was_planted(tmp_path: Path):
    write_delivery(tmp_path / "orders", SAMPLE, format="parquet", parts=3)
    workflow = Workflow("shop", lake=tmp_path / "lake")
    workflow.add_source("orders", {"path": str(tmp_path / "orders"), "format": "parquet", "gate": ()})
    workflow.add_task("checked", lambda orders: orders, ["orders"], gate=SAMPLE.rules())

    report = Engine(runner="inline").execute(workflow)

    assert "completed" == report.state, report.reason
    verdict = report.stage("checked").verdict
    assert verdict is not None
    alone = run_gate(SAMPLE.frame, SAMPLE.rules())
    assert SAMPLE.expected == {result.rule: result.failed for result in verdict.results}
    said = [[(r.rule, r.route, r.success, r.checked, r.failed) for r in v.results] for v in (verdict, alone.verdict)]
    assert said[0] == said[1]
    aside = pl.read_delta(str(tmp_path / "lake" / "checked__quarantine"))
    assert sorted(alone.quarantined["_reason"]) == sorted(aside["_reason"])


def test_the_first_run_of_a_process_imports_great_expectations_once(tmp_path: Path):
    """The engine imports it in a thread while units are staged, and rules that quarantine ask for it there too."""
    write_delivery(tmp_path / "orders", SAMPLE, parts=2)
    script = f"""
from dataflow import Engine, ValidationRule, Workflow
workflow = Workflow("shop", lake={str(tmp_path / "lake")!r})
workflow.add_source("orders", {str(tmp_path / "orders")!r})
known = {{"type": "expect_column_values_to_be_in_set", "column": "status", "value_set": ["paid"]}}
workflow.add_task("checked", lambda orders: orders, ["orders"], gate=[ValidationRule("known", expectation=known)])
report = Engine(runner="inline").execute(workflow)
print(report.state, report.reason)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("completed"), done.stdout
