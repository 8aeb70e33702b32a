"""How far the journal's log has come, followed commit by commit: to open the table for each entry takes ten times as long."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from dataflow.errors import CommitConflict, LakeError, TableMissing
from dataflow.lake.lake import ActiveFile, Lake
from dataflow.lake.log import Action, added
from dataflow.lake.memory import mark_of
from dataflow.lake.snapshot import snapshot_of, version_of

TABLE = "_journal"
_KEPT = "interval 1 hours"
KEPT = {"delta.logRetentionDuration": _KEPT, "delta.deletedFileRetentionDuration": _KEPT}
"""Nobody reads an older version of the journal; a log that is never cleaned makes every look into it slower."""
_TRUSTED_SECONDS = 600
"""Far less than commits are kept for: within this time none can be gone that followed the one that was seen last."""
_PLAIN = {"commitInfo", "txn", "add"}


class JournalLog:
    """The journal's newest version. Not for several threads at once."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._log = lake.log(TABLE)
        self._handle: DeltaTable | None = None
        self._transactions: dict[str, int] = {}
        self._mark = ""
        self._seen_at = 0.0
        self.version = -1
        """-1 where there is no journal."""
        self.files: dict[str, ActiveFile] = {}
        self.schema = pl.Schema()

    def look(self) -> None:
        """Find the newest version. Errors: LakeCorrupt."""
        if not self._followed():
            self.open()

    def open(self) -> DeltaTable | None:
        """A handle on the newest version, found anew; None where there is no journal. Errors: LakeCorrupt."""
        self.forget()
        asked_at = time.time()
        try:
            handle = self._lake.open(TABLE)
        except TableMissing:
            return None
        snapshot = snapshot_of(handle, version_of(handle, TABLE, self._lake.table_uri(TABLE)))
        self.files, self.schema = {file.path: file for file in snapshot.files}, snapshot.schema
        self._handle = handle
        self._stand_at(handle.version(), asked_at)
        return handle

    def tidy(self) -> None:
        """Make a checkpoint, and delete what nobody reads any more: commits, and files that left the table long enough ago."""
        handle = self._lake.open(TABLE)
        # Before each checkpoint, which forgets them: what is killed in between is done again.
        for path in handle.vacuum(dry_run=True):
            with suppress(FileNotFoundError):
                self._lake.fs.rm_file(self._lake.path(TABLE, path))
        handle.create_checkpoint()
        handle.cleanup_metadata()

    def forget(self) -> None:
        """Know nothing any more."""
        self._handle, self.version, self._mark = None, -1, ""
        self._transactions, self.files = {}, {}

    def transaction(self, app: str) -> int | None:
        """The last transaction of ``app``."""
        if self._handle is None or app in self._transactions:
            return self._transactions.get(app)
        return self._handle.transaction_version(app)

    @property
    def id(self) -> str:
        """Which journal it is: one that was begun anew has another. Only where there is one."""
        assert self._handle is not None
        return str(self._handle.metadata().id)

    def put(self, file: AddAction, app: str, number: int) -> None:
        """Commit ``file`` under a transaction of ``app``, as the version after the newest one that was looked at.

        Errors: CommitConflict where another writer was first, or may have been: who slept since that look must look again,
        as the number may be free because its commit was cleared away, and then nobody reads what is put there.
        """
        add = added(file.path, file.partition_values, file.size, file.stats, file.modification_time)
        told = {"timestamp": file.modification_time, "operation": "WRITE", "operationParameters": {"mode": "Append"}}
        actions: list[Action] = [{"commitInfo": told}, {"txn": {"appId": app, "version": number}}, {"add": add}]
        asked_at = time.time()
        self._log.put(self.version + 1, actions)
        if not self._is_recent():
            raise CommitConflict(f"{self._log.uri}: not looked at for too long; run again", table=TABLE)
        self._take(actions)
        self._stand_at(self.version + 1, asked_at)

    def _followed(self) -> bool:
        """Whether what came since is known now; else the table has to be opened anew, which tells what is wrong with it.

        The commit that was the newest one must still be there: a journal that was removed, begun anew or cleaned up
        behind the back of a run that slept is another log, and the version after that one none of it.
        """
        if not self._mark or not self._is_recent():
            return False
        asked_at = time.time()
        if mark_of(self._lake.fs, self._log.place(self.version)) != self._mark:
            return False
        version = self.version
        try:
            while (actions := self._log.commit(version + 1)) is not None:
                if any(not action.keys() <= _PLAIN for action in actions):
                    # Entries were archived, or the table itself was changed.
                    return False
                self._take(actions)
                version += 1
        except LakeError:
            return False
        self._stand_at(version, asked_at)
        return True

    def _is_recent(self) -> bool:
        return abs(time.time() - self._seen_at) <= _TRUSTED_SECONDS

    def _take(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if told := action.get("txn"):
                self._transactions[told["appId"]] = told["version"]
            if told := action.get("add"):
                path, rows = unquote(told["path"]), json.loads(told["stats"])["numRecords"]
                self.files[path] = ActiveFile(path, rows, told["size"], told["partitionValues"])

    def _stand_at(self, version: int, asked_at: float) -> None:
        """``asked_at`` is from before the storage was asked for it: a look may itself be slept through."""
        if version != self.version:
            self.version, self._mark = version, mark_of(self._lake.fs, self._log.place(version))
        self._seen_at = asked_at
