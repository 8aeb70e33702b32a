"""The files and counts of one unit, gathered into lazy plans and collected together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl

from dataflow.engine.job import BATCH_ID, StageJob, side_table
from dataflow.engine.passing import Count
from dataflow.errors import StageFailed
from dataflow.lake.errors import storage_errors
from dataflow.lake.schema import from_json
from dataflow.lake.seams import Seam, reach
from dataflow.lake.snapshot import ActiveFile
from dataflow.lake.staging import Sink, Target, stage
from dataflow.model import Deletion, DeletionVector, FileRole, Manifest, RowCounts, StagedFile, Unit
from dataflow.plan import PlannedUnit


@dataclass
class Writing:
    """What a unit writes. Sinks and counts are planned first and collected in one pass."""

    job: StageJob
    planned: PlannedUnit
    sinks: list[Sink] = field(default_factory=list[Sink])
    files: list[StagedFile] = field(default_factory=list[StagedFile])
    schemas: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])
    """What a reader of the report should know of the unit."""
    deletes: dict[str, tuple[Deletion, ...]] = field(default_factory=dict[str, tuple[Deletion, ...]])
    """By table: published files of which rows die."""
    seen: dict[str, dict[str, DeletionVector]] = field(default_factory=dict[str, dict[str, DeletionVector]])
    """By table: the dead rows of published files that the batch takes rows out of, as it found them."""
    _vectors: list[str] = field(default_factory=list[str])
    """Places of the files that list dead rows."""
    _measures: dict[str, pl.LazyFrame] = field(default_factory=dict[str, pl.LazyFrame])
    _values: dict[str, Any] = field(default_factory=dict[str, Any])
    _counts: dict[str, Count] = field(default_factory=dict[str, Count])
    _later: list[tuple[Sink, Callable[[], bool]]] = field(default_factory=list[tuple[Sink, Callable[[], bool]]])
    _scratch: Sink | None = None
    _begun: list[Sink] = field(default_factory=list[Sink])
    _given_up: list[Sink] = field(default_factory=list[Sink])
    _writes: Counter[tuple[str, FileRole]] = field(default_factory=Counter[tuple[str, FileRole]])

    def sink(
        self, frame: pl.LazyFrame, table: str | None = None, role: FileRole = "new", unit: Unit | None = None
    ) -> None:
        """Stage ``frame`` in the stage's table or in ``table``."""
        self.sinks.append(self._begin(frame, self.job.target(unit or self.planned.unit, table, role)))

    def _begin(self, frame: pl.LazyFrame, target: Target) -> Sink:
        role = target.role
        nth = self._writes[target.table, role]
        self._writes[target.table, role] += 1
        sink = stage(self.job.lake, frame, replace(target, nth=nth))
        self._begun.append(sink)
        if role != "carried":
            self.schemas[sink.target.table] = sink.table_schema
        return sink

    def sink_later(
        self, frame: pl.LazyFrame, table: str, role: FileRole = "side", needed: Callable[[], bool] = lambda: True
    ) -> None:
        """Stage ``frame`` by a plan of its own when the rest is written, if it is ``needed`` then.

        Of rows that two plans of one pass share, Polars keeps in memory what the slower has not taken yet.
        """
        self._later.append((self._begin(frame, self.job.target(self.planned.unit, table, role)), needed))

    def written_down(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """``frame`` from files that are forgotten later, so that it is computed once however often it is read."""
        assert self._scratch is None
        # In one file: in one for each partition the rows would not come back in the order of their arrival.
        self._scratch = self._begin(frame, replace(self.job.target(self.planned.unit), partition_by=()))
        self.sinks.append(self._scratch)
        self.collect()
        files = [file for file in self.files if file.role == "new"]
        self.files = [file for file in self.files if file.role != "new"]
        return self._read(files) if files else pl.LazyFrame(schema=from_json(self._scratch.table_schema))

    def forget_scratch(self) -> None:
        """Delete what ``written_down`` wrote."""
        if self._scratch is not None:
            self._delete([self._scratch])
            self._scratch = None

    def sink_aside(self, what: str, frame: pl.LazyFrame, *, later: bool = False) -> None:
        """Stage ``frame`` in a side table; ``later``: by a plan of its own."""
        told = frame.with_columns(pl.lit(self.job.plan.batch_id).alias(BATCH_ID))
        table = side_table(self.job.stage.name, what)
        if later:
            self.sink_later(told, table)
        else:
            self.sink(told, table, role="side")

    def sink_ledger(self, what: str, frame: pl.LazyFrame) -> None:
        """Stage ``frame`` in a ledger, under a unit of its own: it stays when the rows' unit is written anew."""
        job, table = self.job, side_table(self.job.stage.name, what)
        told = frame.with_columns(
            pl.lit(job.plan.batch_id).alias(f"_{what}_in"),
            pl.lit(job.started_at, pl.Datetime("us", "UTC")).alias(f"_{what}_at"),
        )
        unit = Unit(stage=table, partition=(("unit", self.planned.unit.id), ("batch", job.plan.batch_id)))
        self.sink(told, table, "side", unit)

    def saw(self, table: str, files: Iterable[ActiveFile]) -> None:
        """Keep in mind which rows of ``files`` were dead already when it was decided what becomes of the others."""
        self.seen.setdefault(table, {}).update({f.path: f.deleted for f in files if f.deleted is not None})

    def mark(self, table: str, deletes: Iterable[Deletion], vectors: str) -> None:
        """Let rows of published files die, as the file ``vectors`` lists them."""
        self.deletes[table] = (*self.deletes.get(table, ()), *deletes)
        self._vectors.append(self.job.lake.path(table, vectors))

    def carried(self) -> int:
        """Published rows that are written again for the stage's own table."""
        return sum(f.rows for f in self.files if f.role == "carried" and f.table == self.job.stage.name)

    def count(self, name: str, frame: pl.LazyFrame) -> None:
        """Count the rows beside the sinks: of what is not streamed into one of them."""
        self._measures[name] = frame.select(pl.len().alias(name))

    def count_now(self, name: str, frame: pl.LazyFrame) -> None:
        """Count the rows in a look of their own, which reads next to nothing of them."""
        self._values[name] = frame.select(pl.len()).collect().item()

    def counting(self, name: str, frame: pl.LazyFrame) -> pl.LazyFrame:
        """``frame``, the rows of which are counted on their way into a sink; for one plan."""
        self._counts[name] = Count()
        return self._counts[name].over(frame)

    def maximum(self, name: str, frame: pl.LazyFrame, column: str) -> None:
        self._measures[name] = frame.select(pl.col(column).max().alias(name))

    def collect(self) -> None:
        """Run what was planned since the last collect: in one pass over what it reads, but for what is written later."""
        plans = [sink.plan for sink in self.sinks]
        results = pl.collect_all([*plans, *self._measures.values()])
        for sink, needed in self._later:
            if needed():
                sink.plan.collect()
        reach(Seam.ROWS_WRITTEN, self.job.stage.name)
        for name, frame in zip(self._measures, results[len(plans) :], strict=True):
            self._values[name] = frame.item()
        self._values |= {name: count.rows for name, count in self._counts.items()}
        for sink in [*self.sinks, *(sink for sink, _ in self._later)]:
            files = sink.files()
            self.files.extend(files)
            if sink.target.fixed and files:
                self._check_partition(files, sink.target.fixed)
        self.sinks, self._later, self._measures, self._counts = [], [], {}, {}

    def _check_partition(self, files: Sequence[StagedFile], fixed: Mapping[str, str | None]) -> None:
        """Read back what was written: the log is going to say that every row is of this partition."""
        strays = [pl.col(c).cast(pl.String).ne_missing(pl.lit(v, pl.String)) for c, v in fixed.items()]
        found = self._read(files).select(pl.any_horizontal(strays).sum()).collect().item()
        if found:
            raise StageFailed(
                f"stage {self.job.stage.name!r}, {self.planned.unit.label}: {found} rows belong to another partition; "
                f"a stage that runs by {', '.join(self.job.stage.partition_by)} must keep these columns as they are",
                stage=self.job.stage.name,
            )

    def _read(self, files: Sequence[StagedFile]) -> pl.LazyFrame:
        table = files[0].table
        return self.job.lake.scan_files(table, [f.path for f in files], from_json(self.schemas[table]))

    def staged(self, column: str) -> pl.LazyFrame:
        """A column of all staged rows that the function produced, those set aside among them."""
        aside = [side_table(self.job.stage.name, what) for what in ("quarantine", "dropped")]
        produced = [file for file in self.files if file.role == "new" or file.table in aside]
        none = pl.LazyFrame(schema={column: pl.Int64()})
        return pl.concat([self._read([file]).select(column) for file in produced]) if produced else none

    def total(self, column: str) -> int:
        """The sum of ``column`` over all staged rows that the function produced."""
        return int(self.staged(column).sum().collect().item() or 0)

    def start_over(self) -> None:
        """Forget what was planned and written; what comes is written under other names."""
        self.discard()
        self._given_up = list(self._begun)
        self.sinks, self.files, self.schemas, self._measures = [], [], {}, {}
        self._later, self._counts = [], {}
        self.deletes, self.seen, self._vectors = {}, {}, []

    def discard(self) -> None:
        """Delete whatever was written, also by a write that failed half-way."""
        self._delete(self._begun)
        self._delete_places(self._vectors)

    def _delete(self, sinks: Sequence[Sink]) -> None:
        path = self.job.lake.path
        self._delete_places([path(sink.target.table, name) for sink in sinks for name in sink.partitions])

    def _delete_places(self, places: Sequence[str]) -> None:
        for place in places:
            with storage_errors(place):
                if self.job.lake.fs.exists(place):
                    self.job.lake.fs.rm_file(place)

    def nulls(self) -> set[str]:
        """The columns of a landed file that hold a null, as far as the footers tell."""
        counts = [json.loads(file.stats).get("nullCount", {}) for file in self.files]
        return {column for column in self.job.contract if any(found.get(column) != 0 for found in counts)}

    def counted(self, name: str, otherwise: int = 0) -> int:
        """A collected count; ``otherwise`` where it was not planned."""
        value = self._values.get(name, otherwise)
        return 0 if value is None else int(value)

    def rows(self, what: str | None = None) -> int:
        """Rows staged in the stage's own table, or in a side table."""
        table = side_table(self.job.stage.name, what) if what else self.job.stage.name
        return sum(f.rows for f in self.files if f.table == table and f.role != "carried")

    def outcome(self, counts: RowCounts) -> RowCounts:
        """``counts`` with what became of the rows that were produced, from the footers of the files."""
        ends = {
            "deduplicated": self.rows("duplicates"),
            "quarantined": self.rows("quarantine"),
            "dropped": self.rows("dropped"),
            "repaired": self.rows("repaired"),
            "published": self.rows(),
        }
        return counts.model_copy(update=ends)

    def manifest(self, counts: RowCounts, removes: Mapping[str, tuple[str, ...]] | None = None) -> Manifest:
        """What the unit staged."""
        # A plan that failed may go on for a moment, and open a file that was not there to be deleted.
        self._delete(self._given_up)
        newest = self._values.get("event_time")
        return Manifest(
            unit=self.planned.unit,
            key=self.planned.key,
            batch_id=self.job.plan.batch_id,
            staged_at=datetime.now(UTC),
            files=tuple(self.files),
            counts=counts,
            schemas=self.schemas,
            event_time_max=_instant(newest),
            removes=dict(removes or {}),
            deletes=self.deletes,
            seen=self.seen,
            references=self.job.reference_versions,
            notes=tuple(self.notes),
        )


def _instant(value: Any) -> datetime | None:
    """An event time as an instant: naive times and dates count as UTC."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
