"""One run: the order of things, plan → stage → audit → publish → record, lives here and nowhere else."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dataflow.engine.audit import audit_batch
from dataflow.engine.coalesce import coalesce
from dataflow.engine.events import Event, Observer
from dataflow.engine.job import StageJob
from dataflow.engine.planning import Planning
from dataflow.engine.publish import Publication, publish_batch
from dataflow.engine.repair import prune, repair, sweep_runs
from dataflow.engine.reports import Reports
from dataflow.engine.runner import Future, Runner, Step, Verb
from dataflow.engine.seams import Seam, reach
from dataflow.engine.stage import stage_units
from dataflow.errors import DataFlowError, LakeError, LeaseHeld, LeaseLost
from dataflow.lake import manifests as manifest_store
from dataflow.lake.lake import Lake
from dataflow.lake.lease import HeldLease, acquire
from dataflow.lake.state import Files, Outputs, Release
from dataflow.model import Manifest, RunReport, Staged, Verdict, digest
from dataflow.plan import PlannedUnit, StagePlan
from dataflow.quality.gate import prewarm
from dataflow.workflow import Stage, Workflow


@dataclass
class Progress:
    """How far a stage has come."""

    job: StageJob
    began: float
    waiting_for: int = 0
    manifests: list[Manifest] = field(default_factory=list[Manifest])
    verdict: Verdict | None = None
    error: BaseException | None = None
    futures: list[Future] = field(default_factory=list[Future])


class Run:
    """Runs the selected stages of a workflow once."""

    def __init__(
        self,
        workflow: Workflow,
        lake: Lake,
        runner: Runner,
        run_id: str,
        *,
        full: bool,
        selected: set[str],
        observe: Observer,
    ) -> None:
        self.workflow = workflow
        self.lake = lake
        self.runner = runner
        self.run_id = run_id
        self.full = full
        self.selected = [name for name in workflow.stages if name in selected]
        self.observe = observe
        self.reports = Reports(workflow, lake, run_id)
        self._progress: dict[str, Progress] = {}
        self._published: dict[str, Future] = {}
        self._done: queue.Queue[tuple[str, Verb, Future]] = queue.Queue()
        self._lease: HeldLease | None = None

    def execute(self) -> RunReport:
        """Do what is to be done and say what was.

        Errors: DataFlowError where the run as a whole cannot be done; what goes wrong in a stage is in the report.
        """
        self.observe(Event("run_started", total=len(self.selected)))
        try:
            self._lease = acquire(
                self.lake, self.workflow.name, self.run_id, ttl_seconds=self.workflow.run.lease_seconds
            )
        except LeaseHeld as error:
            return self._end(self.reports.held(error))
        lease = self._lease.beat_every(self.workflow.run.lease_seconds / 3)
        try:
            report = self._hold(lease)
            self._give_back(lease, report)
        except LeaseLost:
            self._withdraw(lease)
            raise
        return self._end(report)

    def _hold(self, lease: HeldLease) -> RunReport:
        """What a run does while the lease is its own."""
        try:
            report = self._under(lease)
        except LeaseLost:
            raise
        except BaseException:
            # The first error is the one to tell; a lease that cannot be given back dies with the process.
            with suppress(DataFlowError):
                lease.release(clean=False)
            raise
        return report

    def _give_back(self, lease: HeldLease, report: RunReport) -> None:
        well = report.state in ("completed", "skipped")
        try:
            lease.release(clean=well)
        except LakeError as error:
            # Of a run that failed the report is to be told: a full disk may well take no word of its end either.
            if well or isinstance(error, LeaseLost):
                raise
        reach(Seam.LEASE_RELEASED)

    def _under(self, lease: HeldLease) -> RunReport:
        reach(Seam.LEASE_TAKEN)
        self.reports.finished = bool(lease.state.intents)
        self.reports.repaired = repair(self.lake, self.workflow, lease)
        for text in self.reports.repaired:
            self.observe(Event("repaired", text=text))
        self._planning = Planning(self.workflow, self.lake, lease.refresh(), self.run_id, full=self.full)
        self._work(lease)
        report = self.reports.report()
        self._release(report, lease)
        return report

    def _release(self, report: RunReport, lease: HeldLease) -> None:
        """Record which versions belong together; also where an interrupted run had published them."""
        versions = self._planning.versions()
        if report.state in ("completed", "skipped") and versions != self._planning.state.release:
            lease.record("release", Release(tables=versions))
        reach(Seam.RELEASE_RECORDED)

    def _withdraw(self, lease: HeldLease) -> None:
        """Take away what was staged since the other run swept; a manifest's files may be in that run's hands already."""
        lease.stop()
        futures = [future for progress in self._progress.values() for future in progress.futures]
        for future in futures:
            # Nothing that was begun can be stopped, and what it comes to does not count any more.
            with suppress(Exception):
                future.result()
        with suppress(DataFlowError):
            sweep_runs(self.lake, self.selected, [self.run_id])

    def _end(self, report: RunReport) -> RunReport:
        self.observe(Event("run_finished", text=report.state))
        return report

    def _work(self, lease: HeldLease) -> None:
        waiting = list(self.selected)
        while waiting or self._progress:
            for name in [n for n in waiting if self._ready(n, waiting)]:
                waiting.remove(name)
                self._begin(self.workflow.stages[name], lease)
            if not self._progress:
                continue
            with suppress(queue.Empty):
                name, verb, future = self._done.get(timeout=0.5)
                self._take(name, verb, future, lease)
            if lease.lost is not None:
                raise lease.lost

    def _ready(self, name: str, waiting: Sequence[str]) -> bool:
        return all(i not in waiting and i not in self._progress for i in self.workflow.stages[name].inputs)

    def _begin(self, stage: Stage, lease: HeldLease) -> None:
        if blocked := self.reports.blocking(stage):
            self._finish(self.reports.not_run(stage, blocked))
            return
        began = time.perf_counter()
        try:
            plan = self._planning.plan(stage)
            self.observe(Event("stage_planned", stage.name, total=len(plan.units), text=plan.reason))
            if plan.action != "run":
                self._finish(self.reports.idle(stage, plan))
                return
            if plan.unrecorded:
                lease.record("files", Files(files=plan.unrecorded), stage=stage.name)
                self._planning.learn(plan.unrecorded)
                reach(Seam.FILES_RESERVED, stage.name)
            job = self._planning.job(stage, plan)
            prune(job)
        except LeaseLost:
            raise
        except (Exception, SystemExit) as error:
            self._finish(self.reports.failed(stage, error, time.perf_counter() - began))
            return
        reach(Seam.STAGE_PLANNED, stage.name)
        self._warm_up()
        self._progress[stage.name] = Progress(job, began)
        self.observe(Event("stage_started", stage.name, total=len(plan.units), text=plan.reason))
        self._stage(stage, plan)

    def _stage(self, stage: Stage, plan: StagePlan) -> None:
        progress = self._progress[stage.name]
        groups = coalesce(plan.units, self.workflow.run.task_groups)
        after = [self._published[name] for name in stage.inputs if name in self._published]
        progress.waiting_for = len(groups)
        for group in groups:
            step = self._step(stage, "stage", _label(group), group)
            self._submit(progress, step, stage_units, progress.job, group, after=after)
        if not groups:
            self._audit(progress)

    def _step(self, stage: Stage, verb: Verb, label: str = "", group: Sequence[PlannedUnit] = ()) -> Step:
        job = self._progress[stage.name].job

        def reusable() -> bool:
            batch, expires = job.plan.batch_id, stage.cache.expires_after
            return all(
                manifest_store.load(self.lake, stage.name, unit.key, batch_id=batch, expires_after=expires)
                for unit in group
            )

        key = digest(self.lake.uri, job.plan.batch_id, *(u.key for u in group)) if group else None
        return Step(stage.name, verb, label, stage.retry, key, reusable, stage.cache.expires_after)

    def _submit(self, progress: Progress, step: Step, function: Any, *args: Any, after: Sequence[Future]) -> None:
        future = self.runner.submit(step, function, *args, after=after)
        progress.futures.append(future)
        name = progress.job.stage.name
        future.add_done_callback(lambda _: self._done.put((name, step.verb, future)))

    def _take(self, name: str, verb: Verb, future: Future, lease: HeldLease) -> None:
        progress = self._progress[name]
        try:
            result = future.result()
        except (LeaseLost, KeyboardInterrupt):
            raise
        except (Exception, SystemExit) as error:
            progress.error = progress.error or error
            result = None
        if verb == "stage":
            progress.waiting_for -= 1
            if isinstance(result, Staged):
                progress.manifests.extend(result.manifests)
                self.observe(Event("unit_staged", name, len(progress.manifests), len(progress.job.plan.units)))
        if progress.waiting_for:
            return
        if progress.error is not None:
            self._finish(self.reports.failed(progress.job.stage, progress.error, time.perf_counter() - progress.began))
        elif verb == "stage":
            reach(Seam.STAGE_STAGED, name)
            self._audit(progress)
        elif isinstance(result, Verdict):
            self._judge(progress, result, lease)
        elif isinstance(result, Outputs):
            self._publish_done(progress, result, future)

    def _audit(self, progress: Progress) -> None:
        step = self._step(progress.job.stage, "audit")
        self._submit(
            progress, step, audit_batch, progress.job, tuple(progress.manifests), after=tuple(progress.futures)
        )

    def _judge(self, progress: Progress, verdict: Verdict, lease: HeldLease) -> None:
        progress.verdict = verdict
        stage = progress.job.stage
        self.observe(Event("stage_audited", stage.name, text=verdict.outcome))
        reach(Seam.ROUTED, stage.name)
        if verdict.rejected_by:
            self._finish(
                self.reports.rejected(progress.job, progress.manifests, verdict, time.perf_counter() - progress.began)
            )
            return
        step = self._step(stage, "publish")
        batch = Publication(progress.job, tuple(progress.manifests), verdict, lease)
        self._submit(progress, step, publish_batch, batch, after=progress.futures[-1:])

    def _publish_done(self, progress: Progress, outputs: Outputs, future: Future) -> None:
        job = progress.job
        self._published[job.stage.name] = future
        self._planning.published(job.stage, outputs)
        seconds = time.perf_counter() - progress.began
        self._finish(self.reports.published(job, progress.manifests, progress.verdict, outputs, seconds))

    def _finish(self, report: Any) -> None:
        self._progress.pop(report.stage, None)
        self.reports.add(report)
        self.observe(
            Event("stage_finished", report.stage, len(self.reports.stages), len(self.selected), report.state, report)
        )

    def _warm_up(self) -> None:
        """Import the gate's libraries, which takes seconds, while the first stages are being staged."""
        if not self._progress and not self.reports.outputs and any(self.workflow.stages[n].gate for n in self.selected):
            threading.Thread(target=prewarm, name="dataflow-prewarm", daemon=True).start()


def _label(group: Sequence[PlannedUnit]) -> str:
    first, last = group[0].unit.label, group[-1].unit.label
    return first if len(group) == 1 else f"{first} … {last} ({len(group)} units)"


def new_run_id() -> str:
    """A run's id: when it began, and digits that tell it from others of the same second."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}x{digest(now.isoformat(), time.perf_counter_ns(), threading.get_ident())[:6]}"
