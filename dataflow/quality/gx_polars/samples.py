"""What a result shows of the rows that break an expectation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from .answers import INDEX, Data, Look

MAX_SAMPLE = 200
"""Great Expectations' own limit on values and rows."""


@dataclass(frozen=True)
class Sample:
    """Which rows are shown, and how."""

    rows: pl.LazyFrame | None
    """The breaking rows, numbered, no more than are wanted; None when there are none."""
    columns: tuple[str, ...]
    domain: Mapping[str, Any]
    result_format: Mapping[str, Any]


def wanted(result_format: Mapping[str, Any]) -> int | None:
    """How many rows a result shows; None for all."""
    complete = result_format["result_format"] == "COMPLETE"
    return None if complete else int(result_format.get("partial_unexpected_count") or 0)


def sample(what: str, shown: Sample) -> Any:
    """A second look for values, rows or positions of breaking rows; at once when there are none, or none are wanted."""
    if what == "unexpected_index_query" and shown.result_format.get("return_unexpected_index_query") is False:
        return None
    if what == "unexpected_values" and shown.result_format.get("exclude_unexpected_values"):
        return []
    if shown.rows is None or wanted(shown.result_format) == 0:
        return _query([]) if what == "unexpected_index_query" else []
    return SAMPLES[what](shown, shown.rows)


def _values(shown: Sample, rows: pl.LazyFrame) -> Look:
    read: Callable[[pl.DataFrame], Any] = pl.DataFrame.to_dicts
    if "column" in shown.domain:
        read = _first
    elif "column_A" in shown.domain:
        read = pl.DataFrame.rows
    return Look(rows, lambda found: read(found.head(MAX_SAMPLE)), shown.columns)


def _rows(_: Sample, rows: pl.LazyFrame) -> Look:
    few = rows.head(MAX_SAMPLE).drop(INDEX)  # its own frame: the others need not carry every column
    return Look(few, pl.DataFrame.to_dicts, tuple(few.collect_schema()))


def _positions(shown: Sample, rows: pl.LazyFrame) -> Look:
    named: tuple[str, ...] = tuple(shown.result_format.get("unexpected_index_column_names") or ())
    if not named:
        return Look(rows, _first, (INDEX,))
    if shown.result_format.get("exclude_unexpected_values"):
        return Look(rows, lambda found: [found.to_dict(as_series=False)], named)
    return Look(rows, pl.DataFrame.to_dicts, tuple(dict.fromkeys((*shown.columns, *named))))


def _positions_query(_: Sample, rows: pl.LazyFrame) -> Look:
    return Look(rows, lambda found: _query(_first(found)), (INDEX,))


def _first(found: pl.DataFrame) -> list[Any]:
    return found.to_series().to_list()


def _query(positions: list[int]) -> str:
    return f'df.with_row_index().filter(pl.col("index").is_in({positions}))'


SAMPLES: dict[str, Callable[[Sample, pl.LazyFrame], Look]] = {
    "unexpected_values": _values,
    "unexpected_rows": _rows,
    "unexpected_index_list": _positions,
    "unexpected_index_query": _positions_query,
}


def head(data: Data, n_rows: int | None = None, fetch_all: bool = False) -> Look:
    """The first rows, as Great Expectations shows them; all but the last where ``n_rows`` is negative."""
    frame = data.frame if data.mask is None else data.frame.filter(data.mask)
    shown = 5 if n_rows is None else n_rows
    few = (
        frame
        if fetch_all
        else frame.head(shown)
        if shown >= 0
        else frame.filter(pl.int_range(pl.len()) < pl.len() + shown)
    )
    return Look(few, pl.DataFrame.to_pandas, tuple(data.schema))
