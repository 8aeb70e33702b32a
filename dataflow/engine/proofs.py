"""What the functions of stages show of their rows, before any row is read: each is asked once."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from dataflow.engine.admission import cut_windows, time_column_of
from dataflow.engine.job import is_system, user_schema
from dataflow.errors import ConfigError
from dataflow.lake.lake import Snapshot
from dataflow.lineage.locality import locality
from dataflow.lineage.riding import with_riding_frames
from dataflow.lineage.row_ids import Carried, carried_ids, row_id_column
from dataflow.model import ROW_ID
from dataflow.plan import Proof, sliced_inputs
from dataflow.workflow import Stage
from dataflow.workflow.strategies import as_they_are

Inputs = Mapping[str, Snapshot]


class Proofs:
    """The proofs of one run, for the versions of inputs that it has pinned."""

    def __init__(self) -> None:
        self._proofs: dict[tuple[object, ...], Proof] = {}
        self._carries: dict[tuple[object, ...], tuple[Carried, bool]] = {}

    def of(self, stage: Stage, inputs: Inputs) -> Proof:
        """What the plan of the stage's function shows of its rows."""
        about = _about(stage, inputs)
        if about not in self._proofs:
            assert stage.function is not None
            carried, _ = self.carried(stage, inputs)
            shown = locality(stage.function, _shown(stage, inputs))
            self._proofs[about] = Proof(shown, row_ids=row_id_column(stage.inputs[0]) in carried.columns)
        return self._proofs[about]

    def carried(self, stage: Stage, inputs: Inputs) -> tuple[Carried, bool]:
        """Which row ids the stage's function carries along; and whether they ride in frames of their own.

        Errors: ConfigError for a column that it returns under a name of ours.
        """
        about = _about(stage, inputs)
        if about not in self._carries:
            self._carries[about] = _asked_to_carry(stage, inputs)
        return self._carries[about]

    def is_repeatable(self, stage: Stage, inputs: Inputs) -> bool:
        """Whether the function certainly gives the same rows in the same order whenever it is called."""
        if stage.strategy is None or stage.function is as_they_are:
            return stage.function is as_they_are
        # What is row-wise is made of operations that are known; only a join may give its rows in any order.
        return len(stage.inputs) == 1 and self.of(stage, inputs).locality.row_wise


def _about(stage: Stage, inputs: Inputs) -> tuple[object, ...]:
    return stage.name, *(snapshot.version for snapshot in inputs.values())


def _shown(stage: Stage, inputs: Inputs) -> dict[str, pl.Schema]:
    """The columns of the inputs that the stage's function is shown."""
    schemas = {name: user_schema(inputs[name].schema) for name in stage.inputs}
    time_column = time_column_of(stage, inputs)
    if stage.window is not None and time_column is not None:
        first = schemas[stage.inputs[0]]
        cut = cut_windows(pl.LazyFrame(schema=first), stage.window, time_column)
        schemas[stage.inputs[0]] = cut.collect_schema()
    return schemas


def _asked_to_carry(stage: Stage, inputs: Inputs) -> tuple[Carried, bool]:
    assert stage.function is not None
    schemas = _shown(stage, inputs)
    carrying = [name for name in sliced_inputs(stage, inputs) if ROW_ID in inputs[name].schema]
    carried = carried_ids(stage.function, schemas, carrying)
    if taken := [c for c in carried.schema or () if is_system(c)]:
        raise ConfigError(
            f"stage {stage.name!r}: its function returns {taken[0]!r}, a name that dataflow keeps for itself; rename the column",
            stage=stage.name,
        )
    if len(carried.columns) == len(carrying):
        return carried, False
    riding = carried_ids(with_riding_frames(stage.function), schemas, carrying)
    return (riding, True) if len(riding.columns) > len(carried.columns) else (carried, False)
