"""Which files of a source are new, changed or gone, by a ledger of what was seen before."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from dataflow.lake.state import FileRecord


class Listed(Protocol):
    """A file as its source lists it."""

    @property
    def name(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def modified_at(self) -> float: ...


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
) -> Detection:
    """Compare a listing with the ledger (by name); content is hashed only where size or time differ.

    A file with new content gets a file id of its own, counted from ``next_file_id``: ids are never reused.
    """
    records: list[FileRecord] = []
    unrecorded: list[FileRecord] = []
    new: set[str] = set()
    changed: set[str] = set()
    ids = itertools.count(next_file_id)
    for file in listed:
        known = ledger.get(file.name)
        if known is not None and (known.size_bytes, known.modified_at) == (file.size_bytes, file.modified_at):
            records.append(known)
            continue
        found = content_hash(file)
        if known is not None and known.content_hash == found:
            file_id, first_id = known.file_id, known.first_id
        else:
            file_id = next(ids)
            first_id = known.first_id if known is not None else file_id
            (changed if known is not None else new).add(file.name)
        record = FileRecord(
            source=source,
            name=file.name,
            content_hash=found,
            size_bytes=file.size_bytes,
            modified_at=file.modified_at,
            file_id=file_id,
            first_id=first_id,
        )
        records.append(record)
        unrecorded.append(record)
    removed = frozenset(ledger) - {record.name for record in records}
    return Detection(tuple(records), tuple(unrecorded), frozenset(new), frozenset(changed), removed)
