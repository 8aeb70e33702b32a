"""Which files of a source are new, changed or gone, by a ledger of what was seen before."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from dataflow.lake.state import FileRecord
from dataflow.model.values import Detect


class Listed(Protocol):
    """A file as its source lists it."""

    @property
    def name(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def modified_at(self) -> float: ...
    @property
    def etag(self) -> str | None: ...


L = TypeVar("L", bound=Listed)


@dataclass(frozen=True)
class Detection:
    """The files of a source against its ledger."""

    records: tuple[FileRecord, ...]
    """One for each listed file, in listing order."""
    unrecorded: tuple[FileRecord, ...]
    """Those that the ledger does not hold in this form: new, changed, or touched without a change."""
    new: frozenset[str]
    changed: frozenset[str]
    removed: frozenset[str]


def detect(
    source: str,
    listed: Iterable[L],
    ledger: Mapping[str, FileRecord],
    content_hash: Callable[[L], str],
    *,
    next_file_id: int,
    by: Detect = "auto",
    restates: Callable[[L], str | None] = lambda _: None,
) -> Detection:
    """Compare a listing with the ledger (by name); content is hashed only where ``by`` asks for it.

    A file with new content gets a file id of its own, counted from ``next_file_id``: ids are never reused. ``restates``
    names the earlier file whose rows a file delivers once more: it arrived when that did.
    """
    records: list[FileRecord] = []
    unrecorded: list[FileRecord] = []
    new: set[str] = set()
    changed: set[str] = set()
    ids = itertools.count(next_file_id)
    for file in listed:
        known = ledger.get(file.name)
        found = known.content_hash if known is not None and _looks_same(file, known, by) else None
        if found is None:
            found = _told(file, by) or content_hash(file)
        if known is not None and known.content_hash == found:
            file_id, first_id = known.file_id, known.first_id
        else:
            file_id = next(ids)
            earlier = known or ledger.get(restates(file) or "")
            first_id = earlier.first_id if earlier is not None else file_id
            (changed if known is not None else new).add(file.name)
        record = FileRecord(
            source=source,
            name=file.name,
            content_hash=found,
            size_bytes=file.size_bytes,
            modified_at=file.modified_at,
            etag=file.etag,
            file_id=file_id,
            first_id=first_id,
        )
        records.append(record)
        if record != known:
            unrecorded.append(record)
    removed = frozenset(ledger) - {record.name for record in records}
    return Detection(tuple(records), tuple(unrecorded), frozenset(new), frozenset(changed), removed)


def _looks_same(file: Listed, known: FileRecord, by: Detect) -> bool:
    """Whether nothing has to be read to know that the content is the one that was recorded."""
    if by == "content":
        return False
    # Of a file that was recorded when nobody noted its ETag, size and time tell.
    alike = file.etag == known.etag if file.etag and known.etag else None
    if by == "etag" and alike is not None:
        return alike
    as_it_was = (known.size_bytes, known.modified_at) == (file.size_bytes, file.modified_at)
    return as_it_was and (by == "modified" or alike is not False)


def _told(file: Listed, by: Detect) -> str | None:
    """What names the content where it is not read."""
    if by == "modified":
        return f"modified:{file.size_bytes}:{file.modified_at!r}"
    return f"etag:{file.etag}" if by == "etag" and file.etag else None
