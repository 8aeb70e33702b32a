"""Files: CSV, JSON lines and Parquet, plain or compressed, one path, a folder or a glob, local or in object storage."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

import polars as pl

from dataflow.errors import ConfigError, SchemaDrift, SourceCorrupt
from dataflow.model import Frozen
from dataflow.sources.files.config import FileConfig as FileConfig
from dataflow.sources.files.config import Format
from dataflow.sources.files.delimited_reader import DelimitedReader
from dataflow.sources.files.drift import check_columns
from dataflow.sources.files.fit import Terms
from dataflow.sources.files.json_reader import JsonReader
from dataflow.sources.files.listing import Listing
from dataflow.sources.files.parquet_reader import ParquetReader
from dataflow.sources.files.reader import Reader
from dataflow.sources.files.salvage import MARKS
from dataflow.sources.registry import register_source
from dataflow.sources.source import RESCUED, Item, Source, Watching

_FIRST = 10
"""So many files tell the columns of a source that has no schema."""


@register_source("file")
class FileSource(Source):
    """Lands every file as it is; without a schema, CSV fields stay text, so that no value is lost to a type."""

    Config: ClassVar[type[Frozen]] = FileConfig

    def __init__(self, name: str, config: FileConfig) -> None:
        self.name = name
        self.config = config
        self._listing = Listing(name, config.storage_options)
        self._readers: dict[Format, Reader] = {
            "csv": DelimitedReader(config, self._listing),
            "jsonl": JsonReader(config, self._listing),
            "parquet": ParquetReader(config, self._listing),
        }

    def items(self) -> Sequence[Item]:
        """The files that match, in name order.

        Errors: SourceUnavailable where a path is missing or a pattern matches nothing; ConfigError where the file
        system names no content, and ``detect`` goes by that.
        """
        found = {item.name: item for path in self.config.paths for item in self._listing.expand(path)}
        if self.config.detect == "etag" and (bare := [name for name in sorted(found) if found[name].etag is None]):
            raise ConfigError(
                f"source {self.name!r}: detect: etag goes by the ETags of an object store, and {bare[0]} has none; say "
                "`detect: auto` (or `modified`, `content`)",
                source=self.name,
                file=bare[0],
            )
        return [found[name] for name in sorted(found)]

    @property
    def watching(self) -> Watching:
        """How the files are watched."""
        return self.config

    def content_hash(self, item: Item) -> str:
        """xxh3-128 of the file's bytes.

        Errors: SourceUnavailable where the file is gone since it was listed, or may not be read.
        """
        return self._listing.content_hash(item)

    @property
    def fingerprint(self) -> str:
        """What a file is read as: where the files lie does not change what is in them."""
        return self.config.meaning

    def contract(self, items: Sequence[Item], held: pl.Schema | None) -> pl.Schema:
        """What is held, else what is configured, else what the first files hold; with ``evolve``, what is new after it.

        Errors: SourceCorrupt where it cannot be told, ConfigError for a column with a name of ours.
        """
        evolves = self.config.contract == "evolve"
        if held is not None and not evolves:
            return held
        types = dict(held) if held is not None else self._configured(items)
        if not types or evolves:
            for name, found in self._found(items if evolves else items[:_FIRST], first_only=not evolves):
                if types and self.config.format_of(name) != "jsonl" and not found.keys() & types.keys():
                    # Another separator, or another kind of file altogether, is no evolution.
                    check_columns(list(found), Terms(self.name, name, pl.Schema(types)), self.config.separator)
                types |= {column: dtype for column, dtype in found.items() if column not in types}
        if not types:
            raise SourceCorrupt(
                f"source {self.name!r}: the first lines of {items[0].name} hold no JSON object that would tell columns; mend "
                "the file, or say `schema`",
                source=self.name,
                file=items[0].name,
            )
        self._check_names(types, held)
        declared = self.config.declared
        types |= {name: declared.get(name, pl.String()) for name in self.config.from_name if name not in types}
        strays = evolves and any(self._format(item) == "jsonl" for item in items)
        if strays or self.config.contract == "discard_value":
            types.setdefault(RESCUED, pl.String())
        return pl.Schema(types)

    def _configured(self, items: Sequence[Item]) -> dict[str, pl.DataType]:
        if self.config.columns is None:
            return self.config.declared
        found: dict[str, pl.DataType] = {}
        if self._format(items[0]) != "csv":
            found = next(types for _, types in self._found(items[:_FIRST], first_only=True))
        return {name: found.get(name, pl.String()) for name in self.config.columns}

    def _found(self, items: Sequence[Item], *, first_only: bool) -> Iterator[tuple[str, dict[str, pl.DataType]]]:
        """The columns of files, of JSON all together; ``first_only``: those of the first file, and JSON beside it."""
        kinds: list[Format] = [self._format(items[0])] if first_only else [*self._readers]
        for kind in kinds:
            own = [item for item in items if self._format(item) == kind]
            asked = own[:1] if first_only and kind != "jsonl" else own
            yield from zip((item.name for item in asked), self._readers[kind].columns(asked), strict=False)

    def _check_names(self, types: Collection[str], held: pl.Schema | None) -> None:
        if taken := [name for name in (*MARKS, RESCUED) if name in types and name not in (held or ())]:
            raise ConfigError(
                f"source {self.name!r}: column {taken[0]!r} has a name that dataflow keeps for itself; rename it in the file",
                source=self.name,
            )

    def scan(self, item: Item, schema: pl.Schema, *, row_index: str) -> pl.LazyFrame:
        """The file's rows, read fast; what has to be set aside, or is broken, makes it fail when it is collected.

        Errors: SourceCorrupt for an unreadable file, SchemaDrift where its columns are not those of ``schema``.
        """
        return self._readers[self._format(item)].scan(item, self._terms(item, schema), row_index)

    def verify(self, item: Item, nulls: Collection[str]) -> None:
        """See that the file is the one that was listed, and that ``scan`` passed over nothing.

        Errors: SourceUnavailable, SourceCorrupt.
        """
        self._listing.check_unchanged(item)
        if self.config.detect == "content":
            # Who asks for that does not trust sizes and times.
            self._listing.check_content(item)
        self._readers[self._format(item)].verify(item, nulls)

    def salvage(self, item: Item, schema: pl.Schema, *, row_index: str) -> pl.LazyFrame | None:
        """The file's rows line by line: what is broken, or does not fit and is to be set aside, is marked.

        Rows are numbered as they stand in the file, broken ones too, which come after the others of their batch. None for Parquet, and where there is no header.
        Errors: SourceUnavailable where the file has changed; while it is read, SchemaDrift where the contract refuses it.
        """
        # Of a file that has changed, what looks broken may be sound.
        self._listing.check_unchanged(item)
        return self._readers[self._format(item)].salvage(item, self._terms(item, schema), row_index)

    def _format(self, item: Item) -> Format:
        return self.config.format_of(item.name)

    def _terms(self, item: Item, schema: pl.Schema) -> Terms:
        return Terms(
            self.name,
            item.name,
            schema,
            self.config.contract,
            self.config.date_formats,
            {column: self._told(item, column, pattern) for column, pattern in self.config.from_name.items()},
            blank_is_null=self._format(item) == "csv",
        )

    def _told(self, item: Item, column: str, pattern: str) -> str:
        """What the file's name tells of a column."""
        found = re.search(pattern, item.name.rsplit("/", 1)[-1])
        if found is None or found[1] is None:
            raise SchemaDrift(
                f"source {self.name!r}: the name of {item.name} does not tell {column!r}: {pattern!r} is not in it; rename the "
                "file, or change `from_name` of the source",
                source=self.name,
                file=item.name,
            )
        return found[1]
