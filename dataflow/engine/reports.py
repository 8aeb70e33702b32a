"""What a run says about itself, gathered stage by stage."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from dataflow.engine.call import said
from dataflow.engine.job import StageJob
from dataflow.errors import DataFlowError, LeaseHeld
from dataflow.lake.lake import Lake, Snapshot
from dataflow.lake.state import Outputs
from dataflow.model import LineageEdge, Manifest, RowCounts, RuleResult, RunReport, RunState, StageReport, Verdict
from dataflow.model.secrets import redacted
from dataflow.plan import StagePlan
from dataflow.quality.findings import found
from dataflow.workflow import Stage, Workflow

_BLOCKING = {"failed": "failed", "rejected": "was rejected", "not_run": "did not run"}
"""States of a stage that keep those after it from running, and how this is told of it."""


class Reports:
    """The reports of a run's stages, in the order in which they ended."""

    def __init__(self, workflow: Workflow, lake: Lake, run_id: str) -> None:
        self.workflow = workflow
        self.lake = lake
        self.run_id = run_id
        self.stages: dict[str, StageReport] = {}
        self.outputs: dict[str, LineageEdge] = {}
        self.repaired: tuple[str, ...] = ()
        self.errors: dict[str, BaseException] = {}
        """What made stages fail."""
        self.noted: dict[str, tuple[str, ...]] = {}
        """What pulling a source found out."""
        self.finished = False
        """Whether batches of an interrupted run were published."""
        self._started_at = datetime.now(UTC)
        self._began = time.perf_counter()

    def add(self, report: StageReport) -> StageReport:
        """The report as it is kept: with what was noted of the stage before it began."""
        noted = self.noted.pop(report.stage, ())
        found = report.model_copy(update={"notes": (*noted, *report.notes)})
        self.stages[report.stage] = found
        return found

    def blocking(self, stage: Stage) -> str | None:
        """The stage that keeps ``stage`` from running; one that may branch to it does not."""
        needed = [s for s in stage.after if s not in stage.branch_of]
        return next((s for s in needed if s in self.stages and self.stages[s].state in _BLOCKING), None)

    def not_run(self, stage: Stage, blocked: str) -> StageReport:
        reason = f"{blocked} {_BLOCKING[self.stages[blocked].state]}"
        return StageReport(stage=stage.name, kind=stage.kind, state="not_run", reason=reason)

    def idle(self, stage: Stage, plan: StagePlan, table: Snapshot | None) -> StageReport:
        """The report of a stage that has nothing to do; its ``table`` stays as it is."""
        rows, size = _held(table)
        state = "deferred" if plan.action == "wait" else "skipped"
        return StageReport(
            stage=stage.name,
            kind=stage.kind,
            state=state,
            reason=plan.reason,
            units_fresh=plan.units_fresh,
            rows_fresh=rows,
            bytes_fresh=size,
            how=plan.how,
            full_seconds=plan.full_seconds,
            **_skipped(stage, plan, rows),
        )

    def passed_by(self, stage: Stage, reason: str, table: Snapshot | None) -> StageReport:
        """The report of a stage on a path that is not taken; its ``table`` stays as it is."""
        rows, size = _held(table)
        return StageReport(
            stage=stage.name,
            kind=stage.kind,
            state="skipped",
            path_taken=False,
            reason=reason,
            rows_fresh=rows,
            bytes_fresh=size,
        )

    def failed(self, stage: Stage, error: BaseException, seconds: float) -> StageReport:
        self.errors[stage.name] = error
        text = str(error) if isinstance(error, DataFlowError) else f"stage {stage.name!r}: {said(error, stage)}"
        # What a library says may quote what it was given, and reports are printed and kept.
        told = redacted(text)
        return StageReport(
            stage=stage.name, kind=stage.kind, state="failed", reason="an error", error=told, seconds=seconds
        )

    def refused(self, job: StageJob, manifests: Sequence[Manifest], verdict: Verdict, seconds: float) -> StageReport:
        """The report of a batch that its gate does not let pass, or that another stage takes the place of."""
        base = self._base(job, manifests, verdict, seconds)
        if verdict.rejected_by:
            reason = f"its gate refused the batch: {_findings(verdict.rejected_by)}"
            return base.model_copy(update={"state": "rejected", "reason": reason})
        why = _findings([r for r in verdict.results if r.branch is not None and not r.success])
        reason = f"its gate branched to {', '.join(verdict.branches)}: {why}"
        return base.model_copy(update={"state": "branched", "reason": reason})

    def published(
        self,
        job: StageJob,
        manifests: Sequence[Manifest],
        verdict: Verdict | None,
        outputs: Outputs,
        table: Snapshot | None,
        seconds: float,
    ) -> StageReport:
        """The report of a published batch; its ``table`` is as it left it."""
        own = next((o for o in outputs.outputs if o.table == job.stage.name), None)
        inputs = tuple(s.version for s in (job.plan.inputs or {}).values())
        self.outputs[job.stage.name] = LineageEdge(
            stage=job.stage.name, batch_id=job.plan.batch_id, inputs=inputs, outputs=outputs.outputs
        )
        base = self._base(job, manifests, verdict, seconds)
        rows, size = _held(table)
        fresh = {"rows_fresh": rows - base.counts.published, "bytes_fresh": size - base.bytes_written} if table else {}
        skipped = _skipped(job.stage, job.plan, fresh.get("rows_fresh", 0), job.sliced)
        return base.model_copy(update={"output": own, **fresh, **skipped})

    def _base(
        self, job: StageJob, manifests: Sequence[Manifest], verdict: Verdict | None, seconds: float
    ) -> StageReport:
        # That an aggregate has no row ids goes without saying.
        told = job.carried is not None and job.carried.rows != "grouped" and not job.carried.columns
        notes = (
            (f"row ids are not carried: {job.carried.reason}",) if job.carried and told and job.carried.reason else ()
        )
        notes += job.notes + (verdict.notes if verdict else ())
        if job.source is not None:
            notes += tuple(job.source.notes([unit.item for unit in job.plan.units if unit.item is not None]))
        notes += tuple(note for manifest in manifests for note in manifest.notes)
        return StageReport(
            stage=job.stage.name,
            kind=job.stage.kind,
            state="published",
            reason=job.plan.reason,
            batch_id=job.plan.batch_id,
            units=len(job.plan.units),
            units_fresh=job.plan.units_fresh,
            counts=sum((m.counts for m in manifests), RowCounts()),
            verdict=verdict if job.stage.gate else None,
            inputs={name: s.version.version for name, s in (job.plan.inputs or {}).items()},
            bytes_read=job.plan.size_bytes,
            bytes_written=sum(f.size_bytes for m in manifests for f in m.files if f.table == job.stage.name),
            seconds=seconds,
            notes=notes,
            how=job.plan.how,
            in_full=job.plan.in_full,
            full_seconds=job.plan.full_seconds,
        )

    def held(self, error: LeaseHeld) -> RunReport:
        """The report of a run that another run keeps from starting."""
        return self._run("skipped", str(error))

    def report(self) -> RunReport:
        """The whole run."""
        states = {s.state for s in self.stages.values()}
        if "failed" in states:
            failed = next(s for s in self.stages.values() if s.state == "failed")
            error = failed.error or failed.reason
            named = error.startswith((f"stage {failed.stage!r}", f"source {failed.stage!r}"))
            return self._run("failed", error if named else f"stage {failed.stage!r} failed: {error}")
        if "rejected" in states:
            rejected = next(s for s in self.stages.values() if s.state == "rejected")
            return self._run("rejected", f"stage {rejected.stage!r}: {rejected.reason}")
        if "branched" in states:
            return self._run("completed", "")
        if "published" not in states and self.finished:
            return self._run("completed", "nothing new but what an interrupted run had begun")
        if "published" not in states:
            waiting = [s for s in self.stages.values() if s.state == "deferred"]
            return self._run(
                "skipped", f"stage {waiting[0].stage!r} waits: {waiting[0].reason}" if waiting else "nothing new"
            )
        return self._run("completed", "")

    def _run(self, state: RunState, reason: str) -> RunReport:
        order = [name for name in self.workflow.stages if name in self.stages]
        return RunReport(
            pipeline=self.workflow.name,
            run_id=self.run_id,
            state=state,
            reason=reason,
            lake=self.lake.uri,
            started_at=self._started_at,
            seconds=time.perf_counter() - self._began,
            stages=tuple(self.stages[name] for name in order),
            lineage=tuple(self.outputs[name] for name in order if name in self.outputs),
            repaired=self.repaired,
        )


