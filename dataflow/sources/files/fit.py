"""How what a file holds becomes rows of a contract, and what becomes of that which does not fit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from dataflow.errors import SchemaDrift
from dataflow.sources.files.types import Reading, otherwise, readings, type_name, typed
from dataflow.sources.source import BROKEN, LINE, RAW, RESCUED

Mode = Literal["freeze", "evolve", "discard_row", "discard_value"]
FRAGMENTS = "\1"
"""What begins the name of a column that holds another column's values as JSON."""
MOVED = "\2"
"""What begins the name of a column that holds another column's values in their new type."""
UNFIT = "\3unfit"
"""Why a row does not fit, in words; null where it does."""
STRAY = "\3stray"
"""A column of JSON members of which the contract knows nothing, as text without braces; null where there are none."""
_MARKS = (BROKEN, RAW, LINE, STRAY, UNFIT)
_WIDTHS: dict[type[pl.DataType], int] = {
    pl.Int8: 8,
    pl.Int16: 16,
    pl.Int32: 32,
    pl.Int64: 64,
    pl.UInt8: 9,
    pl.UInt16: 17,
    pl.UInt32: 33,
}
"""Bits with a sign."""


@dataclass(frozen=True)
class Terms:
    """A contract, and the place that messages name."""

    source: str
    file: str
    schema: pl.Schema
    mode: Mode = "freeze"
    date_formats: tuple[str, ...] = ()
    constants: Mapping[str, str] = field(default_factory=dict[str, str])
    """Columns that the file's name tells."""
    blank_is_null: bool = False
    """Whether text without a character is no value, in columns of other types than text."""

    @property
    def rescues(self) -> bool:
        """Whether a value that fits no column is kept beside the others."""
        return self.mode == "discard_value"

    @property
    def keeps_strays(self) -> bool:
        """Whether a field of which the contract knows nothing is kept beside the others."""
        return RESCUED in self.schema and self.mode in ("evolve", "discard_value")

    def drift(self, what: str) -> SchemaDrift:
        """The error that refuses the file."""
        return SchemaDrift(
            f"source {self.source!r}: {self.file}{what}; mend the file, change `schema`, or set `contract` to "
            "discard_row, discard_value or evolve",
            source=self.source,
            file=self.file,
        )


