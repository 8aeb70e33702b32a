"""Files: CSV and Parquet, plain or compressed, one path, a folder or a glob, local or in object storage."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Collection, Sequence
from typing import ClassVar, Literal

import polars as pl
import xxhash
from pydantic import Field

from dataflow.errors import SchemaDrift, SourceCorrupt, SourceUnavailable
from dataflow.lake.filesystem import FileSystem, open_filesystem
from dataflow.model import Frozen
from dataflow.sources.delimited import check_lengths, header
from dataflow.sources.registry import register_source
from dataflow.sources.source import Item

_CHUNK = 1 << 20


class FileConfig(Frozen):
    """Options of ``type: file``."""

    path: str | tuple[str, ...]
    """A file, a folder, a glob, or several of these."""
    format: Literal["csv", "parquet"] = "csv"
    columns: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The contract: every file has exactly these columns. By default those of the first file."""
    separator: str = Field(default=",", min_length=1, max_length=1)
    storage_options: dict[str, str] = {}
    """For object storage, as Polars takes them."""


@register_source("file")
class FileSource:
    """Lands every file as it is: CSV fields stay text, so that no value is lost to a type."""

    Config: ClassVar[type[Frozen]] = FileConfig

    def __init__(self, name: str, config: FileConfig) -> None:
        self.name = name
        self.config = config

    def items(self) -> Sequence[Item]:
        """The files that match, in name order.

        Errors: SourceUnavailable where a path is missing or a pattern matches nothing.
        """
        paths = self.config.path if isinstance(self.config.path, tuple) else (self.config.path,)
        found = {item.name: item for path in paths for item in self._expand(path)}
        return [found[name] for name in sorted(found)]

    def _expand(self, path: str) -> list[Item]:
        fs, root = self._filesystem(path)
        try:
            if any(c in root for c in "*?[") and not fs.exists(root):
                names = [n for n in fs.glob(root) if not fs.isdir(n) and not n.rsplit("/", 1)[-1].startswith(".")]
            elif fs.isdir(root):
                names = [
                    n
                    for n in fs.ls(root, detail=False)
                    if not fs.isdir(n) and not n.rsplit("/", 1)[-1].startswith((".", "_"))
                ]
            else:
                names = [root]
            items = [self._item(fs, name) for name in names]
        except FileNotFoundError as error:
            # A link that leads nowhere is not the folder that it lies in.
            raise self._none(f"no file {error.filename or path}", path) from error
        except PermissionError as error:
            raise SourceUnavailable(
                f"source {self.name!r}: {path} may not be read: {error}", source=self.name, path=path
            ) from error
        if not items:
            bracket = ", where [[] would stand for a bracket" if "[" in path else ""
            raise self._none(f"no file in {path}" if fs.isdir(root) else f"nothing matches {path}{bracket}", path)
        return items

    def _none(self, what: str, path: str) -> SourceUnavailable:
        return SourceUnavailable(
            f"source {self.name!r}: {what}; check `path` or wait for the delivery", source=self.name, path=path
        )

    def _filesystem(self, path: str) -> tuple[FileSystem, str]:
        return open_filesystem(path, self.config.storage_options)

    def _item(self, fs: FileSystem, name: str) -> Item:
        info = fs.info(name)
        modified = info.get("mtime") or info.get("LastModified")
        return Item(
            name=fs.unstrip_protocol(name) if fs.protocol[0] != "file" else name,
            size_bytes=int(info["size"] or 0),
            modified_at=modified.timestamp() if hasattr(modified, "timestamp") else float(modified or 0),
        )

    def content_hash(self, item: Item) -> str:
        """xxh3-128 of the file's bytes.

        Errors: SourceUnavailable where the file is gone since it was listed, or may not be read.
        """
        state = xxhash.xxh3_128()
        fs, root = self._filesystem(item.name)
        try:
            with fs.open(root, "rb") as file:
                while chunk := file.read(_CHUNK):
                    state.update(chunk)
        except OSError as error:
            raise SourceUnavailable(
                f"source {self.name!r}: {item.name} cannot be read: {error}; check the file, or run again",
                source=self.name,
                file=item.name,
            ) from error
        return state.hexdigest()

    @property
    def fingerprint(self) -> str:
        """Format and separator: where the files lie does not change what is in them."""
        return self.config.model_dump_json(include={"format", "columns", "separator"})

    def contract(self, items: Sequence[Item]) -> tuple[str, ...]:
        """The configured columns, else those of the first file."""
        return self.config.columns or tuple(self._columns_of(items[0]))

    def scan(self, item: Item, *, columns: Sequence[str], row_index: str) -> pl.LazyFrame:
        """The file's rows; CSV fields as text.

        Errors: SourceCorrupt for an empty or unreadable file, SchemaDrift where its columns are not ``columns``.
        """
        self._hold(item, self._columns_of(item), columns)
        storage = self.config.storage_options or None
        if self.config.format == "parquet":
            frame = pl.scan_parquet(
                item.name, row_index_name=row_index, storage_options=storage, glob=False, hive_partitioning=False
            )
        else:
            frame = pl.scan_csv(
                item.name,
                infer_schema=False,
                separator=self.config.separator,
                row_index_name=row_index,
                storage_options=storage,
                glob=False,
            )
        return frame.select(*columns, row_index)

    def verify(self, item: Item, nulls: Collection[str]) -> None:
        """Look for lines of a CSV file that end too early: ``scan`` fills them up, so that the last column holds a null.

        Errors: SourceCorrupt.
        """
        if self.config.format != "csv":
            return
        names = self._header(item)
        if names[-1] not in nulls:
            return
        fs, root = self._filesystem(item.name)
        try:
            with fs.open(root, "rb") as file:
                check_lengths(file, names, self.config.separator)
        except (OSError, ValueError, csv.Error) as error:
            raise self._unreadable(item, error) from error

    def _columns_of(self, item: Item) -> list[str]:
        if item.size_bytes == 0:
            raise SourceCorrupt(
                f"source {self.name!r}: {item.name} is empty; deliver it again or remove it",
                source=self.name,
                file=item.name,
            )
        if self.config.format == "csv":
            return self._header(item)
        try:
            frame = pl.scan_parquet(
                item.name, storage_options=self.config.storage_options or None, glob=False, hive_partitioning=False
            )
            return frame.collect_schema().names()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._unreadable(item, error) from error

    def _header(self, item: Item) -> list[str]:
        fs, root = self._filesystem(item.name)
        try:
            with fs.open(root, "rb") as file:
                return header(file, self.config.separator)
        except (OSError, ValueError, csv.Error) as error:
            raise self._unreadable(item, error) from error

    def _unreadable(self, item: Item, why: object) -> SourceCorrupt:
        encoding = "it is not UTF-8 text: " if isinstance(why, UnicodeDecodeError) else ""
        return SourceCorrupt(
            f"source {self.name!r}: {item.name} cannot be read: {encoding}{why}; deliver it again or remove it",
            source=self.name,
            file=item.name,
        )

    def _hold(self, item: Item, found: Sequence[str], contract: Sequence[str]) -> None:
        missing = [c for c in contract if c not in found]
        extra = [c for c in found if c not in contract]
        if not missing and not extra:
            return
        drift = [f"lacks {c!r}{_renamed(c, extra)}" for c in missing] + [f"has an unexpected {c!r}" for c in extra]
        if len(found) == 1 and (other := next((c for c in ";\t|," if c in found[0]), None)):
            drift[-1] += f" (is its `separator` {other!r}?)"
        raise SchemaDrift(
            f"source {self.name!r}: {item.name} {' and '.join(drift)}; mend the file, or change `columns` of the source",
            source=self.name,
            file=item.name,
            missing=missing,
            extra=extra,
        )


def _renamed(column: str, extra: Sequence[str]) -> str:
    near = difflib.get_close_matches(column, extra, n=1)
    return f" (renamed to {near[0]!r}?)" if near else ""
