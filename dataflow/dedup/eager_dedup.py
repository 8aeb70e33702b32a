"""Only rows that are new: what came before, in the batch or in the table, is dropped before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import polars as pl
from pydantic import Field

from dataflow.dedup.columns import check_free, user_columns
from dataflow.dedup.hashing import Algorithm, row_hash
from dataflow.dedup.registry import register_strategy
from dataflow.dedup.strategy import REASON, TABLE_ROW, Settled, Strategy
from dataflow.model import Frozen
from dataflow.model.values import ROW_ID

COMPOSITE_HASH = "composite_hash"
_PLACE = "_eager_place"


class EagerOptions(Frozen):
    """Options of ``eager_dedup``."""

    hash_algorithm: Algorithm = "sha256"
    """``sha256`` and ``md5`` agree with hashlib; ``xxh3_128`` is the fastest."""
    hash_columns: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Rows that are alike in these are the same row; by default all columns but those that dataflow adds."""
    write_mode: Literal["append", "overwrite"] = "append"
    """``append`` adds files with the new rows; ``overwrite`` writes the whole table again, which costs as much as it is
    large and leaves few files. Each is one commit."""


@register_strategy("eager_dedup")
class EagerDedup(Strategy):
    """Adds the rows whose ``composite_hash`` is neither in the batch before them nor in the table."""

    Config = EagerOptions

    def __init__(self, config: EagerOptions) -> None:
        self._config = config

    @property
    def columns(self) -> Mapping[str, Sequence[str]]:
        return {"hash_columns": self._config.hash_columns} if self._config.hash_columns else {}

    @property
    def unique_by(self) -> tuple[str, ...]:
        return (COMPOSITE_HASH,)

    def derive(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """``rows`` with ``composite_hash``.

        Errors: ConfigError for rows that have such a column already.
        """
        schema = rows.collect_schema()
        check_free("eager_dedup", schema, [COMPOSITE_HASH, _PLACE])
        hashed = self._config.hash_columns or user_columns(schema)
        return rows.with_columns(row_hash(hashed, schema, self._config.hash_algorithm).alias(COMPOSITE_HASH))

    def settle(self, rows: pl.LazyFrame, table: pl.LazyFrame | None, everything: Callable[[], pl.LazyFrame]) -> Settled:
        """The new rows are added, the others dropped and counted.

        Memory: a hash and two numbers for each row of the batch.
        """
        schema = rows.collect_schema()
        numbered = rows.with_row_index(_PLACE)
        ids = [ROW_ID] if ROW_ID in schema else []
        seen = numbered.select(_PLACE, *ids, COMPOSITE_HASH).collect()
        # Files that were written again are read behind later ones: where rows have ids, these tell who came first.
        if ids and not seen[ROW_ID].is_sorted():
            seen = seen.sort(ROW_ID, _PLACE)
        first = pl.col(COMPOSITE_HASH).is_first_distinct()
        new, dropped = seen.filter(first), [_dropped(seen.filter(~first), "duplicate in the batch")]
        if table is not None:
            hashes = new.select(COMPOSITE_HASH).lazy()
            held = table.select(COMPOSITE_HASH).join(hashes, on=COMPOSITE_HASH, how="semi").collect()
            dropped.append(_dropped(new.join(held, on=COMPOSITE_HASH, how="semi"), "in the table already"))
            new = new.join(held, on=COMPOSITE_HASH, how="anti")
        # The hashes are at hand: taken from there, they are not worked out a second time.
        kept = numbered.drop(COMPOSITE_HASH).join(
            new.select(_PLACE, COMPOSITE_HASH).lazy(), on=_PLACE, how="inner", maintain_order="left"
        )
        whole = table.drop(TABLE_ROW) if self._config.write_mode == "overwrite" and table is not None else None
        return Settled(
            added=kept.select(schema.names()),
            dropped=pl.concat(dropped).sort(_PLACE).drop(_PLACE).lazy(),
            rewritten=whole,
            overwrites=whole is not None,
            notes=tuple(f"rows dropped, {why}: {rows.height}" for rows in dropped for why in rows[REASON].head(1)),
        )


def _dropped(rows: pl.DataFrame, why: str) -> pl.DataFrame:
    return rows.with_columns(pl.lit(why).alias(REASON))
