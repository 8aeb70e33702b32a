"""What the footers of Parquet files tell of their rows."""
# pyright: basic
# pyarrow has no types.

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .facts import Facts


def read_facts(paths: Sequence[str | os.PathLike[str]]) -> Facts:
    """Rows, missing values, and the least and greatest value of each column, from the footers of local files.

    Nulls: a column that a file lacks, and statistics that a file does not keep, are left unknown.
    Errors: OSError for a file that is not there; nothing is known of files that are elsewhere or broken.
    """
    local = [os.fspath(path) for path in paths]
    if any("://" in path for path in local):
        return Facts()
    try:
        return _joined([facts for path in local for facts in _groups(pq.read_metadata(path))])
    except pa.ArrowException:
        return Facts()  # the scan says what is wrong with them


def _extremes_of(statistics: Any) -> tuple[Any, Any] | None:
    """The least and greatest value; None where they are not kept, or Python has none such (the year 20000)."""
    try:
        return (statistics.min, statistics.max) if statistics.has_min_max else None
    except (pa.ArrowException, OverflowError, ValueError):
        return None


def _groups(metadata: Any) -> list[Facts]:
    # Only a column of its own: a part of a nested one has fewer or more values than there are rows.
    flat = {
        at: metadata.schema.column(at).path
        for at in range(metadata.num_columns)
        if metadata.schema.column(at).max_repetition_level == 0
        and metadata.schema.column(at).path == metadata.schema.column(at).name
    }
    empty = Facts(rows=0, nulls=dict.fromkeys(flat.values(), 0))
    return [_group(metadata.row_group(at), flat) for at in range(metadata.num_row_groups)] or [empty]


def _group(group: Any, flat: dict[int, str]) -> Facts:
    facts = Facts(rows=group.num_rows, nulls={}, minimum={}, maximum={})
    for at, name in flat.items():
        found = group.column(at).statistics
        if found is None:
            continue
        if found.has_null_count:
            facts.nulls[name] = found.null_count  # pyright: ignore
        if extremes := _extremes_of(found):
            facts.minimum[name], facts.maximum[name] = extremes  # pyright: ignore
    return facts


def _joined(groups: list[Facts]) -> Facts:
    names = {name for group in groups for name in group.nulls}
    nulls = {
        name: sum(group.nulls[name] for group in groups)
        for name in names
        if all(name in group.nulls for group in groups)
    }
    # Groups without a value have no least one.
    valued = {name: [group for group in groups if group.present(name) != 0] for name in nulls}
    return Facts(
        rows=sum(group.rows or 0 for group in groups),
        nulls=nulls,
        minimum=_extremes({name: [g.minimum.get(name) for g in those] for name, those in valued.items()}, min),
        maximum=_extremes({name: [g.maximum.get(name) for g in those] for name, those in valued.items()}, max),
    )


def _extremes(found: dict[str, list[Any]], pick: Callable[..., Any]) -> dict[str, Any]:
    return {name: reduce(pick, each) for name, each in found.items() if each and None not in each}