class Fit:
    """Rows with the columns ``found`` as rows of a contract."""

    def __init__(self, found: pl.Schema, terms: Terms) -> None:
        self.terms = terms
        self.values: dict[str, pl.Expr] = {}
        self.unfit: dict[str, pl.Expr] = {}
        """Where a column's values do not fit."""
        self.why: dict[str, str] = {}
        self.first: dict[str, pl.Expr] = {}
        self.second: dict[str, pl.Expr] = {}
        """What moves values to another type: the first reading, and then the others."""
        for column, dtype in terms.schema.items():
            self.values[column] = self._value(column, found, dtype)
        for column in found:
            if column not in terms.schema and column not in _MARKS and not column.startswith(FRAGMENTS):
                self.unfit[column] = pl.col(column).is_not_null()
                self.why[column] = f"column {column!r} is not in the contract"

    def _value(self, column: str, found: pl.Schema, wanted: pl.DataType) -> pl.Expr:
        if column in self.terms.constants:
            return typed(pl.lit(self.terms.constants[column]), wanted, self.terms.date_formats)
        if column not in found:
            return pl.lit(None, wanted)
        raw, dtype = pl.col(column), found[column]
        if always_fits(dtype, wanted):
            return raw if dtype == wanted else raw.cast(wanted)
        if dtype == pl.String() and self.terms.blank_is_null:
            raw = pl.when(raw != "").then(raw)
        value = pl.col(MOVED + column)
        first, *others = readings(wanted, self.terms.date_formats) if dtype == pl.String() else [moving(dtype, wanted)]
        self.first[column] = first(raw)
        if others:
            self.second[column] = otherwise(value, raw, others)
        kind = "" if dtype == pl.String() else f" of type {type_name(dtype)}"
        self.unfit[column] = raw.is_not_null() & value.is_null()
        self.why[column] = f"column {column!r}: a value{kind} that is no {type_name(wanted)}"
        return value

    def _moved(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        # A step for each, so that nothing is computed twice: most values need the first reading alone.
        for step in (self.first, self.second):
            if step:
                rows = rows.with_columns(value.alias(MOVED + column) for column, value in step.items())
        return rows

    def strictly(self, rows: pl.LazyFrame, row_index: str) -> pl.LazyFrame:
        """The rows of the contract; collecting them raises a PolarsError where a value does not fit."""
        index = pl.col(row_index)
        if self.unfit:
            wrong = pl.any_horizontal(list(self.unfit.values()))
            # Text that is no number, in rows that do not fit alone.
            index = index + pl.when(wrong).then(pl.lit("unfit")).cast(pl.Int8).fill_null(0)
        return self._moved(rows).select(*self._columns(), index.cast(pl.Int64).alias(row_index))

    def flagged(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """The rows' reasons why they do not fit, as ``UNFIT``."""
        return self._moved(rows).select(self._reason(rows.collect_schema()))

    def forgivingly(self, rows: pl.LazyFrame, row_index: str) -> pl.LazyFrame:
        """The rows of the contract, with what does not fit in ``RESCUED``, or why a row does not fit in ``UNFIT``.

        Marks that the rows have (BROKEN, RAW, LINE) are kept.
        """
        schema = rows.collect_schema()
        kept = [c for c in (BROKEN, RAW, LINE) if c in schema]
        unfit = [] if self.terms.rescues else [self._reason(schema)]
        rescued = self._rescued(schema) if self.terms.keeps_strays else None
        return self._moved(rows).select(*self._columns(rescued), pl.col(row_index).cast(pl.Int64), *kept, *unfit)

    def _columns(self, rescued: pl.Expr | None = None) -> list[pl.Expr]:
        known = {**self.values, **({RESCUED: rescued} if rescued is not None else {})}
        return [value.alias(column) for column, value in known.items()]

    def _reason(self, schema: pl.Schema) -> pl.Expr:
        known = [pl.col(UNFIT)] if UNFIT in schema else []
        whys = [pl.when(wrong).then(pl.lit(self.why[column])) for column, wrong in self.unfit.items()]
        return pl.coalesce([*known, *whys, pl.lit(None, pl.String)]).alias(UNFIT)

    def _rescued(self, schema: pl.Schema) -> pl.Expr:
        members = [self._member(c, wrong, schema) for c, wrong in self.unfit.items()] if self.terms.rescues else []
        if STRAY in schema:
            members.append(pl.col(STRAY))
        if not members:
            return pl.lit(None, pl.String)
        inside = pl.concat_str(members, separator=",", ignore_nulls=True)
        some = pl.any_horizontal([member.is_not_null() for member in members])
        return pl.when(some).then(pl.concat_str(pl.lit("{"), inside, pl.lit("}")))

    @staticmethod
    def _member(column: str, wrong: pl.Expr, schema: pl.Schema) -> pl.Expr:
        if (fragments := FRAGMENTS + column) in schema:
            key = json.dumps(column, ensure_ascii=False)
            return pl.when(wrong).then(pl.concat_str(pl.lit(f"{key}:"), pl.col(fragments)))
        encoded = pl.struct(json_ready(column, schema[column])).struct.json_encode()
        return pl.when(wrong).then(encoded.str.strip_prefix("{").str.strip_suffix("}"))


def nameless(names: Iterable[str]) -> str | None:
    """The first that can be no column's name: Polars panics at NUL, and columns of our own begin with such characters."""
    return next((name for name in names if name and min(name) < "\t"), None)


def json_ready(column: str, dtype: pl.DataType) -> pl.Expr:
    """A column in a form that JSON can hold without loss."""
    value = pl.col(column)
    if isinstance(dtype, pl.Binary):
        return value.bin.encode("hex")
    return value.cast(pl.String) if isinstance(dtype, pl.Decimal) or dtype.is_temporal() else value


def moving(found: pl.DataType, wanted: pl.DataType) -> Reading:
    """What makes values of another type of values that are no text; null where something would be lost."""
    near = (found.is_numeric() and wanted.is_numeric()) or (found.is_temporal() and wanted.is_temporal())

    def move(raw: pl.Expr) -> pl.Expr:
        cast = raw.cast(wanted, strict=False)
        return pl.when(cast.cast(found, strict=False) == raw).then(cast)

    return move if near else lambda raw: pl.lit(None, wanted)


def always_fits(found: pl.DataType, wanted: pl.DataType) -> bool:
    """Whether every value of one type is a value of the other.

    Example:
        >>> always_fits(pl.Int16(), pl.Int64()), always_fits(pl.Int64(), pl.Float64())
        (True, False)
    """
    if found == wanted or isinstance(found, pl.Null):
        return True
    if isinstance(wanted, pl.String):
        return not found.is_nested() and not isinstance(found, pl.Binary | pl.Object)
    if isinstance(found, pl.Float32):
        return isinstance(wanted, pl.Float64)
    if isinstance(found, pl.Datetime) and isinstance(wanted, pl.Datetime):
        # As a Delta table keeps instants.
        return (found.time_zone is None) == (wanted.time_zone is None)
    return type(wanted) in _WIDTHS and type(found) in _WIDTHS and _WIDTHS[type(found)] <= _WIDTHS[type(wanted)]
