"""Records of what a source was asked and what it answered: one for each pull, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import polars as pl

from dataflow.lake.schema import from_json, to_delta
from dataflow.model import Frozen


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

    @property
    def contents(self) -> list[str]:
        return contents_of(file for file in self.files if f"-{self.pull}-" in file.name)


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
