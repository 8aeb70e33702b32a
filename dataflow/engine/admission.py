"""What a stage's function gets to see of its inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl

from dataflow.config import WindowConfig
from dataflow.engine.job import StageJob, is_system, user_schema
from dataflow.engine.writing import Writing
from dataflow.lineage.row_ids import row_id_column
from dataflow.model import ROW_ID, is_row_id
from dataflow.windows.assignment import assign_windows
from dataflow.windows.lateness import is_late


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
    return {name: _show(frame, name, riding) for name, frame in frames.items()}


def cut_windows(frame: pl.LazyFrame, window: WindowConfig, time_column: str) -> pl.LazyFrame:
    """Add the edges of the windows that ``window`` declares."""
    return assign_windows(frame, time_column=time_column, size=window.window_size, time_zone=window.time_zone)


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


def _show(frame: pl.LazyFrame, name: str, riding: Collection[str]) -> pl.LazyFrame:
    columns = frame.collect_schema().names()
    ride = row_id_column(name)
    ids = [pl.col(ROW_ID).alias(ride)] if ride in riding and ROW_ID in columns else []
    return frame.select(*(column for column in columns if not is_system(column)), *ids)
