from __future__ import annotations

from typing import Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dataflow.dedup.by_key import deduplicate, duplicates

Keep = Literal["first", "last"]
Row = tuple[float | None, str | None, int | None]
SCHEMA = {"k": pl.Float64, "s": pl.String, "o": pl.Int64}


def frame(rows: list[Row]) -> pl.LazyFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").with_row_index("n").lazy()


def kept_by_definition(rows: list[Row], key: tuple[str, ...], order_by: tuple[str, ...], keep: Keep) -> set[int]:
    """A dictionary that is filled row by row; rows whose key is not known are all kept."""
    groups: dict[object, list[tuple[tuple[object, ...], int]]] = {}
    for n, row in enumerate(rows):
        named = dict(zip(SCHEMA, row, strict=True))
        # -0.0 is 0.0 and NaN is NaN; null comes before every value.
        of_key = tuple("NaN" if v != v else v + 0.0 if isinstance(v, float) else v for v in (named[c] for c in key))
        rank = tuple((named[c] is not None, named[c] or 0) for c in order_by)
        whole: object = ("row", n) if None in of_key else of_key
        groups.setdefault(whole, []).append((rank, n))
    return {(min if keep == "first" else max)(group)[1] for group in groups.values()}


KEYS = st.none() | st.sampled_from([0.0, -0.0, 1.0, float("nan")])
ROWS = st.lists(st.tuples(KEYS, st.sampled_from([None, "", "a"]), st.none() | st.integers(0, 2)), max_size=14)


@settings(max_examples=200, deadline=None)
@given(
    ROWS, st.sampled_from([("k",), ("k", "s"), ("s",)]), st.sampled_from([(), ("o",)]), st.sampled_from(["first", "last"])
)  # fmt: skip
def test_one_row_of_each_key_stays_and_the_others_are_the_duplicates(
    rows: list[Row], key: tuple[str, ...], order_by: tuple[str, ...], keep: Keep
) -> None:
    expected = kept_by_definition(rows, key, order_by, keep)
    lf = frame(rows)
    kept = deduplicate(lf, key, order_by=order_by, keep=keep).collect()
    dropped = duplicates(lf, key, order_by=order_by, keep=keep).collect()
    assert sorted(expected) == sorted(kept["n"])
    assert sorted(set(range(len(rows))) - expected) == sorted(dropped["n"])
    assert_frame_equal(lf.collect(), pl.concat([kept, dropped]).sort("n"), check_row_order=True)


@pytest.mark.parametrize("keep", ["first", "last"])
def test_ties_go_by_the_order_of_arrival(keep: Keep) -> None:
    lf = frame([(1.0, "a", 5), (1.0, "b", 5), (1.0, "c", 5)])
    found = deduplicate(lf, ["k"], order_by=["o"], keep=keep).collect()
    assert [{"first": "a", "last": "c"}[keep]] == found["s"].to_list()


def test_the_order_of_arrival_stays_where_no_other_was_asked_for() -> None:
    lf = frame([(float(n % 7), "x", None) for n in range(500)])
    assert list(range(7)) == deduplicate(lf, ["k"]).collect(engine="streaming")["n"].to_list()
    assert list(range(493, 500)) == deduplicate(lf, ["k"], keep="last").collect(engine="streaming")["n"].to_list()


def test_rows_whose_key_is_not_known_are_not_copies_of_each_other() -> None:
    lf = frame([(None, "a", 1), (None, "a", 1), (1.0, None, 1), (1.0, None, 1)])
    assert 4 == deduplicate(lf, ["k", "s"]).collect().height
    assert 0 == duplicates(lf, ["k", "s"]).collect().height
