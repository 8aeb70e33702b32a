"""Records of what a source was asked and what it answered: one for each pull, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import polars as pl

from dataflow.lake.schema import from_json, to_delta
from dataflow.model import Frozen, digest


class Reach(Frozen):
    """How far the rows of a file go by their source's cursor."""

    greatest: Any = None
    """The greatest value, as JSON; None where all are null."""
    nulls: int = 0
    """Rows without a value."""


class Cut(Frozen):
    """Rows that do not count any more, because they were asked for once more."""

    before: Any = None
    """Rows of the files stay that come before this value of the cursor, as JSON; None where none stay."""
    files: tuple[str, ...]
    """Names of the files that hold others."""
    at: datetime
    """When this was wished for."""


class SpooledFile(Frozen):
    """A Parquet file of rows as they were delivered."""

    name: str
    rows: int
    size_bytes: int
    content_hash: str
    """xxh3-128 of the file's bytes."""
    columns: dict[str, Any]
    """Its schema, as Delta writes it."""
    pulled_at: datetime
    reach: Reach | None = None
    """None of a source without a cursor."""
    cut: Cut | None = None
    """Which of its rows do not count any more; without the names of files."""
    restates: str | None = None
    """The first file of which it takes rows' places."""

    @property
    def content(self) -> str:
        """Names the rows that count."""
        return digest(self.content_hash, json.dumps(self.cut.before)) if self.cut else self.content_hash

    @property
    def changed_at(self) -> datetime:
        """When other rows began to count."""
        return self.cut.at if self.cut else self.pulled_at

    @property
    def names(self) -> list[str]:
        return [field["name"] for field in self.columns["fields"]]

    @property
    def schema_of_rows(self) -> pl.Schema:
        return as_schema(self.columns)


class Record(Frozen):
    """One pull."""

    pull: str
    files: tuple[SpooledFile, ...]
    """Those of this pull; in every hundredth record those of all pulls so far."""
    state: dict[str, Any] | None
    declared: dict[str, Any]
    """A schema as Delta writes it: types that the source declares, whatever its rows look like."""
    wish: Cut | None = None
    """Not a pull, but a person's wish to ask from ``state`` again: the answer, the next record, carries it as ``cut``."""
    cut: Cut | None = None
    """What the files of this pull take the place of."""

    @property
    def contents(self) -> list[str]:
        return contents_of(file for file in self.files if f"-{self.pull}-" in file.name)


def files_of(records: Iterable[Record]) -> list[SpooledFile]:
    """All files that ``records`` name, in order, with what later records say of them."""
    found: dict[str, SpooledFile] = {}
    for record in records:
        if record.cut is not None:
            mark = {"cut": record.cut.model_copy(update={"files": ()})}
            found |= {name: found[name].model_copy(update=mark) for name in record.cut.files if name in found}
        own = f"-{record.pull}-"
        anew = {"restates": record.cut.files[0]} if record.cut is not None and record.cut.files else {}
        found |= {f.name: f.model_copy(update=anew) if own in f.name else f for f in record.files}
    return list(found.values())


def contents_of(files: Iterable[SpooledFile]) -> list[str]:
    """The hashes of what is in ``files``."""
    return [file.content_hash for file in files]


def as_json(schema: pl.Schema) -> dict[str, Any]:
    """A storable schema as Delta writes it."""
    found: dict[str, Any] = json.loads(to_delta(schema).to_json())
    return found


def as_schema(columns: dict[str, Any]) -> pl.Schema:
    """What ``as_json`` was made of."""
    return from_json(json.dumps(columns))
