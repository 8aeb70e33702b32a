"""Takes each stage of a run through its steps: plan → stage → audit → publish, as soon as its inputs are done."""

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
from dataflow.engine.paths import pass_by
from dataflow.engine.planning import Planning
from dataflow.engine.publish import Publication, publish_batch
from dataflow.engine.repair import prune
from dataflow.engine.reports import Reports
from dataflow.engine.runner import Future, Runner, Step, Verb
from dataflow.engine.seams import Seam, reach
from dataflow.engine.stage import stage_units
from dataflow.errors import LakeError, LeaseLost
from dataflow.lake import manifests as manifest_store
from dataflow.lake.lease import HeldLease
from dataflow.lake.state import Files, Judgement, Outputs
from dataflow.model import Manifest, Staged, StageReport, Verdict, digest
from dataflow.plan import PlannedUnit, StagePlan
from dataflow.quality.gate import prewarm
from dataflow.workflow import Stage


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


class Conductor:
    """The one place that knows which step follows which; it works in one thread and waits on the runner's futures."""

    def __init__(
        self,
        runner: Runner,
        planning: Planning,
        lease: HeldLease,
        reports: Reports,
        selected: Sequence[str],
        observe: Observer,
    ) -> None:
        self.runner = runner
        self.planning = planning
        self.workflow = planning.workflow
        self.lease = lease
        self.reports = reports
        self.selected = selected
        self.observe = observe
        self._progress: dict[str, Progress] = {}
        self._published: dict[str, Future] = {}
        self._done: queue.Queue[tuple[str, Verb, Future]] = queue.Queue()

    @property
    def begun(self) -> list[Future]:
        """What was submitted for stages that are not finished."""
        return [future for progress in self._progress.values() for future in progress.futures]

    def work(self) -> None:
        """Run the selected stages.

        Errors: LeaseLost; what goes wrong in a stage is in the reports.
        """
        waiting = list(self.selected)
        while waiting or self._progress:
            for name in [n for n in waiting if self._ready(n, waiting)]:
                waiting.remove(name)
                self._begin(self.workflow.stages[name])
            if not self._progress:
                continue
            with suppress(queue.Empty):
                name, verb, future = self._done.get(timeout=0.5)
                self._take(name, verb, future)
            if self.lease.lost is not None:
                raise self.lease.lost

    def _ready(self, name: str, waiting: Sequence[str]) -> bool:
        return all(s not in waiting and s not in self._progress for s in self.workflow.stages[name].after)

    def _begin(self, stage: Stage) -> None:
        if blocked := self.reports.blocking(stage):
            self._finish(self.reports.not_run(stage, blocked))
            return
        began = time.perf_counter()
        try:
            if reason := self.planning.not_taken(stage, self.reports.stages):
                # A step like any other, so that whoever watches the run sees which paths it does not take.
                self.runner.submit(Step(stage.name, "stage", "not taken"), pass_by, reason).result()
                self._finish(self.reports.passed_by(stage, reason))
                return
            plan = self.planning.plan(stage)
            self.observe(Event("stage_planned", stage.name, total=len(plan.units), text=plan.reason))
            if plan.action != "run":
                self._finish(self.reports.idle(stage, plan))
                return
            if plan.unrecorded:
                self.lease.record("files", Files(files=plan.unrecorded), stage=stage.name)
                self.planning.learn(plan.unrecorded)
                reach(Seam.FILES_RESERVED, stage.name)
            job = self.planning.job(stage, plan)
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
                manifest_store.load(self.planning.lake, stage.name, unit.key, batch_id=batch, expires_after=expires)
                for unit in group
            )

        key = digest(self.planning.lake.uri, job.plan.batch_id, *(u.key for u in group)) if group else None
        return Step(stage.name, verb, label, stage.retry, key, reusable, stage.cache.expires_after)

    def _submit(self, progress: Progress, step: Step, function: Any, *args: Any, after: Sequence[Future]) -> None:
        future = self.runner.submit(step, function, *args, after=after)
        progress.futures.append(future)
        name = progress.job.stage.name
        future.add_done_callback(lambda _: self._done.put((name, step.verb, future)))

    def _take(self, name: str, verb: Verb, future: Future) -> None:
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
            self._judge(progress, result)
        elif isinstance(result, Outputs):
            self._publish_done(progress, result, future)

    def _audit(self, progress: Progress) -> None:
        step = self._step(progress.job.stage, "audit")
        self._submit(
            progress, step, audit_batch, progress.job, tuple(progress.manifests), after=tuple(progress.futures)
        )

    def _judge(self, progress: Progress, verdict: Verdict) -> None:
        progress.verdict = verdict
        stage = progress.job.stage
        self.observe(Event("stage_audited", stage.name, text=verdict.outcome))
        reach(Seam.ROUTED, stage.name)
        if verdict.rejected_by or verdict.branches:
            self._refuse(progress, verdict)
            return
        step = self._step(stage, "publish")
        batch = Publication(progress.job, tuple(progress.manifests), verdict, self.lease)
        self._submit(progress, step, publish_batch, batch, after=progress.futures[-1:])

    def _refuse(self, progress: Progress, verdict: Verdict) -> None:
        seconds = time.perf_counter() - progress.began
        report = self.reports.refused(progress.job, progress.manifests, verdict, seconds)
        if left := [name for name in verdict.branches if name not in self.selected]:
            note = f"{', '.join(left)} would run instead, but this run leaves it out"
            report = report.model_copy(update={"notes": (*report.notes, note)})
        judgement = Judgement(
            stage=report.stage,
            batch_id=verdict.batch_id,
            run_id=self.reports.run_id,
            judged_at=datetime.now(UTC),
            counts=report.counts,
            verdict=verdict,
            published=False,
        )
        try:
            self.lease.record("judged", judgement, stage=report.stage, batch_id=verdict.batch_id)
            reach(Seam.REFUSAL_RECORDED, report.stage)
        except LeaseLost:
            raise
        except LakeError as error:
            self._finish(self.reports.failed(progress.job.stage, error, seconds))
            return
        self._finish(report)

    def _publish_done(self, progress: Progress, outputs: Outputs, future: Future) -> None:
        job = progress.job
        self._published[job.stage.name] = future
        self.planning.published(job.stage, outputs)
        seconds = time.perf_counter() - progress.began
        self._finish(self.reports.published(job, progress.manifests, progress.verdict, outputs, seconds))

    def _finish(self, report: StageReport) -> None:
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
