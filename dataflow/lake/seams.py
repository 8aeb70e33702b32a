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
    INTENT_ROLLED_FORWARD = 5
    SWEPT = 6
    PULLED = 7
    """What a source was asked for is in the spool, and in no plan."""
    FILES_RESERVED = 8
    STAGE_PLANNED = 9
    ROWS_WRITTEN = 10
    """Rows of a unit are written, and nothing is known of the files yet."""
    ROWS_MARKED = 11
    """A deletion vector is written, and no manifest names it."""
    UNIT_WRITTEN = 12
    """The unit's files are written, its manifest is not."""
    MANIFEST_DRAFTED = 13
    """The manifest is written under a name that nobody looks for."""
    UNIT_STAGED = 14
    STAGE_STAGED = 15
    AUDITED = 16
    ROUTED = 17
    REFUSAL_RECORDED = 18
    INTENT_RECORDED = 19
    SIDE_TABLE_PUBLISHED = 20
    SCHEMA_WIDENED = 21
    """A table has the columns of the batch, and not its rows."""
    TABLE_PUBLISHED = 22
    PUBLICATION_RECORDED = 23
    MANIFESTS_CLEARED = 24
    RELEASE_RECORDED = 25
    HISTORY_STAGED = 26
    HISTORY_PUBLISHED = 27
    JOURNAL_ARCHIVED = 28
    LEASE_RELEASED = 29
    ARTIFACT_WRITTEN = 30
    BLOCK_SAVED = 31
    RUN_SHOWN = 32
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
