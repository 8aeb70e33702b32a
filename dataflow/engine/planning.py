"""Plans stages against one state of the journal and pinned versions of tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import polars as pl

from dataflow.engine.admission import time_column_of
from dataflow.engine.job import StageJob, user_schema
from dataflow.engine.paths import not_taken
from dataflow.engine.positions import position_of
from dataflow.engine.proofs import Proofs
from dataflow.engine.pulling import check_forgotten, open_source
from dataflow.errors import LakeCorrupt
from dataflow.lake.damage import check_whole
from dataflow.lake.errors import WAY_OUT
from dataflow.lake.lake import Lake, Snapshot
from dataflow.lake.state import FileRecord, Outputs, PipelineState, file_key
from dataflow.lineage.row_ids import row_id_column
from dataflow.model import ROW_ID, SOURCE_FILE, StageReport, TableVersion, Unit
from dataflow.plan import StagePlan, plan_source, plan_task, sliced_inputs, stage_fingerprint
from dataflow.sources import Source
from dataflow.sources.spooled import SpooledSource
from dataflow.workflow import Stage, Workflow


class Planning:
    """What a run knows when it plans: stages read the versions that are pinned here."""

    def __init__(
        self,
        workflow: Workflow,
        lake: Lake,
        state: PipelineState,
        run_id: str,
        *,
        full: bool,
        verify: bool = False,
        without: Collection[str] = (),
    ) -> None:
        self.workflow = workflow
        self.lake = lake
        self.state = state
        self.run_id = run_id
        self.full, self.verify = full, verify
        self.started_at = datetime.now(UTC)
        # ``without``: tables that are known to be damaged, which are not looked at.
        heads = {name: lake.head(name) for name in workflow.stages if name not in without}
        self._pinned: dict[str, TableVersion] = {name: head for name, head in heads.items() if head is not None}
        outputs = [output for name in workflow.stages for output in state.stage(name).outputs]
        self._published = {output.table: output for output in outputs}
        self._read = {name: state.stage(name).inputs for name in workflow.stages}
        self._proofs = Proofs()
        self._whole: set[TableVersion] = set()
        self._sources: dict[str, Source] = {}

    def plan(self, stage: Stage) -> StagePlan:
        """Which units of ``stage`` are stale; an input that has no table yet has nothing to read.

        Errors: PlanError, SourceError, LakeError.
        """
        for table in (stage.name, *stage.inputs):
            self.check_there(table)
        full_seconds = self.state.stage(stage.name).full_seconds
        return replace(self._planned(stage), full_seconds=full_seconds)

    def _planned(self, stage: Stage) -> StagePlan:
        if stage.kind == "source":
            return plan_source(stage, self.source(stage), self.state, full=self.full)
        if missing := [name for name in stage.inputs if name not in self._pinned]:
            return StagePlan(stage.name, "skip", f"{', '.join(missing)} has no rows yet")
        inputs = self.inputs(stage)
        prove = partial(self._proofs.of, stage, inputs)
        return plan_task(stage, inputs, self.lake, self.state, full=self.full, prove=prove)

    def check_there(self, table: str) -> None:
        """Errors: LakeCorrupt where ``table`` is not what was published: one that was removed would be taken for up to date."""
        known, head = self._published.get(table), self._pinned.get(table)
        if known is not None and head is not None and not head.is_of(known):
            # Not in full either: it may have taken batches of the same names.
            raise LakeCorrupt(
                f"table {table!r}: {known.uri} is not the table that was published, but another one in its place; put "
                f"back what was there, or have it set aside and computed again with flows/maintenance/table.py rebuild",
                table=table,
            )
        if known is None or self.full or self._is_rebuilt(table):
            return
        if head is not None and head.version >= known.version:
            if head not in self._whole:
                # A listing of all its files: once for the stage and all that read it.
                check_whole(self.lake, self.lake.snapshot(head), self.state.stage(table))
                self._whole.add(head)
            return
        found = "it is gone" if head is None else f"it is at version {head.version}"
        raise LakeCorrupt(
            f"table {table!r}: version {known.version} of {known.uri} was published, but {found}: it was removed or replaced; "
            f"{WAY_OUT}",
            table=table,
        )

    def _is_rebuilt(self, table: str) -> bool:
        """Whether every unit of the table is about to be computed again, whatever the table holds."""
        units = self.state.stage(table).units
        return bool(units) and not any(unit.key for unit in units.values())

    def source(self, stage: Stage) -> Source:
        """The stage's source, made once."""
        if stage.name not in self._sources:
            self._sources[stage.name] = open_source(stage, self.lake, self.workflow.name)
        return self._sources[stage.name]

    def is_pulled(self, stage: Stage) -> bool:
        """Whether the stage's source has to be asked before there is anything to plan."""
        return stage.kind == "source" and isinstance(self.source(stage), SpooledSource)

    def asked(self, stage: Stage) -> Source:
        """The stage's source, which may be asked for what is new.

        Errors: LakeCorrupt where what it was asked before is forgotten: all of it would come and be landed once more.
        """
        source = self.source(stage)
        assert isinstance(source, SpooledSource)
        if stage.name in self._pinned and source.spool.number() == 0:
            check_forgotten(source.spool, (f.name for f in self.state.files.values() if f.source == stage.name))
        return source

    def learn(self, records: Sequence[FileRecord]) -> None:
        """Take note of files that were reserved in the journal."""
        files = {**self.state.files, **{file_key(r.source, r.name): r for r in records}}
        following = max([self.state.next_file_id, *(r.file_id + 1 for r in records)])
        self.state = self.state.model_copy(update={"files": files, "next_file_id": following})

    def published(self, plan: StagePlan, outputs: Outputs) -> None:
        """Pin what a stage has just published."""
        own = {o.table: o for o in outputs.outputs if o.table == plan.stage}
        self._pinned |= own
        self._published |= own
        if not plan.replays:
            self._read[plan.stage] = () if plan.left else tuple(s.version for s in (plan.inputs or {}).values())

    def versions(self) -> dict[str, int]:
        """The pinned versions: the release that belongs together."""
        return {name: version.version for name, version in self._pinned.items()}

    def snapshot(self, stage: str) -> Snapshot | None:
        """The pinned version of a stage's table."""
        return self.lake.snapshot(self._pinned[stage]) if stage in self._pinned else None

    def job(self, stage: Stage, plan: StagePlan) -> StageJob:
        """Everything that the stage's units need.

        Errors: ConfigError and PlanError for a window that cannot be cut or judged.
        """
        base = self.bare_job(stage, plan)
        if stage.kind == "source":
            source, contract = self.source(stage), self._contract(stage, plan)
            return replace(base, source=source, contract=contract, position=self._position(stage, source, plan))
        assert plan.inputs is not None
        base = replace(base, **self.reads(stage, plan.inputs))
        late_steps = self.state.stage(stage.name).late_steps if base.time_column else ()
        restated = {f.file_id: f.first_id for f in self.state.files.values() if f.file_id != f.first_id}
        return replace(base, late_steps=late_steps, restated=restated)

    def _position(self, stage: Stage, source: Source, plan: StagePlan) -> dict[str, Any]:
        found = position_of(self.state, stage.name, {unit.unit.id for unit in plan.units})
        return {**found, "cursor": source.position()} if isinstance(source, SpooledSource) else {**found}

    def inputs(self, stage: Stage) -> dict[str, Snapshot]:
        """The pinned versions of the stage's inputs."""
        return {name: self.lake.snapshot(self._pinned[name]) for name in stage.inputs if name in self._pinned}

    def reads(self, stage: Stage, inputs: Mapping[str, Snapshot]) -> dict[str, Any]:
        """What a job knows of its inputs and of the function that is called with them."""
        carried, rides = self._proofs.carried(stage, inputs)
        arrivals = {
            Unit(stage=f.source, partition=((SOURCE_FILE, f.name),)).id: f.file_id
            for f in self.state.files.values()
            if f.source in stage.inputs
        }
        return {
            "inputs": inputs,
            "sliced": tuple(sliced_inputs(stage, inputs)),
            "time_column": time_column_of(stage, inputs),
            "carried": carried,
            "rides": rides,
            "repeatable": self._proofs.is_repeatable(stage, inputs),
            "in_order": {n: self._lies_as_made(self.workflow.stages[n]) for n in self._looked_at(stage, inputs)},
            "notes": self._in_vain(stage, inputs),
            "as_made": stage.deduplicate is None or self._gives_as_made(stage, inputs),
            "arrivals": arrivals,
            "single_ids": self._has_single_ids(self.workflow.stages[stage.inputs[0]]),
        }

    def _has_single_ids(self, stage: Stage) -> bool:
        """Whether a row id of the stage's table is there once: a source lands a row once, and nothing since makes many of one."""
        if stage.kind == "source":
            return True
        first, inputs, state = stage.inputs[0], self.inputs(stage), self.state.stage(stage.name)
        unchanged = state.fingerprint == stage_fingerprint(stage) and all(unit.key for unit in state.units.values())
        # What it has not read yet says nothing of the rows that it holds.
        has_read = all(self._pinned.get(name) in self._read[stage.name] for name in stage.inputs)
        if stage.window or not (unchanged and has_read):
            return False
        carried, _ = self._proofs.carried(stage, inputs)
        told = stage.strategy.strategy.unique_by if stage.strategy else ()
        # A strategy may write a row in several versions, but not where these would agree in what each row has by itself.
        once = stage.strategy is None or (bool(told) and set(told) <= set(carried.schema or ()))
        keeps = carried.rows in ("preserved", "subset") and row_id_column(first) in carried.columns
        return once and keeps and self._has_single_ids(self.workflow.stages[first])

    def _looked_at(self, stage: Stage, inputs: Mapping[str, Snapshot]) -> frozenset[str]:
        # What a source landed lies in order as it is.
        derived = frozenset(name for name in stage.inputs if self.workflow.stages[name].kind == "task")
        return derived & self._proofs.of(stage, inputs).locality.order.of if derived else derived

    def _lies_as_made(self, stage: Stage) -> bool:
        """Whether rows of the stage's table that have one id lie as they were made of one row, and not as another input lay."""
        if self._has_single_ids(stage):
            return True
        inputs = self.inputs(stage)
        if stage.strategy or stage.storage.partition_by or len(inputs) < len(stage.inputs):
            return False
        carried, _ = self._proofs.carried(stage, inputs)
        apart = len(inputs) == 1 or len(carried.columns) == len(inputs)
        return apart and self._gives_as_made(stage, inputs)

    def _gives_as_made(self, stage: Stage, inputs: Mapping[str, Snapshot]) -> bool:
        if self._proofs.of(stage, inputs).locality.order.is_open:
            return False
        return all(self._lies_as_made(self.workflow.stages[name]) for name in inputs)

    def _in_vain(self, stage: Stage, inputs: Mapping[str, Snapshot]) -> tuple[str, ...]:
        """In which order the stage is given rows at whose order it looks, where that may not be what is meant."""
        looked_at = self._looked_at(stage, inputs)
        if looked_at:
            looked_at &= self._proofs.of(stage, inputs).locality.order.unsorted
        told: list[str] = []
        for task in (self.workflow.stages[name] for name in stage.inputs if name in looked_at):
            named, found = ROW_ID in inputs[task.name].schema, self.inputs(task)
            sorts = len(found) == len(task.inputs) and self._proofs.of(task, found).locality.order.sorts
            if sorts or not named:
                why = f"{task.name} sorts its rows, but" if sorts else f"rows of {task.name} carry no row ids, and"
                how = "as they came to the source" if named else "by the values of their columns"
                told.append(f"{why} a table has no order: they are given here {how}; sort them in {stage.name}")
        return tuple(told)

    def bare_job(self, stage: Stage, plan: StagePlan, *, edited: str | None = None) -> StageJob:
        """What a unit needs whatever it reads."""
        return StageJob(
            self.lake,
            self.workflow.name,
            self.run_id,
            stage,
            plan,
            self.started_at,
            published=frozenset(self.state.stage(stage.name).units),
            file_id_max=self.state.next_file_id - 1,
            references=self._references(stage),
            alerts=self.workflow.alerts,
            data_docs=self.workflow.data_docs,
            edited=edited,
            verify=self.verify,
        )

    def not_taken(self, stage: Stage, reports: Mapping[str, StageReport]) -> str | None:
        """Why the run's path does not lead through ``stage``; None where it does."""
        return not_taken(stage, reports, self.state)

    def _references(self, stage: Stage) -> dict[str, Snapshot]:
        """The tables that the stage's rules refer to; one that was never published is not among them."""
        names = {name for rule in stage.gate for name in rule.references}
        return {name: self.lake.snapshot(self._pinned[name]) for name in sorted(names) if name in self._pinned}

    def _contract(self, stage: Stage, plan: StagePlan) -> pl.Schema:
        source, snapshot = self.source(stage), self.snapshot(stage.name)
        items = [u.item for u in plan.units if u.item is not None]
        changed = self.state.stage(stage.name).fingerprint != plan.fingerprint
        held = None if snapshot is None or changed else user_schema(snapshot.schema)
        return source.contract(items, held) if items else held or pl.Schema()
