"""Polars schemas as Delta tables can hold them."""

from __future__ import annotations

from typing import Any

import polars as pl
from deltalake import Schema as DeltaSchema

from dataflow.errors import SchemaConflict

# Delta has no unsigned integers and no half floats: they move to the next wider type.
_WIDER: dict[type[pl.DataType], pl.DataType] = {
    pl.UInt8: pl.Int16(),
    pl.UInt16: pl.Int32(),
    pl.UInt32: pl.Int64(),
    pl.UInt64: pl.Int64(),
    pl.Float16: pl.Float32(),
}
_KEPT = (
    pl.String,
    pl.Boolean,
    pl.Binary,
    pl.Date,
    pl.Decimal,
    pl.Int8,
    pl.Int16,
    pl.Int32,
    pl.Int64,
    pl.Float32,
    pl.Float64,
)


def storable(schema: pl.Schema, table: str) -> pl.Schema:
    """``schema`` with every type replaced by the one that a Delta table stores it as.

    Errors: SchemaConflict that names the column whose type cannot be stored, or whose name another has in other letters.
    """
    known: dict[str, str] = {}
    for name in schema:
        if (other := known.setdefault(name.lower(), name)) != name:
            raise SchemaConflict(
                f"table {table!r}: columns {other!r} and {name!r} differ in upper and lower case only, which a Delta table does not tell apart; rename one",
                table=table,
                column=name,
            )
    return pl.Schema({name: _storable(dtype, name, table) for name, dtype in schema.items()})


def _storable(dtype: pl.DataType, column: str, table: str) -> pl.DataType:
    if wider := _WIDER.get(type(dtype)):
        return wider
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us", "UTC" if dtype.time_zone else None)
    if isinstance(dtype, pl.Categorical | pl.Enum | pl.Null):
        return pl.String()
    if isinstance(dtype, pl.List | pl.Array):
        return pl.List(_storable(_inner(dtype), column, table))
    if isinstance(dtype, pl.Struct) and dtype.fields:
        return pl.Struct({f.name: _storable(_instance(f.dtype), column, table) for f in dtype.fields})
    if not isinstance(dtype, _KEPT):
        raise SchemaConflict(
            f"table {table!r}: column {column!r} is {dtype}, which a Delta table cannot hold; cast it to an integer or text, or drop it in the stage's function",
            table=table,
            column=column,
        )
    return dtype


def _inner(dtype: pl.List | pl.Array) -> pl.DataType:
    return _instance(dtype.inner)


def _instance(dtype: Any) -> pl.DataType:
    return dtype() if isinstance(dtype, type) else dtype


def conform(frame: pl.LazyFrame, found: pl.Schema, wanted: pl.Schema) -> pl.LazyFrame:
    """``frame`` with the types of ``wanted``; a value that does not fit raises when it is collected."""
    casts = [pl.col(name).cast(dtype) for name, dtype in wanted.items() if found[name] != dtype]
    return frame.with_columns(casts) if casts else frame


def to_delta(schema: pl.Schema) -> DeltaSchema:
    """The Delta schema of a storable Polars schema."""
    return DeltaSchema.from_arrow(pl.DataFrame(schema=schema).to_arrow().schema)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def from_delta(schema: DeltaSchema) -> pl.Schema:
    """The Polars schema that files of a Delta table are read with."""
    arrow: Any = schema.to_arrow()
    return pl.Schema(arrow)


def from_json(text: str) -> pl.Schema:
    """The Polars schema of a Delta schema that was kept as JSON."""
    return from_delta(DeltaSchema.from_json(text))
