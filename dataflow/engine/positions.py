"""How far a source has come, and what lies beyond a position that a person names."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, cast

from dataflow.errors import ConfigError, hint
from dataflow.lake.state import FileRecord, PipelineState
from dataflow.model import SOURCE_FILE, Frozen, Unit

ACCEPTED = (
    'null or {} for the beginning, {"file_id": 3} or {"file": "NAME"} for the last file that counts as read, '
    '{"since": "2026-01-31"} for files that arrived from then on, or {"cursor": ...} of a source that is asked by a cursor'
)


class Wish(Frozen):
    """Where a person wants a source to be."""

    source: str
    position: Any = None
    """One of ``ACCEPTED``; None is the beginning."""
    name: str = ""
    """Names the wish where it may be met again after it was granted, so that it is granted once."""
    place: str = ""
    """Where it was said, if that helps to take it back: told with a refusal."""
    undo: str = ""


def unit_of(record: FileRecord) -> str:
    """The id of the unit that lands a file."""
    return Unit(stage=record.source, partition=((SOURCE_FILE, record.name),)).id


def records_of(state: PipelineState, source: str) -> list[FileRecord]:
    """The files of a source, in order of arrival."""
    return sorted((r for r in state.files.values() if r.source == source), key=lambda record: record.file_id)


def position_of(state: PipelineState, source: str, done: Collection[str] = ()) -> dict[str, int]:
    """Up to which file a source is read: how many files, and the last one's id; none before waits to be read again.

    ``done`` are ids of units that are read again by the batch of which this is the position.
    """
    records = records_of(state, source)
    stale = {unit.unit.id for unit in state.stage(source).stale}.difference(done)
    waiting = [record.file_id for record in records if unit_of(record) in stale] if stale else []
    read = [record.file_id for record in records if not waiting or record.file_id < min(waiting)]
    return {"files": len(read), "file_id": max(read, default=0)}


def is_beginning(position: object) -> bool:
    """Whether a position is that before everything."""
    return position is None or position == {}


def read_off(text: str, current: Mapping[str, Any]) -> dict[str, Any]:
    """The position that a word means: a cursor where the source has one, else a file id, a date or time, or a file.

    Example:
        >>> read_off("2026-01-31", {"files": 3, "file_id": 3}), read_off("march.csv", {}), read_off("17", {"cursor": 20})
        ({'since': '2026-01-31'}, {'file': 'march.csv'}, {'cursor': 17})
    """
    number = int(text) if text.isdecimal() else None
    if "cursor" in current:
        return {"cursor": text if number is None else number}
    if number is not None:
        return {"file_id": number}
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return {"file": text}
    return {"since": text}


def cursor_in(position: object, current: Mapping[str, Any]) -> tuple[bool, Any]:
    """Whether a position is one of a source that is asked (the beginning is), and its cursor."""
    edited = _edited(position, current)
    return is_beginning(position) or edited.keys() == {"cursor"}, edited.get("cursor")


def beyond(
    source: str, records: Sequence[FileRecord], position: object, current: Mapping[str, Any]
) -> list[FileRecord]:
    """The files of ``records`` that are read again from ``position``; ``current`` is where the source is.

    Errors: ConfigError for a position that is none of ``ACCEPTED``, or that lies ahead of what was read.
    """
    if is_beginning(position):
        return list(records)
    asked = _edited(position, current)
    match [*asked.items()]:
        case [("file_id", value)]:
            return _after_id(source, records, value)
        case [("file", value)]:
            return [r for r in records if r.file_id > _named(source, records, value).file_id]
        case [("since", value)]:
            since = _moment(source, value).timestamp()
            return [r for r in records if r.modified_at >= since]
        case _:
            there = bool(asked) and asked.items() <= current.items()
            raise refused(source, position, "the source is there already" if there else f"a position is {ACCEPTED}")


def _edited(position: object, current: Mapping[str, Any]) -> dict[str, Any]:
    """What a position says that the current one does not; how many files there are follows from the rest."""
    if not isinstance(position, dict):
        return {}
    said = {str(key): value for key, value in cast("dict[object, Any]", position).items() if key != "files"}
    return {key: value for key, value in said.items() if key not in current or current[key] != value} or said


def _after_id(source: str, records: Sequence[FileRecord], file_id: object) -> list[FileRecord]:
    if not isinstance(file_id, int) or isinstance(file_id, bool) or file_id < 0:
        raise refused(source, {"file_id": file_id}, "a file id is a whole number, from 0 for the beginning")
    last = max((record.file_id for record in records), default=0)
    if file_id > last:
        raise refused(source, {"file_id": file_id}, f"it lies ahead of what was read, which ends with file id {last}")
    return [record for record in records if record.file_id > file_id]


def _named(source: str, records: Sequence[FileRecord], name: object) -> FileRecord:
    by_name = {record.name: record for record in records}
    short = [record for record in records if record.name.rsplit("/", 1)[-1] == name]
    if isinstance(name, str) and (name in by_name or len(short) == 1):
        return by_name.get(name) or short[0]
    if len(short) > 1:
        raise refused(
            source,
            {"file": name},
            f"{len(short)} files have this name: {short[0].name}, {short[1].name}; name one in full",
        )
    near = hint(str(name), [record.name.rsplit("/", 1)[-1] for record in records])
    raise refused(source, {"file": name}, f"no such file was read{near}")


def _moment(source: str, text: object) -> datetime:
    try:
        if isinstance(text, str) and len(text) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        found = datetime.fromisoformat(str(text))
    except ValueError:
        raise refused(
            source, {"since": text}, 'it is no date and no time: write "2026-01-31" or "2026-01-31T18:00:00+00:00"'
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def refused(source: str, position: object, why: str) -> ConfigError:
    """The error for a position that is not taken."""
    return ConfigError(
        f"source {source!r}: position {json.dumps(position, default=str)} is not taken: {why}",
        source=source,
        position=position,
    )
