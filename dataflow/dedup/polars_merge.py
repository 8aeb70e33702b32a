"""One row per key: the least or greatest of all that ever came, however they were cut into batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import polars as pl
from pydantic import Field

from dataflow.dedup.columns import check_free, quoted, user_columns
from dataflow.dedup.hashing import grouping_key
from dataflow.dedup.ranking import OLD, PLACE, TEXT, Ranking, comparable, texts
from dataflow.dedup.registry import register_strategy
from dataflow.dedup.strategy import REASON, TABLE_ROW, Settled, Strategy
from dataflow.errors import StageFailed
from dataflow.model import Frozen
from dataflow.model.values import ROW_ID


class MergeOptions(Frozen):
    """Options of ``polars_merge``."""

    dedup_key: tuple[str, ...] = Field(min_length=1)
    """The table holds one row for each combination of these columns; a row in which one is null is quarantined."""
    sort_by: tuple[str, ...] = ()
    """Which of the rows with one key is kept is decided by these columns; a null loses against every value."""
    keep: Literal["first", "last"] = "last"
    """The least or the greatest by ``sort_by``."""
    ties: Literal["content", "arrival"] = "content"
    """Among rows that ``sort_by`` does not tell apart. ``content``: the least or greatest by the canonical text of all
    other columns, so that neither order nor cut of the batches plays a part. ``arrival``: the first or last to
    arrive, the table's rows before those of the batch."""


