"""Computes units of a stage again, a bounded number at a time, and then what is downstream.

A journal entry marks the units first. From then on they are stale: whatever ends the backfill, it, started again, goes on
with those that are left, and so does any run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Literal

from pydantic import Field

from dataflow.engine.planning import Planning
from dataflow.engine.ranges import Range, units_within
from dataflow.engine.repair import check_owner
from dataflow.engine.run import MakePlanning, new_run_id
from dataflow.errors import ConfigError, LeaseHeld
from dataflow.lake.lake import Lake
from dataflow.lake.lease import held, read_state
from dataflow.lake.state import PipelineState, Stale
from dataflow.model import Frozen, RunReport, StageReport, reading_order
from dataflow.plan import PlannedUnit, StagePlan, count
from dataflow.sources import Item
from dataflow.workflow import Stage, Workflow

BATCH_UNITS = 16
_HOPELESS = 5
"""After so many failures in a row nothing else is tried."""
_PATIENCE_SECONDS = 60.0
"""How long a backfill waits for another run to give the lease back."""


class Backfilling(Planning):
    """Plans chosen units of one stage; what else of it is stale is left for later batches."""

    def __init__(
        self, workflow: Workflow, lake: Lake, state: PipelineState, run_id: str, *, units: Collection[str] | None
    ) -> None:
        super().__init__(workflow, lake, state, run_id, full=False)
        self.units = units

    def plan(self, stage: Stage) -> StagePlan:
        """The chosen units that are still stale; all that are where none is chosen.

        Errors: PlanError, SourceError, LakeError.
        """
        if stage.window is not None:
            # Whoever asks for a range does not wait for the next trigger.
            stage = replace(stage, window=stage.window.model_copy(update={"trigger_interval": timedelta(0)}))
        plan = super().plan(stage)
        if self.units is None:
            return plan
        chosen = tuple(unit for unit in plan.units if unit.unit.id in self.units)
        if not chosen:
            return replace(plan, action="skip", reason="another run has computed it", units=(), dropped=())
        left = tuple(unit.unit.id for unit in plan.units if unit.unit.id not in self.units)
        return replace(plan, units=chosen, left=left, reason=f"backfill: {count(len(chosen), 'unit')} again")

    def is_pulled(self, stage: Stage) -> bool:
        """Nobody is asked for anything new."""
        return False

    def not_taken(self, stage: Stage, reports: Mapping[str, StageReport]) -> str | None:
        """Whoever asks for a range has chosen the path."""
        return None


@dataclass(frozen=True)
class BackfillPlan:
    """What a backfill would do."""

    pipeline: str
    lake: str
    stage: str
    range: Range
    by: str
    """What the range was compared with: ``month``, ``file name``, ``arrival``; empty for a stage that runs whole."""
    units: tuple[PlannedUnit, ...]
    """What is to be computed, in the order in which it will be."""
    resumed: bool
    """The units are what an earlier backfill of this very range has left."""
    downstream: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def reason(self) -> str:
        """What the journal says of units that this backfill marks."""
        return f"backfill {self.range}"


class BackfillReport(Frozen):
    """What a backfill did."""

    pipeline: str
    lake: str
    stage: str
    state: Literal["completed", "failed"]
    resumed: bool
    done: tuple[str, ...]
    """Labels of the units that are published."""
    failed: dict[str, str]
    """Labels of the units that failed, tried alone as well, and why."""
    left: tuple[str, ...] = ()
    """Labels of the units that were not tried any more; they stay stale, as do those that failed."""
    batches: tuple[RunReport, ...] = Field(default=())
    downstream: RunReport | None = None
    notes: tuple[str, ...] = ()
    seconds: float

    @property
    def exit_code(self) -> int:
        return 0 if self.state == "completed" else 1


def plan_backfill(workflow: Workflow, lake: Lake, stage: str, wanted: Range) -> BackfillPlan:
    """Which units are to be computed again; touches nothing.

    Errors: ConfigError where the stage or a unit in the range is not there; PlanError, SourceError, LakeError.
    """
    if stage not in workflow.stages:
        raise ConfigError.unknown("stage", stage, workflow.stages)
    if wanted.since is None and wanted.until is None:
        raise ConfigError("a backfill needs a range: say from where, up to where, or both")
    state = read_state(lake, workflow.name)
    check_owner(lake, workflow, state)
    published = state.stage(stage).units
    planned = {u.unit.id: u for u in _all_units(workflow, lake, state, stage)}
    if not planned and not published:
        raise ConfigError(f"stage {stage!r} has nothing to compute again: it has no input yet; run the pipeline first")
    units = {**{k: u.unit for k, u in published.items()}, **{k: u.unit for k, u in planned.items()}}
    found = units_within(
        sorted(units.values(), key=lambda unit: reading_order(unit.label)), wanted, _arrivals(planned.values())
    )
    inside = [unit.id for unit in found.units]
    plan = BackfillPlan(
        pipeline=workflow.name,
        lake=lake.uri,
        stage=stage,
        range=wanted,
        by=found.by,
        units=tuple(planned[id] for id in inside if id in planned),
        resumed=False,
        downstream=tuple(n for n in workflow.stages if n != stage and n in workflow.select(f"{stage}+")),
        notes=tuple(_notes(workflow.stages[stage], found.by, [units[id].label for id in inside if id not in planned])),
    )
    # What is not published yet is stale without a mark.
    left = {
        id for id in inside if id not in published or (not published[id].key and published[id].reason == plan.reason)
    }
    if not any(id in published for id in left):
        return plan
    return replace(plan, units=tuple(u for u in plan.units if u.unit.id in left), resumed=True)


def _all_units(workflow: Workflow, lake: Lake, state: PipelineState, stage: str) -> Sequence[PlannedUnit]:
    """Every unit that the stage would have, were all that is published of it stale."""
    before = state.stage(stage)
    blank = {id: unit.model_copy(update={"key": ""}) for id, unit in before.units.items()}
    stages = {**state.stages, stage: before.model_copy(update={"units": blank})}
    imagined = state.model_copy(update={"stages": stages})
    return Backfilling(workflow, lake, imagined, new_run_id(), units=None).plan(workflow.stages[stage]).units


def _arrivals(planned: Collection[PlannedUnit]) -> dict[str, float]:
    items: dict[str, Item | None] = {unit.unit.id: unit.item for unit in planned}
    return {id: item.modified_at for id, item in items.items() if item is not None}


def _notes(stage: Stage, by: str, gone: Sequence[str]) -> list[str]:
    notes = [] if by else [f"{stage.name} runs whole: all of it is computed again, whatever the range"]
    if gone and stage.kind == "source":
        told = "is not there any more and stays" if len(gone) == 1 else "are not there any more and stay"
        notes.append(f"{count(len(gone), 'file')} {told} as landed ({gone[0]}{', ...' if len(gone) > 1 else ''})")
    return notes


Execute = Callable[[set[str], MakePlanning], RunReport]
"""Runs stages once: which, and what is to be done with them."""


class Backfill:
    """Works off what a plan says, through runs like any other."""

    def __init__(self, workflow: Workflow, lake: Lake, plan: BackfillPlan, execute: Execute) -> None:
        self.workflow = workflow
        self.lake = lake
        self.plan = plan
        self._execute = execute
        self._reports: list[RunReport] = []
        self._labels = {u.unit.id: u.unit.label for u in plan.units}
        self._done: list[str] = []
        self._failed: dict[str, str] = {}

    def work(self, batch_units: int) -> BackfillReport:
        """Mark the units, publish them batch by batch, and let what is downstream follow.

        Units of a batch that fails are tried once more, each alone, when the others are published.
        Errors: LeaseHeld where another run does not end; DataFlowError where nothing can be run.
        """
        began = time.perf_counter()
        self._mark()
        ids = list(self._labels)
        self._publish([ids[n : n + batch_units] for n in range(0, len(ids), batch_units)])
        again = list(self._failed)
        self._failed = {}
        self._publish([[id] for id in again])
        downstream = self._follow() if self._done else None
        done, failed = set(self._done), self._failed
        left = tuple(label for id, label in self._labels.items() if id not in done and id not in failed)
        well = not failed and not left and (downstream is None or not downstream.exit_code)
        return BackfillReport(
            pipeline=self.plan.pipeline,
            lake=self.plan.lake,
            stage=self.plan.stage,
            state="completed" if well else "failed",
            resumed=self.plan.resumed,
            done=tuple(self._labels[id] for id in self._done),
            failed={self._labels[id]: why for id, why in failed.items()},
            left=left,
            batches=tuple(self._reports),
            downstream=downstream,
            notes=self.plan.notes,
            seconds=time.perf_counter() - began,
        )

    def _mark(self) -> None:
        if self.plan.resumed or not self._labels:
            return
        seconds = self.workflow.run.lease_seconds
        with held(self.lake, self.workflow.name, new_run_id(), ttl_seconds=seconds) as lease:
            body = Stale(stage=self.plan.stage, units=tuple(self._labels), reason=self.plan.reason)
            lease.record("stale", body, stage=self.plan.stage)

    def _publish(self, batches: Sequence[Sequence[str]]) -> None:
        """Run the batches one after the other, unless so many fail in a row that the next one would as well."""
        in_a_row = 0
        for batch in batches:
            report = self._run({self.plan.stage}, partial(Backfilling, units=frozenset(batch)))
            self._reports.append(report)
            told = report.stage(self.plan.stage)
            if told.state in ("published", "skipped"):
                self._done.extend(batch)
                in_a_row = 0
                continue
            self._failed |= dict.fromkeys(batch, told.error or told.reason)
            in_a_row += 1
            if in_a_row == _HOPELESS:
                return

    def _follow(self) -> RunReport | None:
        if not self.plan.downstream:
            return None
        return self._run({*self.plan.downstream}, partial(Planning, full=False))

    def _run(self, stages: set[str], planning: MakePlanning) -> RunReport:
        """A run of its own; where another one is at it, this waits for its end."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while not (report := self._execute(stages, planning)).stages:
            if time.monotonic() > until:
                raise LeaseHeld(
                    f"{report.reason}; what is left of the backfill is marked: that run or the next one computes it",
                    pipeline=self.workflow.name,
                    run_id=report.run_id,
                )
            time.sleep(0.5)
        return report
