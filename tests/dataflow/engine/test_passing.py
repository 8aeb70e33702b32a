"""Rows that are counted or told apart as they pass: each once, whatever they hold, and beside one plan alone."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dataflow.engine import passing
from dataflow.engine.passing import Aside, Count
from tests.dataflow.engine.made import Made, done

SCHEMA = {"id": pl.Int64(), "text": pl.String(), "tags": pl.List(pl.String()), "bad": pl.Boolean()}
ROWS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.none() | st.text(max_size=20),
        st.none() | st.lists(st.none() | st.text(max_size=3), max_size=2),
        st.none() | st.booleans(),
    ),
    max_size=40,
)


KEPT = pytest.mark.parametrize("in_memory", [1, passing.IN_MEMORY_BYTES], ids=["in a file", "in memory"])


def aside_of(in_memory: int) -> Aside:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passing, "IN_MEMORY_BYTES", in_memory)
        return Aside(pl.Schema(SCHEMA), pl.col("bad"))


def parts(rows: list[Any], cuts: Iterable[int] = (7, 19)) -> pl.LazyFrame:
    """The rows as several frames, so that they pass in several pieces."""
    edges = [0, *cuts, len(rows)]
    frames = [pl.DataFrame(rows[a:b], schema=SCHEMA, orient="row") for a, b in pairwise(edges)]
    return pl.concat(frame.lazy() for frame in frames)


@settings(deadline=None)
@given(rows=ROWS)
@KEPT
def test_every_row_passes_and_those_told_apart_are_there_too(in_memory: int, rows: list[Any]):
    aside = aside_of(in_memory)

    passed = aside.over(parts(rows)).collect()

    assert_frame_equal(pl.DataFrame(rows, schema=SCHEMA, orient="row"), passed)
    expected = [row for row in rows if row[3]]
    assert bool(expected) == aside.found
    assert sorted(map(repr, expected)) == sorted(map(repr, aside.rows.collect().rows()))


@KEPT
def test_what_was_told_apart_may_be_asked_in_part_and_more_than_once(in_memory: int):
    rows = [(number, f"text {number}", ["a"], number % 3 == 0) for number in range(1000)]
    aside = aside_of(in_memory)
    aside.over(parts(rows, (100, 500))).collect()

    asked = aside.rows.filter(pl.col("id") > 500).select("text")

    expected = sorted(text for number, text, _, bad in rows if bad and number > 500)
    assert expected == sorted(asked.collect()["text"])
    assert expected == sorted(asked.collect()["text"])
    assert 5 == aside.rows.head(5).collect().height


@KEPT
def test_what_was_told_apart_goes_with_the_last_plan_that_may_ask_for_it(in_memory: int):
    aside = aside_of(in_memory)
    aside.over(parts([(1, "a", None, True)] * 20)).collect()
    file, rows = weakref.ref(aside), aside.rows

    del aside
    assert 20 == rows.collect().height
    del rows

    gc.collect()
    assert file() is None


def test_rows_are_counted_once_on_their_way_to_a_sink(tmp_path: Path):
    count, rows = Count(), [(number, None, None, None) for number in range(5000)]

    written = count.over(parts(rows, (1000, 1001))).filter(pl.col("id") >= 1000)
    written.sink_parquet(tmp_path / "rows.parquet")

    assert 5000 == count.rows
    assert 4000 == pl.scan_parquet(tmp_path / "rows.parquet").select(pl.len()).collect().item()


def bronze(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.with_columns(pl.col("amount").cast(pl.Int64, strict=False))


def shuffled(rows: pl.LazyFrame) -> pl.LazyFrame:
    """What no plan shows to give its rows in the same order again."""
    return rows.map_batches(lambda frame: frame)


MERGE = {"type": "polars_merge", "dedup_key": ["id"], "ties": "arrival"}
POSITIVE = {"name": "positive", "predicate": "amount > 0", "on_fail": "quarantine"}
SMALL = {"name": "small", "predicate": "amount < 900", "on_fail": "drop"}
STAGES: dict[str, dict[str, Any]] = {
    "a stage": {"function": bronze},
    "a strategy after a function that is known": {"function": bronze, "strategy": MERGE},
    "a strategy after a function that is not": {"function": shuffled, "strategy": MERGE},
}


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_kept_for_another_plan_beside_the_rows_that_are_written(
    made: Made, monkeypatch: pytest.MonkeyPatch, stage: str
):
    draw = random.Random(stage)
    rows = [(number if number < 400 else draw.randrange(400), draw.randint(-50, 999)) for number in range(500)]
    made.csv("orders/1.csv", "id,amount", [*(f"{id},{amount}" for id, amount in rows), ",7"])
    workflow = made.workflow()
    made.source(workflow, "orders", schema={"id": "int64", "amount": "int64"}, gate=[POSITIVE])
    options = dict(STAGES[stage])
    workflow.add_task("clean", options.pop("function"), ["orders"], gate=[SMALL], **options)
    collect, plans = pl.collect_all, list[str]()

    def watched(frames: list[pl.LazyFrame], **how: Any) -> Any:
        plans.append(pl.explain_all(frames))
        return collect(frames, **how)

    monkeypatch.setattr(pl, "collect_all", watched)
    report = done(made.run(workflow))

    assert [plan for plan in plans if "SINK" in plan]
    assert [] == [plan for plan in plans if "CACHE" in plan]
    landed = [*rows, (None, 7)]
    assert len(landed) == report.stage("orders").counts.read
    expected = sum(amount <= 0 for _, amount in landed)
    assert expected == report.stage("orders").counts.quarantined == made.frame("orders__quarantine").height
    good = [(id, amount) for id, amount in landed if amount > 0]
    assert sum(amount >= 900 for _, amount in good) == made.frame("clean__dropped").height
    if "strategy" in STAGES[stage]:
        last = {id: amount for id, amount in good if amount < 900 and id is not None}
        assert sorted(last.items()) == sorted(made.rows("clean", "id", "amount"))
        assert 1 == made.frame("clean__quarantine").height
    else:
        assert sum(amount < 900 for _, amount in good) == made.frame("clean").height
