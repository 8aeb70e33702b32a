"""A lake: a folder or bucket of Delta tables, read at pinned versions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from dataflow.errors import ConfigError, LakeCorrupt, TableMissing
from dataflow.lake.errors import storage_errors
from dataflow.lake.filesystem import FileSystem, open_filesystem
from dataflow.lake.naming import unit_id_of
from dataflow.lake.schema import from_delta
from dataflow.model import TableVersion

Partition = tuple[str | None, ...]


@dataclass(frozen=True)
class ActiveFile:
    """A data file of one version of a table."""

    path: str
    rows: int
    size_bytes: int
    partition: Mapping[str, str | None]


@dataclass(frozen=True)
class Snapshot:
    """One version of a table: its schema and files, without their content."""

    version: TableVersion
    schema: pl.Schema
    partition_by: tuple[str, ...]
    files: tuple[ActiveFile, ...]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def partitions(self, by: Sequence[str]) -> list[Partition]:
        """The distinct values of the partition columns ``by``, sorted."""
        return sorted(
            {tuple(f.partition[c] for c in by) for f in self.files}, key=lambda p: [(v is not None, v or "") for v in p]
        )

    def slice(self, partition: Iterable[tuple[str, str | None]]) -> tuple[ActiveFile, ...]:
        """The files of one partition; all of them for an empty one."""
        wanted = tuple(partition)
        return tuple(f for f in self.files if all(f.partition[c] == value for c, value in wanted))


class Lake:
    """Where the tables of one or more pipelines live. Cheap to make, safe to pickle."""

    def __init__(self, uri: str | Path, storage_options: Mapping[str, str] | None = None) -> None:
        text = str(uri)
        self.uri = text.rstrip("/") if "://" in text else str(Path(text).expanduser().absolute())
        self.storage_options = dict(storage_options or {})
        if unquote(self.uri) != self.uri:
            raise ConfigError(
                f"lake {self.uri}: {re.findall('%[0-9A-Fa-f]{2}', self.uri)[0]!r} in its path would be taken for another character; rename the folder",
                key="lake",
            )

    def __getstate__(self) -> dict[str, Any]:
        return {"uri": self.uri, "storage_options": self.storage_options}

    def __repr__(self) -> str:
        return f"Lake({self.uri!r})"

    @cached_property
    def _files(self) -> tuple[FileSystem, str]:
        return open_filesystem(self.uri, self.storage_options)

    @property
    def fs(self) -> FileSystem:
        return self._files[0]

    def path(self, *parts: str) -> str:
        """The place of a table or file on ``fs``."""
        return "/".join((self._files[1], *parts))

    def table_uri(self, table: str) -> str:
        return f"{self.uri}/{table}"

    def exists(self, table: str) -> bool:
        """Whether ``table`` has a version; a log folder that a crash left empty is no table."""
        with storage_errors(self.table_uri(table)):
            return DeltaTable.is_deltatable(self.table_uri(table), self.storage_options or None)

    def open(self, table: str, version: int | None = None) -> DeltaTable:
        """A handle on ``table``.

        Errors: TableMissing, LakeCorrupt.
        """
        if not self.exists(table):
            raise TableMissing(f"{self.table_uri(table)}: no such table in the lake", table=table)
        with storage_errors(self.table_uri(table)):
            try:
                return DeltaTable(self.table_uri(table), version=version, storage_options=self.storage_options or None)
            except DeltaError as error:
                if version is None or "version" not in str(error).lower():
                    raise
                raise TableMissing(
                    f"{self.table_uri(table)}: its log holds no version {version} (any more); read a version that it still holds",
                    table=table,
                ) from error

    def head(self, table: str) -> TableVersion | None:
        """The newest version of ``table``; None where there is no such table."""
        with suppress(TableMissing):
            return TableVersion(table=table, uri=self.table_uri(table), version=self.open(table).version())
        return None

    def snapshot(self, version: TableVersion) -> Snapshot:
        """Schema and files of ``version``, from the log alone."""
        handle = self.open(version.table, version.version)
        return snapshot_of(handle, version)

    def scan(
        self, snapshot: Snapshot, files: Sequence[ActiveFile] | None = None, *, path_column: str | None = None
    ) -> pl.LazyFrame:
        """The rows of ``files`` (by default all) of a snapshot; with ``path_column``, also which file they are in."""
        chosen = snapshot.files if files is None else files
        # Other programs (native compaction is one) leave the partition columns out of the files: they are in the log alone.
        bare = [f for f in chosen if snapshot.partition_by and unit_id_of(f.path) is None]
        whole = [f.path for f in chosen if f not in bare]
        table, schema = snapshot.version.table, snapshot.schema
        frames = [self.scan_files(table, whole, schema, path_column=path_column)] if whole or not bare else []
        for file in bare:
            values = {c: pl.lit(_value_of(file.partition[c], schema[c]), schema[c]) for c in snapshot.partition_by}
            frames.append(self.scan_files(table, [file.path], schema, path_column=path_column).with_columns(**values))
        return pl.concat(frames) if len(frames) > 1 else frames[0]

    def scan_files(
        self, table: str, paths: Sequence[str], schema: pl.Schema, *, path_column: str | None = None
    ) -> pl.LazyFrame:
        """The rows of Parquet files of a table, committed or staged, with the columns of ``schema``."""
        if not paths:
            return pl.LazyFrame(schema={**schema, path_column: pl.String()} if path_column else schema)
        return pl.scan_parquet(
            [f"{self.table_uri(table)}/{path}" for path in paths],
            schema=schema,
            missing_columns="insert",
            hive_partitioning=False,
            glob=False,
            include_file_paths=path_column,
            storage_options=self.storage_options or None,
        )

    def read(self, table: str, version: int | None = None) -> pl.LazyFrame:
        """The rows of ``table`` as it stands, or stood at ``version``.

        Errors: TableMissing.
        """
        handle = self.open(table, version)
        return self.scan(
            snapshot_of(handle, TableVersion(table=table, uri=self.table_uri(table), version=handle.version()))
        )

    def touched(self, table: str, since: int, until: int, by: Sequence[str]) -> set[Partition] | None:
        """Partitions (values of ``by``) whose rows changed after version ``since``, up to ``until``.

        None where the log no longer tells (cleaned up), or the schema changed: all of them may have.
        Commits that only rearrange files (``dataChange=false``) touch nothing.
        """
        touched: set[Partition] = set()
        for actions in self._commits(table, since, until):
            if actions is None or any("metaData" in action for action in actions):
                return None
            for action in actions:
                change = action.get("add") or action.get("remove")
                if change and change.get("dataChange", True):
                    values: dict[str, str | None] = change.get("partitionValues") or {}
                    if any(column not in values for column in by):
                        return None
                    touched.add(tuple(values[column] for column in by))
        return touched

    def added(self, table: str, since: int, until: int) -> list[str] | None:
        """Paths of the files added after ``since``, up to ``until``; None unless the table only grew.

        None also where some of them were rearranged since: their rows lie among older ones.
        """
        added: list[str] = []
        for actions in self._commits(table, since, until):
            if actions is None or any("metaData" in action for action in actions):
                return None
            for action in actions:
                if (remove := action.get("remove")) and (
                    remove.get("dataChange", True) or unquote(remove["path"]) in added
                ):
                    return None
                if (add := action.get("add")) and add.get("dataChange", True):
                    added.append(unquote(add["path"]))
        return added

    def _commits(self, table: str, since: int, until: int) -> Iterable[list[dict[str, Any]] | None]:
        for version in range(since + 1, until + 1):
            path = self.path(table, "_delta_log", f"{version:020d}.json")
            with storage_errors(self.table_uri(table)):
                if not self.fs.exists(path):
                    yield None
                    return
                text = self.fs.cat_file(path).decode()
            try:
                # Not splitlines: values may hold characters that it takes for the end of a line.
                yield [json.loads(line) for line in text.split("\n") if line]
            except ValueError as error:
                raise LakeCorrupt(
                    f"{path}: the table's log cannot be read: {error}; restore the log, or remove the table and run with --full",
                    table=table,
                ) from error

    def statistics(self, version: TableVersion) -> dict[str, str]:
        """What the log says of the values in each file of ``version``, as JSON: nulls, and bounds that may be wide."""
        handle = self.open(version.table, version.version)
        with storage_errors(version.uri):
            actions = pl.DataFrame(handle.get_add_actions(flatten=False))
        return {unquote(row["path"]): _statistics(row) for row in actions.iter_rows(named=True)}

    def logged(self, table: str) -> set[str]:
        """Paths of all files that a version in the table's log names, the replaced ones among them."""
        head = self.head(table)
        if head is None:
            return set()
        named = {f.path for f in self.snapshot(head).files}
        for version in range(head.version + 1):
            # Versions that were cleaned out of the log can be read no more, whatever becomes of their files.
            for actions in self._commits(table, version - 1, version):
                for action in actions or ():
                    if change := action.get("add") or action.get("remove"):
                        named.add(unquote(change["path"]))
        return named


