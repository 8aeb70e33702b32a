"""Which rows are late: a pure function of a row's event time, of its arrival, and of what the journal recorded.

Source: docs/adr/0005-lateness-is-a-function-of-arrival.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import polars as pl

from dataflow.errors import ConfigError, hint
from dataflow.model import ROWS_PER_FILE

Step = tuple[int, datetime]
"""Up to which file id a batch had seen files, and the watermark then."""
FEW_STEPS = 16
"""Up to here comparing with every step is cheaper than searching: 100 steps cost 4 times as much, 1000 15 times."""


def is_late(
    time_column: str, id_columns: Sequence[str], steps: Sequence[Step], *, restated: Mapping[int, int]
) -> pl.Expr:
    """True of rows whose event time lay before the watermark when their file arrived; never null.

    A row that several files contributed to arrived with the last of them. ``restated`` gives, for the file id of
    a corrected file, the id under which its name was first seen.
    Nulls: a row without an event time or without a row id is never late.
    """
    time = pl.col(time_column).cast(pl.Datetime("us", "UTC"))
    arrivals = [pl.col(column) // ROWS_PER_FILE for column in id_columns]
    arrival = pl.max_horizontal([a.replace(dict(restated)) for a in arrivals] if restated else arrivals)
    if len(steps) > FEW_STEPS:
        return (time.to_physical() < _in_force(arrival, steps)).fill_null(value=False)
    # Watermarks only rise: the one in force is the highest of those set before the row arrived.
    before = [(arrival > file_id) & (time < watermark) for file_id, watermark in steps]
    return pl.any_horizontal([*before, pl.lit(value=False)]).fill_null(value=False)


def _in_force(arrival: pl.Expr, steps: Sequence[Step]) -> pl.Expr:
    """The watermark when a row arrived, in microseconds since 1970; null where there was none yet."""
    ordered = pl.DataFrame(steps, schema={"file_id": pl.Int64, "mark": pl.Datetime("us", "UTC")}, orient="row")
    ordered = ordered.sort("file_id").with_columns(pl.col("mark").to_physical().cum_max())
    marks = pl.concat([pl.Series("mark", [None], dtype=pl.Int64), ordered["mark"]])

    def look_up(arrivals: pl.Series) -> pl.Series:
        return marks.gather(ordered["file_id"].search_sorted(arrivals, side="left")).set(arrivals.is_null(), None)

    # As an expression the search would hold the whole column; as an element-wise function it takes morsel by morsel.
    return arrival.map_batches(look_up, return_dtype=pl.Int64, is_elementwise=True)


def advance(steps: Sequence[Step], file_id_max: int, newest: datetime, tolerance: timedelta) -> tuple[Step, ...]:
    """The steps after a batch that had seen files up to ``file_id_max`` and event times up to ``newest``.

    Neither file ids nor the watermark ever fall (the newest file may be gone from the input); where the watermark
    does not rise there is no step.
    """
    watermark = newest - tolerance
    if steps and watermark <= steps[-1][1]:
        return tuple(steps)
    reached = max(file_id_max, steps[-1][0]) if steps else file_id_max
    return (*(step for step in steps if step[0] < reached), (reached, watermark))


def time_column_of(schema: pl.Schema, window_time_column: str | None, timestamp_column: str | None) -> str:
    """The column that windows are cut by: as declared, else the stage's timestamp, else the only temporal column.

    Errors: ConfigError where it is missing or not temporal, or where there is more than one candidate.
    """
    candidates = [name for name, dtype in schema.items() if isinstance(dtype, pl.Datetime | pl.Date)]
    named = window_time_column or timestamp_column
    if named is None:
        if len(candidates) != 1:
            raise ConfigError(
                f"the window needs a `time_column`: the input has {len(candidates)} columns of dates or times"
                + (
                    f", {', '.join(candidates)}; name one of them"
                    if candidates
                    else "; convert one in the stage before"
                ),
                candidates=candidates,
            )
        return candidates[0]
    if named not in schema:
        raise ConfigError(
            f"the window's time column {named!r} is not in the input{hint(named, candidates)}", candidates=candidates
        )
    if named not in candidates:
        raise ConfigError(
            f"the window's time column {named!r} is {schema[named]}, neither a date nor a time; "
            f"convert it in the stage before, or name one of: {', '.join(candidates) or 'none'}",
            candidates=candidates,
        )
    return named
