"""What a unit's worker is handed: references and settings, nothing that holds data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from dataflow.config import AlertConfig
from dataflow.lake.lake import ActiveFile, Lake, Snapshot
from dataflow.lake.naming import unit_id_of, written_when
from dataflow.lake.staging import Target
from dataflow.lake.state import LateStep
from dataflow.lineage.row_ids import Carried
from dataflow.model import SOURCE_FILE, FileRole, TableVersion, Unit, is_row_id
from dataflow.plan import StagePlan
from dataflow.quality.routing import Part, Routed, route_rows
from dataflow.sources import LINE, RAW, Source
from dataflow.workflow import Stage

BATCH_ID = "_batch_id"
READABLE = "readable"
"""The rule that rows break which could not be read."""
QUARANTINE_ID = "_quarantine_id"
"""The name of a quarantined row: its batch, its unit, and a number."""
QUARANTINE = ("_rules", "_reason", "_quarantined_at", QUARANTINE_ID, LINE, RAW)
"""What a row of a source has beside its columns where it is set aside."""


@dataclass(frozen=True)
class StageJob:
    """One batch of one stage."""

    lake: Lake
    pipeline: str
    run_id: str
    stage: Stage
    plan: StagePlan
    started_at: datetime
    inputs: Mapping[str, Snapshot] = field(default_factory=dict[str, Snapshot])
    """Pinned versions of the stage's inputs."""
    sliced: tuple[str, ...] = ()
    """Inputs of which a unit reads its own partition only."""
    source: Source | None = None
    contract: pl.Schema = field(default_factory=pl.Schema)
    """The columns and types with which a source's items are landed."""
    carried: Carried | None = None
    """Which row ids ride through the stage's function."""
    repeatable: bool = False
    """Whether the function certainly gives the same rows in the same order whenever it is called."""
    in_order: Mapping[str, bool] = field(default_factory=dict[str, bool])
    """The inputs, of those that are computed, at the order of whose rows the function may look; and whether rows of one id lie
    in an order of their own there, as their function made them of one row."""
    as_made: bool = True
    """Whether rows of one id that the function gives lie as it made them of one row, and rows without lie as those came that it
    is given."""
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
    notes: tuple[str, ...] = ()
    """What a reader of the report should know, whatever the rows are."""
    single_ids: bool = False
    """Whether each row id of the first input is there once."""
    position: Mapping[str, Any] | None = None
    """Up to where a source is read when the batch is published."""
    file_id_max: int = 0
    """The last file id given away when the batch was planned."""
    references: Mapping[str, Snapshot] = field(default_factory=dict[str, Snapshot])
    """Pinned versions of the tables that rules of the gate refer to; a table that is not there yet is missing."""
    edited: str | None = None
    """A file with new values of the quarantined rows that the batch sends again."""
    alerts: tuple[AlertConfig, ...] = ()
    """Who is told of failing rules."""
    verify: bool = False
    """Whether what an increment comes to is also computed in full, and compared before it is published."""
    data_docs: bool = False
    """Whether Great Expectations' results are kept for Data Docs."""

    @property
    def reference_versions(self) -> dict[str, TableVersion]:
        return {name: snapshot.version for name, snapshot in self.references.items()}

    def lookups(self) -> dict[str, pl.LazyFrame]:
        """The rows of the tables that rules refer to."""
        return {name: self.lake.scan(snapshot) for name, snapshot in self.references.items()}

    def routed(self, produced: pl.LazyFrame, **how: Part) -> Routed:
        """``produced``, with the columns that the strategy adds, along the routes of the gate; ``part`` as there."""
        stage = self.stage
        derive = stage.strategy.strategy.derive if stage.strategy else None
        return route_rows(produced, stage.gate, at=self.started_at, references=self.lookups(), derive=derive, **how)

    def arrival(self, path: str) -> tuple[int, tuple[str, bool, int, int]]:
        """Orders the files of an input by the arrival of their rows: by file id, else by the run that wrote them."""
        return self.arrivals.get(unit_id_of(path) or "", 0), written_when(path)

    def by_arrival(self, files: Iterable[ActiveFile]) -> list[ActiveFile]:
        """``files`` in the order in which their rows came: the log has them in no order of ours."""
        return sorted(files, key=lambda file: self.arrival(file.path))

    def is_landed(self, name: str) -> bool:
        """Whether an input is a source's table: read in the order in which its rows came, each with an id of its own."""
        # Rows that are sent again come out of the quarantine: no input is read then.
        snapshot = self.inputs.get(name)
        return snapshot is not None and all(unit_id_of(file.path) in self.arrivals for file in snapshot.files)

    def target(self, unit: Unit, table: str | None = None, role: FileRole = "new") -> Target:
        """Where rows of ``unit`` are staged: the stage's table, or one beside it."""
        storage = self.stage.storage
        return Target(
            table=table or self.stage.name,
            unit=unit,
            run_id=self.run_id,
            role=role,
            partition_by=storage.partition_by if table is None else (),
            compression=storage.compression,
            compression_level=storage.compression_level,
            private=self.stage.pii,
        )


def side_table(stage: str, what: str) -> str:
    """The table beside a stage's own that keeps ``what``: one of ``SIDE_TABLES`` or ``LEDGERS``."""
    return f"{stage}__{what}"


SIDE_TABLES = ("quarantine", "dropped", "repaired", "late", "duplicates", "changes")
"""Rows of units, which go when the unit is written anew."""
LEDGERS = ("replayed",)
"""Rows that stay, whatever becomes of their units."""


def is_system(column: str) -> bool:
    """Whether a column is ours, and never shown to a user's function."""
    return column in (BATCH_ID, "_ingested_at", SOURCE_FILE) or is_row_id(column)


def user_schema(schema: pl.Schema) -> pl.Schema:
    """The columns that a user's function sees."""
    return pl.Schema({name: dtype for name, dtype in schema.items() if not is_system(name)})
