"""What a run did."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from dataflow.model.books import RowCounts
from dataflow.model.values import Frozen, TableVersion
from dataflow.model.verdicts import Verdict

StageState = Literal["published", "skipped", "branched", "rejected", "failed", "not_run", "deferred"]
RunState = Literal["completed", "skipped", "rejected", "failed"]


class StageReport(Frozen):
    """What a run did with one stage."""

    stage: str
    kind: Literal["source", "task"]
    state: StageState
    path_taken: bool = True
    """Whether the run's path led through the stage; a stage that it did not lead through is skipped."""
    reason: str = ""
    """Why the stage ran, was skipped, or failed, in words."""
    batch_id: str | None = None
    units: int = 0
    """Units that were run."""
    units_fresh: int = 0
    """Units that needed no work."""
    counts: RowCounts = RowCounts()
    verdict: Verdict | None = None
    output: TableVersion | None = None
    inputs: dict[str, int] = {}
    """Versions of the tables that the stage read."""
    bytes_written: int = 0
    rows_fresh: int = 0
    """Rows of the table that stayed as they were."""
    bytes_fresh: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    """What a reader should know: why row ids are not carried, late rows, warnings."""
    error: str | None = None


class LineageEdge(Frozen):
    """One published batch: which versions went in and which came out."""

    stage: str
    batch_id: str
    inputs: tuple[TableVersion, ...]
    outputs: tuple[TableVersion, ...]


class RunReport(Frozen):
    """What a run did: the answer of ``Engine.execute`` and of ``--json``."""

    pipeline: str
    run_id: str
    state: RunState
    reason: str = ""
    lake: str
    started_at: datetime
    seconds: float
    stages: tuple[StageReport, ...] = Field(default=())
    lineage: tuple[LineageEdge, ...] = ()
    data_docs: str | None = None
    """The first page of Great Expectations' Data Docs, where gates judged something."""
    repaired: tuple[str, ...] = ()
    """What an earlier, interrupted run had left and this one finished or swept."""
    notes: tuple[str, ...] = ()
    """What a reader should know of the run as a whole: a history or documents that could not be written."""

    @property
    def processed_records(self) -> int:
        """Rows that sources delivered to this run."""
        return sum(s.counts.read for s in self.stages if s.kind == "source")

    @property
    def quality_metrics(self) -> dict[str, Any]:
        """Per gated stage and rule: success, rows checked, rows failed, observed value."""
        return {s.stage: s.verdict.metrics for s in self.stages if s.verdict is not None}

    @property
    def exit_code(self) -> int:
        return 0 if self.state in ("completed", "skipped") else 1

    def stage(self, name: str) -> StageReport:
        return next(s for s in self.stages if s.stage == name)
