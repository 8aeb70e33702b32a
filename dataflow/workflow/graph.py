"""The order of stages, and parts of the graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from dataflow.errors import ConfigError, PlanError, hint


def topological(inputs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The stages, inputs first; among those that are ready, in the order of declaration.

    Errors: PlanError that walks around the cycle.

    Example:
        >>> topological({"b": ("a",), "c": (), "a": ()})
        ['c', 'a', 'b']
    """
    rank = {name: number for number, name in enumerate(inputs)}
    sorter = TopologicalSorter(inputs)
    try:
        sorter.prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        walk = " → ".join(cycle)
        raise PlanError(
            f"stages need each other in a circle: {walk}; take one of these inputs out", cycle=tuple(cycle)
        ) from None
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=rank.__getitem__)
        order += ready
        sorter.done(*ready)
    return order


def select(inputs: Mapping[str, tuple[str, ...]], expressions: str | Iterable[str]) -> set[str]:
    """The stages that ``stage``, ``+stage`` (with all it needs) or ``stage+`` (with all that need it) name.

    Several are separated by commas; none at all means every stage.
    Errors: ConfigError for an unknown stage.

    Example:
        >>> sorted(select({"a": (), "b": ("a",), "c": ("b",)}, "+b"))
        ['a', 'b']
    """
    given = [expressions] if isinstance(expressions, str) else list(expressions)
    parts = [part.strip() for text in given for part in text.split(",")]
    if not parts:
        return set(inputs)
    readers = {name: tuple(other for other, its in inputs.items() if name in its) for name in inputs}
    chosen: set[str] = set()
    for part in parts:
        name = part.removeprefix("+").removesuffix("+")
        if name not in inputs:
            raise ConfigError(f"--select {part}: unknown stage {name!r}{hint(name, inputs)}", key="select")
        chosen.add(name)
        chosen |= _reachable(name, inputs) if part.startswith("+") else set()
        chosen |= _reachable(name, readers) if part.endswith("+") else set()
    return chosen


def _reachable(start: str, edges: Mapping[str, tuple[str, ...]]) -> set[str]:
    found: set[str] = set()
    open_ends = [start]
    while open_ends:
        for name in edges[open_ends.pop()]:
            if name not in found:
                found.add(name)
                open_ends.append(name)
    return found
