"""How many places runs are killed at, and that they are the ones that are said."""

from __future__ import annotations

from collections import Counter

import pytest

from dataflow.lake.seams import Seam
from tests.faults.commands import COMMANDS
from tests.faults.kills import OF_A_RUN, CleanRuns
from tests.faults.sample import DRAWN, INSIDE, POINTS, first_fault, points


def test_two_hundred_points_and_more_are_drawn():
    inline = [point for point in POINTS if point.runner == "inline"]

    assert len(POINTS) == len(set(POINTS)) >= 200
    assert len(inline) >= 190
    assert {"flights", "events", "runways", "stock", "shop"} == {point.pipeline for point in POINTS}
    assert {"", *COMMANDS} == {point.command for point in POINTS}
    assert min(Counter(point.way for point in inline).values()) >= 30


def test_a_tenth_of_them_runs_with_all_tests():
    drawn = [p for pipeline in ("flights", "events", "runways", "stock", "shop") for p in points(pipeline)]
    always = [p for p in drawn if not p.marks]

    assert len(drawn) // 10 - 5 <= len(always) <= len(drawn) // 10


@pytest.mark.parametrize("run", [("runways", 0, 1), ("events", 1, 2)])
def test_no_place_is_drawn_twice_and_every_seam_is(clean: CleanRuns, run: tuple[str, int, int]):
    reached = clean(*run).reached
    of_run = [p for p in POINTS if p.runner == "inline" and (p.pipeline, p.first, p.last) == run]
    assert len(of_run) == DRAWN[run]

    at_seams = [first_fault(p, reached) for p in of_run if p.way != "inside"]
    inside = [first_fault(p, reached) for p in of_run if p.way == "inside"]

    assert len(at_seams) == len(set(at_seams))
    assert len(inside) == len({(fault.seam, fault.visit) for fault in inside})
    assert {fault.seam for fault in inside} <= {*INSIDE}
    there, chosen = Counter(place.seam for place in reached), Counter(fault.seam for fault in at_seams)
    fewest = min(chosen[seam] for seam in there if chosen[seam] < there[seam])
    assert max(chosen.values()) <= fewest + 1


def test_what_a_run_reaches_is_what_is_said(clean: CleanRuns):
    reached = clean("shop", 0, 1).visits + clean("shop", 1, 2).visits

    assert {*OF_A_RUN} <= {*reached}
    assert Seam.PULLED in clean("events", 1, 2).visits
