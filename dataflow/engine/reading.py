"""What a unit reads, and what its stage's function makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from dataflow.config import IncrementalConfig, SlicesConfig
from dataflow.engine.admission import shown
from dataflow.engine.call import call_function
from dataflow.engine.job import BATCH_ID, StageJob, is_system
from dataflow.errors import ConfigError, hint
from dataflow.lake.lake import ActiveFile
from dataflow.lineage.row_ids import row_id_column
from dataflow.model import ROW_ID
from dataflow.plan import PlannedUnit
from dataflow.workflow import Stage


def read(job: StageJob, name: str, planned: PlannedUnit) -> pl.LazyFrame:
    """What the unit reads of an input, in order of arrival."""
    snapshot = job.inputs[name]
    files = snapshot.slice(planned.unit.partition) if name in job.sliced else snapshot.files
    return arrived(job, name, files)


def every_row(job: StageJob) -> pl.LazyFrame:
    """All rows that the stage's strategy was ever given, by this batch and earlier ones, derived, without those set aside."""
    assert job.stage.strategy is not None
    inputs = {name: arrived(job, name, snapshot.files) for name, snapshot in job.inputs.items()}
    return job.routed(produced_rows(job, shown(job, inputs))).good


def as_produced(job: StageJob, rows: pl.LazyFrame) -> pl.LazyFrame:
    """``rows`` that were set aside, without the columns that the strategy had derived: it derives them again."""
    inputs = {name: pl.LazyFrame(schema=snapshot.schema) for name, snapshot in job.inputs.items()}
    produced = produced_rows(job, shown(job, inputs)).collect_schema()
    return rows.select(column for column in rows.collect_schema() if column in produced)


def produced_rows(job: StageJob, inputs: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """What the function makes of its inputs, with the first input's row id under its plain name, and the batch's id."""
    frame = call_function(job.stage, inputs, rides=job.rides)
    riding = job.carried.columns if job.carried else ()
    first = row_id_column(job.stage.inputs[0])
    renamed = frame.rename({first: ROW_ID}) if first in riding else frame
    return renamed.with_columns(pl.lit(job.plan.batch_id).alias(BATCH_ID))


def check_named(job: StageJob, produced: pl.LazyFrame) -> None:
    """Errors: ConfigError for a column that the stage's settings name and its function does not return."""
    stage, columns = job.stage, produced.collect_schema().names()
    _check(stage, _named(stage), columns)
    if stage.strategy is not None:
        columns = stage.strategy.strategy.derive(produced).collect_schema().names()
    _check(stage, {"storage.partition_by": stage.storage.partition_by}, columns)


def _check(stage: Stage, named: Mapping[str, Sequence[str]], columns: Sequence[str]) -> None:
    for key, names in named.items():
        if missing := [name for name in names if name not in columns]:
            near = hint(missing[0], [c for c in columns if not is_system(c)])
            raise ConfigError(
                f"stage {stage.name!r}: {key} names {missing[0]!r}, which its function does not return{near}",
                stage=stage.name,
                key=key,
            )


def _named(stage: Stage) -> dict[str, Sequence[str]]:
    if isinstance(stage.incremental, IncrementalConfig):
        return {
            "incremental.key_columns": stage.incremental.key_columns,
            "incremental.timestamp_column": (stage.incremental.timestamp_column,),
        }
    if stage.strategy is not None:
        return {f"strategy.{option}": columns for option, columns in stage.strategy.strategy.columns.items()}
    return {
        "incremental.by": stage.incremental.by if isinstance(stage.incremental, SlicesConfig) else (),
        "deduplicate.key": stage.deduplicate.key if stage.deduplicate else (),
        "deduplicate.order_by": stage.deduplicate.order_by if stage.deduplicate else (),
        "members": (stage.members,) if stage.members else (),
    }


def arrived(job: StageJob, name: str, files: Sequence[ActiveFile]) -> pl.LazyFrame:
    """The rows of files of an input, in order of arrival."""
    # Of rows that are equal otherwise the order of arrival decides.
    return job.lake.scan(job.inputs[name], job.by_arrival(files))
