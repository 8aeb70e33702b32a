"""One commit per table and batch, exactly once, by the holder of the lease alone.

The rules (Source: ARCHITECTURE, "Commits that cannot go wrong"): load a handle, look
in it whether the batch is there already and whether the lease is still ours, and commit
through that very handle, so that whatever came in between is a conflict and not a
silent overwrite.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from deltalake import CommitProperties, DeltaTable, Schema, TableFeatures, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from dataflow.errors import CommitConflict, LakeCorrupt, SchemaConflict
from dataflow.lake.deletion_vectors import read_vectors
from dataflow.lake.errors import storage_errors
from dataflow.lake.filesystem import sizes_of
from dataflow.lake.lake import Lake
from dataflow.lake.lock import Lock
from dataflow.lake.marking import CHECKPOINTED, commit_marked
from dataflow.lake.owner import owner_text
from dataflow.lake.schema import from_delta
from dataflow.lake.seams import Seam, reach
from dataflow.lake.snapshot import ActiveFile, version_of
from dataflow.model import Deletion, DeletionVector, Frozen, StagedFile, TableVersion

_ATTEMPTS = 5
T = TypeVar("T")


class TableChange(Frozen):
    """What a batch does to one table."""

    table: str
    app: str
    """Stage and epoch: the application whose transactions count the stage's batches."""
    seq: int
    after: int | None = None
    """The transaction that ``seq`` follows, where any other one before it would be a conflict."""
    batch_id: str
    pipeline: str
    table_schema: str
    partition_by: tuple[str, ...] = ()
    adds: tuple[StagedFile, ...] = ()
    removes: tuple[str, ...] = ()
    """Paths of the active files that go."""
    truncate: bool = False
    """``removes`` are all active files; the schema may become any other."""
    deletes: tuple[Deletion, ...] = ()
    """Active files of which rows die, and files of ``adds`` that come back with dead rows."""
    seen: dict[str, DeletionVector] = {}
    """The dead rows that files of ``removes`` and ``deletes`` had when the batch was made, by path."""
    marks: dict[str, str] = {}
    """How far the stage is with it, for whoever reads the commit: epoch, position, watermark."""

    @property
    def told(self) -> dict[str, str]:
        """What the commit says of itself in the table's history."""
        return {**self.marks, "dataflow_batch": self.batch_id, "dataflow_pipeline": self.pipeline}


def publish_change(lake: Lake, change: TableChange, lock: Lock) -> TableVersion:
    """Commit ``change`` unless it is committed already, and return the version that holds it.

    Errors: LeaseLost, CommitConflict, SchemaConflict, LakeCorrupt.
    """
    return _persistently(lake.table_uri(change.table), lambda: _commit(lake, change, lock))


def _persistently(uri: str, commit: Callable[[], T]) -> T:
    """Try again after a conflict: each round looks anew whether the batch is there, the lease ours and the files active."""
    for attempt in range(_ATTEMPTS - 1):
        try:
            with storage_errors(uri):
                return commit()
        except CommitConflict:
            time.sleep(0.05 * 2**attempt)
    with storage_errors(uri):
        return commit()


def _commit(lake: Lake, change: TableChange, lock: Lock) -> TableVersion:
    with lake.newest(change.table) as handle:
        if handle is not None:
            known = version_of(handle, change.table, lake.table_uri(change.table))
            return known.model_copy(update={"version": _commit_to(lake, handle, change, lock)})
        _check_staged(lake, change)
        _create(lake, change, lock)
    # Opened here, it is open for whoever reads it next.
    with lake.newest(change.table) as handle:
        assert handle is not None
        return version_of(handle, change.table, lake.table_uri(change.table)).model_copy(update={"version": 0})


def _commit_to(lake: Lake, handle: DeltaTable, change: TableChange, lock: Lock) -> int:
    lock.hold(handle)
    if (handle.transaction_version(change.app) or 0) >= change.seq:
        return _version_of(lake, handle.version(), change)
    if change.after is not None and (handle.transaction_version(change.app) or 0) != change.after:
        raise CommitConflict(f"{handle.table_uri}: another run published in between; run again", table=change.table)
    _check_staged(lake, change)
    _check_partitioning(handle, change)
    schema = Schema.from_json(change.table_schema)
    if _is_prepared(handle, change, schema, lock):
        # Whatever has come in between, a run that took the lease over among it: what was looked up above is old.
        return _commit_to(lake, lake.open(change.table), change, lock)
    replaced = _replaced(lake, handle, change)
    if change.deletes or (any(file.deleted for file in replaced) and not change.truncate):
        return commit_marked(lake, handle, change, replaced, lock)
    now, base = int(time.time() * 1000), handle.version()
    removes = [RemoveAction(f.path, True, now, f.size_bytes, dict(f.partition)) for f in replaced]
    handle.create_write_transaction(
        [*map(_add, change.adds), *([] if change.truncate else removes)],
        "overwrite" if change.truncate else "append",
        schema if change.truncate else handle.schema(),
        list(change.partition_by) or None,
        commit_properties=_properties(change, lock),
    )
    # Not the handle's: it may know what others have committed since.
    return base + 1


def _create(lake: Lake, change: TableChange, lock: Lock) -> None:
    try:
        create_table_with_add_actions(
            lake.table_uri(change.table),
            Schema.from_json(change.table_schema),
            [_add(file) for file in change.adds],
            mode="error",
            partition_by=list(change.partition_by),
            name=change.table,
            description=owner_text(change.pipeline),
            configuration=CHECKPOINTED,
            storage_options=lake.storage_options or None,
            commit_properties=_properties(change, lock),
        )
    except DeltaError as error:
        if lake.exists(change.table):
            raise CommitConflict(
                f"{lake.table_uri(change.table)}: created by another writer at the same moment; run again",
                table=change.table,
            ) from error
        raise


