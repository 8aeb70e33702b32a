"""What changed from one snapshot to the next: the algebra, on the keys and hashes of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from dataflow.dedup.evidence import BATCH, TABLE, Layout
from dataflow.dedup.history import AT, CONTENT, ORIGIN, REF, REST, SEEN, UNTIL, VERSION, settle_ties, versions
from dataflow.dedup.strategy import REASON
from dataflow.model.values import ROW_ID

CHANGE = "_change"
_BEFORE, _AFTER, _COUNTED, _MET = "_ended_before", "_begins_after", "_counted", "_met"
_FIRST = "~"
"""Greater than every hash."""


@dataclass(frozen=True)
class Diff:
    """The snapshots of a batch after the one that the table has."""

    layout: Layout
    batch: pl.DataFrame
    """What the rows of the batch say."""
    whole: bool
    """Whether what a snapshot lacks is gone."""
    held: pl.DataFrame | None = None
    """What the rows of the table say that are there."""
    mark: Any = None
    """The newest snapshot that the table has heard of."""

    @property
    def newest(self) -> Any:
        """The newest snapshot of all."""
        return self.batch.select(pl.max_horizontal(pl.col(AT).max(), pl.lit(self.mark, self.layout.at))).item()

    @cached_property
    def observed(self) -> pl.DataFrame:
        """One observation for each key and snapshot; the table as a whole is what the snapshot ``mark`` says."""
        if self.held is None:
            return settle_ties(self.layout.plain(self.batch), self._key)
        mark = pl.lit(self.mark, self.layout.at)
        # Of rows that are alike but for what is ignored, the one counts with which it came.
        rest = pl.when(pl.col(VERSION) < mark).then(pl.lit(_FIRST)).otherwise(REST).alias(REST)
        known = self.held.with_columns(mark.alias(AT), mark.alias(SEEN), rest)
        punctual = self.batch.filter(pl.col(AT) >= self.mark)
        return settle_ties(pl.concat([self.layout.plain(punctual), self.layout.plain(known)]), self._key)

    @cached_property
    def sizes(self) -> pl.DataFrame:
        """``AT`` and ``rows`` of each snapshot, in their order, that of the table first."""
        return self.observed.group_by(AT).agg(pl.len().alias("rows")).sort(AT)

    @cached_property
    def versions(self) -> pl.DataFrame:
        """The observations that say something new, and when what they say ends; sorted by key and snapshot."""
        return versions(self.observed, self._key, self.sizes[AT] if self.whole else None)

    @cached_property
    def last(self) -> pl.DataFrame:
        """Of each key the last version; of one that is gone, ``UNTIL`` is the snapshot that lacks it."""
        return self.versions.unique(self._key, keep="last", maintain_order=True)

    def changes(self) -> pl.DataFrame:
        """``CHANGE`` of versions that begin or end, and ``AT``: the snapshot that tells of it."""
        beside = self.versions.with_columns(
            self._neighbour(pl.col(UNTIL), 1).alias(_BEFORE), self._neighbour(pl.col(AT), -1).alias(_AFTER)
        )
        updated = (pl.col(_BEFORE) == pl.col(AT)).fill_null(value=False)
        if self.held is not None:
            # A part of the snapshot that the table has already.
            beside = beside.join(self.held.select(*self._key, pl.lit(value=True).alias(_MET)), on=self._key, how="left")
            updated |= (pl.col(AT) == pl.lit(self.mark, self.layout.at)) & pl.col(_MET).fill_null(value=False)
        what = [*self._key, ORIGIN, REF]
        kind = pl.when(updated).then(pl.lit("update")).otherwise(pl.lit("insert")).alias(CHANGE)
        begun = beside.filter(pl.col(ORIGIN) == BATCH).select(*what, AT, kind)
        ended = beside.filter(pl.col(UNTIL).is_not_null() & pl.col(_AFTER).ne_missing(pl.col(UNTIL)))
        return pl.concat([begun, ended.select(*what, pl.col(UNTIL).alias(AT), pl.lit("delete").alias(CHANGE))])

    def dropped(self, added: pl.DataFrame) -> pl.DataFrame:
        """The rows of the batch that are not ``added``, with ``REASON``."""
        key, ids = self._key, [ROW_ID] if ROW_ID in self.batch.columns else []
        others = self.batch.join(added.select(REF), on=REF, how="anti")
        counted = self.observed.select(*key, AT, pl.col(CONTENT).alias(_COUNTED))
        told = others.join(counted, on=[*key, AT], how="left", maintain_order="left")
        passed = pl.col(REF).is_in(self.versions.filter(pl.col(ORIGIN) == BATCH)[REF].implode())
        reason = (
            pl.when(pl.col(_COUNTED).is_null())
            .then(pl.lit("of an earlier snapshot than the table's"))
            .when(pl.col(_COUNTED) != pl.col(CONTENT))
            .then(pl.lit("another row of this key and snapshot counts"))
            .when(passed)
            .then(pl.lit("changed or gone again in a later snapshot"))
            .otherwise(pl.lit("unchanged"))
        )
        return told.select(*ids, *key, AT, reason.alias(REASON))

    def kept(self) -> pl.DataFrame:
        """The keys of the table's rows that stay as they are."""
        return self.last.filter((pl.col(ORIGIN) == TABLE) & pl.col(UNTIL).is_null()).select(self._key)

    def _neighbour(self, value: pl.Expr, by: int) -> pl.Expr:
        """``value`` of the version before (1) or after (-1) of the same key; null where there is none."""
        same = pl.all_horizontal(pl.col(column).shift(by) == pl.col(column) for column in self._key)
        return pl.when(same).then(value.shift(by))

    @property
    def _key(self) -> Sequence[str]:
        return self.layout.key
