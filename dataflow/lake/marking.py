"""Commits that mark rows dead, or take out files that hold dead rows: delta-rs reads such tables, but cannot write these."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from dataflow.errors import CommitConflict
from dataflow.lake.deletion_vectors import to_log
from dataflow.lake.lake import Lake
from dataflow.lake.log import Action, added, log_path
from dataflow.lake.snapshot import ActiveFile, statistics_of
from dataflow.model import DeletionVector, StagedFile

if TYPE_CHECKING:
    from dataflow.lake.commit import TableChange
    from dataflow.lake.lock import Lock

_FEATURE = "deletionVectors"
_ENABLED = {"delta.enableDeletionVectors": "true"}
_CHECKPOINT_EVERY = 10
"""To tell which rows are dead, all commits since are read by ourselves."""
CHECKPOINTED = {"delta.checkpointInterval": "20"}
"""Of its own accord delta-rs writes one every hundred versions, and whoever opens the table reads all commits since, a
sixth of a millisecond each; but each holds all files of the table, and stays as long as the log is kept."""
_IMPLIED = {2: ("appendOnly", "invariants"), 3: ("checkConstraints",), 4: ("changeDataFeed", "generatedColumns")}
"""Features that a table has by its writer version alone; from version 7 on it must list them."""


def commit_marked(
    lake: Lake, handle: DeltaTable, change: TableChange, replaced: Sequence[ActiveFile], lock: Lock
) -> int:
    """Commit ``change`` to what ``handle`` has loaded, as the next version; ``replaced`` are the files that go.

    Errors: CommitConflict where another writer was first.
    """
    version = handle.version() + 1
    log = lake.log(change.table)
    log.put(version, _actions(lake, handle, change, replaced, lock))
    newest = log.checkpoint()[0]
    if newest >= version:
        # The number was free because the log was cleaned behind the back of a run that slept: nobody reads this commit.
        # If somebody was just quick to write a checkpoint of it, the next look finds it.
        raise CommitConflict(f"{log.uri}: its log has moved on past version {version}; run again", table=change.table)
    if version - max(newest, 0) >= _CHECKPOINT_EVERY:
        # The batch is committed: a checkpoint that fails makes readers slower, nothing else.
        with suppress(DeltaError, OSError):
            lake.open(change.table).create_checkpoint()
    return version


def _actions(
    lake: Lake, handle: DeltaTable, change: TableChange, replaced: Sequence[ActiveFile], lock: Lock
) -> list[Action]:
    now = int(time.time() * 1000)
    active = {file.path: file for file in lake.loaded(handle, change.table).files}
    stats = statistics_of(handle) if change.deletes else {}
    info = {
        "timestamp": now,
        "operation": "WRITE",
        "operationParameters": {"mode": "Append", "partitionBy": json.dumps(list(change.partition_by))},
        **change.told,
    }
    vectors = {delete.path: delete.vector for delete in change.deletes}
    back = {file.path for file in change.adds} & vectors.keys()
    marked = [active[path] for path in vectors if path not in back]
    return [
        {"commitInfo": info},
        *(_enable(handle) if vectors else ()),
        *({"txn": {"appId": a, "version": n}} for a, n in ((change.app, change.seq), (lock.app, lock.number))),
        *(_remove(file, now) for file in (*replaced, *marked)),
        *(_staged(file, vectors.get(file.path), now) for file in change.adds),
        *(_marked(file, stats[file.path], vectors[file.path], now) for file in marked),
    ]


def _staged(file: StagedFile, vector: DeletionVector | None, now: int) -> Action:
    """``vector``: of a file that comes back as it was, its dead rows with it."""
    if vector is None:
        return _add(file, file.stats, now)
    held = {"numRecords": file.rows + vector.cardinality}
    return _marked(file, json.dumps({**json.loads(file.stats), **held}), vector, now)


def _remove(file: ActiveFile, now: int) -> Action:
    told = {
        "path": log_path(file.path),
        "dataChange": True,
        "deletionTimestamp": now,
        "extendedFileMetadata": True,
        "partitionValues": dict(file.partition),
        "size": file.size_bytes,
    }
    # Without its vector a file is another one, and stays.
    return {"remove": told | ({"deletionVector": to_log(file.deleted)} if file.deleted else {})}


def _add(file: ActiveFile | StagedFile, stats: str, now: int, vector: DeletionVector | None = None) -> Action:
    told = added(file.path, file.partition, file.size_bytes, stats, now)
    return {"add": told | ({"deletionVector": to_log(vector)} if vector else {})}


def _marked(file: ActiveFile | StagedFile, stats: str, vector: DeletionVector, now: int) -> Action:
    # Bounds may be those of rows that are dead.
    return _add(file, json.dumps({**json.loads(stats), "tightBounds": False}), now, vector)


def _enable(handle: DeltaTable) -> list[Action]:
    """What lets a table have vectors, where nothing does yet.

    delta-rs would add further features with it (variantType) that other readers refuse.
    """
    protocol, metadata = handle.protocol(), handle.metadata()
    readers, writers = set(protocol.reader_features or ()), set(protocol.writer_features or ())
    found: list[Action] = []
    if _FEATURE not in readers:
        older = [
            name for version, names in _IMPLIED.items() if version <= protocol.min_writer_version < 7 for name in names
        ]
        features = {"readerFeatures": readers | {_FEATURE}, "writerFeatures": writers | {_FEATURE, *older}}
        told = {
            "minReaderVersion": 3,
            "minWriterVersion": 7,
            **{side: sorted(names) for side, names in features.items()},
        }
        found.append({"protocol": told})
    if not metadata.configuration.items() >= _ENABLED.items():
        found.append(
            {
                "metaData": {
                    "id": str(metadata.id),
                    "name": metadata.name,
                    "description": metadata.description,
                    "format": {"provider": "parquet", "options": {}},
                    "schemaString": handle.schema().to_json(),
                    "partitionColumns": list(metadata.partition_columns),
                    "createdTime": metadata.created_time,
                    "configuration": {**metadata.configuration, **_ENABLED},
                }
            }
        )
    return found
