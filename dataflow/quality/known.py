"""What is known of staged rows without a scan: the statistics of their files, and what was set aside while staging."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

import polars as pl

from dataflow.model import ROW_ID
from dataflow.quality.batch import Batch, FileFacts, Files

FEW = 5
"""Rows that a result names."""
RULES = "_rules"


class Extent(NamedTuple):
    """The values of a column in a file, or in some: none is less than ``low``, none greater than ``high``."""

    low: Any
    high: Any
    nulls: int | None
    """None where nobody counted them."""

    @property
    def bounded(self) -> bool:
        return self.low is not None


@dataclass(frozen=True)
class Statistics:
    """What the log says of some files together."""

    rows: int
    nulls: Mapping[str, int] = field(default_factory=dict[str, int])
    low: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """No value of a column is less; it may be less than all of them."""
    high: Mapping[str, Any] = field(default_factory=dict[str, Any])


class FileStatistics:
    """The statistics of a file, as values of its columns' types."""

    def __init__(self, file: FileFacts) -> None:
        self._file = file
        self._said: dict[str, dict[str, Any] | None] = json.loads(file.stats)

    def _of(self, what: str, column: str) -> Any:
        return (self._said.get(what) or {}).get(column)

    def extent(self, column: str, dtype: pl.DataType) -> Extent | None:
        """What is known of a column; None where nothing is."""
        if column in self._file.partition:
            text = self._file.partition[column]
            value = _value(text, dtype)
            return Extent(value, value, self._file.rows if text is None else 0)
        nulls: int | None = self._of("nullCount", column)
        low, high = (_value(self._of(side, column), dtype) for side in ("minValues", "maxValues"))
        if nulls is None and (low is None or high is None):
            return None
        known = low is not None and high is not None
        return Extent(low, high, nulls) if known else Extent(None, None, nulls)


def statistics(files: Sequence[FileFacts], schema: Mapping[str, pl.DataType]) -> Statistics:
    """What the log says of all the files together; of a column that one of them is silent about, nothing."""
    rows, read = sum(file.rows for file in files), [(file, FileStatistics(file)) for file in files if file.rows]
    nulls, low, high = dict[str, int](), dict[str, Any](), dict[str, Any]()
    for column, dtype in schema.items():
        extents = [(file.rows, known.extent(column, dtype)) for file, known in read]
        counts = [None if extent is None else extent.nulls for _, extent in extents]
        if all(count is not None for count in counts):
            nulls[column] = sum(count for count in counts if count is not None)
        valued = [extent for file_rows, extent in extents if extent is None or extent.nulls != file_rows]
        known = [extent for extent in valued if extent is not None and extent.bounded]
        if known and len(known) == len(valued):
            low[column] = min(extent.low for extent in known)
            high[column] = max(extent.high for extent in known)
    return Statistics(rows, nulls, low, high)


def _value(said: Any, dtype: pl.DataType) -> Any:
    """A bound or a partition's text as a value of the column's type; None where that is more than one can tell."""
    try:
        if dtype.is_integer():
            return None if said is None or isinstance(said, float) else int(said)
        if isinstance(dtype, pl.Date):
            return date.fromisoformat(said)
        if isinstance(dtype, pl.Datetime):
            moment = datetime.fromisoformat(said)
            return moment if (moment.tzinfo is None) == (dtype.time_zone is None) else None
    except (TypeError, ValueError):
        pass  # years that Python cannot say, or a writer with a spelling of its own
    return None


def whole(files: Files) -> pl.LazyFrame:
    """The rows of all the files."""
    return files.scan([file.path for file in files.files])


@dataclass(frozen=True)
class Aside:
    """What the side files tell of each rule."""

    failed: Mapping[str, int] = field(default_factory=dict[str, int])
    """Rows that broke it and are not published."""
    repaired: Mapping[str, int] = field(default_factory=dict[str, int])
    """Rows that broke it and are published, made good."""
    rows: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    """The first of either."""


def read_aside(batch: Batch) -> Aside:
    """How many rows each rule set aside or repaired, and the ids of the first of them."""
    kept, plans = list[bool](), list[pl.LazyFrame]()
    for files, published in ((batch.quarantined, False), (batch.dropped, False), (batch.repaired, True)):
        if files is not None and files.files:
            kept.append(published)
            plans.append(_per_rule(whole(files)))
    failed, repaired, rows = dict[str, int](), dict[str, int](), dict[str, list[int]]()
    for published, found in zip(kept, pl.collect_all(plans), strict=True):
        counts = repaired if published else failed
        for rule, count, ids in found.iter_rows():
            counts[rule] = counts.get(rule, 0) + count
            rows.setdefault(rule, []).extend(ids)
    return Aside(failed, repaired, {rule: tuple(sorted(ids)[:FEW]) for rule, ids in rows.items()})


def _per_rule(side: pl.LazyFrame) -> pl.LazyFrame:
    has_ids = ROW_ID in side.collect_schema()
    ids = pl.col(ROW_ID).drop_nulls().bottom_k(FEW) if has_ids else pl.lit([], dtype=pl.List(pl.Int64)).first()
    columns: Iterable[str] = (RULES, ROW_ID) if has_ids else (RULES,)
    return side.select(columns).explode(RULES).group_by(RULES).agg(pl.len(), ids.alias("ids"))
