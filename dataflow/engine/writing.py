"""The files and counts of one unit, gathered into lazy plans and collected together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl

from dataflow.engine.job import BATCH_ID, QUARANTINE_ID, READABLE, StageJob, side_table
from dataflow.errors import StageFailed
from dataflow.lake.errors import storage_errors
from dataflow.lake.schema import from_json
from dataflow.lake.seams import Seam, reach
from dataflow.lake.snapshot import ActiveFile
from dataflow.lake.staging import Sink, Target, stage
from dataflow.model import Deletion, DeletionVector, FileRole, Manifest, RowCounts, StagedFile, Unit
from dataflow.plan import PlannedUnit
from dataflow.sources import BROKEN, LINE, RAW


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
    _scratch: Sink | None = None
    _begun: list[Sink] = field(default_factory=list[Sink])
    _given_up: list[Sink] = field(default_factory=list[Sink])
    _writes: Counter[tuple[str, FileRole]] = field(default_factory=Counter[tuple[str, FileRole]])

    def sink(
        self, frame: pl.LazyFrame, table: str | None = None, role: FileRole = "new", unit: Unit | None = None
    ) -> None:
        """Stage ``frame`` in the stage's table or in ``table``."""
        self._sink(frame, self.job.target(unit or self.planned.unit, table, role))

    def _sink(self, frame: pl.LazyFrame, target: Target) -> None:
        role = target.role
        nth = self._writes[target.table, role]
        self._writes[target.table, role] += 1
        sink = stage(self.job.lake, frame, replace(target, nth=nth))
        self.sinks.append(sink)
        self._begun.append(sink)
        if role != "carried":
            self.schemas[sink.target.table] = sink.table_schema

    def sink_routed(self, frame: pl.LazyFrame) -> None:
        """Stage the good rows of ``frame``, and beside them those that the gate's rules set aside."""
        self.sink(self.sink_aside_by_rules(frame))

    def sink_aside_by_rules(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Stage the rows that the gate's rules set aside, and those that they repair as they were; return the good ones."""
        job = self.job
        routed = job.routed(frame)
        if routed.quarantined is not None:
            aside = routed.quarantined
            if job.stage.kind == "source":
                # So that the table has a place for what could not be read.
                aside = aside.with_columns(pl.lit(None, pl.Int64).alias(LINE), pl.lit(None, pl.String).alias(RAW))
            self.sink(self._numbered(aside), side_table(job.stage.name, "quarantine"), "side")
        for what, rows in (("dropped", routed.dropped), ("repaired", routed.repaired)):
            if rows is not None:
                self.sink(rows, side_table(job.stage.name, what), "side")
        return routed.good

    def sink_broken(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Stage the rows of ``frame`` that could not be read; return the others."""
        if BROKEN not in frame.collect_schema():
            return frame
        why = pl.col(BROKEN)
        told = (
            pl.concat_list(pl.lit(READABLE)).alias("_rules"),
            why.alias("_reason"),
            pl.lit(self.job.started_at, pl.Datetime("us", "UTC")).alias("_quarantined_at"),
            pl.col(LINE).cast(pl.Int64),
            pl.col(RAW).cast(pl.String),
        )
        # Polars reads what is below once for both, but only where neither filter can be pushed past this.
        shared = frame.map_batches(_same, predicate_pushdown=False, projection_pushdown=False, streamable=True).cache()
        kept = [c for c in frame.collect_schema() if c not in (BROKEN, LINE, RAW)]
        broken = self._numbered(shared.filter(why.is_not_null()).select(*kept, *told), "broken-")
        self.sink(broken, side_table(self.job.stage.name, "quarantine"), "broken")
        return shared.filter(why.is_null()).select(kept)

    def _numbered(self, aside: pl.LazyFrame, mark: str = "") -> pl.LazyFrame:
        """Give quarantined rows a name of their own, by which they are found when they are sent again."""
        begins = f"{self.job.plan.batch_id}/{self.planned.unit.id}/{mark}"
        number = pl.col(QUARANTINE_ID).cast(pl.String)
        return aside.with_row_index(QUARANTINE_ID).with_columns(
            pl.concat_str(pl.lit(begins), number).alias(QUARANTINE_ID)
        )

    def written_down(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """``frame`` from files that are forgotten later, so that it is computed once however often it is read."""
        assert self._scratch is None
        # In one file: in one for each partition the rows would not come back in the order of their arrival.
        self._sink(frame, replace(self.job.target(self.planned.unit), partition_by=()))
        self._scratch = self.sinks[-1]
        self.collect()
        files = [file for file in self.files if file.role == "new"]
        self.files = [file for file in self.files if file.role != "new"]
        return self._read(files) if files else pl.LazyFrame(schema=from_json(self._scratch.table_schema))

    def forget_scratch(self) -> None:
        """Delete what ``written_down`` wrote."""
        if self._scratch is not None:
            self._delete([self._scratch])
            self._scratch = None

    def sink_aside(self, what: str, frame: pl.LazyFrame) -> None:
        """Stage ``frame`` in a side table."""
        batch = pl.lit(self.job.plan.batch_id).alias(BATCH_ID)
        self.sink(frame.with_columns(batch), side_table(self.job.stage.name, what), "side")

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
        self._measures[name] = frame.select(pl.len().alias(name))

    def maximum(self, name: str, frame: pl.LazyFrame, column: str) -> None:
        self._measures[name] = frame.select(pl.col(column).max().alias(name))

    def collect(self) -> None:
        """Run what was planned since the last collect, in one pass over what it reads."""
        plans = [sink.plan for sink in self.sinks]
        results = pl.collect_all([*plans, *self._measures.values()])
        reach(Seam.ROWS_WRITTEN, self.job.stage.name)
        for name, frame in zip(self._measures, results[len(plans) :], strict=True):
            self._values[name] = frame.item()
        for sink in self.sinks:
            files = sink.files()
            self.files.extend(files)
            if sink.target.fixed and files:
                self._check_partition(files, sink.target.fixed)
        self.sinks, self._measures = [], {}

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


def _same(rows: pl.DataFrame) -> pl.DataFrame:
    return rows
