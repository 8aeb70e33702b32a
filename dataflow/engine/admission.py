"""What a stage's function gets to see of its inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl

from dataflow.config import IncrementalConfig, WindowConfig
from dataflow.dedup.columns import user_columns
from dataflow.engine.job import StageJob, is_system, user_schema
from dataflow.engine.writing import Writing
from dataflow.errors import ConfigError, PlanError
from dataflow.lake.lake import Snapshot
from dataflow.lineage.row_ids import row_id_column
from dataflow.model import ROW_ID, is_row_id
from dataflow.windows.assignment import assign_windows
from dataflow.windows.lateness import is_late
from dataflow.windows.lateness import time_column_of as named_time_column
from dataflow.workflow import Stage


def admit(job: StageJob, frames: Mapping[str, pl.LazyFrame], writing: Writing) -> dict[str, pl.LazyFrame]:
    """The inputs without late rows, with windows, and without our columns but the row ids that may ride."""
    admitted = dict(frames)
    if job.stage.window is not None and job.time_column is not None:
        first = job.stage.inputs[0]
        punctual = _set_late_aside(job, admitted[first], writing) if job.late_steps else admitted[first]
        writing.maximum("event_time", punctual, job.time_column)
        admitted[first] = cut_windows(punctual, job.stage.window, job.time_column)
    return shown(job, admitted)


def punctual(job: StageJob, frames: Mapping[str, pl.LazyFrame]) -> dict[str, pl.LazyFrame]:
    """The inputs without late rows and with windows, as ``admit`` gives them; nothing is set aside."""
    found = dict(frames)
    if job.stage.window is not None and job.time_column is not None:
        first = job.stage.inputs[0]
        frame = found[first].filter(~_late(job, found[first].collect_schema())) if job.late_steps else found[first]
        found[first] = cut_windows(frame, job.stage.window, job.time_column)
    return found


def shown(job: StageJob, frames: Mapping[str, pl.LazyFrame]) -> dict[str, pl.LazyFrame]:
    """The inputs without our columns but the row ids that may ride."""
    riding = job.carried.columns if job.carried else ()
    return {name: _show(_in_order(job, name, frame), name, riding) for name, frame in frames.items()}


def cut_windows(frame: pl.LazyFrame, window: WindowConfig, time_column: str) -> pl.LazyFrame:
    """Add the edges of the windows that ``window`` declares."""
    return assign_windows(frame, time_column=time_column, size=window.window_size, time_zone=window.time_zone)


def time_column_of(stage: Stage, inputs: Mapping[str, Snapshot]) -> str | None:
    """The column by which a stage's windows are cut; None where it has none.

    Errors: ConfigError and PlanError for a window that cannot be cut or judged.
    """
    if stage.window is None:
        return None
    schema = inputs[stage.inputs[0]].schema
    stamp = stage.incremental.timestamp_column if isinstance(stage.incremental, IncrementalConfig) else None
    try:
        column = named_time_column(user_schema(schema), stage.window.time_column, stamp)
    except ConfigError as error:
        raise ConfigError(f"stage {stage.name!r}: {error}", stage=stage.name) from error
    if not any(is_row_id(c) for c in schema):
        raise PlanError(
            f"stage {stage.name!r}: whether a row is late is judged by the file that it came with, but the rows of {stage.inputs[0]!r} "
            f"carry no row id: its function groups or mixes rows. Put the window on a stage whose first input keeps its rows apart",
            stage=stage.name,
        )
    return column


def _set_late_aside(job: StageJob, frame: pl.LazyFrame, writing: Writing) -> pl.LazyFrame:
    schema = frame.collect_schema()
    ids, late = [column for column in schema if is_row_id(column)], _late(job, schema)
    # Read once for both sides and for the count of what is let in.
    shared = frame.cache()
    writing.sink_aside("late", shared.filter(late).select(*user_schema(schema), *ids))
    punctual = shared.filter(~late)
    writing.count("given", punctual)
    return punctual


def _late(job: StageJob, schema: pl.Schema) -> pl.Expr:
    assert job.time_column is not None
    ids = [column for column in schema if is_row_id(column)]
    steps = [(step.file_id, step.watermark) for step in job.late_steps]
    return is_late(job.time_column, ids, steps, restated=job.restated)


def _in_order(job: StageJob, name: str, frame: pl.LazyFrame) -> pl.LazyFrame:
    """``frame`` in an order in which the history of its table has no part, where the function may look at it.

    Files of a stage's table lie in the order in which they were written, and rows that are computed again come last. Row
    ids tell in which order rows came to the source; rows without are ordered by what they say.
    """
    if name not in job.in_order:
        return frame
    schema = frame.collect_schema()
    ids, content = [column for column in schema if is_row_id(column)], _by_content(schema)
    if ROW_ID not in ids:
        return frame.sort(content, maintain_order=True)
    by = [ROW_ID, *(column for column in ids if column != ROW_ID)]
    if not job.in_order[name]:
        return frame.sort(*by, *content, maintain_order=True)
    id, nameless = pl.col(ROW_ID), pl.all_horizontal(pl.col(ids).is_null())
    look = frame.select(moved=((id < id.shift()) | id.is_null()).any(), nameless=nameless.any()).collect()
    if len(ids) == 1 and not look["moved"].item():
        return frame
    told = [pl.when(nameless).then(pl.col(column)) for column in content] if look["nameless"].item() else []
    return frame.sort(*by, *told, maintain_order=True)


def _by_content(schema: pl.Schema) -> list[str]:
    """The columns that a function is shown, by name: their places tell of history too, as do those that strategies note."""
    shown = [column for column in schema if not is_system(column)]
    said = set(user_columns(shown))
    return sorted(shown, key=lambda column: (column not in said, column))


def _show(frame: pl.LazyFrame, name: str, riding: Collection[str]) -> pl.LazyFrame:
    columns = frame.collect_schema().names()
    ride = row_id_column(name)
    ids = [pl.col(ROW_ID).alias(ride)] if ride in riding and ROW_ID in columns else []
    return frame.select(*(column for column in columns if not is_system(column)), *ids)
