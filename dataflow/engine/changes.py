"""What a batch does to its tables: which staged files come, and which files go for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from dataflow.engine.job import LEDGERS, SIDE_TABLES, StageJob, side_table
from dataflow.errors import SchemaConflict
from dataflow.lake.commit import TableChange
from dataflow.lake.lake import Snapshot
from dataflow.lake.replacement import Replacement, replacement
from dataflow.lake.schema import from_json, to_delta
from dataflow.model import Deletion, DeletionVector, Manifest


def table_changes(job: StageJob, manifests: Sequence[Manifest]) -> Iterable[TableChange]:
    """What the batch does to each table: its own last, ledgers first, so that no row is ever missing from all of them."""
    # Most stages have few of them, and what is staged for one has made its folder.
    there, sides = job.lake.folders(), (side_table(job.stage.name, what) for what in (*LEDGERS, *SIDE_TABLES))
    for table in (side for side in sides if side in there):
        if (change := _change(job, manifests, table, ())) and (change.adds or change.removes or change.deletes):
            yield change
    if change := _change(job, manifests, job.stage.name, job.stage.storage.partition_by):
        yield change


def _change(
    job: StageJob, manifests: Sequence[Manifest], table: str, partition_by: tuple[str, ...]
) -> TableChange | None:
    head = job.lake.head(table)
    snapshot = job.lake.snapshot(head) if head else None
    goes = outgoing(job, manifests, snapshot) if snapshot else Replacement(removes=(), truncate=False)
    schema = staged_schema(job, manifests, table) or (snapshot and to_delta(snapshot.schema).to_json())
    if schema is None:
        return None
    if snapshot is not None:
        check_fits(snapshot, from_json(schema), partition_by, truncate=goes.truncate)
    deletes, seen = dying(manifests, snapshot, goes)
    return TableChange(
        table=table,
        app=f"{job.stage.name}@{job.plan.epoch}",
        seq=job.plan.seq,
        batch_id=job.plan.batch_id,
        pipeline=job.pipeline,
        table_schema=schema,
        partition_by=partition_by,
        adds=tuple(f for m in manifests for f in m.files if f.table == table),
        removes=goes.removes,
        truncate=goes.truncate,
        deletes=deletes,
        seen=seen,
    )


def dying(
    manifests: Sequence[Manifest], snapshot: Snapshot | None, goes: Replacement
) -> tuple[tuple[Deletion, ...], dict[str, DeletionVector]]:
    """The files that stay while rows of them die, and which rows of these and of the files that go were dead before."""
    if snapshot is None:
        return (), {}
    table, gone = snapshot.version.table, set(goes.removes)
    named = {path for m in manifests for path in m.removes.get(table, ())}
    deletes = tuple(d for m in manifests for d in m.deletes.get(table, ()) if d.path not in gone)
    # What a unit decided to take rows out of must be as it found it; a file that goes with its whole unit, as it is now.
    now = {f.path: f.deleted for f in snapshot.files if f.deleted and f.path in gone - named}
    return deletes, now | {path: vector for m in manifests for path, vector in m.seen.get(table, {}).items()}


def outgoing(job: StageJob, manifests: Sequence[Manifest], snapshot: Snapshot) -> Replacement:
    """The files of a table that go when the batch is published.

    Errors: LakeCorrupt where a unit's rows can no more be told from those that stay.
    """
    table = snapshot.version.table
    if table in {side_table(job.stage.name, what) for what in LEDGERS}:
        return Replacement(removes=(), truncate=False)
    staged = [] if job.plan.merges else [manifest.unit for manifest in manifests]
    replaced = {unit.id for unit in (*job.plan.dropped, *staged)}
    rewritten = [path for m in manifests for path in m.removes.get(table, ())]
    return replacement(snapshot, replaced, job.published, also=rewritten)


def check_fits(snapshot: Snapshot, schema: pl.Schema, partition_by: tuple[str, ...], *, truncate: bool) -> None:
    """Refuse what a table cannot take before anything is promised: an intent that can never be kept helps nobody."""
    table, have = snapshot.version.table, snapshot.schema
    if snapshot.partition_by != partition_by:
        raise SchemaConflict(
            f"table {table!r} is partitioned by {', '.join(snapshot.partition_by) or 'nothing'}, its stage by "
            f"{', '.join(partition_by) or 'nothing'}; a Delta table keeps its partitioning: rename the stage, or remove "
            f"{snapshot.version.uri} and run with --full",
            table=table,
        )
    changed = [f"{n!r} was {have[n]}, is {schema[n]}" for n in schema if n in have and have[n] != schema[n]]
    lost = [f"{n!r} is gone" for n in have if n not in schema]
    if (changed or lost) and not truncate:
        ledger = table.endswith(tuple(f"__{what}" for what in LEDGERS))
        out = f"keep {snapshot.version.uri} elsewhere and remove it" if ledger else "run with --full"
        raise SchemaConflict(
            f"table {table!r} cannot take what its stage now returns: {'; '.join(changed + lost)}. Nothing is published; "
            f"{out} to write the table anew",
            table=table,
        )


def staged_schema(job: StageJob, manifests: Sequence[Manifest], table: str) -> str | None:
    """The schema (JSON) that all units staged for ``table``; None where none did.

    Errors: SchemaConflict where units differ.
    """
    schemas = {m.schemas[table] for m in manifests if table in m.schemas}
    if len(schemas) > 1:
        one, other = (from_json(schema) for schema in sorted(schemas)[:2])
        differ = [c for c in (*one, *other) if one.get(c) != other.get(c)]
        types = [f"{one.get(c, 'missing')} in one and {other.get(c, 'missing')} in another" for c in differ]
        what = f"{differ[0]!r} is {types[0]}" if differ else "they come in another order"
        raise SchemaConflict(
            f"stage {job.stage.name!r}: its units return different columns or types: {what}; return the same from every call",
            stage=job.stage.name,
        )
    return next(iter(schemas), None)
