"""Each flaw damages what it names, in rows that its rule then finds; what cannot be damaged is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from dataflow.errors import ConfigError
from dataflow.testing import (
    Damage,
    Flaw,
    Sample,
    duplicates,
    late,
    malformed,
    nulls,
    orphans,
    out_of_range,
    repeats,
    run_gate,
    swapped,
    unreadable,
    with_defects,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SHOP = pl.DataFrame(
    {
        "id": range(1, 9),
        "store": list("aabbccdd"),
        "price": [Decimal(n) for n in range(1, 9)],
        "email": [f"{name}@example.org" for name in "abcdefgh"],
        "weight": [f"{n}.5" for n in range(8)],
        "sold_on": [date(2026, 1, n) for n in range(1, 9)],
        "sold_at": [NOON + timedelta(days=n) for n in range(8)],
        "sent_at": [NOON + timedelta(days=n, hours=1) for n in range(8)],
    }
)
FLAWS = [
    nulls("email", 3),
    duplicates("id", 3),
    duplicates(["id", "store"], 2),
    repeats("id", 3, columns=SHOP.columns),
    out_of_range("id", 3, low=1, high=8),
    out_of_range("price", 2, low=Decimal(1), high=Decimal(8)),
    out_of_range("sold_on", 3, low=date(2026, 1, 1), high=date(2026, 1, 8)),
    out_of_range("sold_at", 2, low=NOON, high=NOON + timedelta(days=9)),
    malformed("email", 4),
    malformed("store", 2, pattern="^[a-d]$"),
    swapped("sold_at", "sent_at", 3),
    late("sold_at", 2, by=timedelta(hours=5)),
    late("sold_on", 2, by=timedelta(days=2)),
    orphans("id", 3),
    orphans("store", 3),
    orphans("store", 3, known=["a", "b", "c", "d", "unknown-2"]),
    unreadable("weight", 7),
    unreadable("weight", 0, kind="BIGINT"),
]


def changed(sample: Sample) -> tuple[int, ...]:
    """Where the frame differs from the clean one, told without any of the parts under test."""
    pairs = zip(sample.frame.rows(), sample.clean.rows(), strict=True)
    return tuple(position for position, (now, before) in enumerate(pairs) if now != before)


@pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: flaw.name)
def test_a_flaw_damages_as_many_rows_as_it_says_and_its_rule_finds_them(flaw: Flaw):
    sample = with_defects(SHOP, flaw, seed=1)

    (defect,) = sample.defects
    assert changed(sample) == defect.rows
    assert flaw.count == defect.count
    assert set(defect.rows) <= set(defect.failing)
    assert SHOP.schema == sample.frame.schema
    if flaw.name != "unreadable_weight" or flaw.count:
        assert sample.expected == run_gate(sample.frame, sample.rules()).failed


def test_damaged_rows_keep_their_other_values():
    sample = with_defects(SHOP, out_of_range("id", 3, low=1, high=8))
    assert SHOP.drop("id").equals(sample.frame.drop("id"))
    assert [0, 10, -2] == sample.rows_with("id_out_of_range")["id"].to_list()


def test_of_duplicates_both_rows_break_the_rule_but_one_was_damaged():
    sample = with_defects(SHOP, duplicates("id", 2))
    defect = sample.defect("duplicate_id")
    assert (2, 4) == (defect.count, len(defect.failing))
    assert SHOP.drop("id").equals(sample.frame.drop("id"))


def test_a_repeated_row_is_its_partner_to_the_last_column():
    sample = with_defects(SHOP, repeats("id", 3, columns=SHOP.columns))
    assert 5 == sample.frame.n_unique()


def test_keys_of_which_a_part_is_missing_are_no_duplicates():
    frame = pl.DataFrame({"a": [1, 2, 3, None, None], "b": [1, 2, 3, 4, 4]})
    sample = with_defects(frame, duplicates(["a", "b"], 1))
    assert 2 == len(sample.defects[0].failing)
    assert sample.expected == run_gate(sample.frame, sample.rules()).failed


def test_a_quote_in_a_pattern_stays_in_it():
    frame = pl.DataFrame({"name": ["d'Arc", "o'Neil"]})
    sample = with_defects(frame, malformed("name", 1, pattern="^.'[A-Z]"))
    assert {"malformed_name": 1} == run_gate(sample.frame, sample.rules()).failed


def test_a_flaw_of_ones_own():
    loud = Flaw(
        "shouting",
        ("store",),
        3,
        "the store's name is shouted",
        lambda frame: Damage(
            lambda rows, partners: rows.with_columns(pl.col("store").str.to_uppercase()),
            pl.col("store") != pl.col("store").str.to_lowercase(),
            {"predicate": "store = LOWER(store)"},
        ),
    )
    sample = with_defects(SHOP, loud)
    assert {"shouting": 3} == sample.expected == run_gate(sample.frame, sample.rules()).failed


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: nulls("id", -1), "flaw 'null_id': -1 rows cannot be damaged; count from 0 up"),
    (lambda: repeats("id", 1, columns=["store"]), "repeats: the key 'id' is not among its columns; add it"),
    (lambda: out_of_range("id", 1, low=3, high=2), "low 3 is above high 2; swap them"),
    (lambda: malformed("id", 1, pattern="("), "the pattern '(' cannot be used: unclosed group"),
    (lambda: late("id", 1, by=timedelta(0)), "by 0:00:00 is no delay; give a positive timedelta"),
    (lambda: unreadable("id", 1, kind="FLOT"), "unknown kind of number 'FLOT'; accepted: BIGINT, DOUBLE"),
    (lambda: with_defects(SHOP, out_of_range("email", 1, low="a", high="b")), "'email' is String, where a number, a"),
    (lambda: with_defects(SHOP, malformed("id", 1)), "column 'id' is Int64, where a text is needed; choose another"),
    (lambda: with_defects(SHOP, unreadable("id", 1)), "column 'id' is Int64, where a text is needed"),
    (lambda: with_defects(SHOP, late("id", 1, by=timedelta(days=1))), "'id' is Int64, where a date or an instant is"),
    (lambda: with_defects(SHOP, late("sold_on", 1, by=timedelta(hours=5))), "by 5:00:00 is less than a day"),
    (lambda: with_defects(SHOP, orphans("price", 1)), "where a whole number or a text is needed"),
    (
        lambda: with_defects(SHOP.cast({"id": pl.UInt8}), out_of_range("id", 1, low=0, high=8)),
        "column 'id' of UInt8 cannot hold -1",
    ),
    (lambda: with_defects(SHOP, malformed("email", 1, pattern="")), "only 0 are fit"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_damaged_is_told(make: Callable[[], Any], message: str):
    with pytest.raises(ConfigError) as refused:
        make()
    assert message in refused.value.message
