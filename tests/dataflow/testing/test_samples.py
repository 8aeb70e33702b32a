"""Where flaws are placed: as many as asked, never twice in one row, the same for the same seed."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from dataflow.errors import ConfigError
from dataflow.testing import ORDER_DEFECTS, customers, duplicates, nulls, orders, out_of_range, run_gate, with_defects
from tests.dataflow.testing.test_flaws import changed

WANTED = st.dictionaries(st.sampled_from(sorted(ORDER_DEFECTS)), st.integers(0, 4))
SEEDS = st.integers(0, 2**32)
NUMBERS = pl.DataFrame({"id": range(6), "value": range(6)})


@examples(max_examples=25)
@given(wanted=WANTED, seed=SEEDS)
def test_defects_are_where_they_are_said_to_be_and_nowhere_else(wanted: dict[str, int], seed: int):
    sample = orders(100, seed=seed, defects=wanted)

    assert wanted == {defect.name: defect.count for defect in sample.defects}
    assert changed(sample) == tuple(sorted(row for defect in sample.defects for row in defect.rows))
    assert sample.clean.equals(orders(100, seed=seed).frame)
    for one, other in combinations(sample.defects, 2):
        assert set() == set(one.rows) & set(other.rows)
        if one.rule.statement != other.rule.statement:
            assert set() == set(one.failing) & set(other.failing)


@examples(max_examples=10)
@given(wanted=WANTED, seed=SEEDS)
def test_the_same_seed_gives_the_same_sample(wanted: dict[str, int], seed: int):
    one, other = orders(60, seed=seed, defects=wanted), orders(60, seed=seed, defects=wanted)
    assert one.frame.equals(other.frame)
    assert one.defects == other.defects
    assert not one.clean.equals(orders(60, seed=seed + 1).frame)


@examples(max_examples=10)
@given(wanted=WANTED, seed=SEEDS)
def test_with_overlap_a_row_may_have_several_defects_but_never_two_in_a_column(wanted: dict[str, int], seed: int):
    sample = orders(30, seed=seed, defects=wanted, overlap=True)
    assert changed(sample) == tuple(sorted({row for defect in sample.defects for row in defect.rows}))
    for one, other in combinations(sample.defects, 2):
        if set(one.columns) & set(other.columns):
            assert set() == set(one.rows) & set(other.rows)


def test_defects_overlap_where_that_is_asked_for_and_they_would_not_fit_otherwise():
    flaws = nulls("id", 6), out_of_range("value", 6, low=0, high=5)
    with pytest.raises(ConfigError, match="only 0 are fit"):
        with_defects(NUMBERS, *flaws)
    assert [6, 6] == [defect.count for defect in with_defects(NUMBERS, *flaws, overlap=True).defects]


def test_the_gate_finds_what_was_planted_and_nothing_in_the_clean_rows():
    sample = orders(1000, seed=7, defects=dict.fromkeys(ORDER_DEFECTS, 5))
    run = run_gate(sample.frame, sample.rules())
    assert sample.expected == run.failed
    assert dict.fromkeys(ORDER_DEFECTS, 0) == run_gate(sample.clean, sample.rules()).failed


def test_rows_that_were_broken_before_are_counted_too():
    frame = pl.DataFrame({"id": [1, 2, None, 4]})
    sample = with_defects(frame, nulls("id", 2))
    assert (2, 3) == (sample.defects[0].count, len(sample.defects[0].failing))
    assert {"null_id": 3} == sample.expected == run_gate(sample.frame, sample.rules()).failed


def test_another_flaw_does_not_move_those_before_it():
    alone, both = orders(50, defects={"null_key": 3}), orders(50, defects={"null_key": 3, "bad_email": 3})
    assert alone.defect("null_key") == both.defect("null_key")


def test_the_first_orders_are_these_for_good():
    """Samples of a version may be compared with those of another: the generator is pinned."""
    first = orders(2, seed=7).frame.row(0, named=True)
    known: dict[str, Any] = {"order_id": 1, "customer_id": 52, "email": "buyer4936@example.com", "status": "returned"}
    assert known == {name: first[name] for name in known}


def test_orders_refer_to_customers():
    assert set(orders(2000).frame["customer_id"]) == set(customers()["customer_id"])


def test_no_rows_and_no_defects():
    sample = orders(0)
    assert (0, 9, {}) == (*sample.frame.shape, sample.expected)
    assert 0 == orders(0, defects={"null_key": 0}).defect("null_key").count


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: orders(10, defects={"null_kay": 1}), "unknown defect of orders 'null_kay'; did you mean 'null_key'?"),
        (lambda: orders(10, defects={"null_key": 1}).rows_with("late"), "unknown defect 'late'; accepted: null_key"),
        (lambda: orders(-1), "-1 orders cannot be made; ask for 0 or more"),
        (lambda: with_defects(NUMBERS, nulls("id", 1), nulls("id", 2)), "two flaws are named 'null_id'; call one .named"),
        (lambda: with_defects(NUMBERS, nulls("ids", 1)), "flaw 'null_ids': unknown column 'ids'; did you mean 'id'?"),
        (lambda: with_defects(NUMBERS, nulls("id", 7)), "is to damage 7 rows, but of 6 only 6 are fit"),
        (lambda: with_defects(NUMBERS, duplicates("id", 4)), "damage 4 rows, each with another that stays as it is, but"),
    ],
)  # fmt: skip
def test_what_cannot_be_placed_is_told(make: Any, message: str):
    with pytest.raises(ConfigError) as refused:
        make()
    assert message in refused.value.message
