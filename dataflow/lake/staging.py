"""Staged files: written at their final names in a table's folder, in no commit until published.

A name begins with the unit's id, so that a unit's files are found again when it is replaced,
and carries the run's, so that what a dead run left behind can be told apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

import polars as pl

from dataflow.errors import SchemaConflict
from dataflow.lake.errors import storage_errors
from dataflow.lake.footers import footer_statistics
from dataflow.lake.lake import Lake, partition_text
from dataflow.lake.naming import file_name
from dataflow.lake.naming import unit_id_of as unit_id_of
from dataflow.lake.schema import conform, storable, to_delta
from dataflow.model import FileRole, StagedFile, Unit

Compression = Literal["zstd", "snappy", "lz4", "gzip", "uncompressed"]
_FOLDER_CHARACTERS = 120
_NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
_PARTITIONABLE = (pl.String, pl.Date, pl.Boolean, pl.Int8, pl.Int16, pl.Int32, pl.Int64)


@dataclass(frozen=True)
class Target:
    """Where and how the rows of a unit are staged."""

    table: str
    unit: Unit
    run_id: str
    role: FileRole = "new"
    partition_by: tuple[str, ...] = ()
    compression: Compression = "zstd"
    compression_level: int | None = None
    private: tuple[str, ...] = ()
    """Columns of which the log keeps no bounds: they are values of rows."""
    nth: int = 0
    """Counts the writes of one unit with the same role: none overwrites another."""

    @property
    def fixed(self) -> dict[str, str | None] | None:
        """The partition that every row belongs to; None where only the rows tell."""
        known = dict(self.unit.partition)
        return {c: known[c] for c in self.partition_by} if set(self.partition_by) <= set(known) else None

    def name(self, index: int) -> str:
        return file_name(self.unit.id, self.run_id, self.role, self.nth, index)


@dataclass
class Sink:
    """A write that is part of a lazy plan: collect ``plan``, then ask for ``files``."""

    lake: Lake
    target: Target
    schema: pl.Schema
    plan: pl.LazyFrame
    written: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    partitions: dict[str, dict[str, str | None]] = field(default_factory=dict[str, dict[str, str | None]])

    @property
    def table_schema(self) -> str:
        """The Delta schema, as JSON."""
        return to_delta(self.schema).to_json()

    def files(self) -> tuple[StagedFile, ...]:
        """What was written, with the statistics of the footers; empty files are removed again."""
        return tuple(file for entry in self.written if (file := self._staged(*entry)) is not None)

    def _staged(self, path: str, rows: int, size_bytes: int) -> StagedFile | None:
        # Names are unique within a write, and say more surely than the path which file Polars means.
        name = path.rsplit("/", 1)[-1]
        relative = next(known for known in self.partitions if known.rsplit("/", 1)[-1] == name)
        place = self.lake.path(self.target.table, relative)
        if rows == 0:
            self.lake.fs.rm_file(place)
            return None
        if blank := [c for c, value in self.partitions[relative].items() if value == ""]:
            raise SchemaConflict(
                f"table {self.target.table!r}: partition column {blank[0]!r} holds empty text, which a Delta table does not tell from a missing value; "
                f"make it null or give it a name in the stage's function",
                table=self.target.table,
                column=blank[0],
            )
        with self.lake.fs.open(place, "rb") as file:
            stats = footer_statistics(file, private=self.target.private)
        return StagedFile(
            table=self.target.table,
            path=relative,
            role=self.target.role,
            rows=rows,
            size_bytes=size_bytes,
            partition=self.partitions[relative],
            stats=stats,
        )


def stage(lake: Lake, frame: pl.LazyFrame, target: Target) -> Sink:
    """Plan the write of ``frame`` to ``target``.

    Errors: SchemaConflict for a column that a Delta table cannot hold or be partitioned by.
    """
    found = frame.collect_schema()
    schema = storable(found, target.table)
    for column in target.partition_by:
        if column not in schema:
            raise SchemaConflict(
                f"table {target.table!r}: partitioned by {column!r}, which the stage does not return; it returns {', '.join(schema)}",
                table=target.table,
                column=column,
            )
        if not isinstance(schema[column], _PARTITIONABLE):
            raise SchemaConflict(
                f"table {target.table!r}: cannot be partitioned by {column!r} of type {schema[column]}; use text, an integer, a date or a boolean",
                table=target.table,
                column=column,
            )
    sink = Sink(lake, target, schema, frame)
    # Not the sink: Polars' plan has its callbacks, the sink its plan, and no collector sees through Polars.
    written = sink.written
    # A partition that the unit fixes is one file; only rows that tell their own need the splitting sink.
    where = _one_file(sink) if target.fixed is not None else _file_per_partition(sink)
    sink.plan = conform(frame, found, schema).sink_parquet(
        where,
        compression=target.compression,
        compression_level=target.compression_level,
        storage_options=lake.storage_options or None,
        sinked_paths_callback=lambda args: written.extend((str(p.path), p.num_rows, p.num_bytes) for p in args.paths),
        mkdir=True,
        lazy=True,
        # Sinks that share a plan wait for each other where all keep their order: of rows set aside nobody asks it.
        maintain_order=target.role not in ("side", "broken"),
    )
    return sink


def _one_file(sink: Sink) -> str:
    fixed = sink.target.fixed or {}
    relative = _folder(fixed) + sink.target.name(0)
    sink.partitions[relative] = fixed
    return f"{sink.lake.table_uri(sink.target.table)}/{relative}"


def _file_per_partition(sink: Sink) -> pl.PartitionBy:
    # Counted over all partitions: two values may share a folder's name, and must not share a file's.
    numbers, target, partitions = itertools.count(), sink.target, sink.partitions

    def place(args: Any) -> str:
        values = {c: partition_text(v) for c, v in zip(target.partition_by, args.partition_keys.row(0), strict=True)}
        relative = _folder(values) + target.name(next(numbers))
        partitions[relative] = values
        return relative

    return pl.PartitionBy(
        sink.lake.table_uri(target.table),
        key=list(target.partition_by),
        include_key=True,
        file_path_provider=place,
    )


def _folder(values: Mapping[str, str | None]) -> str:
    # Polars takes a partition's value from the folder's name, other readers from the log: both must tell the same.
    return "".join(f"{_named(c)}={_NULL_FOLDER if v is None else _named(v)}/" for c, v in values.items())


def _named(text: str) -> str:
    # delta-rs escapes "~" in the log, but does not expect it to be escaped when it looks a file up.
    return quote(text, safe="").replace("~", "%7E")[:_FOLDER_CHARACTERS]


def sweep(lake: Lake, tables: Sequence[str], run_ids: Sequence[str], keep: Callable[[str], set[str]]) -> int:
    """Delete what dead runs staged and nothing names: no retained version of the table, no intent, no manifest.

    ``keep(table)`` gives the paths that are named beside the log. Returns how many files went.
    """
    swept = 0
    for table in tables:
        with storage_errors(lake.table_uri(table)):
            root = lake.path(table)
            if not lake.fs.exists(root):
                continue
            relative = [place[len(root) + 1 :] for place in lake.fs.find(root)]
            left = [
                path
                for path in relative
                if any(f"-{run_id}-" in path for run_id in run_ids) and path.endswith((".parquet", ".bin"))
            ]
            named = keep(table) | lake.logged(table) if left else set[str]()
            for path in left:
                if path not in named:
                    lake.fs.rm_file(lake.path(table, path))
                    swept += 1
    return swept
