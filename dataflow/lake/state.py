"""What the journal says of a pipeline: the fold of its entries."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from dataflow.errors import LakeCorrupt
from dataflow.lake.commit import TableChange
from dataflow.lake.journal import Entry
from dataflow.model import Frozen, RowCounts, TableVersion, Unit, Verdict


class Lease(Frozen):
    """Who runs the pipeline, or did last."""

    number: int
    run_id: str
    host: str
    process_id: int
    process_started_at: float
    """Seconds since the epoch, as the operating system counts: tells a reused process id."""
    ttl_seconds: float
    beat_at: datetime
    released: bool = False
    clean: bool = False


class FileRecord(Frozen):
    """A file that a source delivered, and the id under which its rows are known."""

    source: str
    name: str
    content_hash: str
    size_bytes: int
    modified_at: float
    file_id: int
    first_id: int
    """The id of the first content seen under this name: a corrected file is no late arrival."""


class UnitState(Frozen):
    """A published unit."""

    unit: Unit
    key: str
    batch_id: str


class LateStep(Frozen):
    """The watermark in force for files numbered above ``file_id``."""

    file_id: int
    watermark: datetime


class Intent(Frozen):
    """Everything that finishing a batch needs, written before its first commit."""

    stage: str
    batch_id: str
    epoch: int
    seq: int
    changes: tuple[TableChange, ...]
    """In the order in which they are committed: side tables first, the stage's own last."""
    units: tuple[UnitState, ...]
    dropped: tuple[Unit, ...] = ()
    """Units that are no more."""
    inputs: tuple[TableVersion, ...]
    fingerprint: str
    counts: RowCounts
    verdict: Verdict | None = None
    event_time_max: datetime | None = None
    late_steps: tuple[LateStep, ...] = ()


class StageState(Frozen):
    """What is published of a stage."""

    epoch: int = 0
    seq: int = 0
    batch_id: str | None = None
    fingerprint: str = ""
    published_at: datetime | None = None
    units: dict[str, UnitState] = {}
    inputs: tuple[TableVersion, ...] = ()
    outputs: tuple[TableVersion, ...] = ()
    event_time_max: datetime | None = None
    late_steps: tuple[LateStep, ...] = ()


class PipelineState(Frozen):
    """What is known of a pipeline."""

    pipeline: str
    lease: Lease | None = None
    stages: dict[str, StageState] = {}
    files: dict[str, FileRecord] = {}
    """By source and name."""
    next_file_id: int = 1
    intents: dict[str, Intent] = {}
    """By batch id: begun and not finished."""
    unswept: tuple[str, ...] = ()
    """Runs that may have left staged files behind."""
    release: dict[str, int] = {}
    """The table versions that the last whole run published together."""

    def stage(self, name: str) -> StageState:
        return self.stages.get(name, StageState())

    @property
    def tables(self) -> set[str]:
        """Every table that the pipeline has published or is about to."""
        published = {o.table for s in self.stages.values() for o in s.outputs}
        return published | {c.table for i in self.intents.values() for c in i.changes}


def file_key(source: str, name: str) -> str:
    """Under which a source's file is kept in ``PipelineState.files``."""
    return f"{source}\x1f{name}"


def fold(entries: Iterable[Entry]) -> dict[str, PipelineState]:
    """The state of every pipeline, by name."""
    folds: dict[str, _Fold] = {}
    for entry in entries:
        folds.setdefault(entry.pipeline, _Fold(entry.pipeline)).take(entry)
    return {name: folded.state() for name, folded in folds.items()}


