"""The write-ahead log of a lake, a Delta table of its own: ``_journal``.

Everything that a run must not forget is an entry: who holds a pipeline's lease, which file ids
are given away, which units are to be run again, what a batch is about to do to which tables (its intent), that it was published
and at which versions. The state of a pipeline is the fold of its entries, nothing else.
"""

from __future__ import annotations

import io
import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal

import polars as pl
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions
from pydantic import ValidationError

from dataflow.errors import CommitConflict, LakeCorrupt, LakeError, LeaseLost
from dataflow.lake.commit import Lock
from dataflow.lake.errors import persistently, storage_errors
from dataflow.lake.lake import Lake
from dataflow.lake.schema import to_delta
from dataflow.lake.seams import Seam, reach
from dataflow.lake.snapshot import ActiveFile, Snapshot, snapshot_of
from dataflow.model import Frozen, TableVersion

TABLE = "_journal"
Kind = Literal[
    "lease",
    "beat",
    "files",
    "stale",
    "intent",
    "published",
    "abandoned",
    "judged",
    "release",
    "released",
    "swept",
    "checkpoint",
]
SCHEMA = pl.Schema(
    {
        "seq": pl.Int64(),
        "at": pl.Datetime("us", "UTC"),
        "kind": pl.String(),
        "pipeline": pl.String(),
        "run_id": pl.String(),
        "stage": pl.String(),
        "batch_id": pl.String(),
        "body": pl.String(),
        "archived": pl.Boolean(),
    }
)
_ARCHIVE_AFTER = 64
_LOG_KEPT = "interval 1 hours"
"""Nobody reads an older version of the journal; a log that is never cleaned makes every look into it slower."""
_ATTEMPTS = 20


class Entry(Frozen):
    """One line of the journal."""

    kind: Kind
    pipeline: str
    run_id: str
    stage: str | None = None
    batch_id: str | None = None
    body: str = "{}"
    seq: int = 0
    at: datetime = datetime(1970, 1, 1, tzinfo=UTC)