@register_strategy("polars_merge")
class PolarsMerge(Strategy):
    """Merges a batch into the table by key.

    With ``ties: content`` the table is the same for every cut of the rows into batches, every order of these, and
    however often one is delivered; of rows that are wholly alike, the one that came first stays.
    Of the table, rows whose key the batch has are read; the others pass by.
    """

    Config = MergeOptions

    def __init__(self, config: MergeOptions) -> None:
        self._config = config

    @property
    def columns(self) -> Mapping[str, Sequence[str]]:
        config = self._config
        return {"dedup_key": config.dedup_key, **({"sort_by": config.sort_by} if config.sort_by else {})}

    @property
    def unique_by(self) -> tuple[str, ...]:
        return self._config.dedup_key

    @property
    def apart_by(self) -> tuple[str, ...]:
        return self._config.dedup_key

    @property
    def rules(self) -> Sequence[Mapping[str, Any]]:
        return [
            {
                "name": f"dedup_key_{column}_is_known",
                "predicate": f"{quoted(column)} IS NOT NULL",
                "on_fail": "quarantine",
            }
            for column in self._config.dedup_key
        ]

    def derive(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        check_free("polars_merge", rows.collect_schema(), (PLACE, TEXT, _NUMBER, _TOLD))
        return rows

    def settle(self, rows: pl.LazyFrame, table: pl.LazyFrame | None, everything: Callable[[], pl.LazyFrame]) -> Settled:
        """The winners among the rows of one key are added, and the table's row goes where it loses.

        Nulls: a row with a null in its key meets no other and is added.
        Memory: key, ``sort_by`` and two numbers for each row of the batch where there is a table, else for each row whose
        key comes more than once; and the texts of tied rows.
        Errors: ConfigError for a key or ``sort_by`` that cannot be compared; StageFailed for a table that holds a key
        twice.
        """
        batch = _Batch(self._config, rows, table)
        given_way = batch.lost()
        if table is None:
            return Settled(batch.without(given_way), batch.told(given_way), notes=batch.notes)
        met = batch.met(table, given_way)
        beaten = met.filter(pl.col(REASON).is_not_null())
        gone = pl.concat([given_way, beaten.select(given_way.columns)])
        replaced = met.filter(pl.col(REASON).is_null()).select(TABLE_ROW)
        return Settled(batch.without(gone), batch.told(gone), replaced.lazy(), notes=batch.notes)


_NUMBER, _TOLD = "_merge_number", "_merge_told"
PART_ROWS = 1 << 25
"""Keys that come more than once are looked for among so many rows at a time; 16 bytes each are held for that."""
_SAMPLE = 100_000
"""Rows of the table and of the batch that are looked at as a whole, to find the columns in which they differ."""


class _Batch:
    """The rows of a batch, and of each what is needed to rank it."""

    def __init__(self, config: MergeOptions, rows: pl.LazyFrame, table: pl.LazyFrame | None) -> None:
        self.key = config.dedup_key
        order = tuple(column for column in config.sort_by if column not in self.key)
        self._rows = rows.with_row_index(PLACE)
        schema, self._held = rows.collect_schema(), pl.Schema() if table is None else table.collect_schema()
        self._ranking = Ranking(order, config.keep, config.ties, ROW_ID in schema and ROW_ID in self._held)
        everywhere = user_columns({**schema, **self._held}, (*self.key, *order))
        # By name: the table's columns may stand in another order than the batch's.
        self._content = sorted(column for column in everywhere if column != TABLE_ROW)
        self._ids = [ROW_ID] if ROW_ID in schema else []
        compared = [comparable("dedup_key", column, schema, self._held) for column in self.key]
        compared += [comparable("sort_by", column, schema, self._held) for column in order]
        self._number = pl.struct(self.key).hash().alias(_NUMBER)
        self._keyed = self._rows.drop_nulls(self.key).select(PLACE, *self._ids, *compared)
        if table is not None:
            self._known = self._keyed.collect()
            self._keyed = self._known.lazy()
        self._telling: Sequence[str] = ()
        self.notes: tuple[str, ...] = ()
        """What a reader of the report should know, once ``lost`` has looked."""

    def _resolved(self, keys: int) -> str:
        """That keys came more than once, and which row of each is kept."""
        by = f"sort_by {', '.join(self._ranking.order)}, " if self._ranking.order else ""
        came = "1 key came" if keys == 1 else f"{keys:,} keys came"
        return f"{came} more than once; resolved by {by}keep {self._ranking.keep}, ties by {self._ranking.ties}"

    def lost(self) -> pl.DataFrame:
        """The rows that are not the best of their key in the batch, with ``REASON``."""
        size = int(self._keyed.select(pl.len()).collect().item())
        parts = max(1, -(-size // PART_ROWS))
        found = [self._lost_of(rivals) for part in range(parts) if (rivals := self._rivals(part, parts)) is not None]
        often = sum(keys for _, keys in found)
        if not often:
            return self._told(self._keyed.clear().collect())
        self.notes = (self._resolved(often),)
        return self._told(pl.concat(lost for lost, _ in found))

    def _rivals(self, part: int, parts: int) -> pl.DataFrame | None:
        """The rows of a part of all keys whose number comes more than once: most keys come once."""
        number = pl.col(_NUMBER)
        told = self._keyed.select(self._number).filter(number % parts == part).collect()[_NUMBER].sort(in_place=True)
        often = told.filter(told == told.shift()).unique().to_frame()
        if not often.height:
            return None
        numbered = self._keyed.with_columns(self._number)
        return numbered.join(often.lazy(), on=_NUMBER, how="semi").drop(_NUMBER).collect()

    def _lost_of(self, alike: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        """Of rows that may have rivals, those that are not the best of their key; and how many keys come more than once."""
        key = list(self.key)
        often = alike.group_by(key).len().filter(pl.col("len") > 1)
        rivals = alike.join(often, on=key, how="semi")
        if self._ranking.ties == "content":
            tied = rivals.filter(pl.len().over([*key, *self._ranking.order]) > 1)
            rivals = rivals.join(texts(self._rows, tied, [PLACE], self._content), on=PLACE, how="left")
        best = self._ranking.best(rivals, key)
        return rivals.join(best, on=PLACE, how="anti").select(alike.columns), often.height

    def _told(self, lost: pl.DataFrame) -> pl.DataFrame:
        return lost.select(PLACE, *self._ids, *self.key, pl.lit("duplicate in the batch").alias(REASON))

    def met(self, table: pl.LazyFrame, lost: pl.DataFrame) -> pl.DataFrame:
        """The rows but those ``lost`` whose key the table has, with the number of that row, and ``REASON`` where they give way to it."""
        if lost.height:
            self._known = self._known.join(lost, on=PLACE, how="anti")
        met = self._known.join(self._near(table), on=list(self.key)).with_columns(self._ranking.by_order())
        _check_once(met, self.key)
        tied = met.filter(pl.col(REASON) == "")
        if tied.is_empty():
            return met
        if self._ranking.reads_content:
            tied = self._with_texts(table, tied)
        settled = tied.with_columns(self._ranking.by_content()).select(met.columns)
        return pl.concat([met.filter(pl.col(REASON).is_null() | (pl.col(REASON) != "")), settled])

    def _near(self, table: pl.LazyFrame) -> pl.DataFrame:
        """The rows of the table whose key the batch may have: all that is needed to rank them but for their texts."""
        key, order = list(self.key), self._ranking.order
        theirs = [comparable("sort_by", column, self._held, self._held).alias(OLD + column) for column in order]
        if self._ranking.ids:
            theirs.append(pl.col(ROW_ID).alias(OLD + ROW_ID))
        # Where every row is tied, and how it differs does not matter, what tells is read along with the keys.
        asks = self._ranking.ties == "arrival" and self._ranking.reads_content and not order
        self._telling = self._told_apart_by(table.head(_SAMPLE)) if asks else ()
        # Numbers are met quicker than texts. The right side of a semi join is the one that is held in memory.
        numbers = self._known.select(self._number).lazy()
        candidates = table.select(*key, *theirs, *self._telling, TABLE_ROW, self._number)
        found = candidates.join(numbers, on=_NUMBER, how="semi")
        names = [column.meta.output_name() for column in theirs]
        return found.select(*key, *names, TABLE_ROW, *self._told_apart).collect()

    def _told_apart_by(self, sample: pl.LazyFrame) -> Sequence[str]:
        """The least columns that tell apart what all of them do, of the rows of the table that the batch has too.

        What is delivered twice differs in none, and a correction mostly in one or two: to read all columns of a table
        for its tied rows costs several times as much as to read these. Empty where none does, or the batch begins
        with other rows.
        """
        schema, key = self._rows.collect_schema(), list(self.key)
        columns = [c for c in self._content if schema.get(c) == self._held.get(c)]
        known = self._known.lazy().filter(pl.col(PLACE) < _SAMPLE).select(PLACE, *key)
        theirs = sample.select(*key, *columns).join(known, on=key)
        ours = self._rows.select(PLACE, *columns).head(_SAMPLE).join(theirs, on=PLACE, suffix=OLD)
        differ = ours.select(pl.col(c).ne_missing(pl.col(c + OLD)).alias(c) for c in columns).collect()
        found = list[str]()
        while differ.height and (counts := {c: int(differ[c].sum()) for c in columns}):
            best = max(counts, key=lambda column: counts[column])
            if not counts[best]:
                break
            found.append(best)
            differ = differ.filter(~pl.col(best))
        return found

    def _with_texts(self, table: pl.LazyFrame, tied: pl.DataFrame) -> pl.DataFrame:
        """``tied`` with both texts, null where it is known without that they differ."""
        alike = tied
        if self._telling:
            told = self._rows.select(PLACE, *self._told_apart).collect()
            alike = tied.join(told, on=[PLACE, _TOLD], how="semi")
        ours = texts(self._rows, alike, [PLACE], self._content)
        held = texts(table, alike, self.key, self._content).rename({TEXT: OLD + TEXT})
        return tied.join(ours, on=PLACE, how="left").join(held, on=list(self.key), how="left")

    @property
    def _told_apart(self) -> list[pl.Expr]:
        """What is alike in rows that are alike in the columns that tell."""
        return [grouping_key(self._telling, self._held).alias(_TOLD)] if self._telling else []

    def without(self, gone: pl.DataFrame) -> pl.LazyFrame:
        """The rows that are not ``gone``, in order of arrival."""
        if gone.is_empty():
            return self._rows.drop(PLACE)
        kept = self._rows.join(gone.select(PLACE).lazy(), on=PLACE, how="anti", maintain_order="left")
        return kept.drop(PLACE)

    def told(self, gone: pl.DataFrame) -> pl.LazyFrame:
        """The rows that are ``gone``, with the reason: their id and key, where that leads to the row itself."""
        if self._ids:
            return gone.sort(PLACE).drop(PLACE).lazy()
        reasons = gone.select(PLACE, REASON).lazy()
        return self._rows.join(reasons, on=PLACE, how="inner", maintain_order="left").drop(PLACE)


def _check_once(met: pl.DataFrame, key: Sequence[str]) -> None:
    twice = met.height - met[PLACE].n_unique()
    if twice:
        raise StageFailed(
            f"strategy 'polars_merge': the table holds {twice} rows more than combinations of its key {', '.join(key)}, so it was "
            "not written by this strategy and key; compute it anew (--full), or name a table that has no rows yet"
        )
