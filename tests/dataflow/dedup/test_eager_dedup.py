from __future__ import annotations

from typing import Any, Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dataflow.dedup import strategy_types
from dataflow.dedup.bronze_append import BronzeAppend, BronzeOptions
from dataflow.dedup.eager_dedup import EagerDedup, EagerOptions
from dataflow.errors import ConfigError
from tests.dataflow.dedup.folds import Fold, numbered

SCHEMA = {"id": pl.Int64, "name": pl.String}
ROWS = st.lists(
    st.tuples(st.none() | st.integers(0, 3), st.none() | st.sampled_from(["", "a"])), min_size=1, max_size=12
)
BATCHES = st.lists(ROWS, min_size=1, max_size=4)
Mode = Literal["append", "overwrite"]
MODES: list[Mode] = ["append", "overwrite"]


def eager(**options: Any) -> EagerDedup:
    return EagerDedup(EagerOptions(**options))


def frames(batches: list[list[tuple[Any, ...]]]) -> list[pl.DataFrame]:
    whole = pl.DataFrame([row for rows in batches for row in rows], schema=SCHEMA, orient="row")
    numbered = whole.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("_row_id"))
    found, start = list[pl.DataFrame](), 0
    for rows in batches:
        found.append(numbered.slice(start, len(rows)))
        start += len(rows)
    return found


@settings(max_examples=30, deadline=None)
@given(batches=BATCHES)
@pytest.mark.parametrize("mode", MODES)
def test_the_table_has_the_first_of_each_row(mode: Mode, batches: list[list[tuple[Any, ...]]]) -> None:
    fold = Fold(eager(write_mode=mode))
    for frame in frames(batches):
        fold.settle(frame)

    first = dict[tuple[Any, ...], int]()
    for number, row in enumerate(row for rows in batches for row in rows):
        first.setdefault(row, number)
    assert {number: row for row, number in first.items()} == {
        row["_row_id"]: (row["id"], row["name"]) for row in fold.table().to_dicts()
    }
    assert sum(map(len, batches)) == len(first) + sum(fold.reasons.values())


@settings(max_examples=15, deadline=None)
@given(BATCHES, st.randoms(use_true_random=False))
def test_any_cut_order_and_repetition_gives_the_same_rows(batches: list[list[tuple[Any, ...]]], random: Any) -> None:
    one, other = Fold(eager()), Fold(eager(write_mode="overwrite"))
    for frame in frames(batches):
        one.settle(frame)
    rows = [row for rows in [*batches, random.choice(batches)] for row in rows]
    random.shuffle(rows)
    other.settle(frames([rows])[0])

    assert_frame_equal(one.table("_row_id"), other.table("_row_id"))


@settings(max_examples=15, deadline=None)
@given(BATCHES)
def test_bronze_without_its_copies_is_the_same_table(batches: list[list[tuple[Any, ...]]]) -> None:
    bronze, kept = Fold(BronzeAppend(BronzeOptions())), Fold(eager())
    for frame in frames(batches):
        bronze.settle(frame)
        kept.settle(frame)

    once = bronze.table().sort("_row_id").unique("composite_hash", keep="first", maintain_order=True)

    assert_frame_equal(kept.table().sort("_row_id"), once.select(kept.table().columns))


def test_it_says_how_many_rows_were_dropped_and_why() -> None:
    fold = Fold(eager())
    first, second = frames([[(1, "a"), (1, "a"), (2, "b")], [(1, "a"), (3, "c"), (3, "c"), (3, "c"), (1, "a")]])

    fold.settle(first)
    assert ["rows dropped, duplicate in the batch: 1"] == fold.notes
    added = fold.settle(second)

    assert ["rows dropped, duplicate in the batch: 3", "rows dropped, in the table already: 1"] == fold.notes[1:]
    assert {"duplicate in the batch": 4, "in the table already": 1} == fold.reasons
    assert [4] == added["_row_id"].to_list()
    assert [1, 3, 5, 6, 7] == pl.concat(fold.dropped)["_row_id"].to_list()


def test_only_the_columns_that_are_hashed_make_rows_alike() -> None:
    fold = Fold(eager(hash_columns=["id"], hash_algorithm="xxh3_128"))

    added = fold.settle(frames([[(1, "a"), (1, "b"), (None, "a"), (None, "b")]])[0])

    assert [(1, "a"), (None, "a")] == added.select("id", "name").rows()
    assert {32} == set(added["composite_hash"].str.len_bytes())


@pytest.mark.parametrize("mode", MODES)
def test_overwriting_writes_all_rows_again(mode: Mode) -> None:
    strategy = eager(write_mode=mode)
    fold = Fold(strategy)
    first, second = frames([[(1, "a")], [(2, "a")]])
    fold.settle(first)
    assert fold.rows is not None
    settled = strategy.settle(strategy.derive(second.lazy()), numbered(fold.rows).lazy(), second.lazy)

    assert (mode == "overwrite") == settled.overwrites
    again = [] if settled.rewritten is None else settled.rewritten.collect()["id"].to_list()
    assert ([] if mode == "append" else [1]) == again


def test_rows_without_ids_are_told_by_their_hash() -> None:
    fold = Fold(eager())

    fold.settle(frames([[(1, "a"), (1, "a")]])[0].drop("_row_id"))

    assert ["composite_hash", "_reason"] == fold.dropped[0].columns
    assert [1, 1] == [fold.dropped[0].height, fold.table().height]


def test_it_is_known_by_its_name_and_unique_by_its_hash() -> None:
    assert EagerDedup is strategy_types.find("eager_dedup")
    assert ("composite_hash",) == eager().unique_by
    assert {"hash_columns": ("id",)} == dict(eager(hash_columns=["id"]).columns)
    assert {} == dict(eager().columns)
    with pytest.raises(ConfigError, match="adds a column 'composite_hash', which the rows have already"):
        eager().derive(pl.LazyFrame({"composite_hash": ["x"]}))
    with pytest.raises(ConfigError, match="adds a column '_eager_place', which the rows have already"):
        eager().derive(pl.LazyFrame({"_eager_place": ["x"]}))