class _Fold:
    """The fold under way: frozen models are made once, at the end."""

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self.data: dict[str, Any] = {}
        self.lease: Lease | None = None
        self.stages: dict[str, StageState] = {}
        self.files: dict[str, FileRecord] = {}
        self.next_file_id = 1
        self.intents: dict[str, Intent] = {}
        self.unswept: list[str] = []
        self.release: dict[str, int] = {}

    def state(self) -> PipelineState:
        return PipelineState(
            pipeline=self.pipeline,
            lease=self.lease,
            stages=self.stages,
            files=self.files,
            next_file_id=self.next_file_id,
            intents=self.intents,
            unswept=tuple(self.unswept),
            release=self.release,
        )

    def take(self, entry: Entry) -> None:
        try:
            getattr(self, f"_take_{entry.kind}")(entry)
        except ValidationError as error:
            raise LakeCorrupt(
                f"journal entry {entry.seq} ({entry.kind} of pipeline {entry.pipeline!r}) cannot be understood: {error.errors()[0]['msg']}; "
                f"where a newer dataflow wrote it, update this one, else restore the lake's _journal to version {entry.seq - 1}",
                pipeline=entry.pipeline,
            ) from error

    def _take_checkpoint(self, entry: Entry) -> None:
        saved = PipelineState.model_validate_json(entry.body)
        self.lease, self.next_file_id, self.release = saved.lease, saved.next_file_id, saved.release
        self.stages, self.files, self.intents = dict(saved.stages), dict(saved.files), dict(saved.intents)
        self.unswept = list(saved.unswept)

    def _take_lease(self, entry: Entry) -> None:
        if self.lease is not None and not self.lease.clean:
            self._leave_unswept(self.lease.run_id)
        self.lease = Lease.model_validate_json(entry.body).model_copy(update={"beat_at": entry.at})

    def _take_beat(self, entry: Entry) -> None:
        if self.lease is not None and self.lease.run_id == entry.run_id:
            self.lease = self.lease.model_copy(update={"beat_at": entry.at})

    def _take_released(self, entry: Entry) -> None:
        if self.lease is not None and self.lease.run_id == entry.run_id:
            self.lease = self.lease.model_copy(
                update={"released": True, "clean": Clean.model_validate_json(entry.body).clean}
            )

    def _leave_unswept(self, run_id: str) -> None:
        if run_id not in self.unswept:
            self.unswept.append(run_id)

    def _take_swept(self, entry: Entry) -> None:
        self.unswept = []

    def _take_files(self, entry: Entry) -> None:
        for record in Files.model_validate_json(entry.body).files:
            self.files[file_key(record.source, record.name)] = record
            self.next_file_id = max(self.next_file_id, record.file_id + 1)

    def _take_intent(self, entry: Entry) -> None:
        intent = Intent.model_validate_json(entry.body)
        self.intents[intent.batch_id] = intent

    def _take_abandoned(self, entry: Entry) -> None:
        intent = self.intents.pop(entry.batch_id or "", None)
        if intent is not None:
            # Some of its tables may know the number already: the next batch takes another.
            before = self.stages.get(intent.stage, StageState())
            self.stages[intent.stage] = before.model_copy(update={"seq": intent.seq})

    def _take_published(self, entry: Entry) -> None:
        intent = self.intents.pop(entry.batch_id or "", None)
        if intent is None:
            return
        before = self.stages.get(intent.stage, StageState())
        units = before.units if before.epoch == intent.epoch else {}
        gone = {unit.id for unit in intent.dropped}
        outputs = {o.table: o for o in (*before.outputs, *Outputs.model_validate_json(entry.body).outputs)}
        self.stages[intent.stage] = StageState(
            epoch=intent.epoch,
            seq=intent.seq,
            batch_id=intent.batch_id,
            fingerprint=intent.fingerprint,
            published_at=entry.at,
            units={k: u for k, u in units.items() if k not in gone} | {u.unit.id: u for u in intent.units},
            inputs=intent.inputs,
            outputs=tuple(outputs.values()),
            event_time_max=max((t for t in (before.event_time_max, intent.event_time_max) if t), default=None),
            late_steps=intent.late_steps,
        )

    def _take_release(self, entry: Entry) -> None:
        self.release = Release.model_validate_json(entry.body).tables


class Files(Frozen):
    """Body of a ``files`` entry."""

    files: tuple[FileRecord, ...]


class Outputs(Frozen):
    """Body of a ``published`` entry: side tables and the stage's own."""

    outputs: tuple[TableVersion, ...]


class Release(Frozen):
    """Body of a ``release`` entry."""

    tables: dict[str, int]


class Clean(Frozen):
    """Body of a ``released`` entry."""

    clean: bool
