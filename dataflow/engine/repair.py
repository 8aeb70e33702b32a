"""Puts in order what an interrupted run has left, before anything new is planned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from dataflow.engine.history import HISTORY
from dataflow.engine.job import LEDGERS, SIDE_TABLES, StageJob, side_table
from dataflow.engine.publish import roll_forward
from dataflow.errors import LakeError
from dataflow.lake import manifests as manifest_store
from dataflow.lake.lake import Lake
from dataflow.lake.lease import HeldLease
from dataflow.lake.owner import owner_of
from dataflow.lake.seams import Seam, reach
from dataflow.lake.staging import sweep
from dataflow.lake.state import Outputs, PipelineState
from dataflow.model import Manifest
from dataflow.plan import batch_id
from dataflow.workflow import Workflow


def repair(lake: Lake, workflow: Workflow, lease: HeldLease) -> tuple[str, ...]:
    """Finish begun publications and sweep staged files that nothing names; says what was done.

    Errors: LakeError where a table of the lake is another pipeline's.
    """
    check_owner(lake, workflow, lease.state)
    done = roll_forward(lake, lease)
    state = lease.refresh()
    stages = sorted({*workflow.stages, *state.stages})
    for stage in stages:
        # Of batches that are published; a run that was taken over may even have staged after that.
        following = batch_id(stage, state.stage(stage).epoch, state.stage(stage).seq + 1)
        _forget(lake, stage, lambda manifest, following=following: manifest.batch_id == following)
    if state.unswept:
        swept = sweep_runs(lake, stages, state.unswept)
        lease.record("swept", Outputs(outputs=()))
        if swept:
            done.append(f"swept what an interrupted run had staged: {swept} file{'' if swept == 1 else 's'}")
    reach(Seam.SWEPT)
    return tuple(done)


def sweep_runs(lake: Lake, stages: Sequence[str], run_ids: Sequence[str]) -> int:
    """Delete what these runs staged and neither a manifest nor a version of a table names; says how many files."""
    tables = [t for s in stages for t in (s, *(side_table(s, what) for what in (*SIDE_TABLES, *LEDGERS)))] + [*HISTORY]
    # Manifests first: what is published meanwhile is found in the logs, which are read after.
    kept = {named for m in manifest_store.kept(lake, stages) for named in manifest_store.staged_paths(m)}
    return sweep(lake, tables, run_ids, lambda table: {path for t, path in kept if t == table})


def check_owner(lake: Lake, workflow: Workflow, state: PipelineState) -> None:
    """Errors: LakeError where a table that the workflow would write is not its own."""
    for table in sorted({*workflow.stages} - state.tables):
        with lake.newest(table) as handle:
            if handle is None:
                continue
            owner = owner_of(handle)
        if owner == workflow.name:
            # Its batches would be counted from one again, and be taken for published.
            raise LakeError(
                f"lake {lake.uri}: its journal knows nothing of table {table!r}, which pipeline {owner!r} wrote; restore the lake's _journal, "
                f"or remove the pipeline's tables and run again",
                table=table,
            )
        whose = f"pipeline {owner!r}" if owner else "another program"
        raise LakeError(
            f"lake {lake.uri}: table {table!r} belongs to {whose}, not to pipeline {workflow.name!r}; name another lake with --lake, or rename the stage",
            table=table,
        )


def prune(job: StageJob) -> None:
    """Forget manifests of the stage that its plan has no use for, with the files that they name."""
    wanted = {unit.key for unit in job.plan.units}
    lasts = job.stage.cache.expires_after

    def useful(manifest: Manifest) -> bool:
        expired = lasts is not None and datetime.now(UTC) - manifest.staged_at > lasts
        # What another version of a table that rules refer to had set aside is to be looked at anew.
        as_staged = manifest.batch_id == job.plan.batch_id and manifest.references == job.reference_versions
        return manifest.key in wanted and as_staged and not expired

    _forget(job.lake, job.stage.name, useful)


def _forget(lake: Lake, stage: str, useful: Callable[[Manifest], bool]) -> None:
    """Remove manifests that are not useful, and those of their files that no version of a table names."""
    found = manifest_store.kept(lake, [stage])
    useless = [manifest for manifest in found if not useful(manifest)]
    staged = {named for manifest in useless for named in manifest_store.staged_paths(manifest)}
    for table in {table for table, _ in staged}:
        named = lake.logged(table)
        for path in {path for other, path in staged if other == table} - named:
            lake.fs.rm_file(lake.path(table, path))
    if len(useless) == len(found):
        # With those that cannot be read or used any more.
        manifest_store.clear(lake, stage)
        return
    for manifest in useless:
        manifest_store.remove(lake, manifest)
