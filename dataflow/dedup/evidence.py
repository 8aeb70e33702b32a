"""What a history has to be worked out from: the rows of a batch, versions of the table, and rows that came before.

How much of it is needed depends on the newest instant that the table has heard of. Rows after it meet the versions
that last; rows before it matter only where they say something else than the table does. There all that is landed is
asked once more, since a table does not keep the observations that changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from dataflow.dedup.hashing import row_hash
from dataflow.dedup.history import AT, CONTENT, ORIGIN, REF, REST, SEEN, UNTIL, VERSION, settle_ties, within
from dataflow.dedup.strategy import TABLE_ROW
from dataflow.model.values import ROW_ID

CURRENT, MARK = "is_current", "_seen_at"
TABLE, BATCH, LANDED, SPAN = range(4)
"""Where the row of an observation is found. ``SPAN``: nowhere; a version of the table lasts through its instant."""
_BEGAN, _HELD = "_began", "_held"
_DIFFERS = pl.col(CONTENT).ne_missing(pl.col(CONTENT + _HELD)) | (
    (pl.col(AT) == pl.col(_BEGAN)) & (pl.col(REST) > pl.col(REST + _HELD))
)


@dataclass(frozen=True)
class Layout:
    """The columns of rows, by what they are to a history."""

    key: list[str]
    tracked: list[str]
    rest: list[str]
    at: pl.DataType
    instant: str = AT
    """The column that tells when a row holds."""
    also: tuple[str, ...] = (UNTIL, CURRENT, TABLE_ROW)
    """What is wanted of the table's rows beside that."""

    def observe(self, frame: pl.LazyFrame, origin: int) -> pl.LazyFrame:
        """What the rows of ``frame`` say, and where to find them."""
        number = pl.int_range(pl.len(), dtype=pl.UInt32) if origin == BATCH else pl.lit(None, pl.UInt32)
        return self.named(frame).select(
            *self.key,
            pl.col(self.instant).alias(AT),
            pl.col(self.instant).alias(SEEN),
            CONTENT,
            REST,
            pl.lit(origin, pl.Int8).alias(ORIGIN),
            number.alias(REF),
            (pl.col(self.instant) if origin == TABLE else pl.lit(None, self.at)).alias(VERSION),
            *((ROW_ID,) if origin == BATCH and ROW_ID in frame.collect_schema() else ()),
            *(self.also if origin == TABLE else ()),
        )

    def named(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """``frame`` with the names of what its rows hold."""
        schema = frame.collect_schema()
        # A table that was written before a column came has no values of it.
        absent = [pl.lit(None).alias(column) for column in (*self.tracked, *self.rest) if column not in schema]
        whole = frame.with_columns(absent)
        return whole.with_columns(_named(self.tracked, whole, CONTENT), _named(self.rest, whole, REST))

    def plain(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns that observations of every origin have."""
        return frame.select(*self.key, AT, SEEN, CONTENT, REST, ORIGIN, REF, VERSION)

    def keys(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Each key of ``frame`` once."""
        return frame.select(self.key).unique()


@dataclass(frozen=True)
class Evidence:
    """What decides the histories of the keys that a batch is about."""

    observations: pl.DataFrame
    held: pl.DataFrame
    """The versions of the table that are among these: they stay only if they come out again."""
    times: pl.Series | None = None
    """The instants of all snapshots that these histories go through, where rows come as snapshots."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """Reads, for a batch, what its histories need of the table and of what is landed."""

    layout: Layout
    batch: pl.DataFrame
    """What the rows of the batch say."""
    table: pl.LazyFrame
    everything: Callable[[], pl.LazyFrame]
    mark: Any
    """The newest instant that the table has heard of."""
    snapshots: bool

    def _held(self, of: pl.DataFrame | None = None, where: pl.Expr | None = None) -> pl.LazyFrame:
        """What the versions of the table say, those of the keys ``of``."""
        table = self.table if where is None else self.table.filter(where)
        if of is not None:
            # Before their contents are named, which costs more than to find them.
            table = table.join(of.lazy(), on=self.layout.key, how="semi")
        return self.layout.observe(table, TABLE)

    def evidence(self) -> Evidence:
        """All that decides the histories of the batch's keys.

        Memory: of the batch's size in the order of time. Late rows that say something new cost a read of all that is
        landed, and the memory for what it says of their keys.
        """
        late = self.batch.filter(pl.col(AT) <= self.mark)
        if late.is_empty():
            return self._in_order(self.batch, again=self.batch.select(self.layout.key).clear())
        again, silent = self._snapshots_in_doubt(late) if self.snapshots else self._rows_in_doubt(late)
        known = self._in_order(self.batch.join(silent, on=REF, how="anti"), again)
        return known if again.is_empty() else self._worked_out_again(known, late, again)

    def _in_order(self, rows: pl.DataFrame, again: pl.DataFrame) -> Evidence:
        """``rows``, and the versions that last of their keys; of all keys where snapshots tell what is gone."""
        layout = self.layout
        fresh = rows.filter(pl.col(AT) > self.mark)
        all_keys = self.snapshots and not fresh.is_empty()
        lasting = self._held(None if all_keys else layout.keys(fresh), pl.col(CURRENT))
        lasting = lasting.join(again.lazy(), on=layout.key, how="anti")
        # A version that lasts was seen at the newest snapshot.
        held = lasting.with_columns(pl.lit(self.mark, layout.at).alias(SEEN)).collect()
        times = pl.concat([fresh[AT], pl.Series(AT, [self.mark], layout.at)]) if self.snapshots else None
        return Evidence(pl.concat([layout.plain(rows), layout.plain(held)]), held, times)

    def _rows_in_doubt(self, late: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The keys of the table of which late rows say something new, and the rows that do not."""
        key = self.layout.key
        held = self._held(self.layout.keys(late)).collect()
        then = held.select(*key, AT, CONTENT, REST, pl.col(AT).alias(_BEGAN)).sort(AT)
        compared = late.sort(AT).join_asof(
            then, on=AT, by=key, strategy="backward", suffix=_HELD, check_sortedness=False
        )
        # Of a key that the table does not have, nothing was landed before: the batch tells all.
        again = self.layout.keys(compared.filter(_DIFFERS)).join(held, on=key, how="semi")
        silent = late.join(held, on=key, how="semi").join(again, on=key, how="anti")
        return again, silent.select(REF)

    def _snapshots_in_doubt(self, late: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The keys of which the snapshots that late rows belong to say something new, and the rows that do not."""
        layout = self.layout
        key, times = layout.key, late[AT].unique()
        # The batch may hold a part of a snapshot whose other part came before.
        landed = layout.observe(self.everything().filter(pl.col(AT).is_in(times.implode())), LANDED).collect()
        said = settle_ties(pl.concat([layout.plain(late), layout.plain(landed)]), key)
        held = pl.concat(pl.collect_all([self._as_of(time) for time in times]))
        compared = said.join(held, on=[*key, AT], how="full", coalesce=True, suffix=_HELD)
        again = layout.keys(compared.filter(_DIFFERS))
        return again, late.join(again, on=key, how="anti").select(REF)

    def _as_of(self, time: Any) -> pl.LazyFrame:
        instant = pl.lit(time, self.layout.at)
        lasts = (pl.col(AT) <= instant) & (pl.col(UNTIL).is_null() | (pl.col(UNTIL) > instant))
        told = self._held(where=lasts).rename({AT: _BEGAN})
        return told.select(*self.layout.key, instant.alias(AT), CONTENT, REST, _BEGAN)

    def _worked_out_again(self, known: Evidence, late: pl.DataFrame, again: pl.DataFrame) -> Evidence:
        layout, times = self.layout, known.times
        landed = layout.observe(self.everything().join(again.lazy(), on=layout.key, how="semi"), LANDED).collect()
        held = self._held(again).collect()
        found = [known.observations, layout.plain(landed), layout.plain(held)]
        if self.snapshots:
            heard = self._times_heard()
            times = pl.concat([heard, self.batch[AT]])
            # Rows that were sent again by hand are not landed: what the table says of each snapshot counts as well.
            said = within(held, heard).with_columns(pl.lit(SPAN, pl.Int8).alias(ORIGIN), pl.lit(None).alias(REST))
            found.append(layout.plain(said.cast({REST: pl.String})))
        rows, keys = late.join(again, on=layout.key, how="semi").height, again.height
        note = (
            f"{rows} row{'' if rows == 1 else 's'} came late with something new: the histor{'y' if keys == 1 else 'ies'} "
            f"of {keys} key{'' if keys == 1 else 's'} {'was' if keys == 1 else 'were'} worked out again from all rows landed"
        )
        return Evidence(pl.concat(found), pl.concat([known.held, held]), times, (note,))

    def _times_heard(self) -> pl.Series:
        """The instants of the snapshots that the table has gone through before this batch."""
        landed, by = self.everything(), [ROW_ID]
        if ROW_ID not in self.batch.columns or ROW_ID not in landed.collect_schema():
            landed, by = self.layout.observe(landed, LANDED), [*self.layout.key, AT, CONTENT, REST]
        earlier = landed.join(self.batch.lazy().select(by).unique(), on=by, how="anti", nulls_equal=True).select(AT)
        ends = [self.table.select(pl.col(column).alias(AT)) for column in (AT, UNTIL)]
        heard = pl.concat([earlier, *ends]).drop_nulls().unique().collect()[AT]
        return pl.concat([heard, pl.Series(AT, [self.mark], self.layout.at)])


def _named(columns: Sequence[str], frame: pl.LazyFrame, name: str) -> pl.Expr:
    if not columns:
        return pl.lit("" if name == CONTENT else None, pl.String).alias(name)
    return row_hash(columns, frame.collect_schema(), "xxh3_128").alias(name)
