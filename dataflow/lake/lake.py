"""A lake: a folder or bucket of Delta tables, read at pinned versions."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from dataflow.errors import ConfigError, LakeCorrupt, TableMissing
from dataflow.lake.damage import broken_log_files
from dataflow.lake.deletion_vectors import Rows, living, read_vectors, selection, vector_path
from dataflow.lake.errors import WAY_OUT, broken_log, persistently, storage_errors
from dataflow.lake.filesystem import FileSystem, open_filesystem
from dataflow.lake.log import Log
from dataflow.lake.memory import Known, Memory
from dataflow.lake.snapshot import ActiveFile as ActiveFile
from dataflow.lake.snapshot import Partition as Partition
from dataflow.lake.snapshot import Snapshot as Snapshot
from dataflow.lake.snapshot import has_vectors, of_the_living, partition_value, snapshot_of, statistics_of, version_of
from dataflow.lake.snapshot import partition_text as partition_text
from dataflow.model import TableVersion


class Lake:
    """Where the tables of one or more pipelines live. Cheap to make, safe to pickle."""

    _memory: Memory | None = None

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
        return {"uri": self.uri, "storage_options": self.storage_options, "_memory": self._memory}

    def remembering(self) -> Lake:
        """The same lake for one piece of work: what a version holds is loaded once, and what is new looked up.

        Not for longer: a table that is removed and begun again has the same versions.
        """
        lake = type(self)(self.uri, self.storage_options)
        lake._memory = Memory()
        return lake

    def _known(self, table: str) -> Known:
        return self._memory.of(table) if self._memory else Known(kept=False)

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
                # delta-rs says that there is no table, where the log was cleaned up to a later version.
                if version is None or not (isinstance(error, TableNotFoundError) or "version" in str(error).lower()):
                    raise
                raise TableMissing(
                    f"{self.table_uri(table)}: its log holds no version {version} (any more); read a version that it still holds",
                    table=table,
                ) from error

    def folders(self) -> set[str]:
        """Names of the folders in the lake, by one listing: a table that is not among them is not there."""
        with storage_errors(self.uri), suppress(FileNotFoundError):
            return {str(place).rsplit("/", 1)[-1] for place in self.fs.ls(self.path(), detail=False)}
        return set()

    @contextmanager
    def newest(self, table: str) -> Generator[DeltaTable | None]:
        """A handle on the newest version of ``table``, for whoever asks alone; None where there is no such table.

        Errors: LakeCorrupt.
        """
        known = self._known(table)
        with known.lock:
            try:
                yield known.look(self.fs, self.path(table, "_delta_log"), lambda: self._open_if_there(table))
            except BaseException:
                # What it has come to is not known.
                known.forget()
                raise

    def _open_if_there(self, table: str) -> DeltaTable | None:
        with suppress(TableMissing):
            return self.open(table)

    def head(self, table: str) -> TableVersion | None:
        """The newest version of ``table``; None where there is no such table."""
        with self.newest(table) as handle:
            return None if handle is None else version_of(handle, table, self.table_uri(table))

    def log(self, table: str) -> Log:
        """The files of a table's log."""
        return Log(self.fs, self.path(table, "_delta_log"), self.table_uri(table), table)

    def snapshot(self, version: TableVersion) -> Snapshot:
        """Schema and files of ``version``, from the log alone."""
        known = self._known(version.table)
        with known.lock:
            return known.snapshot(version.version, lambda: self._loaded(self._at(known, version), version.table))

    def _at(self, known: Known, version: TableVersion) -> DeltaTable:
        if 0 <= known.version < version.version:
            # Published since, through no handle or another one.
            self.head(version.table)
        return known.at(version.version) or self.open(version.table, version.version)

    def loaded(self, handle: DeltaTable, table: str) -> Snapshot:
        """What a handle on ``table`` has loaded."""
        known = self._known(table)
        with known.lock:
            return known.snapshot(handle.version(), lambda: self._loaded(handle, table))

    def _loaded(self, handle: DeltaTable, table: str) -> Snapshot:
        version = version_of(handle, table, self.table_uri(table))
        vectors = self.log(table).vectors(version.version) if has_vectors(handle) else {}
        return snapshot_of(handle, version, vectors)

    def scan(
        self,
        snapshot: Snapshot,
        files: Sequence[ActiveFile] | None = None,
        *,
        path_column: str | None = None,
        number_column: str | None = None,
        hidden: Mapping[str, Rows] | None = None,
    ) -> pl.LazyFrame:
        """The rows of ``files`` (by default all) of a snapshot, but for the dead ones.

        With ``path_column`` also which file each is in, with ``number_column`` the number that ``places`` understands.
        ``hidden`` are rows to leave out in place of the dead ones, by path.
        """
        chosen = snapshot.files if files is None else files
        held = {file.path: file.rows + file.dead for file in chosen}
        left_out = self.dead_rows(snapshot.version.table, chosen) if hidden is None else hidden
        table, schema, start = snapshot.version.table, snapshot.schema, 0
        frames: list[pl.LazyFrame] = []
        for part in snapshot.parts(chosen) or [()]:
            paths = [file.path for file in part]
            frame = self._scan(table, paths, schema, path_column, left_out, held, number_column)
            if number_column is not None:
                counted = (pl.col(number_column).cast(pl.UInt64) + start).alias(number_column)
                # Polars puts the index first.
                frame = frame.select(*schema, *([path_column] if path_column else []), counted)
                start += sum(file.rows for file in part)
            if snapshot.is_bare(part):
                values = part[0].partition.items()
                frame = frame.with_columns(pl.lit(partition_value(v, schema[c]), schema[c]).alias(c) for c, v in values)
            frames.append(frame)
        return pl.concat(frames) if len(frames) > 1 else frames[0]

    def places(
        self, snapshot: Snapshot, numbers: pl.Series, files: Sequence[ActiveFile] | None = None
    ) -> dict[str, Rows]:
        """In which files the rows with ``numbers`` are, and where in them; ``files`` are those of the scan that gave them."""
        chosen = list(chain.from_iterable(snapshot.parts(snapshot.files if files is None else files)))
        self._check_counted(snapshot, chosen)
        dead, asked = self.dead_rows(snapshot.version.table, chosen), np.sort(numbers.to_numpy())
        ends = np.cumsum([file.rows for file in chosen], dtype=np.uint64)
        found: dict[str, Rows] = {}
        for file, end, part in zip(chosen, ends, np.split(asked, np.searchsorted(asked, ends)), strict=False):
            if part.size:
                found[file.path] = living(part + np.uint64(file.rows) - end, dead.get(file.path))
        return found

    def _check_counted(self, snapshot: Snapshot, files: Iterable[ActiveFile]) -> None:
        """Errors: LakeCorrupt for a file of which another program did not tell how many rows it holds."""
        for file in files:
            if not file.rows + file.dead and self.scan(snapshot, [file]).select(pl.len()).collect().item():
                place = f"{snapshot.version.uri}/{file.path}"
                raise LakeCorrupt(f"{place}: the log does not say how many rows it holds; {WAY_OUT}", path=place)

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
        number_column: str | None = None,
    ) -> pl.LazyFrame:
        if not paths:
            more = {path_column: pl.String(), number_column: pl.UInt32()}
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
            row_index_name=number_column,
            storage_options=self.storage_options or None,
            # What scan_delta does with vectors. It keeps the order of rows, and costs a tenth of an anti-join.
            _deletion_files=("delta-deletion-vector", selection(some)) if some else None,
        )

    def read(self, table: str, version: int | None = None) -> pl.LazyFrame:
        """The rows of ``table`` as it stands, or stood at ``version``.

        Errors: TableMissing.
        """
        return self.scan(self.loaded(self.open(table, version), table))

    def statistics(self, version: TableVersion) -> dict[str, str]:
        """What the log says of the values in each file of ``version``, as JSON: nulls, and bounds that may be wide."""
        known = self._known(version.table)
        with known.lock, storage_errors(version.uri):
            handle = self._at(known, version)
            told = statistics_of(handle)
            dead = {file.path: file.dead for file in self.loaded(handle, version.table).files if file.deleted}
        return told | {path: of_the_living(told[path], count) for path, count in dead.items()}

    def batches(self, table: str, until: int) -> set[str]:
        """Ids of our batches that were committed up to version ``until``, as far as the log goes back."""
        return {batch for _, batch in self.log(table).batches(until)}

    def logged(self, table: str) -> set[str]:
        """Paths of all files, data and vectors, that a version in the table's log names, the replaced ones among them."""
        head = self.head(table)
        if head is None:
            return set()
        files = self.snapshot(head).files
        vectors = {vector_path(file.deleted) for file in files if file.deleted}
        return {f.path for f in files} | {path for path in vectors if path} | self.log(table).named(head.version)
