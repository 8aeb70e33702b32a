"""A lake: a folder or bucket of Delta tables, read at pinned versions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from dataflow.errors import ConfigError, TableMissing
from dataflow.lake.damage import broken_log_files
from dataflow.lake.deletion_vectors import Rows, positions, read_vectors, selection, vector_path
from dataflow.lake.errors import broken_log, persistently, storage_errors
from dataflow.lake.filesystem import FileSystem, open_filesystem
from dataflow.lake.log import Log
from dataflow.lake.naming import unit_id_of
from dataflow.lake.snapshot import ActiveFile as ActiveFile
from dataflow.lake.snapshot import Partition as Partition
from dataflow.lake.snapshot import Snapshot as Snapshot
from dataflow.lake.snapshot import has_vectors, of_the_living, partition_value, snapshot_of, statistics_of
from dataflow.lake.snapshot import partition_text as partition_text
from dataflow.model import TableVersion


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

    @persistently
    def exists(self, table: str) -> bool:
        """Whether ``table`` has a version; a log folder that a crash left empty is no table."""
        with storage_errors(self.table_uri(table)):
            return DeltaTable.is_deltatable(self.table_uri(table), self.storage_options or None)

    @persistently
    def open(self, table: str, version: int | None = None) -> DeltaTable:
        """A handle on ``table``.

        Errors: TableMissing, LakeCorrupt.
        """
        with storage_errors(self.table_uri(table)):
            try:
                return DeltaTable(self.table_uri(table), version=version, storage_options=self.storage_options or None)
            except (DeltaError, OSError) as error:
                # Asked only now: the answer costs as much as opening the table.
                if not self.exists(table):
                    raise TableMissing(f"{self.table_uri(table)}: no such table in the lake", table=table) from error
                if broken := broken_log_files(self.fs, self.path(table)):
                    raise broken_log(self.table_uri(table), error, broken) from error
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

    def log(self, table: str) -> Log:
        """The files of a table's log."""
        return Log(self.fs, self.path(table, "_delta_log"), self.table_uri(table), table)

    def snapshot(self, version: TableVersion) -> Snapshot:
        """Schema and files of ``version``, from the log alone."""
        return self.loaded(self.open(version.table, version.version), version.table)

    def loaded(self, handle: DeltaTable, table: str) -> Snapshot:
        """What a handle on ``table`` has loaded."""
        version = TableVersion(table=table, uri=self.table_uri(table), version=handle.version())
        vectors = self.log(table).vectors(version.version) if has_vectors(handle) else {}
        return snapshot_of(handle, version, vectors)

    def scan(
        self,
        snapshot: Snapshot,
        files: Sequence[ActiveFile] | None = None,
        *,
        path_column: str | None = None,
        position_column: str | None = None,
        hidden: Mapping[str, Rows] | None = None,
    ) -> pl.LazyFrame:
        """The rows of ``files`` (by default all) of a snapshot, but for the dead ones.

        With ``path_column`` also which file each is in, with ``position_column`` at which place of that file.
        ``hidden`` are rows to leave out in place of the dead ones, by path.
        """
        chosen = snapshot.files if files is None else files
        held = {file.path: file.rows + file.dead for file in chosen}
        left_out = self.dead_rows(snapshot.version.table, chosen) if hidden is None else hidden
        # Other programs (native compaction is one) leave the partition columns out of the files: they are in the log alone.
        bare = [f for f in chosen if snapshot.partition_by and unit_id_of(f.path) is None]
        apart = {f.path for f in bare}
        whole = [f.path for f in chosen if f.path not in apart]
        table, schema = snapshot.version.table, snapshot.schema

        def read(paths: Sequence[str]) -> pl.LazyFrame:
            if position_column is None:
                return self._scan(table, paths, schema, path_column, left_out, held)
            return self._scan_places(table, paths, schema, path_column, position_column, left_out)

        frames = [read(whole)] if whole or not bare else []
        for file in bare:
            values = {
                c: pl.lit(partition_value(file.partition[c], schema[c]), schema[c]) for c in snapshot.partition_by
            }
            frames.append(read([file.path]).with_columns(**values))
        return pl.concat(frames) if len(frames) > 1 else frames[0]

    def dead_rows(self, table: str, files: Iterable[ActiveFile]) -> dict[str, Rows]:
        """The dead rows of ``files``, by path, of those that have some."""
        vectors = {file.path: file.deleted for file in files if file.deleted is not None}
        if not vectors:
            return {}
        with storage_errors(self.table_uri(table)):
            rows = read_vectors(self.fs, self.path(table), vectors.values())
        return {path: rows[vector] for path, vector in vectors.items()}

    def scan_files(
        self, table: str, paths: Sequence[str], schema: pl.Schema, *, path_column: str | None = None
    ) -> pl.LazyFrame:
        """The rows of Parquet files of a table, committed or staged, with the columns of ``schema``: dead ones too."""
        return self._scan(table, paths, schema, path_column)

    def _scan(
        self,
        table: str,
        paths: Sequence[str],
        schema: pl.Schema,
        path_column: str | None,
        hidden: Mapping[str, Rows] | None = None,
        held: Mapping[str, int] | None = None,
        position_column: str | None = None,
    ) -> pl.LazyFrame:
        if not paths:
            more = {path_column: pl.String(), position_column: pl.UInt32()}
            return pl.LazyFrame(schema={**schema, **{c: t for c, t in more.items() if c is not None}})
        uris = {path: f"{self.table_uri(table)}/{path}" for path in paths}
        some = (
            {uris[path]: (rows, held[path]) for path, rows in hidden.items() if path in uris} if hidden and held else {}
        )
        return pl.scan_parquet(
            list(uris.values()),
            schema=schema,
            missing_columns="insert",
            hive_partitioning=False,
            glob=False,
            include_file_paths=path_column,
            row_index_name=position_column,
            storage_options=self.storage_options or None,
            # What scan_delta does with vectors. It keeps the order of rows, and costs a tenth of an anti-join.
            _deletion_files=("delta-deletion-vector", selection(some)) if some else None,
        )

    def _scan_places(
        self,
        table: str,
        paths: Sequence[str],
        schema: pl.Schema,
        path_column: str | None,
        position_column: str,
        hidden: Mapping[str, Rows],
    ) -> pl.LazyFrame:
        """File by file: Polars counts on from file to file, and with vectors only the rows that are read."""
        frames: list[pl.LazyFrame] = []
        for path in paths:
            frame = self._scan(table, [path], schema, path_column, position_column=position_column)
            if path in hidden:
                gone = positions(hidden[path]).cast(pl.UInt32).alias(position_column).to_frame().lazy()
                frame = frame.join(gone, on=position_column, how="anti", maintain_order="left")
            # Polars puts the index first.
            frames.append(frame.select(*schema, *([path_column] if path_column else []), position_column))
        return pl.concat(frames or [self._scan(table, [], schema, path_column, position_column=position_column)])

    def read(self, table: str, version: int | None = None) -> pl.LazyFrame:
        """The rows of ``table`` as it stands, or stood at ``version``.

        Errors: TableMissing.
        """
        return self.scan(self.loaded(self.open(table, version), table))

    def statistics(self, version: TableVersion) -> dict[str, str]:
        """What the log says of the values in each file of ``version``, as JSON: nulls, and bounds that may be wide."""
        handle = self.open(version.table, version.version)
        with storage_errors(version.uri):
            told = statistics_of(handle)
        vectors = self.log(version.table).vectors(handle.version()) if has_vectors(handle) else {}
        dead = {path: vector.cardinality for path, vector in vectors.items()}
        return told | {path: of_the_living(told[path], count) for path, count in dead.items()}

    def batches(self, table: str, until: int) -> set[str]:
        """Ids of our batches that were committed up to version ``until``, as far as the log goes back."""
        with storage_errors(self.table_uri(table)):
            commits = self.open(table).history()
        return {c["dataflow_batch"] for c in commits if c["version"] <= until and "dataflow_batch" in c}

    def logged(self, table: str) -> set[str]:
        """Paths of all files, data and vectors, that a version in the table's log names, the replaced ones among them."""
        head = self.head(table)
        if head is None:
            return set()
        files = self.snapshot(head).files
        vectors = {vector_path(file.deleted) for file in files if file.deleted}
        return {f.path for f in files} | {path for path in vectors if path} | self.log(table).named(head.version)
