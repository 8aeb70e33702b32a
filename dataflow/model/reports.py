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


IncrementKind = Literal["append", "merge", "partition", "window", "full"]


class How(Frozen):
    """How a stage is brought up to date, and why in this way."""

    kind: IncrementKind
    why: str = ""
    """That it is declared, or what proves it or stands against it, in words."""


class Usage(Frozen):
    """What one step of a stage took of the process that it ran in."""

    run_id: str
    """The run that it ran in: a step whose result is taken over from an earlier run took nothing of this one."""
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0


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
    bytes_read: int = 0
    """Size of the files that the units that were run had to read, as they are stored; of columns that a stage has no
    use for, less is read."""
    bytes_written: int = 0
    """Size of the files that were written for the stage's own table."""
    rows_fresh: int = 0
    """Rows of the table that stayed as they were."""
    bytes_fresh: int = 0
    how: How | None = None
    """How the stage was, or would have been, brought up to date; sources go by files."""
    in_full: bool = False
    """Whether all that the stage has was computed."""
    rows_skipped: int = 0
    """Rows that the stage would have read in full, and did not read: of its first input, or landed before."""
    bytes_skipped: int = 0
    """Size of the files that the stage would have read in full, and did not read."""
    full_seconds: float | None = None
    """How long the stage took when it was last computed in full; None where it never was."""
    seconds: float = 0.0
    """From planning the stage to its end, waiting for a free thread included."""
    cpu_seconds: float = 0.0
    """CPU (user and system, all threads) of the process while steps of the stage ran in it; where steps of several
    stages ran at the same time, each has an equal share of that time's. What worked in another process counts there."""
    peak_memory_bytes: int = 0
    """The most memory (resident set) that a process held while a step of the stage ran in it: all that was in memory
    then, of other stages and of the libraries too. It is looked up every 50 ms: a shorter peak may be missed."""
    notes: tuple[str, ...] = ()
    """What a reader should know: why row ids are not carried, late rows, warnings."""
    error: str | None = None

    @property
    def rows_per_second(self) -> float:
        """Rows read by the stage in a second of its time."""
        return self.counts.read / self.seconds if self.seconds else 0.0

    @property
    def seconds_saved(self) -> float:
        """How much less time it took than when it was last computed in full; below 0 where it took more.

        Of a stage that was computed in full, or did not end well, nothing was saved.
        """
        if self.in_full or self.full_seconds is None or self.state not in ("published", "skipped"):
            return 0.0
        return self.full_seconds - self.seconds


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
    def cpu_seconds(self) -> float:
        """CPU of all stages."""
        return sum(s.cpu_seconds for s in self.stages)

    @property
    def rows_skipped(self) -> int:
        """Rows that stages did not have to read."""
        return sum(s.rows_skipped for s in self.stages)

    @property
    def bytes_skipped(self) -> int:
        """Size of the files that stages did not have to read."""
        return sum(s.bytes_skipped for s in self.stages)

    @property
    def seconds_saved(self) -> float:
        """Time of stages that was saved against their last full computation; stages may run at the same time."""
        return sum(s.seconds_saved for s in self.stages)

    @property
    def heaviest(self) -> StageReport | None:
        """The stage during which a process held the most memory."""
        return max((s for s in self.stages if s.peak_memory_bytes), key=lambda s: s.peak_memory_bytes, default=None)

    @property
    def quality_metrics(self) -> dict[str, Any]:
        """Per gated stage and rule: success, rows checked, rows failed, observed value."""
        return {s.stage: s.verdict.metrics for s in self.stages if s.verdict is not None}

    @property
    def exit_code(self) -> int:
        return 0 if self.state in ("completed", "skipped") else 1

    def stage(self, name: str) -> StageReport:
        return next(s for s in self.stages if s.stage == name)
