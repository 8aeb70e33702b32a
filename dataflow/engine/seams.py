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
    FILES_RESERVED = 4
    STAGE_PLANNED = 5
    UNIT_WRITTEN = 6
    """The unit's files are written, its manifest is not."""
    UNIT_STAGED = 7
    STAGE_STAGED = 8
    AUDITED = 9
    ROUTED = 10
    REFUSAL_RECORDED = 11
    INTENT_RECORDED = 12
    SIDE_TABLE_PUBLISHED = 13
    TABLE_PUBLISHED = 14
    PUBLICATION_RECORDED = 15
    MANIFESTS_CLEARED = 16
    RELEASE_RECORDED = 17
    HISTORY_STAGED = 18
    HISTORY_PUBLISHED = 19
    LEASE_RELEASED = 20
    RUN_SHOWN = 21
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
