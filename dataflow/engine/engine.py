"""``Engine``: runs a workflow on a lake through a runner."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import polars as pl

from dataflow.engine.backfill import BATCH_UNITS, Backfill, BackfillPlan, BackfillReport, plan_backfill
from dataflow.engine.chosen import EVERYTHING, Chosen, check_all_there, edit, quarantined
from dataflow.engine.due import Due, due
from dataflow.engine.epochs import Move, foresee, move
from dataflow.engine.events import Event, Observer
from dataflow.engine.job import READABLE
from dataflow.engine.mending import Damage, damaged, mark_rebuilt, restore
from dataflow.engine.paths import conditions
from dataflow.engine.planning import Planning
from dataflow.engine.positions import Wish
from dataflow.engine.ranges import Range
from dataflow.engine.repair import check_owner
from dataflow.engine.replay import Replaying
from dataflow.engine.run import MakePlanning, Run, new_run_id
from dataflow.engine.runner import RunContext, Runner
from dataflow.engine.status import Status, status_of
from dataflow.engine.watermarks import watermarks
from dataflow.errors import ConfigError, LakeError
from dataflow.lake.lake import Lake
from dataflow.lake.lease import read_state
from dataflow.lake.seams import Seam, reach
from dataflow.model import RunReport
from dataflow.plan import Plan, StagePlan
from dataflow.quality.alerts import check_alerts
from dataflow.workflow import Workflow


class Engine:
    """Runs workflows.

    ``lake`` is a folder, a URI or a ``Lake``; by default the workflow's own, else ``lake/<name>``
    in the working directory. ``runner`` is the name of an installed runner (``prefect``, ``inline``)
    or a runner; where a named one is not installed, that is an error and nothing stands in for it.
    """

    def __init__(
        self,
        lake: str | os.PathLike[str] | Lake | None = None,
        *,
        runner: str | Runner = "prefect",
        storage_options: Mapping[str, str] | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._lake = lake
        self._storage_options = storage_options
        self._observer = observer
        self.runner: Runner = find_runner(runner) if isinstance(runner, str) else runner

    def execute(
        self,
        workflow: Workflow,
        *,
        incremental: bool = True,
        select: str | Iterable[str] = (),
        verify: bool = False,
    ) -> RunReport:
        """Run what is stale of ``workflow``; all of it without ``incremental``.

        With ``verify``, what an increment comes to is also computed in full and compared before it is published.

        A rejected gate or a failed stage is told in the report; an error is raised where nothing can be run.
        Errors: ConfigError, PlanError, LakeError, LeaseLost.
        """
        selected = _selected(workflow, select)
        planning = partial(Planning, full=not incremental, verify=verify)
        return self._run(workflow, self.lake(workflow), selected, planning)

    def replay(self, workflow: Workflow, stage: str, chosen: Chosen = EVERYTHING) -> RunReport:
        """Send quarantined rows of ``stage`` through its deduplication and gate once more, and publish what passes.

        They leave the quarantine in the same batch, so that each is sent once; ``<stage>__replayed`` keeps them as
        they were. Stages downstream follow in the next run.
        Errors: ConfigError where ``chosen`` names what is not there; PlanError, LakeError, LeaseLost.
        """
        if stage not in workflow.stages:
            raise ConfigError.unknown("stage", stage, workflow.stages)
        if chosen.edited is None and READABLE in chosen.rules:
            raise ConfigError(
                f"stage {stage!r}: rows that could not be read have no values to send; export them, fill their columns in "
                f"from _raw, and send that file with --edited",
                stage=stage,
            )
        lake = self.lake(workflow)
        check_owner(lake, workflow, read_state(lake, workflow.name))
        rows = quarantined(lake, stage, chosen)
        if chosen.edited is not None:
            edit(rows, chosen.edited)
            check_all_there(rows, chosen.edited, lake, stage)
        return self._run(workflow, lake, {stage}, partial(Replaying, chosen=chosen))

    def quarantined(self, workflow: Workflow, stage: str, chosen: Chosen = EVERYTHING) -> pl.LazyFrame:
        """The chosen rows of the stage's quarantine, as they were set aside.

        Errors: ConfigError for an unknown stage, where nothing was ever quarantined, and for what ``chosen`` names in vain.
        """
        if stage not in workflow.stages:
            raise ConfigError.unknown("stage", stage, workflow.stages)
        return quarantined(self.lake(workflow), stage, chosen)

    def watermarks(self, workflow: Workflow) -> dict[str, dict[str, Any]]:
        """How far each published source has come: position, batch_id, event_time, epoch; touches nothing."""
        lake = self.lake(workflow)
        return watermarks(workflow, read_state(lake, workflow.name), lake)

    def move(self, workflow: Workflow, source: str, position: Any = None, *, plan: bool = False) -> Move:
        """Move ``source`` back to ``position``: a new epoch, in which the next run reads again what lies beyond it.

        The rows of what is read again are replaced in the batch that adds them. None is the beginning; with ``plan``
        nothing is touched.
        Errors: ConfigError where the source cannot be read that far back; SourceUnavailable, LakeError, LeaseHeld.
        """
        about = self.lake(workflow), workflow, Wish(source=source, position=position)
        return foresee(*about) if plan else move(*about, new_run_id())

    def damage(self, workflow: Workflow) -> tuple[Damage, ...]:
        """What something outside has broken in the workflow's tables; reads listings and logs, touches nothing."""
        return damaged(self.lake(workflow), workflow)

    def restore(self, workflow: Workflow, stage: str, version: int | None = None) -> tuple[str, ...]:
        """Set aside what of the stage's log is broken and told elsewhere; with ``version``, bring its table back to it.

        What was published after that version is computed again by the next run. Says what was done.
        Errors: ConfigError, LakeCorrupt where files of the version are gone; LeaseHeld while a run is at work.
        """
        return restore(self.lake(workflow), workflow, stage, version)

    def rebuild(self, workflow: Workflow, stage: str) -> RunReport:
        """Compute again what a damaged table has lost, and what follows from it.

        Errors: as ``execute``; LakeCorrupt where a source no longer has what is lost.
        """
        mark_rebuilt(self.lake(workflow), workflow, stage)
        return self.execute(workflow, select=f"{stage}+")

    def _run(
        self,
        workflow: Workflow,
        lake: Lake,
        selected: set[str],
        planning: MakePlanning,
        threads: int | None = None,
    ) -> RunReport:
        check_alerts(workflow.alerts)
        run_id = new_run_id()
        wishes: list[Wish] = []
        context = RunContext(
            pipeline=workflow.name,
            run_id=run_id,
            lake_uri=lake.uri,
            threads=threads or workflow.run.threads,
            storage_options=lake.storage_options,
            watermarks=lambda: watermarks(workflow, read_state(lake, workflow.name), lake),
            wish=wishes.append,
        )
        run = Run(
            workflow,
            lake,
            self.runner,
            run_id,
            planning=planning,
            selected=selected,
            observe=self._observe,
            wishes=wishes,
        )
        report = self.runner.run(context, run.execute)
        reach(Seam.RUN_SHOWN)
        return report

    def due(self, workflow: Workflow, *, select: str | Iterable[str] = ()) -> Due | None:
        """Why ``execute`` would do something now; None where it would not, or another run is at work.

        Sources that have to be asked are asked, and what they answer is kept for that run; nothing else is touched.
        Errors: as ``plan``; SourceUnavailable.
        """
        return due(workflow, self.lake(workflow), _selected(workflow, select))

    def status(self, workflow: Workflow, *, select: str | Iterable[str] = ()) -> Status:
        """How the workflow's tables stand: fresh or stale and why, rows, watermarks, and who is at work.

        Reads only, also while a run is under way; what sources that have to be asked would answer is not in it.
        Errors: LakeError where the journal cannot be read, or a table is another pipeline's.
        """
        return status_of(workflow, self.lake(workflow), _selected(workflow, select))

    def plan_backfill(
        self, workflow: Workflow, stage: str, since: str | None = None, until: str | None = None
    ) -> BackfillPlan:
        """What ``backfill`` would do; touches nothing. Errors: as ``backfill``."""
        return plan_backfill(workflow, self.lake(workflow), stage, Range(since, until))

    def backfill(
        self,
        workflow: Workflow,
        stage: str,
        since: str | None = None,
        until: str | None = None,
        *,
        threads: int | None = None,
        batch_units: int = BATCH_UNITS,
    ) -> BackfillReport:
        """Compute the units of ``stage`` from ``since`` to ``until`` again, then what is downstream.

        Both ends are included; None is an open end. Units are compared by their first partition column, files of a source
        by when they arrived where both ends are dates, else by name. So many of them (``batch_units``) are published
        together, computed by so many ``threads``.
        Errors: ConfigError where no unit lies in the range; LeaseHeld while a run is at work; PlanError, SourceError,
        LakeError.
        """
        lake = self.lake(workflow)
        plan = plan_backfill(workflow, lake, stage, Range(since, until))
        execute = partial(self._run, workflow, lake, threads=threads)
        return Backfill(workflow, lake, plan, execute).work(batch_units)

    def plan(self, workflow: Workflow, *, incremental: bool = True, select: str | Iterable[str] = ()) -> Plan:
        """What ``execute`` would do, and why; touches nothing."""
        lake = self.lake(workflow)
        selected = _selected(workflow, select)
        state = read_state(lake, workflow.name)
        check_owner(lake, workflow, state)
        planning = Planning(workflow, lake, state, new_run_id(), full=not incremental)
        plans: dict[str, StagePlan] = {}
        for name, stage in workflow.stages.items():
            if name in selected:
                upstream = [i for i in stage.inputs if i in plans and plans[i].action in ("run", "depends")]
                reason = f"after {', '.join(upstream)}: what changes there tells which partitions are stale"
                found = StagePlan(name, "depends", reason) if upstream else planning.plan(stage)
                # What a source that is asked would answer, only asking tells.
                asked = ["a run asks the source first"] if planning.is_pulled(stage) else []
                plans[name] = replace(found, reason="; ".join([found.reason, *asked, *conditions(stage)]))
        return Plan(workflow.name, lake.uri, tuple(plans.values()))

    def lake(self, workflow: Workflow) -> Lake:
        """The lake that ``workflow`` runs on."""
        if isinstance(self._lake, Lake):
            return self._lake.remembering()
        lake = Lake(os.fspath(self._lake or workflow.lake or Path("lake", workflow.name)), self._storage_options)
        _check_place(lake)
        return lake.remembering()

    def _observe(self, event: Event) -> None:
        if self._observer is not None:
            self._observer(event)


def _check_place(lake: Lake) -> None:
    """Tell what can be told of a lake without reading it.

    Errors: ConfigError for a kind of URI that is not known, LakeError for a file in place of the folder.
    """
    try:
        files = lake.fs
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"lake {lake.uri}: {error}; name a folder or a URI that begins with s3://, or install what it needs",
            key="lake",
        ) from error
    if "://" not in lake.uri and files.isfile(lake.path()):
        raise LakeError(f"lake {lake.uri}: a file stands where a folder is needed; name another lake with --lake")


def _selected(workflow: Workflow, select: str | Iterable[str]) -> set[str]:
    wanted = [select] if isinstance(select, str) else list(select)
    return workflow.select(wanted) if wanted else set(workflow.stages)


def find_runner(name: str) -> Runner:
    """The installed runner of this name (entry points ``dataflow.runners``)."""
    points = {point.name: point for point in entry_points(group="dataflow.runners")}
    if name not in points:
        raise ConfigError.unknown("runner", name, points)
    try:
        runner: Any = points[name].load()
    except ImportError as error:
        raise ConfigError(
            f"runner {name!r} cannot be loaded: {error}; install what it needs, or take runner='inline'", name=name
        ) from error
    return runner()
