"""Which of several rows came first is told by their ids, however often the files that hold them were written again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataflow import Workflow
from tests.dataflow.engine.made import Made, done, nonzero, same

HEADER = "key,part,value"


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def by_part(made: Made, **latest: Any) -> Workflow:
    """Rows that lie in folders by part, in which they are not in the order in which they came."""
    workflow = made.workflow()
    made.source(workflow, "events")
    workflow.add_task("kept", same, ["events"], storage={"partition_by": ["part"]})
    workflow.add_task("latest", same, ["kept"], **latest)
    return workflow


WAYS: dict[str, tuple[dict[str, Any], str]] = {
    "merge, last": ({"strategy": {"type": "polars_merge", "dedup_key": ["key"], "ties": "arrival"}}, "second"),
    "merge, first": (
        {"strategy": {"type": "polars_merge", "dedup_key": ["key"], "ties": "arrival", "keep": "first"}},
        "first",
    ),
    "eager": ({"strategy": {"type": "eager_dedup", "hash_columns": ["key"]}}, "first"),
    "deduplicate": ({"deduplicate": {"key": ["key"]}}, "first"),
    "deduplicate, last": ({"deduplicate": {"key": ["key"], "keep": "last"}}, "second"),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_first_or_last_to_come_stays_though_folders_are_read_in_another_order(made: Made, way: str):
    options, expected = WAYS[way]
    made.csv("events/1.csv", HEADER, ["a,z,first", "b,a,other"])
    made.csv("events/2.csv", HEADER, ["a,a,second"])
    done(made.run(by_part(made, **options)))
    assert ("a", expected) in made.rows("latest", "key", "value")


@pytest.mark.parametrize("way", WAYS)
def test_rows_that_are_written_again_do_not_come_again(made: Made, way: str):
    options, expected = WAYS[way]
    workflow = made.workflow()
    made.source(workflow, "events")
    workflow.add_task("kept", same, ["events"], storage={"updates": "copy_on_write"})
    workflow.add_task("latest", same, ["kept"], **options)
    made.csv("events/1.csv", HEADER, ["a,z,first"])
    made.csv("events/2.csv", HEADER, ["b,z,other", "c,z,other"])
    done(made.run(workflow))
    made.csv("events/3.csv", HEADER, ["a,z,second"])
    done(made.run(workflow))
    made.csv("events/2.csv", HEADER, ["b,z,better", "c,z,other"])
    done(made.run(workflow))
    found = made.rows("latest", "key", "value")
    assert [("a", expected), ("b", "better"), ("c", "other")] == found
    done(made.run(workflow, incremental=False))
    assert found == made.rows("latest", "key", "value")


@pytest.mark.parametrize(("keep", "expected"), [("first", "first"), ("last", "second")])
def test_a_row_of_an_earlier_file_that_comes_late_is_the_earlier_one(made: Made, keep: str, expected: str):
    def known(events: pl.LazyFrame, parts: pl.LazyFrame) -> pl.LazyFrame:
        return events.join(parts, on="part", how="inner", maintain_order="left")

    workflow = made.workflow()
    made.source(workflow, "events")
    made.source(workflow, "parts")
    workflow.add_task("known", known, ["events", "parts"])
    merge = {"type": "polars_merge", "dedup_key": ["key"], "ties": "arrival", "keep": keep}
    workflow.add_task("names", None, ["known"], strategy=merge)
    made.csv("events/1.csv", HEADER, ["a,z,first"])
    made.csv("events/2.csv", HEADER, ["a,y,second"])
    made.csv("parts/1.csv", "part", ["y"])
    done(made.run(workflow))
    assert [("a", "second")] == made.rows("names", "key", "value")

    made.csv("parts/2.csv", "part", ["z"])
    how = done(made.run(workflow)).stage("names").how

    assert how is not None
    assert "merge" == how.kind
    assert [("a", expected)] == made.rows("names", "key", "value")


def test_one_row_that_became_many_of_one_key_balances(made: Made):
    def spread(events: pl.LazyFrame) -> pl.LazyFrame:
        twice = pl.LazyFrame({"part": ["z", "z"], "n": [1, 2]})
        return events.join(twice, on="part", how="left", maintain_order="left")

    workflow = made.workflow()
    made.source(workflow, "events")
    workflow.add_task("spread", spread, ["events"])
    workflow.add_task("once", same, ["spread"], deduplicate={"key": ["key"]})
    made.csv("events/1.csv", HEADER, ["a,z,first", "b,y,other"])
    report = done(made.run(workflow))
    assert {"read": 3, "produced": 3, "deduplicated": 1, "published": 2} == nonzero(report.stage("once"))
    assert [("a", 1), ("b", None)] == made.rows("once", "key", "n")
    assert [("a", 2)] == made.rows("once__duplicates", "key", "n")


def test_rows_without_ids_are_told_apart_by_what_they_say(made: Made):
    def total(events: pl.LazyFrame) -> pl.LazyFrame:
        return events.group_by("key", "part").agg(pl.len().alias("n"))

    workflow = made.workflow()
    made.source(workflow, "events")
    workflow.add_task("totals", total, ["events"])
    workflow.add_task("once", same, ["totals"], deduplicate={"key": ["key"]})
    made.csv("events/1.csv", HEADER, ["a,y,1", "a,z,1", "b,y,1"])
    done(made.run(workflow))
    # What is computed again comes to lie behind the others.
    made.csv("events/2.csv", HEADER, ["a,y,1", "b,z,1"])
    done(made.run(workflow))
    assert [("a", "y", 2), ("b", "y", 1)] == made.rows("once", "key", "part", "n")


@pytest.mark.parametrize(("keep", "expected"), [("first", ["1", "3"]), ("last", ["2"])])
def test_of_rows_without_ids_what_they_say_decides_also_in_lists(made: Made, keep: str, expected: list[str]):
    def listed(events: pl.LazyFrame) -> pl.LazyFrame:
        return events.group_by("key", "part").agg(values=pl.col("value").sort())

    workflow = made.workflow()
    made.source(workflow, "events")
    workflow.add_task("listed", listed, ["events"])
    latest: dict[str, Any] = {"deduplicate": {"key": ["key"], "keep": keep}}
    workflow.add_task("latest", lambda listed: listed.select("key", "values"), ["listed"], **latest)
    made.csv("events/1.csv", HEADER, ["a,y,2", "a,z,1"])
    done(made.run(workflow))
    made.csv("events/2.csv", HEADER, ["a,z,3"])
    done(made.run(workflow))
    found = made.rows("latest", "key", "values")
    done(made.run(workflow, incremental=False))
    assert [("a", expected)] == found == made.rows("latest", "key", "values")


def by_both(events: pl.LazyFrame, parts: pl.LazyFrame) -> pl.LazyFrame:
    return events.group_by("key", "part").agg(n=pl.len()).join(parts, on="part")


def beside(events: pl.LazyFrame, parts: pl.LazyFrame) -> pl.LazyFrame:
    return events.select("key", "part", n=1).join(parts, on="part")


@pytest.mark.parametrize(("function", "part"), [(by_both, "p0"), (beside, "p9")])
def test_of_rows_that_a_function_gives_in_no_order_ids_decide_and_then_what_they_say(
    made: Made, function: Any, part: str
):
    workflow = made.workflow()
    made.source(workflow, "events")
    made.source(workflow, "parts")
    workflow.add_task("once", function, ["events", "parts"], deduplicate={"key": ["key"]})
    parts = [f"p{number}" for number in range(9, -1, -1)]
    made.csv("events/1.csv", HEADER, [f"k{key},{name},0" for name in parts for key in range(90)])
    made.csv("parts/1.csv", "part,x", [f"{name},{x}" for name in parts for x in (3, 1, 2)])
    done(made.run(workflow))
    assert {(part, 1, "1")} == set(made.rows("once", "part", "n", "x"))
    assert 90 == made.frame("once").height
