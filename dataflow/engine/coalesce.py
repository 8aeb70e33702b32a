"""Gathers units into task groups of like size, so that a thousand units do not become a thousand tasks."""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.plan import PlannedUnit


def coalesce(units: Sequence[PlannedUnit], most: int) -> list[tuple[PlannedUnit, ...]]:
    """At most ``most`` groups of neighbouring units, alike in bytes; every unit is in exactly one."""
    if len(units) <= most:
        return [(unit,) for unit in units]
    total = sum(u.size_bytes for u in units) or 1
    groups: list[list[PlannedUnit]] = [[] for _ in range(most)]
    before = 0
    for unit in units:
        # The middle of the unit's bytes, on a line of all bytes cut into ``most`` equal parts.
        place = min(most - 1, int((before + unit.size_bytes / 2) / total * most))
        groups[place].append(unit)
        before += unit.size_bytes
    return [tuple(group) for group in groups if group]


def label_of(group: Sequence[PlannedUnit]) -> str:
    """The units of a group in words: ``month=1 … month=3 (3 units)``."""
    first, last = group[0].unit.label, group[-1].unit.label
    return first if len(group) == 1 else f"{first} … {last} ({len(group)} units)"
