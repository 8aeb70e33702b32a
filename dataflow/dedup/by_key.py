"""One row per key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import polars as pl

_INDEX = "_dedup_index"


def deduplicate(
    lf: pl.LazyFrame, key: Sequence[str], *, order_by: Sequence[str] = (), keep: Literal["first", "last"] = "first"
) -> pl.LazyFrame:
    """One row per key: the first or last by ``order_by``, among equals by order of arrival (that of the frame).

    Shape: (n, c) -> (m, c), m <= n
    Nulls: a row with a null in its key equals no other and stays; in ``order_by`` null comes before every value.
    """
    # Nulls have no identity: two rows whose key is broken are two rows for quarantine, not one and its copy.
    unknown = pl.any_horizontal(pl.col(column).is_null() for column in key)
    known = lf.filter(~unknown)
    if order_by:
        known = known.sort(list(order_by), nulls_last=False, maintain_order=True)
    return pl.concat([known.unique(subset=list(key), keep=keep, maintain_order=True), lf.filter(unknown)])


def duplicates(
    lf: pl.LazyFrame, key: Sequence[str], *, order_by: Sequence[str] = (), keep: Literal["first", "last"] = "first"
) -> pl.LazyFrame:
    """The rows that ``deduplicate`` drops.

    Shape: (n, c) -> (n - m, c)
    """
    indexed = lf.with_row_index(_INDEX).cache()
    kept = deduplicate(indexed, key, order_by=order_by, keep=keep).select(_INDEX)
    return indexed.join(kept, on=_INDEX, how="anti", maintain_order="left").drop(_INDEX)
