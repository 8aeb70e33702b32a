"""The nouns that travel between stages: references and counts, never frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Severity = Literal["critical", "warning", "info"]
Route = Literal["fail", "quarantine", "drop", "repair", "branch", "warn", "measure"]
Scope = Literal["row", "batch", "table"]
"""What a rule is about: each row, the batch, or the table as it will be after the batch is published."""
StageState = Literal["published", "skipped", "branched", "rejected", "failed", "not_run", "deferred"]
FileRole = Literal["new", "carried", "side"]
"""``new``: the stage's own rows, which the gate audits. ``carried``: published rows that a merge
had to rewrite. ``side``: quarantine, late and ledger."""
RunState = Literal["completed", "skipped", "rejected", "failed"]


class Frozen(BaseModel):
    """A value: immutable, strict about its fields, JSON at both ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def digest(*parts: object) -> str:
    """Sixteen hexadecimal digits that name ``parts``; stable across machines and versions."""
    text = "\x1f".join(f"{len(str(part))}:{part}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class TableVersion(Frozen):
    """A table as it stood at one version: what stages hand to each other."""

    table: str
    uri: str
    version: int


ROW_ID = "_row_id"
ROWS_PER_FILE = 1 << 40
"""A row id is the id of the row's file times this, plus the row's number in the file."""


def is_row_id(column: str) -> bool:
    """Whether a column is a row id of ours: ``_row_id``, ``_<input>_row_id``."""
    return column.startswith("_") and column.endswith(ROW_ID)


SOURCE_FILE = "_source_file"
"""The column of landed rows that tells their file; no column of a user's is called so."""


class Unit(Frozen):
    """A stage and one of its partitions: what is planned, retried and skipped.

    ``partition`` holds (column, value) pairs; ``((SOURCE_FILE, path),)`` for a landed
    file; nothing for a stage that runs whole.
    """

    stage: str
    partition: tuple[tuple[str, str | None], ...] = ()

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits; the name of every file of the unit begins with them."""
        return digest(self.stage, *(repr(text) for pair in self.partition for text in pair))[:12]

    @property
    def label(self) -> str:
        """The partition in words: ``month=3``, a file's name, ``all``."""
        if not self.partition:
            return "all"
        if self.partition[0][0] == SOURCE_FILE:
            return str(self.partition[0][1]).rsplit("/", 1)[-1]
        return ", ".join(f"{column}={value}" for column, value in self.partition)


class StagedFile(Frozen):
    """A Parquet file at its final name, in its table's folder but in no commit."""

    table: str
    path: str
    role: FileRole
    rows: int
    size_bytes: int
    partition: dict[str, str | None] = {}
    stats: str = "{}"


class RowCounts(Frozen):
    """Where the rows of a stage went. Every term is counted where it happens.

    ``read + fan_out = late + filtered + produced`` for row-wise stages,
    ``read = late + aggregated`` where rows are grouped, and in both
    ``produced = deduplicated + quarantined + dropped + published``.
    Merges add what the publication did to the table's rows; ``repaired`` are those of the
    published rows that a repair made good.
    """

    read: int = 0
    late: int = 0
    filtered: int = 0
    fan_out: int = 0
    aggregated: int = 0
    produced: int = 0
    deduplicated: int = 0
    quarantined: int = 0
    dropped: int = 0
    published: int = 0
    repaired: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: RowCounts) -> RowCounts:
        return RowCounts(**{n: getattr(self, n) + getattr(other, n) for n in RowCounts.model_fields})

    @property
    def imbalance(self) -> str | None:
        """The equation that does not hold, in words; None when the books balance."""
        entered, word = (self.aggregated, "aggregated") if self.aggregated else (self.produced, "produced")
        if self.read + self.fan_out != self.late + self.filtered + entered:
            return (
                f"read {self.read} + fan-out {self.fan_out} ≠ "
                f"late {self.late} + filtered {self.filtered} + {word} {entered}"
            )
        if self.produced != self.deduplicated + self.quarantined + self.dropped + self.published:
            return (
                f"produced {self.produced} ≠ deduplicated {self.deduplicated} + quarantined {self.quarantined} + "
                f"dropped {self.dropped} + published {self.published}"
            )
        return None


