"""Lines as rows, batch by batch: those that fit a contract, and those that do not with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence, Set
from itertools import islice
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from dataflow.sources.files.fit import FRAGMENTS, STRAY, UNFIT, Fit, Terms
from dataflow.sources.files.objects import Row, Value, as_column, as_json, without_exponent
from dataflow.sources.files.records import Record, blank
from dataflow.sources.source import BROKEN, LINE, RAW, RESCUED

_ROWS = 20_000
_CHARACTERS = 16 << 20
_LONG_NAME = 60
MARKS = pl.Schema({BROKEN: pl.String(), RAW: pl.String(), LINE: pl.Int64()})


def streamed(make: Callable[[], Iterator[pl.DataFrame]], schema: pl.Schema, name: str) -> pl.LazyFrame:
    """The frames that ``make`` yields, made while they are read."""

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, _size: int | None
    ) -> Generator[pl.DataFrame]:
        for frame in (part for whole in make() for part in _parts(whole)):
            found = frame if predicate is None else frame.filter(predicate)
            found = found if columns is None else found.select(columns)
            yield found if limit is None else found.head(limit)
            limit = None if limit is None else limit - found.height
            if limit is not None and limit <= 0:
                return

    return register_io_source(read, schema=schema, is_pure=True, explain_name="file", explain_detail=name)


def _parts(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The good rows and the broken ones apart, these as copies: a few rows of a frame keep the text of all in memory."""
    broken = frame[BROKEN].is_not_null() if BROKEN in frame.columns else pl.Series([False])
    if not broken.any():
        yield frame
        return
    yield frame.filter(~broken)
    yield frame[broken.arg_true()]


def from_records(
    records: Iterator[Record], header: Sequence[str], terms: Terms, row_index: str
) -> Iterator[pl.DataFrame]:
    """Records of separated values, without the header, as rows of a contract.

    Errors: SchemaDrift where the contract refuses what does not fit.
    """
    none = blank(len(header))
    begin = 0
    for batch in _batches(records):
        fields = zip(*(none if record.fields is None else record.fields for record in batch), strict=True)
        columns = {name: pl.Series(name, values, pl.String) for name, values in zip(header, fields, strict=True)}
        yield _fitted(columns, batch, begin, terms, row_index)
        begin += len(batch)


def from_rows(rows: Iterator[Row], terms: Terms, row_index: str) -> Iterator[pl.DataFrame]:
    """JSON objects as rows of a contract.

    Errors: SchemaDrift where the contract refuses what does not fit.
    """
    known = {c: dtype for c, dtype in terms.schema.items() if c != RESCUED and c not in terms.constants}
    begin = 0
    for batch in _batches(rows):
        columns: dict[str, pl.Series] = {}
        for name, dtype in known.items():
            values = [row.values.get(name) if row.values else None for row in batch]
            columns[name] = _texts(name, values, dtype)
            if terms.rescues and dtype != pl.String():
                fragments = [None if value is None else as_json(value) for value in values]
                columns[FRAGMENTS + name] = pl.Series(FRAGMENTS + name, fragments, pl.String)
        strays = [_stray(row, known.keys(), terms.keeps_strays) for row in batch]
        mark = STRAY if terms.keeps_strays else UNFIT
        columns[mark] = pl.Series(mark, strays, pl.String)
        yield _fitted(columns, batch, begin, terms, row_index)
        begin += len(batch)


def _texts(name: str, values: list[Value], dtype: pl.DataType) -> pl.Series:
    texts = [as_column(value) for value in values]
    if isinstance(dtype, pl.Decimal):
        texts = [without_exponent(text) for text in texts]
    return pl.Series(name, texts, pl.String)


def _stray(row: Row, known: Set[str], kept: bool) -> str | None:
    """What the contract does not know of an object: its members, or the reason why it does not fit."""
    if row.values is None or row.values.keys() <= known:
        return None
    unknown = {name: value for name, value in row.values.items() if name not in known and value is not None}
    if not unknown:
        return None
    if kept:
        return ",".join(f"{json.dumps(name, ensure_ascii=False)}:{as_json(value)}" for name, value in unknown.items())
    return f"column {next(iter(unknown))[:_LONG_NAME]!r} is not in the contract"


def _fitted(
    columns: dict[str, pl.Series], batch: Sequence[Record | Row], begin: int, terms: Terms, row_index: str
) -> pl.DataFrame:
    found = {name: column.dtype for name, column in columns.items()}
    marks = {
        BROKEN: pl.Series(BROKEN, [line.why for line in batch], pl.String),
        RAW: pl.Series(RAW, [line.text for line in batch], pl.String),
        LINE: pl.Series(LINE, [line.number for line in batch], pl.Int64),
        row_index: pl.Series(row_index, range(begin, begin + len(batch)), pl.Int64),
    }
    # By name: in a list, Polars gives a column of no name another.
    frame = pl.DataFrame({**columns, **marks})
    fitted = Fit(pl.Schema(found), terms).forgivingly(frame.lazy(), row_index).collect()
    if UNFIT in fitted.columns:
        unfit = fitted.filter(pl.col(UNFIT).is_not_null())
        if terms.mode == "freeze" and unfit.height:
            raise terms.drift(f", line {unfit[LINE][0]:,}: {unfit[UNFIT][0]}")
        fitted = fitted.with_columns(pl.coalesce(BROKEN, UNFIT).alias(BROKEN)).drop(UNFIT)
    broken = pl.col(BROKEN).is_not_null()
    told = [pl.when(broken).then(pl.col(c)).alias(c) for c in (RAW, LINE)]
    return fitted.with_columns(told).select(*terms.schema, row_index, *MARKS)


def _batches(lines: Iterator[Any]) -> Iterator[list[Any]]:
    """So many lines that a batch is worth its columns, and not so many that it fills the memory."""
    while batch := list(islice(lines, 1)):
        size = len(batch[0].text)
        for line in islice(lines, _ROWS - 1):
            batch.append(line)
            size += len(line.text)
            if size >= _CHARACTERS:
                break
        yield batch
