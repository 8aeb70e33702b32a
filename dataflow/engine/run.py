"""One run: take the lease, repair what an earlier run left, work, record what belongs together, give the lease back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from dataflow.engine.call import said
from dataflow.engine.conductor import Conductor
from dataflow.engine.docs import update_docs
from dataflow.engine.epochs import grant
from dataflow.engine.events import Event, Observer, logged
from dataflow.engine.history import record_history
from dataflow.engine.logs import failure, log, within
from dataflow.engine.planning import Planning
from dataflow.engine.positions import Wish
from dataflow.engine.repair import repair, sweep_runs
from dataflow.engine.reports import Reports
from dataflow.engine.runner import Runner
from dataflow.errors import DataFlowError, LakeError, LeaseHeld, LeaseLost
from dataflow.lake.lake import Lake
from dataflow.lake.lease import HeldLease, acquire
from dataflow.lake.seams import Seam, reach
from dataflow.lake.state import PipelineState, Release
from dataflow.model import RunReport, digest
from dataflow.model.secrets import hide_named
from dataflow.workflow import Workflow

MakePlanning = Callable[[Workflow, Lake, PipelineState, str], Planning]


class Run:
    """Runs the selected stages of a workflow once; ``planning`` says what there is to do."""

    def __init__(
        self,
        workflow: Workflow,
        lake: Lake,
        runner: Runner,
        run_id: str,
        *,
        planning: MakePlanning,
        selected: set[str],
        observe: Observer,
        wishes: Sequence[Wish] = (),
    ) -> None:
        self.workflow = workflow
        self.lake = lake
        self.runner = runner
        self.run_id = run_id
        self.planning = planning
        self.selected = [name for name in workflow.stages if name in selected]
        self.observe = logged(observe)
        self.wishes = wishes
        """What people have asked of sources by the time that the run begins."""
        self.reports = Reports(workflow, lake, run_id)
        self._conductor: Conductor | None = None
        self._left = False
        """Whether files were staged that no commit names."""

    def execute(self) -> RunReport:
        """Do what is to be done and say what was.

        Errors: DataFlowError where the run as a whole cannot be done; what goes wrong in a stage is in the report.
        """
        hide_named(self.lake.storage_options)
        with within(run=self.run_id):
            try:
                return self._execute()
            except Exception as error:
                log.error("run ended early: %s", said(error), **failure(error, event="run_failed"))
                raise

    def _execute(self) -> RunReport:
        self.observe(Event("run_started", total=len(self.selected)))
        ttl = self.workflow.run.lease_seconds
        try:
            lease = acquire(self.lake, self.workflow.name, self.run_id, ttl_seconds=ttl).beat_every(ttl / 3)
        except LeaseHeld as error:
            return self._end(self.reports.held(error))
        try:
            report = self._work(lease)
            self._give_back(lease, report)
        except LeaseLost:
            self._withdraw(lease)
            raise
        reach(Seam.LEASE_RELEASED)
        return self._end(report)

    def _work(self, lease: HeldLease) -> RunReport:
        try:
            reach(Seam.LEASE_TAKEN)
            self.reports.finished = bool(lease.state.intents)
            self.reports.repaired = repair(self.lake, self.workflow, lease)
            for text in self.reports.repaired:
                self.observe(Event("repaired", text=text))
            granted = grant(self.lake, self.workflow, lease, self.wishes)
            for text in granted:
                self.observe(Event("granted", text=text))
            planning = self.planning(self.workflow, self.lake, lease.refresh(), self.run_id)
            self._conductor = Conductor(self.runner, planning, lease, self.reports, self.selected, self.observe)
            self._conductor.work()
            report = _noted(self.reports.report(), *granted)
            self._release(report, planning, lease)
            if lease.state.judgements or any(s.verdict for s in report.stages):
                report = self._document(self._tell(report, lease))
            return report
        except LeaseLost:
            raise
        except BaseException:
            # The first error is the one to tell; a lease that cannot be given back dies with the process.
            with suppress(DataFlowError):
                lease.release(clean=False)
            raise

    def _tell(self, report: RunReport, lease: HeldLease) -> RunReport:
        """What is published stays published where its history cannot be written: the next run catches up."""
        try:
            record_history(self.lake, lease)
        except LeaseLost:
            raise
        except LakeError as error:
            self._left = True
            return _noted(report, f"the quality history is not up to date, the next run writes it: {error}")
        return report

    def _document(self, report: RunReport) -> RunReport:
        if not self.workflow.data_docs:
            return report
        try:
            place = update_docs(self.lake, self.workflow.name)
        except Exception as error:
            # Pages are made of what Great Expectations said; whatever is wrong with one, the run is not.
            return _noted(
                report,
                f"the Data Docs are not up to date: {error if isinstance(error, DataFlowError) else said(error)}",
            )
        return report.model_copy(update={"data_docs": place})

    def _give_back(self, lease: HeldLease, report: RunReport) -> None:
        well = report.state in ("completed", "skipped")
        try:
            lease.release(clean=well and not self._left)
        except LeaseLost:
            raise
        except LakeError:
            # Of a run that failed the report is to be told: a full disk may well take no word of its end either.
            if well:
                raise

    def _release(self, report: RunReport, planning: Planning, lease: HeldLease) -> None:
        """Record which versions belong together; also where an interrupted run had published them."""
        versions = planning.versions()
        if report.state in ("completed", "skipped") and versions != planning.state.release:
            lease.record("release", Release(tables=versions))
        reach(Seam.RELEASE_RECORDED)

    def _withdraw(self, lease: HeldLease) -> None:
        """Take away what was staged since the other run swept; a manifest's files may be in that run's hands already."""
        lease.stop()
        for future in self._conductor.begun if self._conductor else ():
            # Nothing that was begun can be stopped, and what it comes to does not count any more.
            with suppress(Exception):
                future.result()
        with suppress(DataFlowError):
            sweep_runs(self.lake, self.selected, [self.run_id])

    def _end(self, report: RunReport) -> RunReport:
        self.observe(Event("run_finished", text=report.state, run=report))
        return report


def _noted(report: RunReport, *notes: str) -> RunReport:
    return report.model_copy(update={"notes": (*report.notes, *notes)})


def new_run_id() -> str:
    """A run's id: when it began, to the millisecond, and digits that tell it from others that began then.

    Ids sort as the runs began, also within a second: files of a table are read in the order of the runs that wrote them.
    """
    now = datetime.now(UTC)
    others = digest(now.isoformat(), time.perf_counter_ns(), threading.get_ident())[:6]
    return f"{now:%Y%m%dT%H%M%S}x{now.microsecond // 1000:03x}{others}"