class Manifest(Frozen):
    """What one unit staged, and where its rows went."""

    unit: Unit
    key: str
    batch_id: str
    staged_at: datetime
    files: tuple[StagedFile, ...]
    counts: RowCounts
    schemas: dict[str, str] = {}
    """Delta schema (JSON) of every table that the unit staged for."""
    event_time_max: datetime | None = None
    removes: tuple[str, ...] = ()
    """Files of the stage's table that these replace, beyond the unit's own."""
    notes: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class Staged(Frozen):
    """What one step of a stage staged: the manifests of its units."""

    manifests: tuple[Manifest, ...]


def manifest_digest(manifests: Iterable[Manifest]) -> str:
    """Names exactly the staged files; a verdict holds for this digest and no other."""
    files = sorted((f.table, f.path, f.rows, f.size_bytes) for m in manifests for f in m.files)
    return digest(*(text for file in files for text in file))


class RuleResult(Frozen):
    """What one rule found in one batch."""

    rule: str
    severity: Severity
    route: Route
    scope: Scope = "row"
    success: bool
    checked: int = 0
    """Rows that the rule looked at."""
    failed: int = 0
    """Rows that broke the rule; of a repair, those that it could not make good."""
    repaired: int = 0
    """Rows that broke the rule and were made good."""
    rows: tuple[int, ...] = ()
    """Row ids of the first few rows that broke the rule, where rows carry ids."""
    observed: Any = None
    """The measured value of a rule about the batch (a count, a mean)."""
    statement: str = ""
    """The rule in words: its predicate, or the expectation and its arguments."""
    evidence: str = "scan"
    """How it was found: by a scan of the batch, or by what spared one (statistics, the deduplication before)."""
    branch: str | None = None
    """The stage that runs instead when a rule with the route ``branch`` fails."""
    error: str | None = None
    """Why the rule could not be evaluated."""


class Verdict(Frozen):
    """A gate's answer about exactly the files that ``digest`` names."""

    stage: str
    batch_id: str
    digest: str
    results: tuple[RuleResult, ...] = ()

    @property
    def rejected_by(self) -> tuple[RuleResult, ...]:
        """Failed rules whose route refuses the batch, and rules that could not be evaluated."""
        return tuple(r for r in self.results if not r.success and (r.route == "fail" or r.error))

    @property
    def branches(self) -> tuple[str, ...]:
        """The stages that run instead, in the order of the rules; none where the batch is refused."""
        taken = [r.branch for r in self.results if not r.success and r.branch is not None]
        return () if self.rejected_by else tuple(dict.fromkeys(taken))

    @property
    def outcome(self) -> Literal["passed", "warned", "quarantined", "branched", "rejected"]:
        if self.rejected_by:
            return "rejected"
        if self.branches:
            return "branched"
        routes = {r.route for r in self.results if not r.success}
        if routes & {"quarantine", "repair", "drop"}:
            return "quarantined"
        return "warned" if "warn" in routes else "passed"


class StageReport(Frozen):
    """What a run did with one stage."""

    stage: str
    kind: Literal["source", "task"]
    state: StageState
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
    repaired: tuple[str, ...] = ()
    """What an earlier, interrupted run had left and this one finished or swept."""

    @property
    def processed_records(self) -> int:
        """Rows that sources delivered to this run."""
        return sum(s.counts.read for s in self.stages if s.kind == "source")

    @property
    def quality_metrics(self) -> dict[str, Any]:
        """Per gated stage and rule: success, rows checked, rows failed, observed value."""
        return {
            s.stage: {r.rule: r.model_dump(exclude={"rule", "statement", "error"}) for r in s.verdict.results}
            for s in self.stages
            if s.verdict is not None
        }

    @property
    def exit_code(self) -> int:
        return 0 if self.state in ("completed", "skipped") else 1

    def stage(self, name: str) -> StageReport:
        return next(s for s in self.stages if s.stage == name)
