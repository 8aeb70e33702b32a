"""What the tables of a lake have told, for as long as one piece of work lasts.

A version of a table never changes, so it is told once; a handle on the newest one moves on by what is new in the log,
which costs a tenth of opening the table anew, and on an object store a few requests in place of dozens.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from dataflow.lake.filesystem import FileSystem
from dataflow.lake.snapshot import Snapshot

_TABLES = 64
_VERSIONS = 4
"""Of each table: what a run reads, what it read last, and what it publishes."""


class Known:
    """What is known of one table; whoever asks or commits holds ``lock``. For one question only, nothing is ``kept``."""

    def __init__(self, *, kept: bool) -> None:
        self.lock = threading.RLock()
        self._kept = kept
        self._handle: DeltaTable | None = None
        self._commit = ""
        self._mark = ""
        self._snapshots: OrderedDict[int, Snapshot] = OrderedDict()

    def look(self, fs: FileSystem, log: str, opened: Callable[[], DeltaTable | None]) -> DeltaTable | None:
        """A handle on the newest version, brought up to it or ``opened``; None where there is no table."""
        if not self._has_moved_on(fs):
            self.forget()
            self._handle = opened()
        if self._handle is not None and self._kept:
            commit = f"{log}/{self._handle.version():020d}.json"
            if commit != self._commit:
                self._commit, self._mark = commit, mark_of(fs, commit)
        return self._handle

    def _has_moved_on(self, fs: FileSystem) -> bool:
        """Whether the handle knows what came since.

        It would not notice that its table was removed, or another one began in its place: then the commit that it had
        come to is gone or is another file. It is gone as well once the log was cleaned up to it, behind the back of a
        run that slept: put there again, its next commit would be none.
        """
        if self._handle is None or not self._mark or mark_of(fs, self._commit) != self._mark:
            return False
        try:
            self._handle.update_incremental()
        except (DeltaError, OSError):
            # Opened anew the table says better what is wrong with it, and may well read.
            return False
        return True

    def forget(self) -> None:
        """Know nothing: a handle that failed, or whose table is another one, tells nothing any more."""
        self._handle, self._commit, self._mark = None, "", ""
        self._snapshots.clear()

    def at(self, version: int) -> DeltaTable | None:
        """The handle, where it is at ``version``."""
        return self._handle if self.version == version else None

    @property
    def version(self) -> int:
        """How far the handle has come; -1 where there is none."""
        return -1 if self._handle is None else self._handle.version()

    def snapshot(self, version: int, load: Callable[[], Snapshot]) -> Snapshot:
        """What ``version`` holds, loaded where it is not known."""
        found = self._snapshots.get(version) or load()
        if self._kept:
            self._snapshots[version] = found
            self._snapshots.move_to_end(version)
            while len(self._snapshots) > _VERSIONS:
                self._snapshots.popitem(last=False)
        return found


def mark_of(fs: FileSystem, place: str) -> str:
    """What tells a file from another one of its name; empty where there is none to be seen."""
    try:
        return str(fs.ukey(place))
    except Exception:
        # Whatever the storage says: the table is opened anew, which tells it as it is to be told.
        return ""


class Memory:
    """What is known of a lake's tables, of those that were asked about last. Elsewhere, unpickled, it knows nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: OrderedDict[str, Known] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return Memory, ()

    def of(self, table: str) -> Known:
        """What is known of ``table``."""
        with self._lock:
            known = self._tables.setdefault(table, Known(kept=True))
            self._tables.move_to_end(table)
            while len(self._tables) > _TABLES:
                # Whoever has it goes on with it; commits of two handles are each other's conflicts.
                self._tables.popitem(last=False)
            return known
