"""Which partitions of a computed stage are stale, or what of its inputs is new to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dataflow.errors import PlanError
from dataflow.incremental.tables import TableDiff, diff
from dataflow.lake.lake import ActiveFile, Lake, Partition, Snapshot
from dataflow.lake.state import PipelineState, StageState, UnitState
from dataflow.model import How, TableVersion, Unit, digest
from dataflow.plan.fingerprint import stage_fingerprint
from dataflow.plan.increments import Choosing, Proof, check_declared
from dataflow.plan.units import Increment, PlannedUnit, StagePlan, count
from dataflow.workflow import Stage

Changes = Mapping[str, TableDiff]


def plan_task(
    stage: Stage,
    inputs: Mapping[str, Snapshot],
    lake: Lake,
    state: PipelineState,
    *,
    full: bool,
    prove: Callable[[], Proof],
) -> StagePlan:
    """One unit per partition, or one for the whole stage: those whose inputs or code changed are stale.

    The unit of a whole stage works off an increment where one is declared, or proven to be safe.
    Errors: PlanError where the declared partitioning is not that of the stage's first input, or the declared
    increments are not those of its function.
    """
    planning = _Task(stage, inputs, lake, state.stage(stage.name), stage_fingerprint(stage), full, prove)
    check_declared(stage, prove)
    return planning.by_partition() if stage.partition_by else planning.whole()


def sliced_inputs(stage: Stage, inputs: Mapping[str, Snapshot]) -> list[str]:
    """The inputs of which a unit reads its own partition only; it reads the others whole.

    Errors: PlanError where the stage's first input is not partitioned as the stage is.
    """
    if not stage.partition_by:
        return list(inputs)
    sliced = [name for name, snapshot in inputs.items() if set(stage.partition_by) <= set(snapshot.partition_by)]
    first = stage.inputs[0]
    if first not in sliced:
        raise PlanError(
            f"stage {stage.name!r} runs by {', '.join(stage.partition_by)}, but its first input {first!r} is partitioned by "
            f"{', '.join(inputs[first].partition_by) or 'nothing'}; give {first!r} `storage: {{partition_by: [{', '.join(stage.partition_by)}]}}`, "
            f"or take `partition_by` off {stage.name!r} to run it whole",
            stage=stage.name,
        )
    return sliced


_LARGE = 10
"""A change of one row in so many is taken for one to all, where it touches every partition."""


@dataclass(frozen=True)
class _Task:
    stage: Stage
    inputs: Mapping[str, Snapshot]
    lake: Lake
    before: StageState
    fingerprint: str
    full: bool
    prove: Callable[[], Proof]

    def whole(self) -> StagePlan:
        """One unit, in full or by an increment."""
        unit = Unit(stage=self.stage.name, partition=())
        why, increment = self._why_in_full(self.before.units.get(unit.id)), None
        how = How(kind="full", why=why)
        if not why:
            changes = self._changes()
            if isinstance(changes, str):
                why, how = changes, How(kind="full", why=changes)
            else:
                changed = {name: found for name, found in changes.items() if found.changed}
                if not changed:
                    return self._unchanged(1)
                how, increment = Choosing(self.stage, self.lake, changed, self.prove).choose()
                if increment is not None and self._touches_all(increment):
                    why = "what changed touches every partition of what it reads: slices would spare nothing"
                    how, increment = How(kind="full", why=why), None
                why = "; ".join(map(_told, changed.values()))
        return self._plan(why, how, [self._whole_unit(unit, increment)], 0)

    def _touches_all(self, increment: Increment) -> bool:
        """Whether proven slices come to all partitions of the first input, by a change that is not a small one."""
        first = self.stage.inputs[0]
        change, snapshot = increment.diffs.get(first), self.inputs[first]
        by = [cut.of(first) for cut in increment.cuts if cut.of(first) in snapshot.partition_by]
        declared = self.stage.incremental is not None or self.stage.strategy is not None
        if declared or change is None or not by:
            return False
        is_large = (change.rows_came + change.rows_left) * _LARGE >= snapshot.rows
        return is_large and change.touched(by) == set(snapshot.partitions(by))

    def by_partition(self) -> StagePlan:
        """The units of touched partitions."""
        sliced = sliced_inputs(self.stage, self.inputs)
        by = self.stage.partition_by
        partitions = sorted({p for name in sliced for p in self.inputs[name].partitions(by)}, key=str)
        units = [Unit(stage=self.stage.name, partition=tuple(zip(by, p, strict=True))) for p in partitions]
        why = self._why_in_full(None)
        touched, why = (None, why) if why else self._touched(sliced)
        stale = [
            u for u in units if touched is None or self._is_stale(u) or tuple(v for _, v in u.partition) in touched
        ]
        if not (why or stale or self._dropped(units)):
            return self._unchanged(len(units))
        told = why or f"{count(len(stale), 'partition')} touched or new"
        how = (
            How(kind="full", why=told) if touched is None else How(kind="partition", why=f"it runs by {', '.join(by)}")
        )
        return self._plan(told, how, self._slices(stale, sliced), len(units) - len(stale), units)

    def _plan(
        self, why: str, how: How, planned: list[PlannedUnit], fresh: int, units: Sequence[Unit] | None = None
    ) -> StagePlan:
        dropped = self._dropped([u.unit for u in planned] if units is None else units)
        wait = self._waits()
        return StagePlan(
            stage=self.stage.name,
            action="wait" if wait else "run" if planned or dropped else "skip",
            reason=wait or why,
            units=() if wait else tuple(planned),
            units_fresh=fresh,
            dropped=dropped,
            inputs=self.inputs,
            fingerprint=self.fingerprint,
            seq=self.before.seq + 1,
            epoch=self.before.epoch,
            how=how,
        )

    def _unchanged(self, units: int) -> StagePlan:
        return StagePlan(self.stage.name, "skip", "its inputs have not changed", units_fresh=units, inputs=self.inputs)

    def _dropped(self, units: Sequence[Unit]) -> tuple[Unit, ...]:
        present = {unit.id for unit in units}
        return tuple(u.unit for u in self.before.units.values() if u.unit.id not in present)

    def _is_stale(self, unit: Unit) -> bool:
        known = self.before.units.get(unit.id)
        return known is None or not known.key

    def _why_in_full(self, unit: UnitState | None) -> str:
        """Why everything is computed, whatever has changed; empty where nothing says so."""
        if self.full:
            return "asked for in full"
        if not self.before.seq:
            return "never run before"
        if self.before.fingerprint != self.fingerprint:
            return "its code, rules or settings changed"
        if self.stage.partition_by:
            return ""
        if unit is None:
            return "nothing of it is published"
        return "" if unit.key else unit.reason or "marked to be run again"

    def _changes(self) -> Changes | str:
        """What came to each input and left it since the last batch; a text that says why, where that cannot be told."""
        last = {version.table: version for version in self.before.inputs}
        found: dict[str, TableDiff] = {}
        for name, snapshot in self.inputs.items():
            read, until = last.get(name), snapshot.version.version
            if read is None or read.version > until or self._is_another(snapshot, read):
                return f"{name} is another table than the one that was read: it began again, or was replaced"
            since = read.version
            change = TableDiff(snapshot, snapshot) if since == until else diff(self.lake, name, since, until)
            if change is None or change.widened:
                return f"{name} has other columns since version {since}, or its log no longer tells what changed"
            found[name] = change
        return found

    def _is_another(self, now: Snapshot, read: TableVersion) -> bool:
        """Whether an input was made anew since it was read; of what older releases read, only the time tells."""
        if read.table_id or now.began_at is None or self.before.published_at is None:
            return not read.is_of(now.version)
        return now.began_at > self.before.published_at

    def _touched(self, sliced: Sequence[str]) -> tuple[set[Partition] | None, str]:
        """Partitions whose input changed since the last batch, None for all of them; and why, in words."""
        changes = self._changes()
        if isinstance(changes, str):
            return None, changes
        touched: set[Partition] = set()
        for name, found in changes.items():
            partitions = found.touched(self.stage.partition_by) if name in sliced else None
            if found.changed and partitions is None:
                return None, _moved(found)
            touched |= partitions or set()
        if touched and self.stage.incremental == "full":
            return None, "declared: any change is one to all of it"
        return touched, f"{count(len(touched), 'partition')} of {', '.join(sliced)} changed" if touched else ""

    def _slices(self, units: Sequence[Unit], sliced: Sequence[str]) -> list[PlannedUnit]:
        held = {name: self.inputs[name].sliced(self.stage.partition_by) for name in sliced}
        values = {unit: tuple(value for _, value in unit.partition) for unit in units}
        return [self._unit(u, {name: files.get(values[u], ()) for name, files in held.items()}) for u in units]

    def _whole_unit(self, unit: Unit, increment: Increment | None) -> PlannedUnit:
        files = {name: snapshot.files for name, snapshot in self.inputs.items()}
        if increment is None:
            return self._unit(unit, files)
        for name, change in increment.diffs.items():
            files[name] = read_by(increment, name, self.inputs[name]) if increment.cuts else change.came
        return self._unit(unit, files, increment)

    def _unit(
        self, unit: Unit, files: Mapping[str, Sequence[ActiveFile]], increment: Increment | None = None
    ) -> PlannedUnit:
        pinned = sorted(_named(snapshot.version) for snapshot in self.inputs.values())
        since = increment and sorted(map(_named, self.before.inputs))
        gone = [d.size_bytes - sum(f.size_bytes for f in d.came) for d in increment.diffs.values()] if increment else []
        return PlannedUnit(
            unit=unit,
            key=digest(unit.id, self.fingerprint, pinned, since),
            rows=sum(f.rows for f in files[self.stage.inputs[0]]),
            size_bytes=sum(f.size_bytes for chosen in files.values() for f in chosen) + sum(gone),
            increment=increment,
        )

    def _waits(self) -> str:
        if self.stage.window is None or self.before.published_at is None or self.full:
            return ""
        due = self.before.published_at + self.stage.window.trigger_interval
        return f"its trigger interval ends at {due:%Y-%m-%d %H:%M:%S} UTC" if datetime.now(UTC) < due else ""


def read_by(increment: Increment, name: str, snapshot: Snapshot) -> tuple[ActiveFile, ...]:
    """The files of an input that may hold rows of touched slices, as far as its partitions tell."""
    own = [cut.of(name) for cut in increment.cuts if name in cut.domain]
    by = [column for column in own if column in snapshot.partition_by]
    changed = increment.diffs.get(name)
    # What changed in another input touches slices whose partitions nobody has looked up yet.
    touched = changed.touched(by) if by and changed is not None and len(increment.diffs) == 1 else None
    if touched is None:
        return snapshot.files
    return tuple(f for f in snapshot.files if tuple(f.partition[column] for column in by) in touched)


def _named(version: TableVersion) -> tuple[str, str, int]:
    return version.table, version.table_id, version.version


def _moved(change: TableDiff) -> str:
    """That a table changed, in words."""
    versions = f"version {change.before.version.version} → {change.after.version.version}"
    return f"{change.after.version.table} changed ({versions})"


def _told(change: TableDiff) -> str:
    """What changed in a table, in words."""
    rows = [f"{count(change.rows_came, 'row')} came"] if change.rows_came else []
    rows += [f"{count(change.rows_left, 'row')} left"] if change.rows_left else []
    return f"{_moved(change)}: {', '.join(rows)}"
