"""The order of stages, and parts of the graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from dataflow.errors import ConfigError, PlanError, hint


def topological(after: Mapping[str, tuple[str, ...]], why: Mapping[tuple[str, str], str] | None = None) -> list[str]:
    """The stages, each after those that it waits for; among those that are ready, in the order of declaration.

    ``why`` says of pairs (stage, what it waits for) why that is, where it is no input.
    Errors: PlanError that walks around the cycle.

    Example:
        >>> topological({"b": ("a",), "c": (), "a": ()})
        ['c', 'a', 'b']
    """
    rank = {name: number for number, name in enumerate(after)}
    sorter = TopologicalSorter(after)
    try:
        sorter.prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        pairs = [(stage, before) for before, stage in pairwise(cycle)]
        reasons = [
            f"{stage} waits for {before}: {(why or {})[stage, before]}"
            for stage, before in pairs
            if (stage, before) in (why or {})
        ]
        told = f" ({'; '.join(reasons)}); undo one of these" if reasons else "; take one of these inputs out"
        raise PlanError(f"stages need each other in a circle: {' → '.join(cycle)}{told}", cycle=tuple(cycle)) from None
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
        chosen |= upstream(name, inputs).keys() if part.startswith("+") else set()
        chosen |= upstream(name, readers).keys() if part.endswith("+") else set()
    return chosen


def upstream(stage: str, inputs: Mapping[str, tuple[str, ...]]) -> dict[str, None]:
    """All that ``stage`` needs, its own inputs first."""
    found: dict[str, None] = {}
    open_ends = [stage]
    while open_ends:
        for name in inputs[open_ends.pop(0)]:
            if name not in found:
                found[name] = None
                open_ends.append(name)
    return found
