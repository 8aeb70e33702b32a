"""Where runs are killed, drawn from one seed, and which of that every run of the tests looks at.

A tenth of what is drawn runs with all tests; ``-m faults`` runs the rest.
"""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest

from dataflow.lake.seams import Seam
from tests.faults.commands import COMMANDS
from tests.faults.harness import Fault, Reached

Way = Literal["once", "twice", "inside"]
Runner = Literal["inline", "prefect"]
SEED = os.environ.get("DATAFLOW_FAULT_SEED", "2013")
DRAWN = {
    ("flights", 0, 2): 28,
    ("flights", 1, 2): 20,
    ("events", 0, 1): 26,
    ("events", 1, 2): 45,
    ("runways", 0, 1): 25,
    ("runways", 1, 2): 27,
    ("runways", 1, 4): 12,
    ("stock", 1, 2): 15,
}
"""How many points there are in which run: one of a pipeline, with how many deliveries before it and up to it."""
UNDER_PREFECT = {("flights", 0, 1): 4, ("events", 1, 2): 4, ("runways", 1, 2): 4}
WAYS: tuple[Way, ...] = ("once", "once", "once", "twice", "inside")
INSIDE = (
    Seam.STAGE_PLANNED,
    Seam.ROWS_WRITTEN,
    Seam.ROWS_MARKED,
    Seam.MANIFEST_DRAFTED,
    Seam.STAGE_STAGED,
    Seam.AUDITED,
    Seam.ROUTED,
    Seam.INTENT_RECORDED,
    Seam.SIDE_TABLE_PUBLISHED,
    Seam.TABLE_PUBLISHED,
    Seam.HISTORY_STAGED,
)
"""After these a run stages, audits or commits: there it is killed by the clock as well."""


@dataclass(frozen=True)
class Point:
    """A place to kill a run at."""

    pipeline: str
    first: int
    last: int
    way: Way
    """Once at a seam; twice, the second time in the repair; or inside, by the clock, between one seam and the next."""
    number: int
    """Of the places that this way of killing has in such a run, the so manieth in an order drawn by the seed."""
    runner: Runner = "inline"
    command: str = ""
    """What is killed where it is no run."""

    def __str__(self) -> str:
        what = self.command or f"{self.pipeline}-{self.first}-{self.last}"
        return f"{what}-{self.way}-{self.number}"

    @property
    def run(self) -> str:
        return f"{SEED} {self.runner} {self.pipeline} {self.first} {self.last} {self.command}".rstrip()


def _of_a_run(count: int, of: Point) -> Iterator[Point]:
    at_a_seam, inside = itertools.count(), itertools.count()
    for n in range(count):
        way = WAYS[n % len(WAYS)]
        yield replace(of, way=way, number=next(inside if way == "inside" else at_a_seam))


def _drawn(runner: Runner, drawn: dict[tuple[str, int, int], int]) -> Iterator[Point]:
    for run, count in drawn.items():
        yield from _of_a_run(count, Point(*run, "once", 0, runner))


def _of_commands() -> Iterator[Point]:
    for name, command in COMMANDS.items():
        yield from _of_a_run(command.points, Point("shop", command.deliveries, 2, "once", 0, command=name))


POINTS = [*_drawn("inline", DRAWN), *_drawn("prefect", UNDER_PREFECT), *_of_commands()]


def points(*pipelines: str, runner: Runner = "inline") -> list[Any]:
    """The points of pipelines, as parameters."""
    found = [point for point in POINTS if point.runner == runner and point.pipeline in pipelines]
    return parameters(f"{pipelines} {runner}", found)


def first_fault(point: Point, reached: Sequence[Reached]) -> Fault:
    """What ends the run first, of one that comes by these seams when nothing does."""
    places = _places(reached)
    if point.way != "inside":
        # Of a command first those that are its own, before the run that follows it.
        begins = [place.seam for place in places].index(Seam.LEASE_TAKEN) if point.command else 0
        own, of_a_run = (_dealt(f"{point.run} seams", some) for some in (places[:begins], places[begins:]))
        return replace([*own, *of_a_run][point.number], after_ms=0)
    fault = _dealt(f"{point.run} inside", [place for place in places if place.seam in INSIDE])[point.number]
    return replace(fault, after_ms=max(0.1, fault.after_ms * random.Random(f"{point.run} {point}").random()))


def fault_at(name: str, number: int, reached: Sequence[Reached]) -> Fault:
    """The so manieth of the places that a run comes by, in an order drawn by the seed and ``name``."""
    return replace(_dealt(f"{SEED} {name}", _places(reached))[number], after_ms=0)


def second_fault(point: Point, reached: Sequence[Reached]) -> Fault:
    """What ends the repair, of one that comes by these seams when nothing does."""
    return replace(_dealt(f"{point.run} {point}", _places(reached))[0], after_ms=0)


def _places(reached: Sequence[Reached]) -> list[Fault]:
    """Every visit of a seam, with the time from there to the next."""
    seen: Counter[Seam] = Counter()
    found: list[Fault] = []
    for place, following in zip(reached, [*reached[1:], None], strict=True):
        seen[place.seam] += 1
        until = following.at if following else place.at
        found.append(Fault(place.seam, seen[place.seam], after_ms=1000 * (until - place.at)))
    return found


def _dealt(seed: str, places: Sequence[Fault]) -> list[Fault]:
    """Places in an order drawn by the seed, in which each seam comes once before any comes twice."""
    chance = random.Random(seed)
    shuffled = chance.sample(places, len(places))
    turns: dict[Seam, itertools.count[int]] = defaultdict(itertools.count)
    return sorted(shuffled, key=lambda place: next(turns[place.seam]))


def parameters(name: str, values: Sequence[Any]) -> list[Any]:
    """``values`` as parameters: all but a tenth, one at least, are marked as faults."""
    chosen = random.Random(f"{SEED} {name}").sample(range(len(values)), max(1, len(values) // 10))
    return [
        pytest.param(
            *(v if isinstance(v, tuple) else (v,)),
            marks=() if n in chosen else pytest.mark.faults,
            id=str(v) if isinstance(v, Point) else None,
        )
        for n, v in enumerate(values)
    ]
