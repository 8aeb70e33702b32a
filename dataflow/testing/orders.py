"""A shop's orders: the same for the same seed on every machine, and ten things that may be wrong with them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import polars as pl

from dataflow.errors import ConfigError
from dataflow.testing.flaws import (
    Flaw,
    duplicates,
    late,
    malformed,
    nulls,
    orphans,
    out_of_range,
    repeats,
    swapped,
    unreadable,
)
from dataflow.testing.samples import Sample, with_defects

START = datetime(2026, 1, 1, tzinfo=UTC)
STATUSES = ("paid", "packed", "shipped", "returned")
CUSTOMERS = 100
COLUMNS = (
    "order_id",
    "customer_id",
    "email",
    "status",
    "quantity",
    "amount_eur",
    "weight_kg",
    "ordered_at",
    "shipped_at",
)

ORDER_DEFECTS: dict[str, Callable[[int], Flaw]] = {
    "null_key": lambda n: nulls("order_id", n),
    "duplicate_key": lambda n: duplicates("order_id", n),
    "repeated_row": lambda n: repeats("order_id", n, columns=COLUMNS),
    "out_of_range": lambda n: out_of_range("amount_eur", n, low=0.0, high=1000.0),
    "bad_email": lambda n: malformed("email", n),
    "unknown_status": lambda n: orphans("status", n, known=STATUSES),
    "not_a_number": lambda n: unreadable("weight_kg", n),
    "swapped_times": lambda n: swapped("ordered_at", "shipped_at", n),
    "late": lambda n: late("ordered_at", n, by=timedelta(days=30)),
    "orphan_reference": lambda n: orphans("customer_id", n, known=range(1, CUSTOMERS + 1)),
}
"""What may be wrong with orders, by name: the number of rows -> the flaw."""


def customers(rows: int = CUSTOMERS) -> pl.DataFrame:
    """The customers that orders refer to.

    Shape: (rows, 2)
    """
    number = pl.int_range(1, rows + 1, eager=True).alias("customer_id")
    return number.to_frame().with_columns(name=pl.format("Customer {}", "customer_id"))


def orders(
    rows: int = 1000, *, seed: int = 0, defects: Mapping[str, int] | None = None, overlap: bool = False
) -> Sample:
    """Orders in the order of their times, damaged as ``defects`` says: names of ``ORDER_DEFECTS`` and numbers of rows.

    Shape: (rows, 9)
    Nulls: none but those asked for.
    Errors: ConfigError for an unknown defect, with the nearest, and for more defects than there are rows.
    Example:
        >>> sample = orders(1000, seed=7, defects={"null_key": 3, "bad_email": 2})
        >>> sample.expected
        {'null_key': 3, 'bad_email': 2}
        >>> sample.rows_with("null_key")["order_id"].to_list()
        [None, None, None]
    """
    if rows < 0:
        raise ConfigError(f"{rows} orders cannot be made; ask for 0 or more")
    for name in defects or {}:
        if name not in ORDER_DEFECTS:
            raise ConfigError.unknown("defect of orders", name, ORDER_DEFECTS)
    flaws = [ORDER_DEFECTS[name](count).named(name) for name, count in (defects or {}).items()]
    return with_defects(_sound(rows, seed), *flaws, seed=seed, overlap=overlap)


def _sound(rows: int, seed: int) -> pl.DataFrame:
    def drawn(below: int, stream: int) -> pl.Expr:
        return _drawn(rows, below, seed, stream)

    number = pl.int_range(rows, dtype=pl.Int64)
    ordered = pl.lit(START) + pl.duration(seconds=60 * number + drawn(60, 1))
    return pl.select(
        order_id=number + 1,
        customer_id=drawn(CUSTOMERS, 3) + 1,
        email=pl.format("buyer{}@example.com", drawn(10_000, 4)),
        status=drawn(len(STATUSES), 5).replace_strict(dict(enumerate(STATUSES)), return_dtype=pl.String),
        quantity=drawn(9, 6) + 1,
        amount_eur=(drawn(100_001, 2) / 100).round(2),
        weight_kg=pl.format("{}.{}", drawn(50, 7), drawn(90, 9) + 10),
        ordered_at=ordered,
        shipped_at=ordered + pl.duration(minutes=30 + drawn(4_000, 8)),
    ).select(COLUMNS)


def _drawn(rows: int, below: int, seed: int, stream: int) -> pl.Expr:
    """A whole number from 0 to under ``below`` for each row.

    Polars' own random numbers and hashes may change from version to version; these do not.
    Source: Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators (2014): SplitMix64.
    """
    start = random.Random(f"{seed}:{stream}").getrandbits(64)
    mixed = pl.int_range(rows, dtype=pl.UInt64) * _u64(0x9E3779B97F4A7C15) + _u64(start)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed // _u64(1 << shift))) * _u64(factor)
    return ((mixed ^ (mixed // _u64(1 << 31))) % _u64(below)).cast(pl.Int64)


def _u64(value: int) -> pl.Expr:
    return pl.lit(value, pl.UInt64)
