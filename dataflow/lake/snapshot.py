"""One version of a table as its log tells it: schema and files, nothing of their content."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import unquote

import polars as pl
import polars.selectors as cs
from deltalake import DeltaTable

from dataflow.lake.errors import storage_errors
from dataflow.lake.footers import bound
from dataflow.lake.naming import unit_id_of
from dataflow.lake.schema import from_delta
from dataflow.model import ROW_ID, DeletionVector, TableVersion

Partition = tuple[str | None, ...]
_MOST_ROWS = (1 << 32) - 1
_NEEDED = "path", "size_bytes", "num_records", "partition"


@dataclass(frozen=True)
class ActiveFile:
    """A data file of one version of a table."""

    path: str
    rows: int
    """Those that are alive."""
    size_bytes: int
    partition: Mapping[str, str | None]
    deleted: DeletionVector | None = None
    """Which of its rows are dead."""
    nameless: int | None = None
    """How many of its rows, dead or alive, have no row id; None where the log does not tell."""

    @property
    def dead(self) -> int:
        """How many rows of it are dead."""
        return self.deleted.cardinality if self.deleted else 0

    def without(self, dead: DeletionVector | None) -> ActiveFile:
        """The file once the rows of ``dead`` are; as it is for None."""
        return self if dead is None else replace(self, rows=self.rows + self.dead - dead.cardinality, deleted=dead)


@dataclass(frozen=True)
class Snapshot:
    """One version of a table: its schema and files, without their content."""

    version: TableVersion
    schema: pl.Schema
    partition_by: tuple[str, ...]
    files: tuple[ActiveFile, ...]
    began_at: datetime | None = None
    """When the table was made, where its log tells."""

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def parts(self, files: Sequence[ActiveFile]) -> list[Sequence[ActiveFile]]:
        """``files`` as they are scanned: as many together as can be."""
        bare = [file for file in files if self.is_bare([file])]
        apart = {file.path for file in bare}
        return [*_countable([file for file in files if file.path not in apart]), *([file] for file in bare)]

    def is_bare(self, part: Sequence[ActiveFile]) -> bool:
        """Whether a part is a file without the partition columns, which are in the log alone.

        Other programs (native compaction is one) leave them out of the files.
        """
        return len(part) == 1 and bool(self.partition_by) and unit_id_of(part[0].path) is None

    def partitions(self, by: Sequence[str]) -> list[Partition]:
        """The distinct values of the partition columns ``by``, sorted."""
        return sorted(self.sliced(by), key=lambda p: [(v is not None, v or "") for v in p])

    def sliced(self, by: Sequence[str]) -> dict[Partition, list[ActiveFile]]:
        """The files of every value of the partition columns ``by``."""
        found: dict[Partition, list[ActiveFile]] = {}
        for file in self.files:
            found.setdefault(tuple(file.partition[c] for c in by), []).append(file)
        return found

    def slice(self, partition: Iterable[tuple[str, str | None]]) -> tuple[ActiveFile, ...]:
        """The files of one partition; all of them for an empty one."""
        wanted = tuple(partition)
        return tuple(f for f in self.files if all(f.partition[c] == value for c, value in wanted))


def _countable(files: Sequence[ActiveFile]) -> Iterator[Sequence[ActiveFile]]:
    """Runs of ``files`` whose rows Polars can number, with 32 bits."""
    run, rows = list[ActiveFile](), 0
    for file in files:
        if run and rows + file.rows > _MOST_ROWS:
            yield run
            run, rows = [], 0
        run.append(file)
        rows += file.rows
    if run:
        yield run


def has_vectors(handle: DeltaTable) -> bool:
    """Whether files of a table may have deletion vectors."""
    return "deletionVectors" in (handle.protocol().reader_features or ())


def version_of(handle: DeltaTable, table: str, uri: str) -> TableVersion:
    """The version of a table that a handle has come to."""
    return TableVersion(table=table, uri=uri, version=handle.version(), table_id=str(handle.metadata().id))


def snapshot_of(
    handle: DeltaTable, version: TableVersion, vectors: Mapping[str, DeletionVector] | None = None
) -> Snapshot:
    """What a loaded handle knows of its version, with the deletion ``vectors`` of its files."""
    dead = vectors or {}
    with storage_errors(version.uri):
        metadata = handle.metadata()
        by = tuple(metadata.partition_columns)
        files = tuple(_active(row, by, dead.get(unquote(row["path"]))) for row in _told(handle).iter_rows(named=True))
        return Snapshot(version, from_delta(handle.schema()), by, files, _began(metadata.created_time))


def _told(handle: DeltaTable) -> pl.DataFrame:
    """What is needed of each file; its values' bounds and nulls, as many as columns, would take most of the time."""
    actions = pl.DataFrame(handle.get_add_actions(flatten=False))
    nulls = actions.schema.get("null_count")
    named = isinstance(nulls, pl.Struct) and any(field.name == ROW_ID for field in nulls.fields)
    nameless = pl.col("null_count").struct.field(ROW_ID) if named else pl.lit(None, pl.Int64)
    return actions.select(cs.by_name(*_NEEDED, require_all=False), nameless.alias("nameless"))


def _began(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def _active(row: Mapping[str, Any], by: Sequence[str], dead: DeletionVector | None) -> ActiveFile:
    given: Mapping[str, object] = row.get("partition") or {}
    return ActiveFile(
        path=unquote(row["path"]),
        rows=(row.get("num_records") or 0) - (dead.cardinality if dead else 0),
        size_bytes=row["size_bytes"],
        partition={c: partition_text(given.get(c)) for c in by},
        deleted=dead,
        nameless=row["nameless"],
    )


def statistics_of(handle: DeltaTable) -> dict[str, str]:
    """What the log says of the values in each file, by path, as JSON: rows dead or alive, nulls, bounds."""
    actions = pl.DataFrame(handle.get_add_actions(flatten=False))
    return {unquote(row["path"]): _statistics(row) for row in actions.iter_rows(named=True)}


def _statistics(row: dict[str, Any]) -> str:
    told: dict[str, dict[str, Any] | None] = {
        "minValues": row.get("min"),
        "maxValues": row.get("max"),
        "nullCount": row.get("null_count"),
    }
    known = {what: {c: v for c, v in (values or {}).items() if v is not None} for what, values in told.items()}
    return json.dumps({"numRecords": row.get("num_records"), **known}, default=_bound_text)


def _bound_text(value: Any) -> str:
    return bound(value, up=False) if isinstance(value, date | datetime) else str(value)


def of_the_living(stats: str, dead: int) -> str:
    """``stats`` of a file of whose rows ``dead`` are no more: what they still say of the others."""
    said = json.loads(stats)
    # How many of the nulls have died nobody knows, but that there were none.
    nulls = {column: count for column, count in said.get("nullCount", {}).items() if count == 0}
    return json.dumps({**said, "numRecords": said["numRecords"] - dead, "nullCount": nulls})


def partition_text(value: object) -> str | None:
    """A partition value as Delta's log spells it (text, integers, dates and booleans)."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def partition_value(text: str | None, dtype: pl.DataType) -> object:
    """A partition value out of the log's text."""
    if text is None:
        return None
    if isinstance(dtype, pl.Boolean):
        return text == "true"
    if isinstance(dtype, pl.Date):
        return date.fromisoformat(text)
    return int(text) if dtype.is_integer() else text
