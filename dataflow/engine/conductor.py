"""Takes each stage of a run through its steps: plan → stage → audit → publish, as soon as its inputs are done."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dataflow.engine.audit import audit_batch
from dataflow.engine.coalesce import coalesce, label_of
from dataflow.engine.events import Event, Observer
from dataflow.engine.job import StageJob
from dataflow.engine.logs import within
from dataflow.engine.paths import pass_by
from dataflow.engine.planning import Planning
from dataflow.engine.publish import Publication, publish_batch
from dataflow.engine.pulling import pull
from dataflow.engine.repair import prune
from dataflow.engine.reports import Reports
from dataflow.engine.runner import Future, Runner, Step, Verb
from dataflow.engine.stage import stage_units
from dataflow.engine.usage import Spent, Work, perform, usage_of
from dataflow.errors import LakeError, LeaseLost
from dataflow.lake import manifests as manifest_store
from dataflow.lake.lease import HeldLease
from dataflow.lake.seams import Seam, reach
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
        self._pulling: dict[str, tuple[Future, float]] = {}
        self._spent = Spent(reports.run_id)
        self._published: dict[str, Future] = {}
        self._done: queue.Queue[tuple[str, Verb, Future]] = queue.Queue()

    @property
    def begun(self) -> list[Future]:
        """What was submitted for stages that are not finished."""
        pulls = [future for future, _ in self._pulling.values()]
        return [future for progress in self._progress.values() for future in progress.futures] + pulls

    def work(self) -> None:
        """Run the selected stages.

        Errors: LeaseLost; what goes wrong in a stage is in the reports.
        """
        waiting = list(self.selected)
        while waiting or self._progress or self._pulling:
            for name in [n for n in waiting if self._ready(n, waiting)]:
                waiting.remove(name)
                with within(stage=name, private=bool(self.workflow.stages[name].pii)):
                    self._begin(self.workflow.stages[name])
            if not (self._progress or self._pulling):
                continue
            with suppress(queue.Empty):
                name, verb, future = self._done.get(timeout=0.5)
                if name in self._pulling:
                    self._pulled(self.workflow.stages[name])
                    continue
                self._take(name, verb, future)
            if self.lease.lost is not None:
                raise self.lease.lost

    def _ready(self, name: str, waiting: Sequence[str]) -> bool:
        unfinished = {*waiting, *self._progress, *self._pulling}
        return not unfinished & {*self.workflow.stages[name].after}

    def _begin(self, stage: Stage) -> None:
        if blocked := self.reports.blocking(stage):
            self._finish(self.reports.not_run(stage, blocked))
            return
        began = time.perf_counter()
        with self._failures(stage, began):
            if reason := self.planning.not_taken(stage, self.reports.stages):
                # A step like any other, so that whoever watches the run sees which paths it does not take.
                self.runner.submit(Step(stage.name, "stage", "not taken"), pass_by, reason).result()
                self._finish(self.reports.passed_by(stage, reason, self.planning.snapshot(stage.name)))
            elif self.planning.is_pulled(stage):
                self._pull(stage, began)
            else:
                self._plan(stage, began)

    @contextmanager
    def _failures(self, stage: Stage, began: float) -> Generator[None]:
        """Whatever goes wrong before a stage's units are begun is in its report."""
        try:
            yield
        except (LeaseLost, KeyboardInterrupt):
            raise
        except (Exception, SystemExit) as error:
            if stage.name in self._progress:
                raise
            self._spent.note(stage.name, usage_of(error))
            self._finish(self.reports.failed(stage, error, time.perf_counter() - began))

    def _pull(self, stage: Stage, began: float) -> None:
        """Ask a source that has to be asked; what it answers is planned once it is there."""
        step = Step(stage.name, "stage", "pull", stage.retry)
        about = self.planning.asked(stage), stage, self.planning.lake, self.workflow.name, self.workflow.alerts
        self._pulling[stage.name] = self._start(stage, step, pull, *about), began

    def _pulled(self, stage: Stage) -> None:
        future, began = self._pulling.pop(stage.name)
        with self._failures(stage, began):
            pulled, usage = future.result()
            self._spent.note(stage.name, usage)
            self.reports.noted[stage.name] = pulled.notes
            self.observe(Event("pulled", stage.name, text=pulled.text))
            reach(Seam.PULLED, stage.name)
            self._plan(stage, began)

    def _plan(self, stage: Stage, began: float) -> None:
        plan = self.planning.plan(stage)
        self.observe(Event("stage_planned", stage.name, total=len(plan.units), text=plan.told))
        if plan.unrecorded:  # also files that were only touched, which every run would hash again
            self.lease.record("files", Files(files=plan.unrecorded), stage=stage.name)
            self.planning.learn(plan.unrecorded)
            reach(Seam.FILES_RESERVED, stage.name)
        if plan.action != "run":
            self._finish(self.reports.idle(stage, plan, self.planning.snapshot(stage.name)))
            return
        job = self.planning.job(stage, plan)
        prune(job)
        self._warm_up()
        self._progress[stage.name] = Progress(job, began)
        reach(Seam.STAGE_PLANNED, stage.name)
        self.observe(Event("stage_started", stage.name, total=len(plan.units), text=plan.told))
        self._stage(stage, plan)

    def _stage(self, stage: Stage, plan: StagePlan) -> None:
        progress = self._progress[stage.name]
        groups = coalesce(plan.units, self.workflow.run.task_groups)
        after = [self._published[name] for name in stage.inputs if name in self._published]
        progress.waiting_for = len(groups)
        for group in groups:
            step = self._step(stage, "stage", label_of(group), group)
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
        progress.futures.append(self._start(progress.job.stage, step, function, *args, after=after))

    def _start(self, stage: Stage, step: Step, function: Any, *args: Any, after: Sequence[Future] = ()) -> Future:
        work = Work.of(step, self.reports.run_id, private=bool(stage.pii))
        future = self.runner.submit(step, perform, work, function, *args, after=after)
        future.add_done_callback(lambda _: self._done.put((stage.name, step.verb, future)))
        return future

    def _take(self, name: str, verb: Verb, future: Future) -> None:
        progress = self._progress[name]
        try:
            result, usage = future.result()
            self._spent.note(name, usage)
        except (LeaseLost, KeyboardInterrupt):
            raise
        except (Exception, SystemExit) as error:
            progress.error = progress.error or error
            self._spent.note(name, usage_of(error))
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
        batch = progress.job, tuple(progress.manifests)
        self._submit(progress, step, audit_batch, *batch, after=tuple(progress.futures))

    def _judge(self, progress: Progress, verdict: Verdict) -> None:
        progress.verdict = verdict
        stage = progress.job.stage
        self.observe(Event("stage_audited", stage.name, text=verdict.outcome))
        reach(Seam.ROUTED, stage.name)
        if verdict.rejected_by or verdict.branches:
            self._refuse(progress, verdict)
            return
        step = self._step(stage, "publish")
        batch = Publication(progress.job, tuple(progress.manifests), verdict, self.lease, progress.began)
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
        job, seconds = progress.job, time.perf_counter() - progress.began
        self._published[job.stage.name] = future
        self.planning.published(job.plan, outputs)
        table = self.planning.snapshot(job.stage.name)
        self._finish(self.reports.published(job, progress.manifests, progress.verdict, outputs, table, seconds))

    def _finish(self, report: StageReport) -> None:
        self._progress.pop(report.stage, None)
        report = self.reports.add(report.model_copy(update=self._spent.by(report.stage)))
        self.observe(
            Event(
                "stage_finished",
                report.stage,
                len(self.reports.stages),
                len(self.selected),
                report.state,
                report,
                self.reports.errors.get(report.stage),
                bool(self.workflow.stages[report.stage].pii),
            )
        )

    def _warm_up(self) -> None:
        """Import the gate's libraries, which takes seconds, while the first stages are being staged."""
        if not self._progress and not self.reports.outputs and any(self.workflow.stages[n].gate for n in self.selected):
            threading.Thread(target=prewarm, name="dataflow-prewarm", daemon=True).start()
