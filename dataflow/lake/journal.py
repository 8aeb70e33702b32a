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
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Literal

import polars as pl
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions
from pydantic import ValidationError

from dataflow.errors import CommitConflict, LakeCorrupt, LakeError, LeaseLost
from dataflow.lake.errors import persistently, storage_errors
from dataflow.lake.journal_log import KEPT, JournalLog
from dataflow.lake.journal_log import TABLE as TABLE
from dataflow.lake.lake import ActiveFile, Lake
from dataflow.lake.lock import Lock
from dataflow.lake.schema import to_delta
from dataflow.lake.seams import Seam, reach
from dataflow.model import Frozen

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
_PATH = "_path"
_ARCHIVE_AFTER = 64
_SMALL_BYTES = 1 << 20
"""Archived files are written together into one of at least this size: each that there is costs whoever opens the journal."""
_ATTEMPTS = 20
_NO_CHECKPOINT = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
"""What delta-rs would forget with one of its own stays for good."""
_CHECKPOINT_EVERY = 100
"""A run of many entries archives them when it ends; whoever opens the journal before reads all commits since."""


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
    """Reads and appends entries. Appends of one process go one after the other; a file of entries is read once."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._one_at_a_time = threading.RLock()
        self._log = JournalLog(lake)
        self._told: dict[str, tuple[Entry, ...]] = {}
        """The entries of files that are not archived, by path."""

    @persistently
    def entries(self, *, archived: bool = False) -> list[Entry]:
        """The entries since the last archiving, oldest first; with ``archived`` all there ever were.

        Errors: LakeCorrupt.
        """
        with self._one_at_a_time:
            self._log.look()
            return _in_order(self._read(list(self._log.files)).values()) if archived else self._current()

    @property
    def id(self) -> str:
        """Which journal it is, once there is one: entries of one that was begun anew are numbered from nothing."""
        with self._one_at_a_time:
            return self._log.id

    def _current(self) -> list[Entry]:
        """The entries that are not archived."""
        paths = [f.path for f in self._log.files.values() if not _is_archived(f)]
        known = {path: self._told[path] for path in paths if path in self._told}
        self._told = known | self._read([path for path in paths if path not in known])
        return _in_order(self._told.values())

    def _read(self, paths: Sequence[str]) -> dict[str, tuple[Entry, ...]]:
        """The entries of each of these files."""
        if not paths:
            return {}
        uri = self.lake.table_uri(TABLE)
        with storage_errors(uri):
            frame = self.lake.scan_files(TABLE, paths, self._log.schema, path_column=_PATH).collect()
        found: dict[str, list[Entry]] = {_name(path): [] for path in paths}
        try:
            for row in frame.drop("archived").iter_rows(named=True):
                found[_name(row.pop(_PATH))].append(Entry.model_validate(row))
        except ValidationError as error:
            raise LakeCorrupt(
                f"{uri}: an entry cannot be understood ({error.errors()[0]['msg']}); it was written by a newer dataflow: update this one",
                what=uri,
            ) from error
        return {path: tuple(found[_name(path)]) for path in paths}

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
        log = self._log
        log.look()
        seen = log.transaction(lock.app)
        lock.outlast(seen, self.lake.table_uri(TABLE))
        if acquire and (seen or 0) >= lock.number:
            raise CommitConflict(
                f"lease {lock.number} of {entry.pipeline!r} was taken by another run", pipeline=entry.pipeline
            )
        stamped = entry.model_copy(update={"seq": log.version + 1, "at": datetime.now(UTC)})
        add = self._write([stamped], archived=False)
        reach(Seam.ENTRY_WRITTEN, entry.kind)
        if log.version < 0:
            self._settle([add], lambda: self._commit(None, [add], lock))
        else:
            self._settle([add], lambda: log.put(add, lock.app, lock.number))
        self._told[add.path] = (stamped,)
        if (stamped.seq + 1) % _CHECKPOINT_EVERY == 0:
            # The entry is written: a checkpoint that fails makes readers slower, nothing else.
            with suppress(DeltaError, OSError, LakeError):
                self._log.tidy()

    def _settle(self, written: Sequence[AddAction], commit: Callable[[], None]) -> None:
        """Commit files, or take them away again where another run's commit came in between."""
        try:
            commit()
        except (DeltaError, OSError, LakeError) as error:
            # Where the storage's answer got lost, the commit is there: tried once more it is its own conflict.
            if self._holds(written):
                return
            if isinstance(error, CommitFailedError | CommitConflict):
                self._discard(*written)
            raise

    def _holds(self, written: Sequence[AddAction]) -> bool:
        self._log.open()
        return {add.path for add in written} <= self._log.files.keys()

    def _commit(self, handle: DeltaTable | None, actions: list[Any], lock: Lock) -> None:
        # Never retried by delta-rs: an entry's number is that of its commit, and after another pipeline's archiving
        # one with an older number would be taken for archived.
        properties = CommitProperties(max_commit_retries=0, app_transactions=[lock.transaction])
        if handle is not None:
            options: dict[str, Any] = {"commit_properties": properties, "post_commithook_properties": _NO_CHECKPOINT}
            handle.create_write_transaction(actions, "append", handle.schema(), ["archived"], **options)
            return
        try:
            create_table_with_add_actions(
                self.lake.table_uri(TABLE),
                to_delta(SCHEMA),
                actions,
                mode="error",
                partition_by=["archived"],
                name=TABLE,
                configuration=KEPT,
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
            with storage_errors(self.lake.table_uri(TABLE)), self._one_at_a_time:
                return self._archive(checkpoints, lock)
        except (CommitConflict, LeaseLost):
            return False

    def _archive(self, checkpoints: Callable[[list[Entry]], Sequence[Entry]], lock: Lock) -> bool:
        self._log.look()
        if sum(not _is_archived(f) for f in self._log.files.values()) <= _ARCHIVE_AFTER:
            return False
        handle = self._log.open()
        assert handle is not None, "the lease that archives is an entry"
        lock.hold(handle)
        small = [f for f in self._log.files.values() if not _is_archived(f)]
        before = [f for f in self._log.files.values() if _is_archived(f) and f.size_bytes < _SMALL_BYTES]
        folded = before if len(before) > _ARCHIVE_AFTER else []
        old = self._current()
        # Made of the very entries that go: one that came later must not be taken for part of them.
        stamped = [
            c.model_copy(update={"seq": handle.version() + 1, "at": datetime.now(UTC)}) for c in checkpoints(old)
        ]
        # A checkpoint says nothing that the entries before it do not, and each is as large as all that there is.
        told = [entry for entry in old if entry.kind != "checkpoint"]
        earlier = _in_order(self._read([f.path for f in folded]).values())
        written = [self._write([*earlier, *told], archived=True), self._write(stamped, archived=False)]
        now = int(time.time() * 1000)
        gone = [RemoveAction(f.path, True, now, f.size_bytes, dict(f.partition)) for f in (*small, *folded)]
        self._settle(written, lambda: self._commit(handle, [*written, *gone], lock))
        self._log.forget()
        reach(Seam.JOURNAL_ARCHIVED)
        # What is archived stays archived where cleaning fails: it is tried again after as many entries.
        with suppress(DeltaError, OSError):
            self._log.tidy()
        return True


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _in_order(told: Iterable[tuple[Entry, ...]]) -> list[Entry]:
    return sorted(chain.from_iterable(told), key=lambda entry: entry.seq)


def _is_archived(file: ActiveFile) -> bool:
    return file.partition["archived"] == "true"
