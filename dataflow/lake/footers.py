"""Statistics of Parquet files as Delta's log keeps them, from the files' footers."""

# pyarrow has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import IO, Any

import pyarrow.parquet as pq


def footer_statistics(file: IO[bytes], *, private: Collection[str] = ()) -> str:
    """Delta's statistics of a file, from its Parquet footer: row count, null counts, and bounds of integers and times.

    Floats get no bounds: a footer does not tell whether there are NaN among them, which lie outside of any.
    ``private`` columns get none either: bounds are values of rows, and the log travels further than they may.
    """
    metadata = pq.read_metadata(file)
    # Columns of columns have paths with dots, and so may plain ones.
    plain = set(metadata.schema.to_arrow_schema().names)
    bounds: dict[str, _Bounds] = {}
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for index in range(row_group.num_columns):
            column = row_group.column(index)
            if column.path_in_schema in plain:
                bounds.setdefault(column.path_in_schema, _Bounds()).take(column.statistics, row_group.num_rows)
    bounded = {name: found for name, found in bounds.items() if found.low is not None and name not in private}
    return json.dumps(
        {
            "numRecords": metadata.num_rows,
            "minValues": {n: bound(b.low, up=False) for n, b in bounded.items()},
            "maxValues": {n: bound(b.high, up=True) for n, b in bounded.items()},
            "nullCount": {n: b.nulls for n, b in bounds.items() if b.nulls is not None},
        }
    )


@dataclass
class _Bounds:
    """What the row groups seen so far say of a column."""

    nulls: int | None = 0
    low: Any = None
    high: Any = None
    known: bool = True

    def take(self, found: Any, rows: int) -> None:
        nulls: int | None = found.null_count if found is not None and found.has_null_count else None
        self.nulls = self.nulls + nulls if nulls is not None and self.nulls is not None else None
        if nulls == rows:
            return
        low, high = _range(found)
        self.known = self.known and low is not None
        self.low = (low if self.low is None else min(self.low, low)) if self.known else None
        self.high = (high if self.high is None else max(self.high, high)) if self.known else None


def _range(found: Any) -> tuple[Any, Any]:
    """The least and greatest value of a column chunk, where the log can say them."""
    if found is None or not found.has_min_max:
        return None, None
    try:
        low, high = found.min, found.max
        bound(high, up=True)
    except (OverflowError, ValueError):
        # Beyond the years that Python can say.
        return None, None
    plain = isinstance(low, int | date) and not isinstance(low, bool)
    return (low, high) if plain else (None, None)


def bound(value: Any, *, up: bool) -> Any:
    """A bound as the log spells it."""
    if not isinstance(value, datetime):
        return value.isoformat() if isinstance(value, date) else value
    # The log keeps milliseconds: round outwards, so that no row falls outside of its file's bounds.
    instant = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    rounded = instant.replace(microsecond=instant.microsecond // 1000 * 1000)
    if up and rounded < instant:
        rounded += timedelta(milliseconds=1)
    return rounded.isoformat(timespec="milliseconds") + ("Z" if value.tzinfo else "")