class Journal:
    """Reads and appends entries. Appends of one process go one after the other."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._one_at_a_time = threading.Lock()

    @persistently
    def entries(self, *, archived: bool = False) -> list[Entry]:
        """The entries since the last archiving, oldest first; with ``archived`` all there ever were.

        Errors: LakeCorrupt.
        """
        if not self.lake.exists(TABLE):
            return []
        snapshot = self._snapshot(self.lake.open(TABLE))
        return self._read(snapshot, [f for f in snapshot.files if archived or not _is_archived(f)])

    def _snapshot(self, handle: DeltaTable) -> Snapshot:
        return snapshot_of(handle, TableVersion(table=TABLE, uri=self.lake.table_uri(TABLE), version=handle.version()))

    def _read(self, snapshot: Snapshot, files: Sequence[ActiveFile]) -> list[Entry]:
        uri = self.lake.table_uri(TABLE)
        with storage_errors(uri):
            frame = (
                self.lake.scan_files(TABLE, [f.path for f in files], snapshot.schema)
                .collect()
                .sort("seq", maintain_order=True)
            )
        try:
            return [Entry.model_validate(row) for row in frame.drop("archived").iter_rows(named=True)]
        except ValidationError as error:
            raise LakeCorrupt(
                f"{uri}: an entry cannot be understood ({error.errors()[0]['msg']}); it was written by a newer dataflow: update this one",
                what=uri,
            ) from error

    def append(self, entry: Entry, lock: Lock, *, acquire: bool = False) -> None:
        """Write ``entry`` under the lease.

        With ``acquire`` the entry takes the lease: of several that try at once, one succeeds.
        Errors: LeaseLost where another run has taken the lease over; CommitConflict where ``acquire`` lost,
        or another pipeline's entry came in between: look again.
        """
        with self._one_at_a_time:
            attempt = 1
            while not self._appended(entry, lock, acquire, last=acquire or attempt == _ATTEMPTS):
                time.sleep(random.uniform(0, 0.02 * attempt))
                attempt += 1

    def _appended(self, entry: Entry, lock: Lock, acquire: bool, *, last: bool) -> bool:
        try:
            with storage_errors(self.lake.table_uri(TABLE)):
                self._append(entry, lock, acquire)
        except CommitConflict:
            if last:
                raise
            return False
        return True

    def _append(self, entry: Entry, lock: Lock, acquire: bool) -> None:
        handle = self.lake.open(TABLE) if self.lake.exists(TABLE) else None
        if handle is not None:
            lock.hold(handle)
            if acquire and (handle.transaction_version(lock.app) or 0) >= lock.number:
                raise CommitConflict(
                    f"lease {lock.number} of {entry.pipeline!r} was taken by another run", pipeline=entry.pipeline
                )
        stamped = entry.model_copy(
            update={"seq": 0 if handle is None else handle.version() + 1, "at": datetime.now(UTC)}
        )
        add = self._write([stamped], archived=False)
        reach(Seam.ENTRY_WRITTEN, entry.kind)
        self._settle([add], lambda: self._commit(handle, [add], lock))

    def _settle(self, written: Sequence[AddAction], commit: Callable[[], None]) -> None:
        """Commit files, or take them away again where another run's commit came in between."""
        try:
            commit()
        except (DeltaError, OSError) as error:
            # Where the storage's answer got lost, the commit is there: tried once more it is its own conflict.
            if self._holds(written):
                return
            if isinstance(error, CommitFailedError):
                self._discard(*written)
            raise

    def _holds(self, written: Sequence[AddAction]) -> bool:
        if not self.lake.exists(TABLE):
            return False
        return {add.path for add in written} <= {f.path for f in self._snapshot(self.lake.open(TABLE)).files}

    def _commit(self, handle: DeltaTable | None, actions: list[Any], lock: Lock) -> None:
        # Never retried by delta-rs: an entry's number is that of its commit, and after another pipeline's archiving
        # one with an older number would be taken for archived.
        properties = CommitProperties(max_commit_retries=0, app_transactions=[lock.transaction])
        if handle is not None:
            handle.create_write_transaction(
                actions, "append", handle.schema(), ["archived"], commit_properties=properties
            )
            return
        try:
            create_table_with_add_actions(
                self.lake.table_uri(TABLE),
                to_delta(SCHEMA),
                actions,
                mode="error",
                partition_by=["archived"],
                name=TABLE,
                configuration={"delta.logRetentionDuration": _LOG_KEPT},
                storage_options=self.lake.storage_options or None,
                commit_properties=properties,
            )
        except DeltaError as error:
            if self.lake.exists(TABLE):
                raise CommitFailedError(f"{TABLE} was created by another run at the same moment") from error
            raise

    def _write(self, entries: Sequence[Entry], *, archived: bool) -> AddAction:
        flag = "true" if archived else "false"
        frame = pl.DataFrame([{**e.model_dump(), "archived": archived} for e in entries], schema=SCHEMA)
        buffer = io.BytesIO()
        frame.write_parquet(buffer, compression="zstd", statistics=False)
        path = f"archived={flag}/{uuid.uuid4().hex}.parquet"
        data = buffer.getvalue()
        try:
            self.lake.fs.makedirs(self.lake.path(TABLE, f"archived={flag}"), exist_ok=True)
        except FileNotFoundError as error:
            raise LakeError(
                f"lake {self.lake.uri}: its folder cannot be made ({error}); name another with --lake"
            ) from error
        self.lake.fs.pipe_file(self.lake.path(TABLE, path), data)
        stats = f'{{"numRecords":{frame.height}}}'
        return AddAction(path, len(data), {"archived": flag}, int(time.time() * 1000), True, stats)

    def _discard(self, *written: AddAction) -> None:
        """Take away files of a commit that did not come about; after a crash they stay, a few hundred bytes each."""
        for add in written:
            with suppress(OSError):
                self.lake.fs.rm_file(self.lake.path(TABLE, add.path))

    def archive(self, checkpoints: Callable[[list[Entry]], Sequence[Entry]], lock: Lock) -> bool:
        """Move all entries into one archived file, but for what ``checkpoints`` makes of them (the fold of each pipeline).

        Nothing happens while there are few, or when another run appends at the same moment, or has taken the lease.
        """
        try:
            with storage_errors(self.lake.table_uri(TABLE)):
                return self._archive(checkpoints, lock)
        except (CommitConflict, LeaseLost):
            return False

    def _archive(self, checkpoints: Callable[[list[Entry]], Sequence[Entry]], lock: Lock) -> bool:
        handle = self.lake.open(TABLE)
        snapshot = self._snapshot(handle)
        small = [f for f in snapshot.files if not _is_archived(f)]
        if len(small) <= _ARCHIVE_AFTER:
            return False
        lock.hold(handle)
        old = self._read(snapshot, small)
        # Made of the very entries that go: one that came later must not be taken for part of them.
        stamped = [
            c.model_copy(update={"seq": handle.version() + 1, "at": datetime.now(UTC)}) for c in checkpoints(old)
        ]
        # A checkpoint says nothing that the entries before it do not, and each is as large as all that there is.
        told = [entry for entry in old if entry.kind != "checkpoint"]
        written = [self._write(told, archived=True), self._write(stamped, archived=False)]
        now = int(time.time() * 1000)
        gone = [RemoveAction(f.path, True, now, f.size_bytes, dict(f.partition)) for f in small]
        self._settle(written, lambda: self._commit(handle, [*written, *gone], lock))
        reach(Seam.JOURNAL_ARCHIVED)
        # What is archived stays archived where cleaning fails: it is tried again after as many entries.
        with suppress(DeltaError, OSError):
            handle = self.lake.open(TABLE)
            handle.create_checkpoint()
            handle.cleanup_metadata()
        return True


def _is_archived(file: ActiveFile) -> bool:
    return file.partition["archived"] == "true"
