"""Small made pipelines: CSV files in, tables out, and a look at both that does not go through the engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable

from dataflow import Engine, RunReport, Workflow
from dataflow.config import RunConfig
from dataflow.engine import Event
from dataflow.model import StageReport
from dataflow.plan import Plan

AT_ONCE = {"retry": {"delay_seconds": 0}}


@dataclass
class Made:
    """A folder with input files and a lake."""

    root: Path
    events: list[Event] = field(default_factory=list)
    folder: str = "lake"
    """Where the lake is; in another one, the same input comes to another lake."""

    @property
    def lake(self) -> Path:
        return self.root / self.folder

    def csv(self, name: str, header: str, rows: Iterable[str]) -> Path:
        """Write a file of a source; a second time, it is a corrected one."""
        path = self.root / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.stat().st_mtime if path.exists() else None
        path.write_text("\n".join([header, *rows]) + "\n")
        if before is not None:
            # A correction of the same length within the clock's grain would look like no change at all.
            os.utime(path, (before + 1, before + 1))
        return path

    def workflow(self, name: str = "made", **run: Any) -> Workflow:
        return Workflow(name, lake=self.lake, run=RunConfig(**run))

    def source(self, workflow: Workflow, name: str, **more: Any) -> None:
        """A source that is the folder of its name."""
        workflow.add_source(name, {"path": str(self.root / "in" / name), **AT_ONCE, **more})

    def run(self, workflow: Workflow, **options: Any) -> RunReport:
        return Engine(runner="inline", observer=self.events.append).execute(workflow, **options)

    def plan(self, workflow: Workflow, **options: Any) -> Plan:
        return Engine(runner="inline").plan(workflow, **options)

    def frame(self, table: str) -> pl.DataFrame:
        """The table as any Delta reader sees it."""
        return pl.read_delta(str(self.lake / table))

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """The values of ``columns``, sorted."""
        return sorted(self.frame(table).select(columns).rows(), key=repr)

    def version(self, table: str) -> int:
        return DeltaTable(str(self.lake / table)).version()

    def files(self) -> dict[str, bytes]:
        """Every file of the lake, to the byte."""
        return {str(p.relative_to(self.lake)): p.read_bytes() for p in sorted(self.lake.rglob("*")) if p.is_file()}


def done(report: RunReport) -> RunReport:
    """A run that went well."""
    assert "completed" == report.state, report.reason
    return report


def failed(report: RunReport, stage: str) -> str:
    """What a stage's failure says."""
    found = report.stage(stage)
    assert "failed" == found.state == report.state
    assert found.error is not None
    return found.error


def states(report: RunReport) -> dict[str, str]:
    return {stage.stage: stage.state for stage in report.stages}


def nonzero(stage: StageReport) -> dict[str, int]:
    return {name: count for name, count in stage.counts.model_dump().items() if count}


def same(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame


Function = Callable[..., Any]
