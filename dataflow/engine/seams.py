"""The numbered places between two effects of a run.

Whatever ends a run at any of them, the next run repairs. ``tests/faults``
puts an observer here that kills or fails the process at a chosen visit.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum


class Seam(IntEnum):
    """A place where a run may end; numbered in the order in which a run reaches them first."""

    LEASE_TAKEN = 1
    INTENT_ROLLED_FORWARD = 2
    SWEPT = 3
    PULLED = 4
    """What a source was asked for is in the spool, and in no plan."""
    FILES_RESERVED = 5
    STAGE_PLANNED = 6
    UNIT_WRITTEN = 7
    """The unit's files are written, its manifest is not."""
    UNIT_STAGED = 8
    STAGE_STAGED = 9
    AUDITED = 10
    ROUTED = 11
    REFUSAL_RECORDED = 12
    INTENT_RECORDED = 13
    SIDE_TABLE_PUBLISHED = 14
    TABLE_PUBLISHED = 15
    PUBLICATION_RECORDED = 16
    MANIFESTS_CLEARED = 17
    RELEASE_RECORDED = 18
    HISTORY_STAGED = 19
    HISTORY_PUBLISHED = 20
    LEASE_RELEASED = 21
    RUN_SHOWN = 22
    """Everything is recorded in the lake; reports, artifacts and blocks may be missing."""


Visitor = Callable[[Seam, str], None]
_visitors: list[Visitor] = []


def reach(seam: Seam, what: str = "") -> None:
    """Tell whoever watches that ``seam`` was reached for ``what`` (a stage, unit or table)."""
    for visit in _visitors:
        visit(seam, what)


def watch(visitor: Visitor) -> Callable[[], None]:
    """Call ``visitor`` at every seam from now on; returns what ends it."""
    _visitors.append(visitor)
    return lambda: _visitors.remove(visitor)
