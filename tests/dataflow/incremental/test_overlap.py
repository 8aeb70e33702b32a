"""What of an answer is new: nothing twice, and nothing lost that looks like what was there."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.incremental.overlap import Overlap, distinct, marks

COLUMNS = ["id", "at", "note"]


def rows(*found: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(found), schema={"id": pl.Int64, "at": pl.Int64, "note": pl.String}, orient="row")


def overlap(*held: tuple[Any, ...], key: tuple[str, ...] = ("id",)) -> Overlap:
    found = Overlap(COLUMNS, key, "at")
    if held:
        found.hold(rows(*held).lazy())
    return found


@pytest.mark.parametrize("key", [("id",), ()])
def test_rows_that_were_delivered_are_dropped(key: tuple[str, ...]) -> None:
    found = overlap((1, 10, "a"), (2, 10, None), key=key).fresh(rows((1, 10, "a"), (2, 10, None), (3, 10, "a")))

    assert [(3, 10, "a")] == found.rows()


@pytest.mark.parametrize("key", [("id",), ()])
def test_a_row_that_changed_is_new(key: tuple[str, ...]) -> None:
    found = overlap((1, 10, "a"), (2, 10, "a"), (3, 10, None), key=key).fresh(
        rows((1, 10, "b"), (2, 11, "a"), (3, 10, ""))
    )

    assert [(1, 10, "b"), (2, 11, "a"), (3, 10, "")] == found.rows()


def test_a_row_that_changed_back_is_new() -> None:
    found = overlap((1, 10, "a"), (1, 10, "b"))

    assert [(1, 10, "a")] == found.fresh(rows((1, 10, "a"))).rows()


def test_a_page_that_comes_twice_adds_nothing() -> None:
    found = overlap()
    page = rows((1, 10, "a"), (2, 11, "b"))

    assert [2, 0] == [found.fresh(page).height for _ in range(2)]


def test_a_row_that_changes_between_pages_is_there_as_it_was_and_as_it_is() -> None:
    found = overlap()

    assert [(1, 10, "a")] == found.fresh(rows((1, 10, "a"))).rows()
    assert [(1, 10, "b")] == found.fresh(rows((1, 10, "b"))).rows()


def test_a_row_twice_in_a_page_counts_once_by_its_key() -> None:
    assert [(1, 10, "a")] == overlap().fresh(rows((1, 10, "a"), (1, 10, "a"))).rows()


@given(st.lists(st.integers(0, 3), max_size=8), st.lists(st.integers(0, 3), max_size=12), st.integers(1, 4))
@settings(max_examples=50)
def test_without_a_key_rows_alike_are_told_apart_by_their_number(held: list[int], more: list[int], size: int) -> None:
    """The answer holds all that is held, and more; whatever its pages are, the rest is what is new."""
    found = overlap(*((n, n, "x") for n in held), key=())
    answer = sorted([*held, *more])
    pages = [answer[at : at + size] for at in range(0, len(answer), size)]
    fresh = [row[0] for page in pages for row in found.fresh(rows(*((n, n, "x") for n in page))).rows()]

    assert Counter(more) == Counter(fresh)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from(["a", "b", None])), max_size=10),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from(["a", "b", None])), max_size=10),
)
@settings(max_examples=50)
def test_with_a_key_the_last_content_decides(held: list[Any], page: list[Any]) -> None:
    known: dict[Any, Any] = {(row[0], row[1]): row for row in held}
    expected: list[Any] = []
    for row in page:
        if known.get((row[0], row[1])) != row:
            expected.append(row)
        known[row[0], row[1]] = row

    assert expected == overlap(*held).fresh(rows(*page)).rows()


def test_a_column_that_is_not_there_yet_is_null() -> None:
    found = Overlap(COLUMNS, (), "at")
    found.hold(pl.LazyFrame({"id": [1, 2], "at": [10, 10]}))

    assert [(2, 10, "new")] == found.fresh(rows((1, 10, None), (2, 10, "new"))).rows()


INSTANT = datetime(2026, 1, 31, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (pl.Series([1]), pl.Series([1.0]), True),
        (pl.Series([100]), pl.Series([100.0]), True),
        (pl.Series([Decimal("1.50")]), pl.Series([Decimal("1.5")]), True),
        (pl.Series([Decimal("100")]), pl.Series([Decimal("100.00")]), True),
        (pl.Series([Decimal("100")]), pl.Series([1]), False),
        (pl.Series([1.5]), pl.Series([1.25]), False),
        (pl.Series([1e30]), pl.Series([1e3]), False),
        (pl.Series([INSTANT]), pl.Series([INSTANT.replace(tzinfo=None)]).dt.replace_time_zone("UTC"), True),
        (pl.Series([INSTANT]), pl.Series([INSTANT.replace(hour=8)]), False),
        (pl.Series([date(2026, 1, 31)]), pl.Series([date(2026, 1, 30)]), False),
        (pl.Series([b"\xff"]), pl.Series([b"\xfe"]), False),
        (pl.Series([b"\xff"]), pl.Series([b"\xff"]), True),
        (pl.Series([""]), pl.Series([None], dtype=pl.String), False),
        (pl.Series([True]), pl.Series([False]), False),
    ],
)
def test_values_are_alike_whatever_their_type(one: pl.Series, other: pl.Series, alike: bool) -> None:
    first, second = (
        s.alias("n").to_frame().select(marks(["n"], pl.Schema({"n": s.dtype}), name="row")).row(0) for s in (one, other)
    )

    assert alike == (first == second)
    assert first[0] != first[1]


def test_neighbours_do_not_flow_into_each_other() -> None:
    frame = pl.DataFrame({"a": ["x", "xy"], "b": ["yz", "z"]})

    assert 2 == frame.select(marks(["a", "b"], frame.schema, name="row")).n_unique()


def test_keys_are_counted_once_whatever_the_frame() -> None:
    assert 0 == distinct([], ["id"])
    assert 3 == distinct([pl.LazyFrame({"id": [1, 1]}), pl.LazyFrame({"id": [1]})], [])
    assert 3 == distinct([pl.LazyFrame({"id": [1, 1, 2], "x": [1, 2, 3]}), pl.LazyFrame({"id": [2.0, 3.0]})], ["id"])
