from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import product
from typing import Any, Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dataflow.dedup import TABLE_ROW, polars_merge, strategy_types
from dataflow.dedup.bronze_append import BronzeAppend, BronzeOptions
from dataflow.dedup.polars_merge import MergeOptions, PolarsMerge
from dataflow.errors import ConfigError, StageFailed
from dataflow.quality.predicate import parse_predicate
from tests.dataflow.dedup.canonical import written
from tests.dataflow.dedup.folds import Fold, numbered

Row = tuple[Any, ...]
Keep = Literal["first", "last"]
KEEPS: list[Keep] = ["first", "last"]
SCHEMA = {
    "k": pl.Int64,
    "part": pl.String,
    "at": pl.Int64,
    "seq": pl.Float64,
    "value": pl.String,
    "tags": pl.List(pl.Int8),
}
KEY, ORDER = ("k", "part"), ("at", "seq")
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(0, 1),
        st.none() | st.sampled_from(["", "p"]),
        st.none() | st.integers(0, 2),
        st.none() | st.sampled_from([0.0, -0.0, 1.0, float("nan")]),
        st.none() | st.sampled_from(["", "a", "b"]),
        st.none() | st.lists(st.none() | st.integers(0, 1), max_size=1),
    ),
    min_size=1,
    max_size=10,
)
BATCHES = st.lists(ROWS, min_size=1, max_size=4)


def merge(**options: Any) -> PolarsMerge:
    return PolarsMerge(MergeOptions(**{"dedup_key": KEY, "sort_by": ORDER, **options}))


def frames(batches: list[list[Row]]) -> list[pl.DataFrame]:
    found, start = list[pl.DataFrame](), 0
    for rows in batches:
        frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
        found.append(frame.with_columns(pl.int_range(start, start + len(rows), dtype=pl.Int64).alias("_row_id")))
        start += len(rows)
    return found


def fold(batches: list[list[Row]], **options: Any) -> Fold:
    folded = Fold(merge(**options))
    for frame in frames(batches):
        folded.settle(frame)
    return folded


def rank(row: Row, keep: Keep, order: tuple[str, ...]) -> tuple[Any, ...]:
    """Where a row stands among those of its key: greater wins where the last is kept, less where the first is."""
    found: list[Any] = []
    for column in order:
        value = row[list(SCHEMA).index(column)]
        nan = value != value
        # An unknown value loses: it is less than all where the greatest wins, and greater where the least does.
        found.append(((value is None) == (keep == "first"), nan, 0 if value is None or nan else value))
    return tuple(found)


def content(row: Row, order: tuple[str, ...]) -> bytes:
    named = dict(zip(SCHEMA, row, strict=True))
    return "".join(written(named[c]) for c in sorted(SCHEMA) if c not in (*KEY, *order)).encode()


def expected(batches: list[list[Row]], keep: Keep, ties: str, order: tuple[str, ...] = ORDER) -> list[int]:
    """The row ids that a dictionary holds at the end which takes the rows one after the other."""
    held: dict[tuple[Any, ...], tuple[Row, int]] = {}
    loose: list[int] = []
    for number, row in enumerate(row for rows in batches for row in rows):
        key = row[:2]
        if None in key:
            loose.append(number)
            continue
        if key not in held:
            held[key] = row, number
            continue
        new, old = (
            (rank(row, keep, order), content(row, order) if ties == "content" else at)
            for row, at in ((row, number), held[key])
        )
        wins = new > old if keep == "last" else new < old
        if wins:
            held[key] = row, number
    return sorted([*loose, *(number for _, number in held.values())])


def known(row: Row) -> Row:
    """``row`` as a table shows it: -0.0 is 0.0 in the columns that decide, and NaN is NaN."""
    return tuple(repr(v + 0.0 if isinstance(v, float) else v) for v in row)


