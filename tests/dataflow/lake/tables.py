"""Real tables for the tests of the lake: staged and published as the engine does it."""

from __future__ import annotations

import polars as pl

from dataflow.lake.commit import Lock, TableChange, publish_change
from dataflow.lake.lake import Lake
from dataflow.lake.staging import Target, stage
from dataflow.model import StagedFile, TableVersion, Unit

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
