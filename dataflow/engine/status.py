"""How a lake stands: every table of a workflow, fresh or stale and why; reads only, and asks nobody."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from dataflow.engine.job import side_table
from dataflow.engine.mending import Damage, damaged
from dataflow.engine.paths import conditions
from dataflow.engine.planning import Planning
from dataflow.engine.repair import check_owner
from dataflow.engine.run import new_run_id
from dataflow.engine.watermarks import watermarks
from dataflow.errors import DataFlowError, LakeError
from dataflow.lake.lake import ActiveFile, Lake
from dataflow.lake.lease import alive, read_state
from dataflow.lake.naming import unit_id_of
from dataflow.lake.state import PipelineState, StageState
from dataflow.model import Frozen, reading_order
from dataflow.plan import StagePlan
from dataflow.workflow import Stage, Workflow

State = Literal["fresh", "stale", "waits", "follows", "damaged", "unknown"]
"""``waits``: for its trigger, or for inputs that have no rows yet. ``follows``: an input is stale, and what changes there
will tell. ``unknown``: it cannot be told, as a source cannot be listed or an input is damaged."""


class PartitionStatus(Frozen):
    """One unit of a table: a partition, a landed file, or all of it."""

    label: str
    state: Literal["fresh", "stale", "new", "gone", "follows", "unknown"]
    """``new``: not published yet. ``gone``: it leaves the table with the next batch."""
    why: str = ""
    rows: int = 0
    size_bytes: int = 0
    batch_id: str | None = None


class TableStatus(Frozen):
    """One stage's table."""

    table: str
    kind: Literal["source", "task"]
    state: State
    why: str
    version: int | None = None
    """None where there is no table yet, or it cannot be read."""
    batch_id: str | None = None
    published_at: datetime | None = None
    rows: int = 0
    size_bytes: int = 0
    quarantined: int = 0
    """Rows in the table's quarantine."""
    position: dict[str, Any] | None = None
    """How far a source has been read."""
    event_time: datetime | None = None
    """The watermark in event time: what is older than it, and comes now, is late."""
    epoch: int = 0
    partitions: tuple[PartitionStatus, ...] = ()

    @property
    def stale(self) -> tuple[PartitionStatus, ...]:
        """The partitions that the next run has to do with."""
        return tuple(p for p in self.partitions if p.state in ("stale", "new", "gone"))


class HolderStatus(Frozen):
    """Who holds the lease."""

    run_id: str
    host: str
    process_id: int
    beat_at: datetime
    alive: bool
    """A holder that is not has died; the next run takes the lease over."""


class PendingStatus(Frozen):
    """A batch that was begun and is not finished."""

    batch_id: str
    stage: str
    tables: tuple[str, ...]


class Status(Frozen):
    """How the tables of a workflow stand."""

    pipeline: str
    lake: str
    tables: tuple[TableStatus, ...]
    holder: HolderStatus | None = None
    """None where nobody holds the lease."""
    pending: tuple[PendingStatus, ...] = ()
    unswept: tuple[str, ...] = ()
    """Runs that may have left staged files behind; the next one sweeps them."""
    release: dict[str, int] = {}
    """The versions that the last whole run published together."""
    damage: tuple[str, ...] = ()
    """What is broken, in words."""

    @property
    def exit_code(self) -> int:
        return 1 if self.damage else 0


def status_of(workflow: Workflow, lake: Lake, selected: Collection[str]) -> Status:
    """How the selected tables stand.

    Errors: LakeError where the journal cannot be read, or a table is another pipeline's.
    """
    state = read_state(lake, workflow.name)
    check_owner(lake, workflow, state)
    damage = damaged(lake, workflow)
    look = _Look(workflow, lake, state, damage)
    tables = tuple(look.table(stage) for name, stage in workflow.stages.items() if name in selected)
    return Status(
        pipeline=workflow.name,
        lake=lake.uri,
        tables=tables,
        holder=_holder(state),
        pending=tuple(
            PendingStatus(batch_id=i.batch_id, stage=i.stage, tables=tuple(c.table for c in i.changes))
            for i in state.intents.values()
        ),
        unswept=state.unswept,
        release=state.release,
        damage=tuple(found.said for found in damage),
    )


def _holder(state: PipelineState) -> HolderStatus | None:
    lease = state.lease
    if lease is None or lease.released:
        return None
    return HolderStatus(
        run_id=lease.run_id,
        host=lease.host,
        process_id=lease.process_id,
        beat_at=lease.beat_at,
        alive=alive(lease),
    )


