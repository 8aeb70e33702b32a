"""From the report of New York's flights to the very rows: what it says how to see them, shows them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dataflow import Engine, RunReport, Workflow
from dataflow.quality.findings import Finding, findings
from dataflow.quality.rules import ValidationRule
from tests.faults.pipelines import flights


@pytest.fixture(scope="module")
def workflow(flights_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    return flights(flights_data, tmp_path_factory.mktemp("flights") / "lake", deliveries=1)


@pytest.fixture(scope="module")
def report(workflow: Workflow) -> RunReport:
    return Engine(runner="inline").execute(workflow)


def found(report: RunReport) -> list[tuple[str, Finding]]:
    return [(stage.stage, finding) for stage in report.stages for finding in findings(stage, report.lake)]


def shown(finding: Finding) -> pl.DataFrame:
    assert finding.see is not None
    return eval(finding.see, {"pl": pl})


def test_quarantine_and_warnings_are_told(report: RunReport):
    routes = {finding.result.route for _, finding in found(report)}
    assert {"quarantine", "warn"} == routes
    assert all(finding.see is not None for _, finding in found(report))


def test_the_rows_that_are_shown_break_the_rule_that_they_are_shown_for(workflow: Workflow, report: RunReport):
    for stage, finding in found(report):
        rule: ValidationRule = next(r for r in workflow.stages[stage].gate if r.name == finding.result.rule)
        rows = shown(finding)
        assert rows.select(rule.failing(rows.schema).all()).item(), rule.name
        expected = finding.result.failed if finding.result.route == "quarantine" else min(5, finding.result.failed)
        assert expected == rows.height, rule.name


def test_a_quarantined_flight_leads_to_its_line_in_the_file(report: RunReport, flights_data: Path):
    (aside,) = [
        finding for stage, finding in found(report) if stage == "flights" and finding.result.route == "quarantine"
    ]
    row = shown(aside).row(0, named=True)
    landed = pl.read_delta(f"{report.lake}/bronze_flights").filter(pl.col("_row_id") == row["_row_id"])
    file, line = landed.item(0, "_source_file"), row["_row_id"] % (1 << 40)
    original = pl.read_csv(flights_data / Path(file).name, infer_schema=False).row(line, named=True)
    assert str(row["flight_number"]) == original["flight"]
    assert ["distance_in_range"] == row["_rules"]
    assert "17" == original["distance"]
