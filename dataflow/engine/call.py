"""Calls a user's function, and says in our words what went wrong in a unit."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import polars as pl

from dataflow.engine.job import StageJob
from dataflow.errors import DataFlowError, LakeCorrupt, LakeError, SourceCorrupt, SourceError, StageFailed
from dataflow.lake.errors import WAY_OUT, is_of_a_client, lake_error
from dataflow.lineage.riding import with_riding_frames
from dataflow.plan import PlannedUnit
from dataflow.quality.masking import masked_error
from dataflow.workflow import Stage

E = TypeVar("E", bound=DataFlowError)


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
    except (Exception, SystemExit) as error:
        raise StageFailed(
            f"stage {stage.name!r}: its function raised {said(error, stage)}{_where(stage, error)}", stage=stage.name
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
    except (SourceError, StageFailed) as error:
        raise _covered(error, job) from error
    except DataFlowError:
        raise
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _unit_error(job, planned, error) from error
    except Exception as error:
        if is_of_a_client(error):
            raise _unit_error(job, planned, error) from error
        # Polars passes on what a function raises that it calls for the rows.
        raise StageFailed(
            f"stage {job.stage.name!r}, {planned.unit.label}: {said(error, job.stage)}{_where(job.stage, error)}",
            stage=job.stage.name,
        ) from error


def _unit_error(job: StageJob, planned: PlannedUnit, error: BaseException) -> DataFlowError:
    storage = lake_error(job.lake.table_uri(job.stage.name), error)
    about_lake = "no space left" in str(storage) or "not writable" in str(storage)
    if job.source is not None and not about_lake:
        assert planned.item is not None
        file = planned.item.name
        try:
            # Polars does not say which line it is that has too many fields.
            job.source.verify(planned.item, job.contract)
        except SourceError as found:
            return _covered(found, job)
        corrupt = SourceCorrupt(
            f"source {job.stage.name!r}: {file} cannot be read: {first_line(error)}; deliver it again or remove it",
            source=job.stage.name,
            file=file,
        )
        return _covered(corrupt, job)
    if isinstance(storage, LakeCorrupt):
        return _broken_input(job) or storage
    if isinstance(error, OSError) or about_lake or type(storage) is not LakeError:
        return storage
    return StageFailed(
        f"stage {job.stage.name!r}, {planned.unit.label}: {said(error, job.stage)}{_where(job.stage, error)}",
        stage=job.stage.name,
    )


def _covered(error: E, job: StageJob) -> E:
    """The error without what it quotes of the data, where some of that is personal."""
    if not job.stage.pii:
        return error
    plain = {*job.contract, job.stage.name, *([job.stage.strategy.config.type] if job.stage.strategy else [])}
    return type(error)(masked_error(error.message, plain), **error.details)


def _broken_input(job: StageJob) -> LakeCorrupt | None:
    """Which file of an input it is that cannot be read: Polars does not always say, and never of which table it is."""
    for name, snapshot in (job.plan.inputs or {}).items():
        for file in snapshot.files:
            try:
                job.lake.scan_files(name, [file.path], snapshot.schema).select(pl.len()).collect()
            except (pl.exceptions.PolarsError, OSError) as error:
                place = f"{job.lake.table_uri(name)}/{file.path}"
                return LakeCorrupt(
                    f"stage {job.stage.name!r}: table {name!r} lacks {place}, which is gone or broken "
                    f"({first_line(error).removesuffix(f': {place}')}); {WAY_OUT}",
                    stage=job.stage.name,
                    table=name,
                    path=file.path,
                )
    return None


def said(error: BaseException, stage: Stage | None = None) -> str:
    """Kind and first line of an error; of a stage with personal data the kind alone, as errors quote values."""
    if stage is not None and stage.pii:
        return f"{type(error).__name__} (what it says is not told, as the stage has personal data)"
    line = first_line(error)
    return f"{type(error).__name__}: {line}" if line != type(error).__name__ else line


def first_line(error: BaseException) -> str:
    """What an error says, without the query plan that Polars prints under it."""
    # The text of a KeyError is the spelling of its key: that of a key of several lines would be one line.
    key = str(error.args[0]) if isinstance(error, KeyError) and error.args else ""
    text = key if "\n" in key else str(error)
    line = next(iter(text.strip().splitlines()), type(error).__name__)
    # Bytes of a broken file may be quoted in it.
    return "".join(c if c.isprintable() else "�" for c in line)


def _where(stage: Stage, error: BaseException) -> str:
    """The line of the stage's function, or of what stands in the same file, that the error came through last."""
    file = inspect.getsourcefile(inspect.unwrap(stage.function)) if inspect.isfunction(stage.function) else None
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f" ({file}:{lines[-1]})" if lines else ""