@settings(max_examples=20, deadline=None)
@given(batches=BATCHES)
@pytest.mark.parametrize(("keep", "order"), list(product(KEEPS, [(), ("at",), ORDER])))
def test_it_folds_as_a_dictionary_does(keep: Keep, order: tuple[str, ...], batches: list[list[Row]]) -> None:
    folded = fold(batches, keep=keep, sort_by=order)

    rows = [row for rows in batches for row in rows]
    kept = expected(batches, keep, "content", order)
    assert sorted(known(rows[n]) for n in kept) == sorted(known(row[:6]) for row in folded.table().rows())
    assert kept == sorted(folded.table()["_row_id"])
    assert len(rows) == len(kept) + sum(folded.reasons.values()) + folded.rewritten


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, size=st.integers(1, 4))
@pytest.mark.parametrize("ties", ["content", "arrival"])
def test_it_does_so_however_many_rows_are_compared_at_a_time(ties: str, rows: list[Row], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(polars_merge, "PART_ROWS", size)
        folded = fold([rows], ties=ties)

    kept = expected([rows], "last", ties)
    assert kept == sorted(folded.table()["_row_id"])
    keys = Counter(row[:2] for row in rows if None not in row[:2])
    often = sum(count > 1 for count in keys.values())
    assert bool(often) == bool(folded.notes)
    assert all(note.startswith("1 key came" if often == 1 else f"{often} keys came") for note in folded.notes)


@settings(max_examples=25, deadline=None)
@given(batches=BATCHES)
@pytest.mark.parametrize("keep", KEEPS)
def test_among_equals_the_arrival_may_decide(keep: Keep, batches: list[list[Row]]) -> None:
    """What ``incremental`` does: a later arrival wins among equal stamps, and a null loses against every value."""
    folded = fold(batches, keep=keep, ties="arrival", sort_by=["at"])

    rows = [row for rows in batches for row in rows]
    kept = expected(batches, keep, "arrival", ("at",))
    assert sorted(known(rows[n]) for n in kept) == sorted(known(row[:6]) for row in folded.table().rows())


@settings(max_examples=25, deadline=None)
@given(batches=BATCHES, random=st.randoms(use_true_random=False))
@pytest.mark.parametrize("keep", KEEPS)
def test_no_cut_order_or_repetition_of_batches_changes_the_table(
    keep: Keep, batches: list[list[Row]], random: Any
) -> None:
    """Keys that are not known are left out: these rows are as many as were delivered, and quarantined by rules."""
    batches = [[row for row in rows if None not in row[:2]] for rows in batches]
    rows = [row for batch in [*batches, random.choice(batches)] for row in batch]
    random.shuffle(rows)
    size = random.randint(1, 5)
    cut = [rows[start : start + size] for start in range(0, len(rows), size)]

    whole = fold([[row for batch in batches for row in batch]], keep=keep)
    parts = fold(batches, keep=keep)
    other = fold(cut or [[]], keep=keep)

    for folded in (parts, other):
        # 0.0 and -0.0 are alike, so either may be in the table.
        assert_frame_equal(*(f.table("_row_id").with_columns(pl.col("seq") + 0.0) for f in (whole, folded)))


@settings(max_examples=15, deadline=None)
@given(BATCHES)
def test_bronze_is_the_same_after_its_duplicates_are_removed(batches: list[list[Row]]) -> None:
    bronze, merged = Fold(BronzeAppend(BronzeOptions())), Fold(merge(keep="first"))
    for frame in frames(batches):
        bronze.settle(frame)
        merged.settle(frame)

    again = Fold(merge(keep="first"))
    again.settle(bronze.table().sort("_row_id").select([*SCHEMA, "_row_id"]))

    assert_frame_equal(again.table(), merged.table())


ONE = (1, "p", 1, 1.0, "a", [1])


def changed(**values: Any) -> Row:
    return tuple({**dict(zip(SCHEMA, ONE, strict=True)), **values}.values())


def test_every_row_that_is_dropped_says_why() -> None:
    second = [ONE, changed(k=2), changed(k=2, at=0), changed(k=3, at=None), changed(k=4, value="0"), changed(k=5, at=9)]
    folded = fold([[ONE, *(changed(k=k) for k in (2, 3, 4, 5))], second])

    dropped = folded.dropped[1]

    assert ["_row_id", "k", "part", "_reason"] == dropped.columns
    assert [
        (5, "equal to the table's row"),
        (6, "equal to the table's row"),
        (7, "duplicate in the batch"),
        (8, "the table has a later row"),
        (9, "the table has the same key with other content, which comes first in the order of contents"),
    ] == dropped.select("_row_id", "_reason").rows()
    assert 1 == folded.rewritten
    assert [0, 1, 2, 3, 10] == sorted(folded.table()["_row_id"])


def test_an_equal_row_never_rewrites_the_tables() -> None:
    for keep, ties in product(KEEPS, ["content", "arrival"]):
        folded = fold([[ONE], [ONE, ONE]], keep=keep, ties=ties)

        assert [0] == folded.table()["_row_id"].to_list()
        assert 0 == folded.rewritten


def test_rows_without_a_known_key_are_added_and_quarantined_by_rules() -> None:
    strategy = merge(dedup_key=["k", 'of "part"'])

    assert [
        {"name": "dedup_key_k_is_known", "predicate": '"k" IS NOT NULL', "on_fail": "quarantine"},
        {"name": 'dedup_key_of "part"_is_known', "predicate": '"of ""part""" IS NOT NULL', "on_fail": "quarantine"},
    ] == list(strategy.rules)
    assert [("k",), ('of "part"',)] == [parse_predicate(rule["predicate"]).columns for rule in strategy.rules]
    folded = fold([[changed(k=None), changed(k=None)], [changed(k=None), changed(part=None)]])
    assert [0, 1, 2, 3] == sorted(folded.table()["_row_id"])


def test_types_that_a_table_cannot_hold_are_compared_as_it_holds_them() -> None:
    strategy = PolarsMerge(MergeOptions(dedup_key=("id", "kind"), sort_by=("at", "level")))
    enum = pl.Enum(["low", "high"])
    batch = pl.DataFrame(
        {"id": [1, 2], "kind": ["a", "a"], "at": [datetime(2026, 1, 1, tzinfo=UTC)] * 2, "level": ["high", "low"]},
        schema={"id": pl.UInt32, "kind": pl.Categorical(), "at": pl.Datetime("ms", "UTC"), "level": enum},
    )
    table = pl.DataFrame(
        {"id": [1, 2], "kind": ["a", "a"], "at": [datetime(2026, 1, 1, tzinfo=UTC)] * 2, "level": ["low", "high"]},
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    ).with_columns(pl.Series(TABLE_ROW, [5, 6], pl.UInt64))

    settled = strategy.settle(batch.lazy(), table.lazy(), batch.lazy)

    # As text, "high" comes before "low", whatever the Enum says.
    assert [2] == settled.added.collect()["id"].to_list()
    assert settled.replaced is not None
    assert [(6,)] == settled.replaced.collect().rows()


@pytest.mark.parametrize("keep", KEEPS)
def test_a_column_that_came_later_is_null_in_older_rows(keep: Keep) -> None:
    first = pl.DataFrame({"id": [1, 2], "a": ["x", "x"]})
    later = pl.DataFrame({"id": [1, 2], "a": ["x", "x"], "b": [None, 5]}, schema_overrides={"b": pl.Int64})
    folded = Fold(PolarsMerge(MergeOptions(dedup_key=("id",), keep=keep)))
    folded.settle(first)
    assert folded.rows is not None
    folded.rows = folded.rows.with_columns(b=pl.lit(None, pl.Int64)).select("id", "a", "b")

    folded.settle(later)

    # "~:", a null, comes after every digit.
    assert [(1, "x", None), (2, "x", 5 if keep == "first" else None)] == folded.table().rows()


def test_columns_may_come_in_another_order() -> None:
    folded = Fold(PolarsMerge(MergeOptions(dedup_key=("id",))))
    folded.settle(pl.DataFrame({"id": [1], "a": ["x"], "b": ["y"]}))

    assert folded.rows is not None
    settled = folded.strategy.settle(
        pl.LazyFrame({"b": ["y"], "a": ["x"], "id": [1]}), numbered(folded.rows).lazy(), lambda: pl.LazyFrame()
    )

    assert 0 == settled.added.collect().height


def test_what_does_not_fit_is_refused() -> None:
    rows = frames([[ONE]])[0]
    with pytest.raises(ConfigError, match="sort_by names 'tags', which is of type List"):
        Fold(merge(sort_by=["tags"])).settle(rows)
    with pytest.raises(ConfigError, match="dedup_key names 'tags'"):
        Fold(merge(dedup_key=["tags"])).settle(rows)
    for name in ("_merge_place", "_merge_number", "_merge_told", "_merge_text"):
        with pytest.raises(ConfigError, match=f"adds a column '{name}', which the rows have already"):
            merge().derive(pl.LazyFrame({name: ["x"]}))
    folded = fold([[changed(k=None), changed(k=None), ONE]])
    assert folded.rows is not None
    folded.rows = folded.rows.with_columns(pl.col("k").fill_null(1))
    with pytest.raises(StageFailed, match="the table holds 2 rows more than combinations of its key k, part"):
        folded.settle(rows)


def test_it_is_known_by_its_name_and_unique_by_its_key() -> None:
    assert PolarsMerge is strategy_types.find("polars_merge")
    assert KEY == merge().unique_by
    assert {"dedup_key": KEY, "sort_by": ORDER} == dict(merge().columns)
    assert {"dedup_key": KEY} == dict(merge(sort_by=()).columns)
