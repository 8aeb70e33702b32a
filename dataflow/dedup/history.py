"""Histories of keys from what was observed of them: the algebra, on frames that hold no more than it needs.

An observation says that a key was in a state at an instant. Which of several at one instant counts is a matter of
their content, so that neither the order in which they arrive nor how often they do makes a difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

AT = "valid_from"
"""The instant from which on an observation says how its key is; a version begins with its first."""
SEEN = "_seen"
"""The instant up to which an observation is known to hold."""
CONTENT = "_content"
"""Names the values whose change makes a version."""
REST = "_rest"
"""Names all other values; decides between observations of one key and instant that are alike in content."""
ORIGIN = "_origin"
"""Where the row of an observation is found; of equal observations the lowest counts."""
REF = "_ref"
"""The number of the row, where it is one of the batch."""
VERSION = "_version"
"""When the version begins whose row it is, where it is one of the table."""
UNTIL = "valid_to"
_NEXT, _LASTS, _TIME = "_next", "_lasts", "_time"


def settle_ties(observations: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """One observation for each key and instant, sorted by these.

    Shape: (n, c) -> (m, c), m <= n
    """
    order = [*key, AT, CONTENT, REST, ORIGIN, REF]
    falling = [column in (CONTENT, REST) for column in order]
    ranked = observations.sort(order, descending=falling, nulls_last=True)
    return ranked.unique(subset=[*key, AT], keep="first", maintain_order=True)


def versions(observed: pl.DataFrame, key: Sequence[str], times: pl.Series | None = None) -> pl.DataFrame:
    """The observations that begin a version, with ``UNTIL``: the instant at which it ends, null while it lasts.

    ``observed`` is what ``settle_ties`` returns. With ``times``, the instants of all snapshots, a key that is not seen
    at one of them ends there.
    Shape: (n, c) -> (m, c + 1), m <= n
    """
    follows = pl.all_horizontal(pl.col(c).shift(-1).eq_missing(pl.col(c)) for c in key)
    follows = follows & (pl.int_range(pl.len()) < pl.len() - 1)
    frame = observed.with_columns(pl.when(follows).then(pl.col(AT).shift(-1)).alias(_NEXT))
    if times is None:
        frame = frame.with_columns(pl.col(_NEXT).alias(UNTIL))
    else:
        known = times.unique().sort()
        after = pl.DataFrame([known.alias(SEEN), known.shift(-1).alias(UNTIL)])
        frame = frame.join(after, on=SEEN, how="left", maintain_order="left")
    # Where a key is not there at the next snapshot, what follows begins anew, even if it is alike.
    lasts = (pl.col(_NEXT) == pl.col(UNTIL)) & (pl.col(CONTENT).shift(-1) == pl.col(CONTENT))
    frame = frame.with_columns(lasts.fill_null(value=False).alias(_LASTS))
    begins = frame.filter(~pl.col(_LASTS).shift(1, fill_value=False)).drop(UNTIL, _NEXT, _LASTS)
    # Beginnings and ends alternate, so the n-th end is that of the n-th beginning.
    return begins.with_columns(frame.filter(~pl.col(_LASTS))[UNTIL])


def within(held: pl.DataFrame, times: pl.Series) -> pl.DataFrame:
    """What versions say of the ``times`` that they last through, beyond the one at which they begin.

    Shape: (n, c) -> (m, c)
    """
    known = times.unique().alias(_TIME).to_frame()
    ended = pl.col(UNTIL).is_null() | (pl.col(_TIME) < pl.col(UNTIL))
    through = held.join(known, how="cross").filter((pl.col(_TIME) > pl.col(AT)) & ended)
    instant = pl.col(_TIME)
    return through.with_columns(instant.alias(AT), instant.alias(SEEN)).select(held.columns)
