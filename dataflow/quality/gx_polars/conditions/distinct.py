"""What only Python can judge, once for each distinct value."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import polars as pl

REMEMBERED = 4096
"""Verdicts kept from one chunk of rows to the next; few, because a value may be a long document."""


def by_distinct(
    text: pl.Expr, judge: Callable[[str], bool], *, proven: Callable[[pl.Series], pl.Series] | None = None
) -> pl.Expr:
    """What ``judge`` says of each text; it is asked about distinct ones only, and not about those ``proven`` good.

    Nulls: null where there is no text.
    Errors: ComputeError for whatever ``judge`` raises, so that one expectation fails and not the scan.
    """
    known = lru_cache(maxsize=REMEMBERED)(judge)

    def judged(chunk: pl.Series) -> pl.Series:
        left = chunk.drop_nulls().unique()
        try:
            left = left if proven is None else left.filter(proven(left).not_())
            verdicts = pl.Series([known(value) for value in left], dtype=pl.Boolean)
        except Exception as error:
            raise pl.exceptions.ComputeError(f"{type(error).__name__}: {error}") from error
        # What was not found bad is good: bad values are few, so they are the ones to look for.
        return chunk.is_in(left.filter(verdicts.not_()).implode()).not_()

    return text.map_batches(judged, return_dtype=pl.Boolean, is_elementwise=True)
