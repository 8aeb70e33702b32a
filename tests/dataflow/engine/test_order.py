"""Functions that look at the order of rows: increments come to what a full run comes to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataflow import Workflow
from tests.dataflow.engine.made import Made, done

HEADER = "key,part,value"
Function = Callable[[pl.LazyFrame], pl.LazyFrame]
c = pl.col


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


WAYS: dict[str, Function] = {
    "unique_first": lambda kept: kept.unique("key", keep="first", maintain_order=True),
    "unique_last": lambda kept: kept.unique("key", keep="last"),
    "first": lambda kept: kept.group_by("key").agg(c.value.first()),
    "last": lambda kept: kept.group_by("key").agg(c.value.last()),
    "head": lambda kept: kept.group_by("key").agg(c.value.head(1)),
    "head_of_each": lambda kept: kept.group_by("key", maintain_order=True).head(1),
    "values": lambda kept: kept.group_by("key").agg(c.value),
    "joined_text": lambda kept: kept.group_by("key").agg(c.value.str.join("-")),
    "numbered": lambda kept: kept.with_columns(n=c.value.cum_count().over("key")),
    "shifted": lambda kept: kept.with_columns(before=c.value.shift().over("key")),
    "latest": lambda kept: kept.sort("part", maintain_order=True).unique("key", keep="last"),
    "lowest": lambda kept: kept.group_by("key").agg(c.value.sort_by(c.part == "y").first()),
}


def known(events: pl.LazyFrame, parts: pl.LazyFrame) -> pl.LazyFrame:
    return events.join(parts, on="part", how="inner", maintain_order="left")


def told(made: Made, table: str) -> list[Any]:
    return sorted(made.frame(table).drop("_batch_id", "_row_id", strict=False).rows(), key=repr)


@pytest.mark.parametrize("updates", ["copy_on_write", "merge_on_read"])
def test_rows_are_in_the_order_in_which_they_came_to_the_source(made: Made, updates: str):
    workflow = made.workflow()
    made.source(workflow, "events")
    made.source(workflow, "parts")
    workflow.add_task("kept", known, ["events", "parts"], storage={"updates": updates})
    for way, function in WAYS.items():
        workflow.add_task(way, function, ["kept"])
    deliveries = [
        {
            "parts/1.csv": ("part", ["y"]),
            "events/1.csv": (HEADER, ["a,z,1", "b,y,2", "c,y,3"]),
            "events/2.csv": (HEADER, ["a,y,4", "d,y,6"]),
        },
        {"events/3.csv": (HEADER, ["b,y,7", "c,y,8"])},
        # A file of rows that are there already is written again: they come to lie behind the others.
        {"events/2.csv": (HEADER, ["a,y,4", "d,y,60"])},
        # A row of the first file comes late.
        {"parts/2.csv": ("part", ["z"])},
        {"events/4.csv": (HEADER, ["b,y,9", "a,y,10"])},
    ]
    for delivery in deliveries:
        for name, (header, rows) in delivery.items():
            made.csv(name, header, rows)
        report = done(made.run(workflow))
    assert dict.fromkeys(WAYS, "partition") == {way: getattr(report.stage(way).how, "kind", None) for way in WAYS}
    found = {way: told(made, way) for way in WAYS}
    done(made.run(workflow, incremental=False))
    assert {way: told(made, way) for way in WAYS} == found


def by_part(made: Made, function: Function, **options: Any) -> Workflow:
    """A stage that reads rows without ids: those of groups."""
    workflow = made.workflow()
    made.source(workflow, "events")
    workflow.add_task("kept", lambda events: events.group_by("key", "part").agg(c.value.max()), ["events"])
    workflow.add_task("found", function, ["kept"], **options)
    made.csv("events/1.csv", HEADER, ["a,y,1", "b,y,2"])
    done(made.run(workflow))
    made.csv("events/2.csv", HEADER, ["a,z,3"])
    return workflow


def test_an_order_that_no_row_ids_tell_is_none_to_go_by(made: Made):
    how = done(made.run(by_part(made, WAYS["unique_first"]))).stage("found").how
    assert how is not None
    assert (
        "full",
        "unique(keep='first') looks at the order of rows, and those of kept carry no row ids that tell it: sort them by "
        "something first",
    ) == (how.kind, how.why)


def test_rows_that_a_function_sorts_need_no_ids(made: Made):
    how = done(made.run(by_part(made, lambda kept: kept.sort("part").unique("key", keep="last")))).stage("found").how
    assert how is not None
    assert "partition" == how.kind
    assert [("a", "z", "3"), ("b", "y", "2")] == told(made, "found")


def test_what_is_declared_is_taken_on_trust_and_said(made: Made):
    report = done(made.run(by_part(made, WAYS["unique_first"], incremental={"by": ["key"]}))).stage("found")
    assert report.how is not None
    assert "partition" == report.how.kind
    assert [
        "that increments are safe is declared and not proven: unique(keep='first') looks at the order of rows, and those "
        "of kept carry no row ids that tell it: sort them by something first"
    ] == [note for note in report.notes if note.startswith("that increments")]


def test_that_a_sort_is_lost_on_the_next_stage_is_told(made: Made):
    declared = made.workflow()
    made.source(declared, "events")
    declared.add_task("top", lambda events: events.sort("value", descending=True), ["events"])
    declared.add_task("best", lambda top: top.head(1), ["top"])
    declared.add_task("all_of_them", lambda top: top, ["top"])
    made.csv("events/1.csv", "value", ["1", "9"])
    report = done(made.run(declared))

    assert [("1",)] == made.rows("best", "value")
    told = "top sorts its rows, but a table has no order: they are given here as they came to the source; sort them in best"
    assert told in report.stage("best").notes
    assert not any("sorts" in note for note in report.stage("all_of_them").notes)