def _held(table: Snapshot | None) -> tuple[int, int]:
    """Rows and bytes of a table."""
    return (table.rows, sum(f.size_bytes for f in table.files)) if table else (0, 0)


def _skipped(stage: Stage, plan: StagePlan, fresh: int, sliced: Sequence[str] | None = None) -> dict[str, Any]:
    """What the stage would have read in full and did not read; ``fresh`` are the rows that a source had landed before.

    Inputs beside the ``sliced`` ones are read whole by whatever is run.
    """
    if plan.replays:
        return {}
    if stage.kind == "source":
        return {"rows_skipped": fresh, "bytes_skipped": plan.size_bytes_fresh}
    inputs = plan.inputs or {}
    if stage.inputs[0] not in inputs:
        # Where nothing of a quarantine is chosen, its plan names that table alone.
        return {}
    rows = inputs[stage.inputs[0]].rows
    size = sum(f.size_bytes for name in (inputs if sliced is None else sliced) for f in inputs[name].files)
    return {"rows_skipped": max(0, rows - plan.rows), "bytes_skipped": max(0, size - plan.size_bytes)}


def _findings(results: Iterable[RuleResult]) -> str:
    return ", ".join(f"{r.rule} ({_finding(r)})" for r in results)


def _finding(result: RuleResult) -> str:
    """What a rule found, in a few words; rules about the batch know no rows that fail."""
    if result.error is not None:
        return (
            result.error.removeprefix(f"rule {result.rule!r}")
            .removeprefix(": ")
            .removeprefix(" could not be evaluated: ")
        )
    return found(result)
