"""What a unit's worker is handed: references and settings, nothing that holds data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from dataflow.lake.lake import Lake
from dataflow.lake.naming import unit_id_of
from dataflow.lake.staging import Target
from dataflow.lake.state import LateStep
from dataflow.lineage.row_ids import Carried
from dataflow.model import SOURCE_FILE, FileRole, Unit, is_row_id
from dataflow.plan import StagePlan
from dataflow.sources import Source
from dataflow.workflow import Stage

BATCH_ID = "_batch_id"


@dataclass(frozen=True)
class StageJob:
    """One batch of one stage."""

    lake: Lake
    pipeline: str
    run_id: str
    stage: Stage
    plan: StagePlan
    started_at: datetime
    sliced: tuple[str, ...] = ()
    """Inputs of which a unit reads its own partition only."""
    source: Source | None = None
    columns: tuple[str, ...] = ()
    """The contract of a source's items."""
    carried: Carried | None = None
    """Which row ids ride through the stage's function."""
    rides: bool = False
    """Whether the function gets frames whose ``select`` keeps row ids."""
    time_column: str | None = None
    late_steps: tuple[LateStep, ...] = ()
    restated: Mapping[int, int] = field(default_factory=dict[int, int])
    """File ids of corrected files, and under which id their name was first seen."""
    published: frozenset[str] = frozenset()
    """Ids of the stage's units that are published."""
    arrivals: Mapping[str, int] = field(default_factory=dict[str, int])
    """File ids of the units of inputs that are sources."""
    file_id_max: int = 0
    """The last file id given away when the batch was planned."""

    def arrival(self, path: str) -> tuple[int, str]:
        """Orders the files of an input by the arrival of their rows: by file id, else by the run that wrote them."""
        unit_id = unit_id_of(path)
        if unit_id is None:
            return 0, ""
        return self.arrivals.get(unit_id, 0), path.rsplit("/", 1)[-1].split("-")[1]

    def target(self, unit: Unit, table: str | None = None, role: FileRole = "new") -> Target:
        """Where rows of ``unit`` are staged: the stage's table, or one beside it."""
        storage = self.stage.storage
        return Target(
            table=table or self.stage.name,
            unit=unit,
            run_id=self.run_id,
            role=role,
            partition_by=storage.partition_by if role != "side" else (),
            compression=storage.compression,
            compression_level=storage.compression_level,
        )


def side_table(stage: str, what: str) -> str:
    """The table beside a stage's own that keeps its ``quarantine``, ``late`` rows or ``duplicates``."""
    return f"{stage}__{what}"


SIDE_TABLES = ("quarantine", "late", "duplicates")


def is_system(column: str) -> bool:
    """Whether a column is ours, and never shown to a user's function."""
    return column in (BATCH_ID, "_ingested_at", SOURCE_FILE) or is_row_id(column)


def user_schema(schema: pl.Schema) -> pl.Schema:
    """The columns that a user's function sees."""
    return pl.Schema({name: dtype for name, dtype in schema.items() if not is_system(name)})
