"""Options of the source type ``file``."""

from __future__ import annotations

import json
import re
from typing import Literal

import polars as pl
from pydantic import ConfigDict, Field, field_validator, model_validator

from dataflow.sources.files.fit import Mode
from dataflow.sources.files.types import column_type
from dataflow.sources.source import Watching

Format = Literal["csv", "jsonl", "parquet"]
_SUFFIXES: dict[str, Format] = {"jsonl": "jsonl", "ndjson": "jsonl", "parquet": "parquet", "pq": "parquet"}
_PACKED = re.compile(r"\.(gz|gzip|zst|zstd)$")


class FileConfig(Watching):
    """Options of ``type: file``."""

    model_config = ConfigDict(populate_by_name=True)

    path: str | tuple[str, ...]
    """A file, a folder, a glob, or several of these."""
    format: Format | None = None
    """By default what each file's name ends in: ``.jsonl``, ``.ndjson``, ``.parquet``, else CSV; before ``.gz``, ``.zst``."""
    columns: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The contract: every file has exactly these columns. By default those of the first file."""
    types: dict[str, str] | None = Field(default=None, min_length=1, alias="schema")
    """The contract with types: ``{id: int64, price: "decimal(10,2)", at: datetime}``. By default text in CSV files; what
    the first objects hold in JSON; the types of Parquet files."""
    contract: Mode = "freeze"
    """What becomes of columns, fields and values that are not as agreed: ``freeze`` refuses the file, ``evolve`` adds
    columns, ``discard_row`` sets the row aside, ``discard_value`` keeps them in ``_rescued``."""
    date_formats: tuple[str, ...] = ()
    """How dates and times are written, as ``%d/%m/%Y``; in place of the usual ones, of which none is ambiguous."""
    from_name: dict[str, str] = {}
    """Columns that a file's name tells: for each a regular expression with one group."""
    separator: str = Field(default=",", min_length=1, max_length=1)
    """Of the fields of CSV files."""
    storage_options: dict[str, str] = {}
    """For object storage, as Polars takes them."""

    @field_validator("types")
    @classmethod
    def _types_are_known(cls, types: dict[str, str] | None) -> dict[str, str] | None:
        for column, name in (types or {}).items():
            try:
                column_type(name)
            except ValueError as error:
                raise ValueError(f"column {column!r}: {error}") from error
        return types

    @field_validator("separator")
    @classmethod
    def _separates(cls, separator: str) -> str:
        if separator in '"\r\n' or not separator.isascii():
            raise ValueError(
                f"{separator!r} cannot separate fields; say one ASCII character that is no quote and no line end"
            )
        return separator

    @field_validator("from_name")
    @classmethod
    def _has_one_group(cls, from_name: dict[str, str]) -> dict[str, str]:
        for column, pattern in from_name.items():
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"column {column!r}: {pattern!r} is no regular expression: {error}") from error
            if groups != 1:
                raise ValueError(
                    f"column {column!r}: {pattern!r} has {groups} groups; one, in parentheses, is the value"
                )
        return from_name

    @field_validator("date_formats")
    @classmethod
    def _parses(cls, date_formats: tuple[str, ...]) -> tuple[str, ...]:
        for text in date_formats:
            if "%" not in text:
                raise ValueError(f"{text!r} names no part of a date; write it as %d/%m/%Y or %m/%d/%Y %H:%M")
        return date_formats

    @model_validator(mode="after")
    def _one_contract(self) -> FileConfig:
        if self.columns and self.types:
            raise ValueError("`columns` and `schema` both name the columns; say `schema` alone")
        return self

    @property
    def declared(self) -> dict[str, pl.DataType]:
        """The types that the configuration tells."""
        return {column: column_type(name) for column, name in (self.types or {}).items()}

    @property
    def paths(self) -> tuple[str, ...]:
        return self.path if isinstance(self.path, tuple) else (self.path,)

    def format_of(self, name: str) -> Format:
        """The format of the file ``name``."""
        suffix = _PACKED.sub("", name.lower()).rsplit(".", 1)[-1]
        return self.format or _SUFFIXES.get(suffix, "csv")

    @property
    def meaning(self) -> str:
        """Changes when a file would be landed as other rows; where the files lie does not matter.

        What is frozen and may evolve later are the same rows.
        """
        kept = self.model_dump(include={"columns", "separator"}, mode="json")
        added = self.model_dump(include={"types", "date_formats", "from_name"}, exclude_defaults=True, mode="json")
        mode = {"contract": self.contract} if self.contract in ("discard_row", "discard_value") else {}
        return json.dumps({"format": self.format or "csv", **kept, **added, **mode}, separators=(",", ":"))
