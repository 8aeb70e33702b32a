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


IN_NO_ORDER = "rows of kept carry no row ids, and a table has no order: they are given here by the values of their columns; sort them in found"


def test_rows_without_ids_are_ordered_by_what_they_say_and_that_is_told(made: Made):
    report = done(made.run(by_part(made, WAYS["unique_first"]))).stage("found")
    assert report.how is not None
    assert ("partition", (IN_NO_ORDER,)) == (report.how.kind, report.notes)
    assert [("a", "y", "1"), ("b", "y", "2")] == told(made, "found")


@pytest.mark.parametrize(
    "function",
    [lambda kept: kept.sort("part").unique("key", keep="last"), lambda kept: kept.group_by("key").agg(c.value.max())],
)
def test_nothing_is_told_where_a_function_sorts_rows_or_does_not_look_at_their_order(made: Made, function: Function):
    report = done(made.run(by_part(made, function))).stage("found")
    assert report.how is not None
    assert ("partition", ()) == (report.how.kind, report.notes)


def grouped_again(kept: pl.LazyFrame) -> pl.LazyFrame:
    return kept.group_by("key", "part").agg(c.value.max()).unique("key", keep="first")


LEFT_OPEN = "unique(keep='first') looks at the order of rows, which group_by() without maintain_order leaves open"


def test_an_order_that_an_operation_leaves_open_is_none_to_go_by(made: Made):
    how = done(made.run(by_part(made, grouped_again))).stage("found").how
    assert how is not None
    assert ("full", LEFT_OPEN) == (how.kind, how.why)


def test_what_is_declared_is_taken_on_trust_and_said(made: Made):
    report = done(made.run(by_part(made, grouped_again, incremental={"by": ["key"]}))).stage("found")
    assert report.how is not None
    assert "partition" == report.how.kind
    assert (f"that increments are safe is declared and not proven: {LEFT_OPEN}",) == report.notes


def parted(events: pl.LazyFrame) -> pl.LazyFrame:
    return events.with_columns(c.value.str.split("|")).explode("value")


def meeting(events: pl.LazyFrame, grouped: pl.LazyFrame) -> pl.LazyFrame:
    return events.select("part").join(grouped, on="part", how="inner", maintain_order="left_right")


@pytest.mark.parametrize("updates", ["copy_on_write", "merge_on_read"])
def test_rows_of_one_id_keep_their_order_where_a_row_became_many_and_else_are_ordered_by_what_they_say(
    made: Made, updates: str
):
    workflow = made.workflow()
    made.source(workflow, "events")
    storage = {"updates": updates}
    workflow.add_task("parted", parted, ["events"], storage=storage)
    workflow.add_task("grouped", lambda events: events.group_by("key", "part").agg(c.value.max()), ["events"])
    workflow.add_task("meeting", meeting, ["events", "grouped"], storage=storage)
    workflow.add_task("first_of_many", lambda parted: parted.unique("key", keep="first"), ["parted"])
    workflow.add_task("first_met", lambda meeting: meeting.unique("part", keep="first"), ["meeting"])
    for number, rows in enumerate((["b,y,9|1", "a,y,5"], ["c,z,8|2|3", "d,y,7"], ["b,z,4|6", "0,y,1"])):
        made.csv(f"events/{number}.csv", HEADER, rows)
        done(made.run(workflow))
    made.csv("events/1.csv", HEADER, ["c,z,8|2|3", "d,y,70"])
    done(made.run(workflow))

    found = {table: told(made, table) for table in ("first_of_many", "first_met")}

    assert [("0", "y", "1"), ("a", "y", "5"), ("b", "y", "9"), ("c", "z", "8"), ("d", "y", "70")] == found[
        "first_of_many"
    ]
    assert [("y", "0", "1"), ("z", "b", "4|6")] == found["first_met"]
    done(made.run(workflow, incremental=False))
    assert found == {table: told(made, table) for table in found}


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