class _Look:
    """Looks at one table after the other, in the order of the workflow."""

    def __init__(self, workflow: Workflow, lake: Lake, state: PipelineState, damage: Sequence[Damage]) -> None:
        self.lake = lake
        self.state = state
        self.broken = {found.table: found.said for found in damage}
        self.planning = Planning(workflow, lake, state, new_run_id(), full=False, without=self.broken)
        self.marks = watermarks(workflow, state, lake)
        self.moving: set[str] = set()
        """Stages whose tables the next run may change."""

    def table(self, stage: Stage) -> TableStatus:
        known = self.state.stage(stage.name)
        mark: Mapping[str, Any] = self.marks.get(stage.name, {})
        files, version = self._files(stage.name)
        state, why, plan = self._freshness(stage)
        if state in ("stale", "follows"):
            self.moving.add(stage.name)
        return TableStatus(
            table=stage.name,
            kind=stage.kind,
            state=state,
            why="; ".join([why, *conditions(stage)]),
            version=version,
            batch_id=known.batch_id,
            published_at=known.published_at,
            rows=sum(f.rows for f in files),
            size_bytes=sum(f.size_bytes for f in files),
            quarantined=self._quarantined(stage.name),
            position=mark.get("position"),
            event_time=known.late_steps[-1].watermark if known.late_steps else mark.get("event_time"),
            epoch=known.epoch,
            partitions=tuple(_partitions(known, files, plan, "follows" if state == "follows" else "unknown")),
        )

    def _freshness(self, stage: Stage) -> tuple[State, str, StagePlan | None]:
        if stage.name in self.broken:
            return "damaged", self.broken[stage.name], None
        if lost := next((name for name in stage.inputs if name in self.broken), None):
            return "unknown", self.broken[lost], None
        if upstream := [name for name in stage.inputs if name in self.moving]:
            why = f"after {', '.join(upstream)}: what changes there tells which partitions are stale"
            return "follows", why, None
        try:
            plan = self.planning.plan(stage)
        except DataFlowError as error:
            return "unknown", str(error), None
        if plan.action == "run":
            return "stale", plan.reason, plan
        if stage.kind == "source" and not plan.units and self.planning.snapshot(stage.name) is None:
            # A source that has to be asked was not asked here.
            return "stale", "nothing of it is landed yet", plan
        nothing_to_read = any(self.planning.snapshot(name) is None for name in stage.inputs)
        return ("waits" if plan.action == "wait" or nothing_to_read else "fresh"), plan.reason, plan

    def _files(self, table: str) -> tuple[tuple[ActiveFile, ...], int | None]:
        try:
            snapshot = self.planning.snapshot(table)
        except LakeError:
            return (), None
        return ((), None) if snapshot is None else (snapshot.files, snapshot.version.version)

    def _quarantined(self, stage: str) -> int:
        try:
            head = self.lake.head(side_table(stage, "quarantine"))
            return 0 if head is None else self.lake.snapshot(head).rows
        except LakeError:
            return 0


def _partitions(
    known: StageState, files: Sequence[ActiveFile], plan: StagePlan | None, unplanned: Literal["follows", "unknown"]
) -> list[PartitionStatus]:
    """Published units and those that the plan adds to them, as people count them."""
    sizes = _sizes(files)
    stale = {unit.unit.id for unit in plan.units} if plan else set[str]()
    gone = {unit.id for unit in plan.dropped} if plan else set[str]()
    found = [
        PartitionStatus(
            label=unit.unit.label,
            state="gone" if id in gone else "stale" if id in stale or not unit.key else "fresh" if plan else unplanned,
            why=unit.reason,
            rows=sizes.get(id, (0, 0))[0],
            size_bytes=sizes.get(id, (0, 0))[1],
            batch_id=unit.batch_id,
        )
        for id, unit in known.units.items()
    ]
    fresh = [unit for unit in plan.units if unit.unit.id not in known.units] if plan else []
    new = [PartitionStatus(label=unit.unit.label, state="new") for unit in fresh]
    return sorted([*found, *new], key=lambda part: reading_order(part.label))


def _sizes(files: Sequence[ActiveFile]) -> dict[str, tuple[int, int]]:
    """Rows and bytes by unit; of files that another program rearranged the unit can no more be told."""
    sizes: dict[str, tuple[int, int]] = {}
    for file in files:
        if (unit := unit_id_of(file.path)) is not None:
            rows, size = sizes.get(unit, (0, 0))
            sizes[unit] = rows + file.rows, size + file.size_bytes
    return sizes
