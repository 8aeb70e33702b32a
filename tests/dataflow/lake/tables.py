"""Real tables for the tests of the lake: staged and published as the engine does it."""

from __future__ import annotations

import polars as pl

from dataflow.lake.commit import TableChange, publish_change
from dataflow.lake.deletion_vectors import Rows, write_vectors
from dataflow.lake.lake import Lake
from dataflow.lake.lock import Lock
from dataflow.lake.schema import to_delta
from dataflow.lake.staging import Target, stage
from dataflow.model import Deletion, StagedFile, TableVersion, Unit

LOCK = Lock("dataflow:p", 1)


def staged(lake: Lake, frame: pl.DataFrame, target: Target) -> tuple[tuple[StagedFile, ...], str]:
    """The files that ``frame`` is written to, and their Delta schema."""
    sink = stage(lake, frame.lazy(), target)
    sink.plan.collect()
    return sink.files(), sink.table_schema


def change(
    lake: Lake,
    frame: pl.DataFrame,
    *,
    seq: int = 1,
    unit: str | None = None,
    run_id: str = "r1",
    by: tuple[str, ...] = (),
    removes: tuple[str, ...] = (),
    truncate: bool = False,
    table: str = "t",
) -> TableChange:
    """Stage ``frame`` for a table and say what a batch would do with it."""
    partition = (("unit", unit),) if unit else ()
    files, schema = staged(lake, frame, Target(table, Unit(stage=table, partition=partition), run_id, partition_by=by))
    return TableChange(
        table=table,
        app=f"{table}@0",
        seq=seq,
        batch_id=f"{table}.0.{seq}",
        pipeline="p",
        table_schema=schema,
        partition_by=by,
        adds=files,
        removes=removes,
        truncate=truncate,
    )


def put(lake: Lake, frame: pl.DataFrame, *, lock: Lock = LOCK, **options: object) -> TableVersion:
    """Stage and publish ``frame``."""
    return publish_change(lake, change(lake, frame, **options), lock)  # pyright: ignore[reportArgumentType]


def values(lake: Lake, column: str = "v", table: str = "t") -> list[object]:
    """A column of a table as it stands, sorted."""
    return sorted(lake.read(table).collect()[column].to_list(), key=lambda v: (v is not None, v))


def paths(lake: Lake, table: str = "t") -> list[str]:
    """The table's active files, sorted."""
    head = lake.head(table)
    return sorted(f.path for f in lake.snapshot(head).files) if head else []


def marking(lake: Lake, dead: dict[str, list[int]], *, base: TableChange | None = None, seq: int = 2) -> TableChange:
    """What a batch does of which rows of published files die (beside what ``base`` does); ``dead`` are positions by path."""
    head = lake.head("t")
    assert head is not None
    snapshot = lake.snapshot(head)
    files = {file.path: file for file in snapshot.files}
    already = lake.dead_rows("t", snapshot.files)
    rows = {path: already.get(path, Rows()) | Rows(places) for path, places in dead.items()}
    vectors, _ = write_vectors(lake.fs, lake.path("t"), f"_u-run{seq}-0", rows)
    made = base or TableChange(
        table="t",
        app="t@0",
        seq=seq,
        batch_id=f"t.0.{seq}",
        pipeline="p",
        table_schema=to_delta(snapshot.schema).to_json(),
        partition_by=snapshot.partition_by,
    )
    touched = {*dead, *made.removes}
    return made.model_copy(
        update={
            "deletes": tuple(Deletion(path=path, vector=vector) for path, vector in vectors.items()),
            "seen": {path: found for path in touched if (found := files[path].deleted) is not None},
        }
    )


def mark(lake: Lake, dead: dict[str, list[int]], *, seq: int = 2, lock: Lock = LOCK) -> TableVersion:
    """Let rows of published files die."""
    return publish_change(lake, marking(lake, dead, seq=seq), lock)