def _properties(change: TableChange, lock: Lock) -> CommitProperties:
    return CommitProperties(
        custom_metadata=change.told,
        max_commit_retries=0,
        app_transactions=[Transaction(change.app, change.seq), lock.transaction],
    )


def _step(lock: Lock) -> CommitProperties:
    """A commit on the way to the batch's own."""
    return CommitProperties(app_transactions=[lock.transaction], max_commit_retries=0)


def _check_partitioning(handle: DeltaTable, change: TableChange) -> None:
    found = tuple(handle.metadata().partition_columns)
    if found != change.partition_by:
        raise SchemaConflict(
            f"table {change.table!r} is partitioned by {', '.join(found) or 'nothing'}, its stage by {', '.join(change.partition_by) or 'nothing'}; "
            f"a Delta table keeps its partitioning: rename the stage, or remove {handle.table_uri} and run with --full",
            table=change.table,
        )


def _is_prepared(handle: DeltaTable, change: TableChange, schema: Schema, lock: Lock) -> bool:
    """Make the table such that it can take the batch; whether that took a commit."""
    if not change.truncate:
        return _is_widened(handle, change, schema, lock)
    if not _is_missing_local_times(handle, schema):
        return False
    # An overwrite would take such columns over without the feature, and leave a table that nobody can read.
    handle.alter.add_feature(
        TableFeatures.TimestampWithoutTimezone, allow_protocol_versions_increase=True, commit_properties=_step(lock)
    )
    return True


def _is_missing_local_times(handle: DeltaTable, schema: Schema) -> bool:
    features = handle.protocol().writer_features or []
    return "timestamp_ntz" in schema.to_json() and "timestampNtz" not in features


def _check_staged(lake: Lake, change: TableChange) -> None:
    """Delta does not look whether the files that a commit adds exist; a reader would fail later."""
    places = [lake.path(change.table, file.path) for file in change.adds]
    for file, path, size in zip(change.adds, places, sizes_of(lake.fs, places), strict=True):
        if size != file.size_bytes:
            raise LakeCorrupt(
                f"{path}: a file staged for batch {change.batch_id} is gone or was changed; nothing of the batch is published in {change.table!r}. Run again",
                table=change.table,
                path=file.path,
            )
    read_vectors(lake.fs, lake.path(change.table), (delete.vector for delete in change.deletes))


def _add(file: StagedFile) -> AddAction:
    return AddAction(file.path, file.size_bytes, file.partition, int(time.time() * 1000), True, file.stats)


def _replaced(lake: Lake, handle: DeltaTable, change: TableChange) -> list[ActiveFile]:
    """The files that go, which must be as they were when the batch was made; so must those of which rows die."""
    if not (change.removes or change.truncate or change.deletes):
        return []
    active = {file.path: file for file in lake.loaded(handle, change.table).files}
    staged = {file.path for file in change.adds}
    touched = [*change.removes, *(delete.path for delete in change.deletes if delete.path not in staged)]
    gone = [path for path in touched if path not in active or active[path].deleted != change.seen.get(path)]
    if gone:
        raise CommitConflict(
            f"{handle.table_uri}: another program replaced {len(gone)} files that batch {change.batch_id} replaces ({gone[0]}, ...); run again",
            table=change.table,
        )
    unseen = sorted(active.keys() - set(change.removes)) if change.truncate else []
    if unseen:
        raise CommitConflict(
            f"{handle.table_uri}: another program added {len(unseen)} files that batch {change.batch_id} knows nothing of ({unseen[0]}, ...); run again",
            table=change.table,
        )
    return [active[path] for path in change.removes]


def _is_widened(handle: DeltaTable, change: TableChange, schema: Schema, lock: Lock) -> bool:
    """Add the columns that the table lacks, if any; any other difference is refused."""
    have, want = from_delta(handle.schema()), from_delta(schema)
    changed = [name for name in want if name in have and have[name] != want[name]]
    lost = [name for name in have if name not in want]
    if changed or lost:
        what = [f"{n!r} was {have[n]}, is {want[n]}" for n in changed] + [f"{n!r} is gone" for n in lost]
        raise SchemaConflict(
            f"table {change.table!r} cannot take batch {change.batch_id}: {'; '.join(what)}. Run with --full to write the table anew",
            table=change.table,
        )
    fresh = [field for field in schema.fields if field.name not in have]
    if not fresh:
        return False
    handle.alter.add_columns(fresh, commit_properties=_step(lock))
    reach(Seam.SCHEMA_WIDENED, change.table)
    return True


def _version_of(lake: Lake, newest: int, change: TableChange) -> int:
    found = (version for version, batch in lake.log(change.table).batches(newest) if batch == change.batch_id)
    return next(found, newest)


def fence(lake: Lake, tables: Iterable[str], lock: Lock) -> None:
    """Make every commit of an earlier lease's holder a conflict, by an empty commit under the lock.

    Errors: LeaseLost where a later lease has fenced already.
    """
    for table in tables:
        # The writer that is fenced out may commit while we do: then once more.
        if _persistently(lake.table_uri(table), lambda table=table: _fence(lake, table, lock)):
            reach(Seam.TABLE_FENCED, table)


def _fence(lake: Lake, table: str, lock: Lock) -> bool:
    with lake.newest(table) as handle:
        if handle is None:
            return False
        lock.hold(handle)
        if handle.transaction_version(lock.app) != lock.number:
            handle.create_write_transaction(
                [],
                "append",
                handle.schema(),
                list(handle.metadata().partition_columns) or None,
                commit_properties=_step(lock),
            )
    return True
