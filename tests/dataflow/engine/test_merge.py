"""Merges by key, against a model of a few lines: the newest row of each key, whatever the deliveries."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow import Workflow
from tests.dataflow.engine.made import Made, done, nonzero

Row = tuple[str | None, int | None, str]
"""Key, timestamp, value."""


def typed(events: pl.LazyFrame) -> pl.LazyFrame:
    return events.with_columns(pl.col("at").cast(pl.Int64))


def merging(made: Made) -> Workflow:
    workflow = made.workflow()
    made.source(workflow, "events")
    workflow.add_task(
        "latest", typed, ["events"], incremental={"key_columns": ["key"], "timestamp_column": "at"}, rows="any"
    )
    return workflow


def deliver(made: Made, number: int, rows: list[Row]) -> None:
    lines = [f"{key or ''},{'' if at is None else at},{value}" for key, at, value in rows]
    made.csv(f"events/{number:03d}.csv", "key,at,value", lines)


def model(deliveries: list[list[Row]]) -> list[Row]:
    """The row with the greatest timestamp of each key, the last delivered among equals; all rows without a key."""
    latest: dict[str, Row] = {}
    keyless: list[Row] = []
    for row in (row for delivery in deliveries for row in delivery):
        key, at, _ = row
        if key is None:
            keyless.append(row)
        elif key not in latest or _order(at) >= _order(latest[key][1]):
            latest[key] = row
    return sorted([*latest.values(), *keyless], key=repr)


def _order(at: int | None) -> tuple[bool, int]:
    return at is not None, at or 0


def table(made: Made) -> list[Row]:
    return made.rows("latest", "key", "at", "value")  # pyright: ignore[reportReturnType]


def test_new_rows_are_inserted_and_newer_ones_replace(made: Made):
    first: list[Row] = [("a", 1, "a1"), ("b", 1, "b1"), ("c", 5, "c5")]
    second: list[Row] = [("b", 2, "b2"), ("c", 4, "c4"), ("d", 1, "d1"), ("d", 3, "d3")]
    deliver(made, 1, first)
    done(made.run(merging(made)))
    assert model([first]) == table(made)
    deliver(made, 2, second)

    report = done(made.run(merging(made))).stage("latest")

    assert [("a", 1, "a1"), ("b", 2, "b2"), ("c", 5, "c5"), ("d", 3, "d3")] == table(made) == model([first, second])
    counts = {"read": 4, "produced": 4, "deduplicated": 2, "published": 2}
    assert counts | {"inserted": 1, "updated": 1, "unchanged": 2} == nonzero(report)
    dropped = made.frame("latest__duplicates").join(made.frame("events"), on="_row_id")
    assert ["c4", "d1"] == sorted(dropped["value"])


def test_at_equal_timestamps_the_row_that_came_last_wins(made: Made):
    deliver(made, 1, [("a", 1, "first"), ("a", 1, "second"), ("b", 1, "first")])
    deliver(made, 2, [("b", 1, "second")])
    done(made.run(merging(made)))
    assert [("a", 1, "second"), ("b", 1, "second")] == table(made)
    deliver(made, 3, [("a", 1, "third")])

    done(made.run(merging(made)))

    assert [("a", 1, "third"), ("b", 1, "second")] == table(made)


def test_a_row_without_a_timestamp_is_older_than_any(made: Made):
    deliver(made, 1, [("a", None, "a0"), ("b", 1, "b1")])
    done(made.run(merging(made)))
    deliver(made, 2, [("a", 1, "a1"), ("b", None, "b0")])

    done(made.run(merging(made)))

    assert [("a", 1, "a1"), ("b", 1, "b1")] == table(made)


def test_rows_without_a_key_are_rows_of_their_own(made: Made):
    deliver(made, 1, [(None, 1, "x"), (None, 1, "y")])
    done(made.run(merging(made)))
    deliver(made, 2, [(None, 2, "z")])

    done(made.run(merging(made)))

    assert [(None, 1, "x"), (None, 1, "y"), (None, 2, "z")] == table(made)


def test_a_delivery_of_nothing_but_old_rows_publishes_none(made: Made):
    deliver(made, 1, [("a", 5, "new")])
    done(made.run(merging(made)))
    deliver(made, 2, [("a", 1, "old")])

    report = done(made.run(merging(made))).stage("latest")

    assert {"read": 1, "produced": 1, "deduplicated": 1, "unchanged": 1} == nonzero(report)
    assert [("a", 5, "new")] == table(made)


def test_a_corrected_file_is_merged_as_if_it_had_come_so(made: Made):
    deliver(made, 1, [("a", 5, "wrong"), ("b", 1, "b1")])
    deliver(made, 2, [("a", 3, "right")])
    done(made.run(merging(made)))
    deliver(made, 1, [("b", 1, "b1")])

    report = done(made.run(merging(made))).stage("latest")

    assert [("a", 3, "right"), ("b", 1, "b1")] == table(made)
    # Of keys that a row left, all rows are read anew: b's of this file, a's of the other.
    assert {"read": 2, "produced": 2, "published": 2, "updated": 2} == nonzero(report)


def test_only_files_that_hold_a_replaced_row_are_written_again(made: Made):
    for number, key in enumerate("abc"):
        deliver(made, number, [(key, 1, f"{key}1")])
        done(made.run(merging(made)))
    before = set((made.lake / "latest").glob("*.parquet"))
    deliver(made, 9, [("b", 2, "b2")])

    done(made.run(merging(made)))

    kept = {made.lake / "latest" / name for name in _active(made)} & before
    assert 2 == len(kept)


def _active(made: Made) -> set[str]:
    from deltalake import DeltaTable

    return {uri.rsplit("/", 1)[-1] for uri in DeltaTable(str(made.lake / "latest")).file_uris()}


@pytest.mark.parametrize("rule", ["value <> 'bad'"])
def test_a_row_that_is_set_aside_does_not_replace_a_good_one_however_it_comes(made: Made, tmp_path: Path, rule: str):
    apart, together = Made(tmp_path / "apart"), Made(tmp_path / "together")
    good: list[Row] = [("a", 1, "good")]
    bad: list[Row] = [("a", 2, "bad")]
    for lake, runs in ((apart, ([good], [bad])), (together, ([good, bad],))):
        number = 0
        for deliveries in runs:
            for rows in deliveries:
                deliver(lake, number := number + 1, rows)
            workflow = merging(lake)
            workflow.add_quality_gate("latest", [{"name": "not_bad", "predicate": rule}])
            done(lake.run(workflow))

    assert [("a", 1, "good")] == table(apart) == table(together)


KEYS = st.one_of(st.none(), st.sampled_from("abcde"))


@st.composite
def splits(draw: st.DrawFn) -> tuple[list[list[Row]], list[list[Row]]]:
    """The same rows, with timestamps of their own, in two different splits and orders of delivery."""
    keys = draw(st.lists(KEYS, min_size=1, max_size=12))
    rows: list[Row] = [(key, at, f"{key}{at}") for at, key in enumerate(keys)]
    return _split(draw, rows), _split(draw, rows)


def _split(draw: st.DrawFn, rows: list[Row]) -> list[list[Row]]:
    shuffled = draw(st.permutations(rows))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(rows) - 1)), max_size=2)))
    edges = [0, *(c for c in cuts if c < len(rows)), len(rows)]
    return [list(shuffled[a:b]) for a, b in itertools.pairwise(edges)]


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(splits())
def test_batches_in_any_split_equal_the_whole(split: tuple[list[list[Row]], list[list[Row]]]):
    folder = Path(tempfile.mkdtemp(prefix="merge-"))
    try:
        for n, deliveries in enumerate(split):
            made = Made(folder / str(n))
            for number, rows in enumerate(deliveries):
                deliver(made, number, rows)
                done(made.run(merging(made)))
            assert model(deliveries) == table(made)
    finally:
        shutil.rmtree(folder)


def test_among_equals_the_later_arrival_stays_whatever_partition_it_is_in(made: Made):
    workflow = made.workflow()
    made.source(workflow, "events")
    merge = {"key_columns": ["key"], "timestamp_column": "at"}
    workflow.add_task("latest", typed, ["events"], incremental=merge, storage={"partition_by": ["value"]})
    deliver(made, 1, [("a", 1, "z"), ("a", 1, "b"), ("b", 1, "b"), ("b", 1, "z")])
    done(made.run(workflow))

    assert [("a", 1, "b"), ("b", 1, "z")] == table(made)
