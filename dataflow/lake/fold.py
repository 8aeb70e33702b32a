"""From the journal's entries to the state of each pipeline."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from dataflow.errors import LakeCorrupt
from dataflow.lake.journal import Entry, Journal
from dataflow.lake.state import (
    FileRecord,
    Files,
    Intent,
    Judgement,
    LateStep,
    Lease,
    Outputs,
    PipelineState,
    Release,
    Released,
    StageState,
    Stale,
    UnitState,
    file_key,
)


def fold(entries: Iterable[Entry]) -> dict[str, PipelineState]:
    """The state of every pipeline, by name."""
    folds: dict[str, _Fold] = {}
    for entry in entries:
        folds.setdefault(entry.pipeline, _Fold(entry.pipeline)).take(entry)
    return {name: folded.state() for name, folded in folds.items()}


class Told:
    """What a journal says of a pipeline, asked for again and again: the fold goes on where it was."""

    def __init__(self, journal: Journal, pipeline: str) -> None:
        self.journal = journal
        self._pipeline = pipeline
        self._begin()

    def _begin(self) -> None:
        self._fold, self._taken = _Fold(self._pipeline), list[Entry]()

    def state(self) -> PipelineState:
        """The state now. Errors: LakeCorrupt."""
        entries = [entry for entry in self.journal.entries() if entry.pipeline == self._pipeline]
        # Those that a run of another pipeline has archived since are no more: their checkpoint stands for them.
        if len(self._taken) > len(entries) or not all(map(operator.is_, self._taken, entries)):
            self._begin()
        fold, known = self._fold, len(self._taken)
        # Half a fold is left by an entry that cannot be understood.
        self._begin()
        for entry in entries[known:]:
            fold.take(entry)
        self._fold, self._taken = fold, entries
        return fold.state()


class _Fold:
    """The fold under way: frozen models are made once, at the end."""

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self.lease: Lease | None = None
        self.stages: dict[str, StageState] = {}
        self.files: dict[str, FileRecord] = {}
        self.next_file_id = 1
        self.intents: dict[str, Intent] = {}
        self.unswept: list[str] = []
        self.release: dict[str, int] = {}
        self.judgements: list[Judgement] = []

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
            judgements=tuple(self.judgements),
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
        self.unswept, self.judgements = list(saved.unswept), list(saved.judgements)

    def _take_lease(self, entry: Entry) -> None:
        if self.lease is not None and not self.lease.clean:
            self._leave_unswept(self.lease.run_id)
        self.lease = Lease.model_validate_json(entry.body).model_copy(update={"beat_at": entry.at})

    def _take_beat(self, entry: Entry) -> None:
        if self.lease is not None and self.lease.run_id == entry.run_id:
            self.lease = self.lease.model_copy(update={"beat_at": entry.at})

    def _take_released(self, entry: Entry) -> None:
        ended = Released.model_validate_json(entry.body)
        self.judgements = [j for j in self.judgements if j.seq > ended.recorded]
        if self.lease is not None and self.lease.run_id == entry.run_id:
            self.lease = self.lease.model_copy(update={"released": True, "clean": ended.clean})

    def _leave_unswept(self, run_id: str) -> None:
        if run_id not in self.unswept:
            self.unswept.append(run_id)

    def _take_swept(self, entry: Entry) -> None:
        self.unswept = []

    def _take_files(self, entry: Entry) -> None:
        for record in Files.model_validate_json(entry.body).files:
            self.files[file_key(record.source, record.name)] = record
            self.next_file_id = max(self.next_file_id, record.file_id + 1)

    def _take_stale(self, entry: Entry) -> None:
        """Units stay published, and without a key, so that whoever plans next runs them again.

        A batch that is begun and not finished may hold them too: finishing it must not make them fresh.
        """
        stale = Stale.model_validate_json(entry.body)
        chosen = None if stale.units is None else frozenset(stale.units)

        def marked(unit: UnitState) -> UnitState:
            meant = chosen is None or unit.unit.id in chosen
            return unit.model_copy(update={"key": "", "reason": stale.reason}) if meant else unit

        before = self.stages.get(stale.stage, StageState())
        begun = {} if stale.epoch is None else {"epoch": stale.epoch, "wish": stale.wish or before.wish}
        units = {unit_id: marked(unit) for unit_id, unit in before.units.items()}
        self.stages[stale.stage] = before.model_copy(update={"units": units, **begun})
        for batch_id, intent in self.intents.items():
            if intent.stage == stale.stage:
                self.intents[batch_id] = intent.model_copy(update={"units": tuple(map(marked, intent.units))})

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
        outputs = {o.table: o for o in (*before.outputs, *Outputs.model_validate_json(entry.body).outputs)}
        self.stages[intent.stage] = before.model_copy(
            update={
                "epoch": max(before.epoch, intent.epoch),
                "seq": intent.seq,
                "batch_id": intent.batch_id,
                "outputs": tuple(outputs.values()),
                "counts": intent.counts,
                "verdict": intent.verdict,
                **({} if intent.replays else self._progress(before, intent, entry.at)),
            }
        )
        self._judge(intent, entry)

    def _progress(self, before: StageState, intent: Intent, at: datetime) -> dict[str, Any]:
        """How far the stage has come with its inputs."""
        gone = {unit.id for unit in intent.dropped}
        kept = {k: _left(u, intent) for k, u in before.units.items() if k not in gone}
        return {
            "fingerprint": intent.fingerprint,
            "published_at": at,
            "units": kept | {u.unit.id: u for u in intent.units},
            "inputs": intent.inputs,
            "event_time_max": max((t for t in (before.event_time_max, intent.event_time_max) if t), default=None),
            "late_steps": _steps(before.late_steps, intent.late_steps),
            "full_seconds": before.full_seconds if intent.full_seconds is None else intent.full_seconds,
        }

    def _judge(self, intent: Intent, entry: Entry) -> None:
        if intent.verdict is None or not intent.verdict.results:
            return
        self.judgements.append(
            Judgement(
                stage=intent.stage,
                batch_id=intent.batch_id,
                run_id=entry.run_id,
                judged_at=entry.at,
                counts=intent.counts,
                verdict=intent.verdict,
                published=True,
                seq=entry.seq,
            )
        )

    def _take_judged(self, entry: Entry) -> None:
        self.judgements.append(Judgement.model_validate_json(entry.body).model_copy(update={"seq": entry.seq}))

    def _take_release(self, entry: Entry) -> None:
        self.release = Release.model_validate_json(entry.body).tables


def _left(unit: UnitState, intent: Intent) -> UnitState:
    """A unit after a batch that it was not in; one that the batch has left stale waits for a later one."""
    if unit.unit.id not in intent.left or not unit.key:
        return unit
    return unit.model_copy(update={"key": "", "reason": f"batch {intent.batch_id} left it for later"})


def _steps(before: Sequence[LateStep], told: Sequence[LateStep]) -> tuple[LateStep, ...]:
    """The steps after a batch, which tells its own alone: told whole by each they would fill the journal."""
    return (*(step for step in before if step.file_id < told[0].file_id), *told) if told else ()
