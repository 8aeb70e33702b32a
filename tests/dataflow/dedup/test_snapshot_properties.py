"""However dumps are cut into batches, the table is what a dictionary makes of them one by one."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataflow.dedup.dumps import COLUMNS, Dump, Row, Truth, fold, found, frame, told

rows = st.tuples(st.integers(0, 5), st.sampled_from(["a", "b", "", None]), st.sampled_from(["x", "y"]))
dumps = st.lists(st.lists(rows, max_size=7), min_size=1, max_size=6)
deletions = st.sampled_from(["delete", "mark", "keep"])


def numbered(contents: list[list[Row]]) -> list[Dump]:
    return list(enumerate(contents, 1))


def truth(timeline: list[Dump], deletes: Literal["delete", "mark", "keep"] = "delete") -> Truth:
    made = Truth(deletes)
    for dump in timeline:
        made.take(dump)
    return made


@settings(max_examples=20)
@given(dumps, deletions, st.data())
def test_any_cut_into_batches_is_as_one_by_one(
    contents: list[list[Row]], deletes: Literal["delete", "mark", "keep"], data: st.DataObject
) -> None:
    timeline, table = numbered(contents), fold(deletes=deletes)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(timeline)), max_size=len(timeline))) | {0, len(timeline)})
    for start, end in pairwise(cuts):
        table.settle(frame(*timeline[start:end]))
    expected = truth(timeline, deletes)

    assert expected.rows() == found(table)
    assert sorted(expected.changes, key=repr) == told(table)


@settings(max_examples=20)
@given(dumps, deletions, st.data())
def test_what_is_sent_again_changes_nothing(
    contents: list[list[Row]], deletes: Literal["delete", "mark", "keep"], data: st.DataObject
) -> None:
    timeline, table = numbered(contents), fold(deletes=deletes)
    for dump in timeline:
        table.settle(frame(dump))
        again = data.draw(st.sampled_from(timeline[: dump[0]]))
        if any(rows for number, rows in timeline[: dump[0]] if number >= again[0]):
            table.settle(frame(again))
    expected = truth(timeline, deletes)

    assert expected.rows() == found(table)
    assert sorted(expected.changes, key=repr) == told(table)


@settings(max_examples=20)
@given(dumps, st.data())
def test_a_dump_in_parts_ends_as_the_whole(contents: list[list[Row]], data: st.DataObject) -> None:
    timeline = numbered(contents)
    table = fold(snapshot_by="dumped_on", ignore=["note"])
    for number, content in timeline:
        cut = data.draw(st.integers(0, len(content)))
        whole = frame((number, content))
        for part in (whole[:cut], whole[cut:]):
            table.settle(part)
    expected = [row[:2] for row in truth(timeline).rows()]

    assert expected == sorted((row[:2] for row in found(table)), key=repr)


@settings(max_examples=20)
@given(dumps, st.data())
def test_in_any_order_the_newest_dump_is_the_table(contents: list[list[Row]], data: st.DataObject) -> None:
    timeline = numbered(contents)
    table = fold(snapshot_by="dumped_on", ignore=["note"])
    for dump in data.draw(st.permutations(timeline)):
        table.settle(frame(dump))
    expected = [row[:2] for row in truth(timeline).rows()]

    assert expected == sorted((row[:2] for row in found(table)), key=repr)


@settings(max_examples=20)
@given(dumps)
def test_the_changes_add_up_to_the_table(contents: list[list[Row]]) -> None:
    table = fold()
    for dump in numbered(contents):
        table.settle(frame(dump))
    state: dict[int, tuple[str | None, str]] = {}
    order = {"delete": 0, "update": 1, "insert": 2}
    for kind, _, (id, value, note) in sorted(told(table), key=lambda change: (change[1], order[change[0]])):
        assert (kind == "insert") == (id not in state)
        if kind == "delete":
            del state[id]
        else:
            state[id] = value, note
    assert table.rows is not None

    assert {id: (value, note) for id, value, note in table.rows.select(COLUMNS).rows()} == state


@settings(max_examples=20)
@given(dumps)
def test_rows_that_did_not_change_are_not_written_again(contents: list[list[Row]]) -> None:
    table = fold()
    for dump in numbered(contents):
        before, changes = table.rewritten, len(told(table)) if table.changes else 0
        held = 0 if table.rows is None else table.rows.height
        table.settle(frame(dump))
        after = pl.concat(table.changes).filter(pl.col("_snapshot") == dump[0])
        left = after.filter(pl.col("_change") != "insert").height
        news = len(told(table)) - changes

        assert (
            table.rewritten - before == left
            or (not news and held and table.rewritten - before == 1)
            or (left == news and table.rewritten - before == left + 1)
        ), "but for one row, which tells that the dump was seen"
