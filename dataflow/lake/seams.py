"""The numbered places between two effects of a run.

Whatever ends a run at any of them, the next run repairs. ``tests/faults``
puts an observer here that kills or fails the process at a chosen visit.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum


class Seam(IntEnum):
    """A place where a run may end; numbered in the order in which a run reaches them first."""

    ENTRY_WRITTEN = 1
    """The file of a journal entry is written, and in no commit."""
    LEASE_RECORDED = 2
    """The journal tells who holds the lease; where it was a dead run's, its tables are not fenced yet."""
    TABLE_FENCED = 3
    LEASE_TAKEN = 4
    LOG_SET_ASIDE = 5
    """A broken log, or a file of it, has another name, and more of it may have to follow."""
    INTENT_ROLLED_FORWARD = 6
    SWEPT = 7
    PULLED = 8
    """What a source was asked for is in the spool, and in no plan."""
    FILES_RESERVED = 9
    STAGE_PLANNED = 10
    ROWS_WRITTEN = 11
    """Rows of a unit are written, and nothing is known of the files yet."""
    ROWS_MARKED = 12
    """A deletion vector is written, and no manifest names it."""
    UNIT_WRITTEN = 13
    """The unit's files are written, its manifest is not."""
    MANIFEST_DRAFTED = 14
    """The manifest is written under a name that nobody looks for."""
    UNIT_STAGED = 15
    STAGE_STAGED = 16
    AUDITED = 17
    ROUTED = 18
    REFUSAL_RECORDED = 19
    INTENT_RECORDED = 20
    SIDE_TABLE_PUBLISHED = 21
    SCHEMA_WIDENED = 22
    """A table has the columns of the batch, and not its rows."""
    TABLE_PUBLISHED = 23
    PUBLICATION_RECORDED = 24
    MANIFESTS_CLEARED = 25
    RELEASE_RECORDED = 26
    HISTORY_STAGED = 27
    HISTORY_PUBLISHED = 28
    JOURNAL_ARCHIVED = 29
    LEASE_RELEASED = 30
    ARTIFACT_WRITTEN = 31
    BLOCK_SAVED = 32
    RUN_SHOWN = 33
    """Everything is recorded in the lake, and shown as far as it could be."""


Visitor = Callable[[Seam, str], None]
_visitors: list[Visitor] = []


def reach(seam: Seam, what: str = "") -> None:
    """Tell whoever watches that ``seam`` was reached for ``what`` (a stage, unit, table, entry or block)."""
    for visit in _visitors:
        visit(seam, what)


def watch(visitor: Visitor) -> Callable[[], None]:
    """Call ``visitor`` at every seam from now on; returns what ends it."""
    _visitors.append(visitor)
    return lambda: _visitors.remove(visitor)
