"""Calls a user's function, and says in our words what went wrong in a unit."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import polars as pl

from dataflow.engine.job import StageJob
from dataflow.errors import DataFlowError, LakeError, SourceCorrupt, StageFailed
from dataflow.lake.errors import lake_error
from dataflow.lineage.riding import with_riding_frames
from dataflow.plan import PlannedUnit
from dataflow.workflow import Stage


def call_function(stage: Stage, frames: Mapping[str, pl.LazyFrame], *, rides: bool = False) -> pl.LazyFrame:
    """The stage's function on its inputs; with ``rides``, row ids stay through a select.

    Errors: StageFailed where it raises or returns something else than a frame.
    """
    assert stage.function is not None
    try:
        function = with_riding_frames(stage.function) if rides else stage.function
        result = function(*(frames[name] for name in stage.inputs))
    except DataFlowError:
        raise
    except Exception as error:
        raise StageFailed(
            f"stage {stage.name!r}: its function raised {type(error).__name__}: {first_line(error)}", stage=stage.name
        ) from error
    if isinstance(result, pl.DataFrame):
        return result.lazy()
    if not isinstance(result, pl.LazyFrame):
        raise StageFailed(
            f"stage {stage.name!r}: its function returned {type(result).__name__}; return a polars LazyFrame",
            stage=stage.name,
        )
    return result


@contextmanager
def unit_errors(job: StageJob, planned: PlannedUnit) -> Generator[None]:
    """Raise as an error of ours whatever goes wrong while a unit is read, computed and written."""
    try:
        yield
    except DataFlowError:
        raise
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        storage = lake_error(job.lake.table_uri(job.stage.name), error)
        about_lake = "no space left" in str(storage) or "not writable" in str(storage)
        if job.source is not None and not about_lake:
            raise SourceCorrupt(
                f"source {job.stage.name!r}: {planned.unit.partition[0][1]} cannot be read: {first_line(error)}; deliver it again or remove it",
                source=job.stage.name,
                file=planned.unit.partition[0][1],
            ) from error
        if isinstance(error, OSError) or about_lake or type(storage) is not LakeError:
            raise storage from error
        raise StageFailed(
            f"stage {job.stage.name!r}, {planned.unit.label}: {type(error).__name__}: {first_line(error)}",
            stage=job.stage.name,
        ) from error


def first_line(error: BaseException) -> str:
    """What an error says, without the query plan that Polars prints under it."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
