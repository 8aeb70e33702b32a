"""Rules about the table as it will be: of what stays, only what can matter is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import polars as pl

from dataflow.quality.batch import Batch, FileFacts, Files
from dataflow.quality.known import Extent, FileStatistics, statistics, whole
from dataflow.quality.rules import ValidationRule

_ROWS, _MINE = "__gate_rows", "__gate_mine"


@dataclass(frozen=True)
class Repeated:
    """The rows of a batch whose key is found again, in the batch or in what stays of the table."""

    rows: int
    found: pl.LazyFrame
    """These rows, whole."""
    evidence: str


def count_repeated(rule: ValidationRule, batch: Batch) -> Repeated:
    """How many rows of the batch have a key that occurs more than once in the table after the commit.

    Of the files that stay, only those are read whose partition and statistics leave room for a key of the batch,
    and of these only the key.
    """
    fresh = whole(batch.good)
    schema = fresh.collect_schema()
    columns = list(rule.columns)
    key = {column: schema[column] for column in columns}
    asked = _asked(rule)
    mine = fresh.select(columns) if asked is None else fresh.select(columns).filter(asked)
    stays = batch.kept.files if batch.kept is not None else ()
    paths = overlapping(batch.kept, batch.good, key, whole_keys=_whole_keys(rule)) if batch.kept is not None else []
    evidence = f"scan of {len(paths)} of {len(stays)} files that stay"
    if not paths and _is_distinct(rule, batch, key):
        return Repeated(0, fresh.clear(), f"deduplicated by this stage, {evidence}")
    parts = [mine.with_columns(pl.lit(1).alias(_MINE))]
    if batch.kept is not None and paths:
        theirs = _with_columns(batch.kept.scan(paths), key)
        found = theirs.join(mine.unique(), on=columns, how="semi", nulls_equal=True)
        parts.append(found.with_columns(pl.lit(0).alias(_MINE)))
    counted = pl.concat(parts).group_by(columns).agg(pl.len().alias(_ROWS), pl.col(_MINE).sum())
    repeated = counted.filter(pl.col(_ROWS) > 1)
    rows = repeated.select(pl.col(_MINE).sum()).collect(engine="streaming").item()
    return Repeated(int(rows or 0), with_keys(fresh, repeated, columns), evidence)


def with_keys(rows: pl.LazyFrame, keys: pl.LazyFrame, columns: Sequence[str]) -> pl.LazyFrame:
    """Those of the ``rows`` whose key is among ``keys``, in their order."""
    return rows.join(keys.select(columns), on=list(columns), how="semi", nulls_equal=True, maintain_order="left")


def repeated_in(rows: pl.LazyFrame, rule: ValidationRule) -> pl.LazyFrame:
    """The rows whose key is not the only one of its kind."""
    asked, columns = _asked(rule), list(rule.columns)
    judged = rows if asked is None else rows.filter(asked)
    keys = judged.group_by(columns).agg(pl.len().alias(_ROWS)).filter(pl.col(_ROWS) > 1)
    return with_keys(judged, keys, columns)


def _asked(rule: ValidationRule) -> pl.Expr | None:
    """The rows whose key must not repeat; None for all."""
    present = [pl.col(column).is_not_null() for column in rule.columns]
    ignored = rule.arguments.get("ignore_row_if", "all_values_are_missing")
    if ignored == "never":
        return None
    return reduce(pl.Expr.__and__ if ignored == "any_value_is_missing" else pl.Expr.__or__, present)


def _whole_keys(rule: ValidationRule) -> bool:
    """Whether the rule leaves keys with a missing part alone."""
    return len(rule.columns) == 1 or rule.arguments.get("ignore_row_if") == "any_value_is_missing"


def _is_distinct(rule: ValidationRule, batch: Batch, key: Mapping[str, pl.DataType]) -> bool:
    """Whether the stage has just left one row of each key: said of keys without a missing part."""
    known = [part for part in batch.distinct if set(part) <= set(key)]
    if not known or _whole_keys(rule):
        return bool(known)
    nulls = statistics(batch.good.files, key).nulls
    return any(all(nulls.get(column) == 0 for column in part) for part in known)


def _with_columns(frame: pl.LazyFrame, key: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """The key's columns; missing values where the table has not had a column."""
    has = frame.collect_schema()
    return frame.select(
        (pl.col(column) if column in has else pl.lit(None).alias(column)).cast(dtype) for column, dtype in key.items()
    )


def overlapping(kept: Files, good: Files, key: Mapping[str, pl.DataType], *, whole_keys: bool = False) -> list[str]:
    """The files of ``kept`` that may hold a key of ``good``, by their partitions and their statistics.

    Nulls: a missing part of a key is one more value, unless only ``whole_keys`` count.
    """
    by = [column for column in key if column in kept.partition_by and column in good.partition_by]
    rest = {column: dtype for column, dtype in key.items() if column not in by}
    groups: dict[tuple[str | None, ...], list[FileFacts]] = {}
    for file in good.files:
        if file.rows:
            groups.setdefault(_partition(file, by), []).append(file)
    boxes = {values: _box(files, rest) for values, files in groups.items()}
    return [
        file.path
        for file in kept.files
        if (box := boxes.get(_partition(file, by))) is not None
        and not any(
            _apart(box[column], extent, file.rows, missing=not whole_keys)
            for column, extent in _extents(file, rest)
            if column in box
        )
    ]


def _partition(file: FileFacts, by: Sequence[str]) -> tuple[str | None, ...]:
    return tuple(file.partition.get(column) for column in by)


def _box(files: Sequence[FileFacts], key: Mapping[str, pl.DataType]) -> dict[str, Extent]:
    """What is known of the key's columns in all the files together."""
    known = statistics(files, key)
    found: dict[str, Extent] = {}
    for column in key:
        nulls = known.nulls.get(column)
        if column in known.low or nulls == known.rows:
            found[column] = Extent(known.low.get(column), known.high.get(column), nulls)
    return found


def _extents(file: FileFacts, key: Mapping[str, pl.DataType]) -> list[tuple[str, Extent]]:
    known = FileStatistics(file)
    found = [(column, known.extent(column, dtype)) for column, dtype in key.items()]
    return [(column, extent) for column, extent in found if extent is not None]


def _apart(one: Extent, other: Extent, rows: int, *, missing: bool) -> bool:
    """Whether two columns have no value in common; ``missing``: where none is a value too."""
    if missing and one.nulls != 0 and other.nulls != 0:
        return False
    if not one.bounded:
        return True  # nothing but missing values here, and none there
    if not other.bounded:
        return other.nulls == rows
    return bool(one.high < other.low or other.high < one.low)
