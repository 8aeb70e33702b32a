"""Which files of a source are to be landed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dataflow.errors import SourceUnavailable
from dataflow.incremental.files import Detection, detect
from dataflow.lake.state import FileRecord, PipelineState, StageState, UnitState
from dataflow.model import SOURCE_FILE, Unit, digest
from dataflow.plan.fingerprint import stage_fingerprint
from dataflow.plan.units import PlannedUnit, StagePlan, count
from dataflow.sources import Item, Source
from dataflow.workflow import Stage


def plan_source(stage: Stage, source: Source, state: PipelineState, *, full: bool) -> StagePlan:
    """One unit per file: those whose content or landing changed are stale, and those that somebody has marked.

    A file that is gone from the source stays landed, as archiving a delivery must not delete its rows, unless the
    source says ``removed: delete``. One that is still being written waits.
    Errors: SourceUnavailable where all files that were landed are gone and their rows would be deleted.
    """
    ledger = {record.name: record for record in state.files.values() if record.source == stage.name}
    watched = _watch(source, ledger)
    found = detect(
        stage.name,
        watched.items,
        ledger,
        source.content_hash,
        next_file_id=state.next_file_id,
        by=source.watching.detect,
        restates=lambda item: item.restates,
    )
    before, fingerprint = state.stage(stage.name), stage_fingerprint(stage, source)
    planned = [_planned(stage, *pair, fingerprint) for pair in zip(watched.items, found.records, strict=True)]
    keys = {unit_id: unit.key for unit_id, unit in before.units.items()}
    stale = tuple(u for u in planned if full or keys.get(u.unit.id) != u.key)
    there = {_unit(stage, item).id for item in (*watched.items, *watched.waiting)}
    gone = tuple(unit for unit_id, unit in before.units.items() if unit_id not in there)
    deletes = source.watching.removed == "delete"
    if deletes and gone and len(gone) == len(before.units) and not full:
        raise _all_gone(stage, len(gone))
    told = _Told(before, found, stale, gone, fingerprint, full=full, deletes=deletes)
    return StagePlan(
        stage=stage.name,
        action="run" if stale or (deletes and gone) else "skip",
        reason="; ".join([told.reason, *told.of_gone(), *_told_waiting(watched.waiting)]),
        units=stale,
        units_fresh=len(planned) - len(stale),
        dropped=tuple(unit.unit for unit in gone) if deletes else (),
        inputs={},
        fingerprint=fingerprint,
        seq=before.seq + 1,
        epoch=before.epoch,
        unrecorded=found.unrecorded,
        size_bytes_fresh=sum(u.size_bytes for u in planned) - sum(u.size_bytes for u in stale),
    )


@dataclass(frozen=True)
class _Watched:
    items: Sequence[Item]
    waiting: Sequence[Item]
    """Files that may still be written, and are not looked at."""


def _watch(source: Source, ledger: Mapping[str, FileRecord]) -> _Watched:
    now, found = time.time(), source.items()
    waiting = [item for item in found if not source.watching.is_settled(item, now) and not _recorded(item, ledger)]
    names = {item.name for item in waiting}
    return _Watched([item for item in found if item.name not in names], waiting)


def _recorded(item: Item, ledger: Mapping[str, FileRecord]) -> bool:
    known = ledger.get(item.name)
    return known is not None and (known.size_bytes, known.modified_at) == (item.size_bytes, item.modified_at)


def _unit(stage: Stage, item: Item) -> Unit:
    return Unit(stage=stage.name, partition=((SOURCE_FILE, item.name),))


def _planned(stage: Stage, item: Item, record: FileRecord, fingerprint: str) -> PlannedUnit:
    return PlannedUnit(
        unit=_unit(stage, item),
        key=digest(stage.name, item.name, record.content_hash, fingerprint),
        size_bytes=item.size_bytes,
        item=item.model_copy(update={"content_hash": record.content_hash}),
        record=record,
    )


def _all_gone(stage: Stage, files: int) -> SourceUnavailable:
    return SourceUnavailable(
        f"source {stage.name!r}: none of the {count(files, 'file')} landed so far is there any more, and `removed: delete` "
        "would delete all their rows; nothing is changed. See that the disk is mounted and `path` is right; if the files "
        "are really gone, run once with --full",
        source=stage.name,
    )


@dataclass(frozen=True)
class _Told:
    """What a plan says of a source, in words."""

    before: StageState
    found: Detection
    stale: Sequence[PlannedUnit]
    gone: Sequence[UnitState]
    fingerprint: str
    full: bool
    deletes: bool

    @property
    def reason(self) -> str:
        """Why files are landed."""
        if not self.stale:
            return "no new or changed files"
        files = count(len(self.stale), "file")
        if self.full:
            return f"asked for in full: {files}"
        if self._changed_settings:
            return f"its settings changed: {files} to land again"
        known = [u for u in self.stale if u.unit.id in self.before.units]
        changed = sum(u.unit.partition[0][1] in self.found.changed for u in known)
        marked = [u for u in known if not self.before.units[u.unit.id].key]
        told = [
            (len(self.stale) - len(known), "new file", ""),
            (changed, "changed file", ""),
            (len(known) - changed, "file", f" to land again{self._why(marked)}"),
        ]
        return ", ".join(count(number, noun) + more for number, noun, more in told if number)

    def of_gone(self) -> list[str]:
        """What becomes of files that are gone, where it matters."""
        files, one = count(len(self.gone), "file"), len(self.gone) == 1
        if self.gone and self.deletes:
            return [f"{files} {'is gone, and so are its rows' if one else 'are gone, and so are their rows'}"]
        if self.gone and (self.full or self._changed_settings or any(not unit.key for unit in self.gone)):
            told = "is not there any more and stays" if one else "are not there any more and stay"
            return [f"{files} {told} as landed"]
        return []

    @property
    def _changed_settings(self) -> bool:
        return self.before.seq > 0 and self.before.fingerprint != self.fingerprint

    def _why(self, marked: Sequence[PlannedUnit]) -> str:
        reasons = sorted({self.before.units[u.unit.id].reason for u in marked} - {""})
        return f" ({', '.join(reasons)})" if reasons else ""


def _told_waiting(waiting: Sequence[Item]) -> list[str]:
    one = len(waiting) == 1
    told = "waits until it is" if one else "wait until they are"
    return [f"{count(len(waiting), 'file')} {told} left alone for long enough"] if waiting else []
