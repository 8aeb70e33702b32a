"""Tables that something outside has damaged: found, brought back, or computed again."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

from dataflow.engine.planning import Planning
from dataflow.engine.publish import fulfil, promise
from dataflow.engine.repair import repair
from dataflow.engine.run import new_run_id
from dataflow.errors import ConfigError, LakeCorrupt
from dataflow.lake.commit import TableChange, fence
from dataflow.lake.damage import broken_log_files, missing_files, more, set_aside_checkpoints, set_log_aside
from dataflow.lake.lake import ActiveFile, Lake, Snapshot
from dataflow.lake.lease import HeldLease, held, read_state
from dataflow.lake.naming import unit_id_of
from dataflow.lake.schema import to_delta
from dataflow.lake.state import Intent, StageState, Stale, UnitState
from dataflow.model import Deletion, RowCounts, StagedFile, TableVersion
from dataflow.plan import batch_id, count
from dataflow.workflow import Workflow

WAY_OUT = "bring back what is lost with flows/maintenance/table.py restore, or compute it again with its rebuild"
"""What a person can do about damage."""


@dataclass(frozen=True)
class Damage:
    """What is wrong with a table."""

    table: str
    log: tuple[str, ...] = ()
    """Files of its log that cannot be read, or are gone."""
    files: tuple[str, ...] = ()
    """Data files that are gone."""
    gone: bool = False
    """The table is not there at all, or older than what was published."""
    replaced: bool = False
    """Another table is in its place."""

    @property
    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"said": self.said}

    @property
    def said(self) -> str:
        """In words."""
        if self.gone:
            return f"table {self.table!r} is gone, or older than what was published"
        if self.replaced:
            return f"table {self.table!r} is not what was published, but another table in its place"
        what = "its log lacks" if self.log else "it lacks"
        names = [*(self.log or self.files)]
        more = f" and {count(len(names) - 1, 'other file')}" if len(names) > 1 else ""
        return f"table {self.table!r} is damaged: {what} {names[0]}{more}"


def damage_of(lake: Lake, table: str, published: TableVersion | None) -> Damage | None:
    """What is wrong with ``table``, of which version ``published`` is known; None for a whole one."""
    if broken := broken_log_files(lake.fs, lake.path(table)):
        return Damage(table, log=broken)
    head = lake.head(table)
    if head is not None and published is not None and not head.is_of(published):
        return Damage(table, replaced=True)
    if head is None or published is None or head.version < published.version:
        return Damage(table, gone=True) if published is not None else None
    lost = missing_files(lake, lake.snapshot(head))
    return Damage(table, files=lost) if lost else None


def damaged(lake: Lake, workflow: Workflow) -> tuple[Damage, ...]:
    """What is wrong with the tables that the workflow has published."""
    state = read_state(lake, workflow.name)
    outputs = [output for stage in workflow.stages for output in state.stage(stage).outputs]
    return tuple(found for output in outputs if (found := damage_of(lake, output.table, output)))


def mark_rebuilt(lake: Lake, workflow: Workflow, stage: str) -> tuple[str, ...]:
    """Mark the units of a damaged stage whose rows are lost, so that the next run computes them again; says what it did.

    Errors: ConfigError where the stage was never published; LakeCorrupt where a source no longer has what is lost.
    """
    with _mending(lake, workflow, stage) as lease:
        return _mark_rebuilt(lake, workflow, stage, lease)


def restore(lake: Lake, workflow: Workflow, stage: str, version: int | None) -> tuple[str, ...]:
    """Set aside broken checkpoints; with ``version``, bring the stage's table back to it, as a batch like any other.

    What was published after that version is computed again by the next run, so that the table and those that follow
    from it come to what their inputs say. Says what was done.
    Errors: ConfigError where there is no such version; LakeCorrupt where its files are gone.
    """
    with _mending(lake, workflow, stage) as lease:
        return _restore(lake, workflow, stage, version, lease)


@contextmanager
def _mending(lake: Lake, workflow: Workflow, stage: str) -> Generator[HeldLease]:
    if stage not in workflow.stages:
        raise ConfigError.unknown("stage", stage, workflow.stages)
    # Looked at before the lease is asked for, which would begin a lake where a name is mistyped.
    state = read_state(lake, workflow.name)
    if not state.stage(stage).seq and not state.intents:
        raise ConfigError(
            f"stage {stage!r} was never published in {lake.uri}, so there is nothing to mend", stage=stage
        )
    broken = {t for t in state.tables if broken_log_files(lake.fs, lake.path(t))} if state.is_held else set[str]()
    seconds = workflow.run.lease_seconds
    with held(lake, workflow.name, new_run_id(), ttl_seconds=seconds, broken=broken) as lease:
        yield lease


def _set_aside(lake: Lake, tables: Iterable[str], lease: HeldLease) -> list[str]:
    """Set broken checkpoints of tables aside; says which."""
    done: list[str] = []
    for table in tables:
        names = set_aside_checkpoints(lake.fs, lake.path(table))
        done += [f"{name} of {table} set aside" for name in names]
        if names and lease.took_over and not broken_log_files(lake.fs, lake.path(table)):
            # When the lease was taken it could not be read, so whoever had the lease before may still write to it.
            fence(lake, [table], lease.lock)
    return done


def _mark_rebuilt(lake: Lake, workflow: Workflow, stage: str, lease: HeldLease) -> tuple[str, ...]:
    state = lease.state.stage(stage)
    tables = {output.table: output for output in state.outputs}
    if stage not in tables:
        raise ConfigError(f"stage {stage!r}: it was never published, so there is nothing to rebuild", stage=stage)
    done = _set_aside(lake, tables, lease)
    found = [damage for table, published in tables.items() if (damage := damage_of(lake, table, published))]
    again: set[str] = set()
    for damage in found:
        lost = {unit_id_of(path) for path in damage.files}
        again |= {i for i in lost if i in state.units} if damage.files and None not in lost else set(state.units)
        done.append(damage.said)
    if again:
        _check_deliverable(workflow, lake, stage, lease, [state.units[i] for i in again])
        lease.record("stale", Stale(stage=stage, units=tuple(sorted(again)), reason="rebuild"), stage=stage)
        done.append(f"{count(len(again), 'unit')} of {stage} to be computed again")
    # Once the entry says what is lost: a table without a log looks like one that was never written.
    broken = [damage.table for damage in found if damage.log or damage.replaced]
    done += [f"the log of {table} set aside as {set_log_aside(lake.fs, lake.path(table))}" for table in broken]
    return tuple(done)


def _check_deliverable(
    workflow: Workflow, lake: Lake, stage: str, lease: HeldLease, units: Sequence[UnitState]
) -> None:
    """Errors: LakeCorrupt where a source no longer lists what the lost rows came from."""
    declared = workflow.stages[stage]
    if declared.kind != "source":
        return
    planning = Planning(workflow, lake, lease.state, lease.run_id, full=True, without=workflow.stages)
    there = {item.name for item in planning.source(declared).items()}
    gone = sorted(str(value) for u in units for _, value in u.unit.partition if value not in there)
    if gone:
        raise LakeCorrupt(
            f"stage {stage!r}: {count(len(gone), 'file')} whose rows are lost ({gone[0]}) can no more be read from the source, so "
            f"the table cannot be computed again; put them back, or restore the lake's data files from a backup",
            stage=stage,
            files=gone,
        )


def _restore(lake: Lake, workflow: Workflow, stage: str, version: int | None, lease: HeldLease) -> tuple[str, ...]:
    tables = {stage, *(output.table for output in lease.state.stage(stage).outputs)}
    done = _set_aside(lake, sorted(tables), lease)
    if version is None:
        return tuple(done)
    done += repair(lake, workflow, lease)
    state = lease.refresh().stage(stage)
    if not state.seq:
        raise ConfigError(f"stage {stage!r}: it was never published, so there is no version to go back to", stage=stage)
    head = lake.head(stage)
    assert head is not None
    if next((o for o in state.outputs if o.table == stage and not o.is_of(head)), None):
        raise LakeCorrupt(f"{Damage(stage, replaced=True).said}; compute it again with rebuild", table=stage)
    if not 0 <= version < head.version:
        raise ConfigError(
            f"--version {version}: table {stage!r} is at version {head.version}; name an earlier one", stage=stage
        )
    before, now = lake.snapshot(TableVersion(table=stage, uri=head.uri, version=version)), lake.snapshot(head)
    if lost := missing_files(lake, before):
        raise LakeCorrupt(
            f"table {stage!r}: version {version} lacks {lost[0]}, which is gone{more(lost)}; name another version, or "
            f"compute the table again with flows/maintenance/table.py rebuild",
            table=stage,
            files=lost,
        )
    intent = _back_to(lake, workflow, state, before, now, stage)
    promise(intent, lease)
    fulfil(lake, intent, lease)
    again = {unit.unit.id for unit in (*state.stale, *intent.units)}
    done.append(f"{stage} is as it was at version {version}; {count(len(again), 'unit')} to be computed again")
    return tuple(done)


def _back_to(lake: Lake, workflow: Workflow, state: StageState, before: Snapshot, now: Snapshot, stage: str) -> Intent:
    seq = state.seq + 1
    name = batch_id(stage, state.epoch, seq)
    kept = lake.batches(stage, before.version.version)
    stats = lake.statistics(before.version)
    was, is_now = ({(f.path, f.deleted): f for f in s.files} for s in (before, now))
    # Units that are no more stay away: what they came from is gone.
    back = [f for key, f in was.items() if key not in is_now and unit_id_of(f.path) in {*state.units, None}]
    goes = [f for key, f in is_now.items() if key not in was]
    change = TableChange(
        table=stage,
        app=f"{stage}@{state.epoch}",
        seq=seq,
        batch_id=name,
        pipeline=workflow.name,
        table_schema=to_delta(now.schema).to_json(),
        partition_by=now.partition_by,
        adds=tuple(_as_staged(stage, f, stats) for f in back),
        removes=tuple(f.path for f in goes),
        deletes=tuple(Deletion(path=f.path, vector=f.deleted) for f in back if f.deleted),
        seen={f.path: f.deleted for f in goes if f.deleted},
    )
    # Those that the table has kept stay as the journal knows them.
    units = [u.model_copy(update={"key": ""}) for u in state.units.values() if u.batch_id not in kept]
    return Intent(
        stage=stage,
        batch_id=name,
        epoch=state.epoch,
        seq=seq,
        changes=(change,),
        units=tuple(units),
        inputs=state.inputs,
        fingerprint=state.fingerprint,
        counts=RowCounts(),
        event_time_max=state.event_time_max,
        late_steps=state.late_steps[-1:],
    )


def _as_staged(table: str, file: ActiveFile, stats: Mapping[str, str]) -> StagedFile:
    return StagedFile(
        table=table,
        path=file.path,
        role="carried",
        rows=file.rows,
        size_bytes=file.size_bytes,
        partition=dict(file.partition),
        stats=stats[file.path],
    )