def snapshot_of(handle: DeltaTable, version: TableVersion) -> Snapshot:
    """What a loaded handle knows of its version."""
    with storage_errors(version.uri):
        by = tuple(handle.metadata().partition_columns)
        actions = pl.DataFrame(handle.get_add_actions(flatten=False))
        files = tuple(
            ActiveFile(
                path=unquote(row["path"]),
                rows=row.get("num_records") or 0,
                size_bytes=row["size_bytes"],
                partition={c: partition_text(_given(row.get("partition")).get(c)) for c in by},
            )
            for row in actions.iter_rows(named=True)
        )
        return Snapshot(version, from_delta(handle.schema()), by, files)


def _statistics(row: dict[str, Any]) -> str:
    told: dict[str, dict[str, Any] | None] = {
        "minValues": row.get("min"),
        "maxValues": row.get("max"),
        "nullCount": row.get("null_count"),
    }
    known = {what: {c: v for c, v in (values or {}).items() if v is not None} for what, values in told.items()}
    return json.dumps({"numRecords": row.get("num_records"), **known}, default=_bound_text)


def _bound_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _given(partition: dict[str, object] | None) -> dict[str, object]:
    return partition or {}


def partition_text(value: object) -> str | None:
    """A partition value as Delta's log spells it (text, integers, dates and booleans)."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value_of(text: str | None, dtype: pl.DataType) -> object:
    if text is None:
        return None
    if isinstance(dtype, pl.Boolean):
        return text == "true"
    if isinstance(dtype, pl.Date):
        return date.fromisoformat(text)
    return int(text) if dtype.is_integer() else text
