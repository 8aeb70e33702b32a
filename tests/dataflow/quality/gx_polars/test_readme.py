"""What the README shows, runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dataflow.quality import gx_polars

README = Path(gx_polars.__file__).with_name("README.md").read_text(encoding="utf-8")


def test_its_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(program, "README.md", "exec"), {})
    shown = [tuple(line.split()) for line in capsys.readouterr().out.splitlines() if line.count(" ") == 2]
    scanned, known = (
        {kind: (success, evidence) for kind, success, evidence in part} for part in (shown[:4], shown[4:])
    )
    kinds = [
        "expect_table_row_count_to_be_between",
        "expect_column_values_to_not_be_null",
        "expect_column_values_to_be_unique",
        "unexpected_rows_expectation",
    ]
    assert ["scan", "scan", "hashes", "scan"] == [scanned[kind][1] for kind in kinds]
    assert ["statistics", "statistics", "known", "scan"] == [known[kind][1] for kind in kinds]
    assert {"True"} == {success for success, _ in (*scanned.values(), *known.values())}


def test_it_tells_of_every_file():
    folder = Path(gx_polars.__file__).parent
    files = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    assert set() == {name for name in files if f"`{name}`" not in README}


BY_SCHEMA = {"expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list"}
"""On pandas these look at values where the column holds objects; a Polars column has one type."""


def test_every_metric_of_the_expectations_that_are_shipped_is_answered_here():
    from great_expectations.expectations.registry import _registered_expectations, _registered_metrics

    engine = gx_polars.PolarsExecutionEngine.__name__
    missing: set[tuple[str, str]] = set()
    for kind, expectation in _registered_expectations.items():
        needed = set(getattr(expectation, "metric_dependencies", ()))
        if mapped := getattr(expectation, "map_metric", None):
            needed = (needed - {mapped}) | {f"{mapped}.unexpected_count"}
        missing |= {(kind, name) for name in needed if engine not in _registered_metrics[name]["providers"]}
    assert BY_SCHEMA == {kind for kind, _ in missing}
