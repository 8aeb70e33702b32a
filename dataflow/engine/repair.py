"""Puts in order what an interrupted run has left, before anything new is planned."""

from __future__ import annotations

from datetime import UTC, datetime

from dataflow.engine.job import SIDE_TABLES, StageJob, side_table
from dataflow.engine.publish import roll_forward
from dataflow.engine.seams import Seam, reach
from dataflow.errors import LakeError
from dataflow.lake import manifests as manifest_store
from dataflow.lake.commit import owner_of
from dataflow.lake.lake import Lake
from dataflow.lake.lease import HeldLease
from dataflow.lake.staging import sweep
from dataflow.lake.state import Outputs, PipelineState
from dataflow.workflow import Workflow


def repair(lake: Lake, workflow: Workflow, lease: HeldLease) -> tuple[str, ...]:
    """Finish begun publications and sweep staged files that nothing names; says what was done.

    Errors: LakeError where a table of the lake is another pipeline's.
    """
    check_owner(lake, workflow, lease.state)
    done = roll_forward(lake, lease)
    if lease.state.unswept:
        stages = sorted({*workflow.stages, *lease.state.stages})
        tables = [t for s in stages for t in (s, *(side_table(s, what) for what in SIDE_TABLES))]
        kept = {(f.table, f.path) for m in manifest_store.kept(lake, stages) for f in m.files}

        def keep(table: str) -> set[str]:
            head = lake.head(table)
            active = {f.path for f in lake.snapshot(head).files} if head else set[str]()
            return active | {path for t, path in kept if t == table}

        swept = sweep(lake, tables, lease.state.unswept, keep)
        lease.record("swept", Outputs(outputs=()))
        if swept:
            done.append(f"{swept} files that an interrupted run had staged were swept")
    reach(Seam.SWEPT)
    return tuple(done)


def check_owner(lake: Lake, workflow: Workflow, state: PipelineState) -> None:
    """Errors: LakeError where a table that the workflow would write is not its own."""
    for table in sorted({*workflow.stages} - state.tables):
        if not lake.exists(table):
            continue
        owner = owner_of(lake.open(table))
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
    named: dict[str, set[str]] = {}
    for manifest in manifest_store.kept(job.lake, [job.stage.name]):
        age = datetime.now(UTC) - manifest.staged_at
        expired = job.stage.cache.expires_after is not None and age > job.stage.cache.expires_after
        if manifest.key in wanted and manifest.batch_id == job.plan.batch_id and not expired:
            continue
        # Of a batch that was published, or of one that never will be: then nothing names its files.
        for file in manifest.files:
            if file.table not in named:
                named[file.table] = job.lake.logged(file.table)
            if file.path not in named[file.table]:
                job.lake.fs.rm_file(job.lake.path(file.table, file.path))
        manifest_store.remove(job.lake, manifest)
