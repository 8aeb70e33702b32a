"""Which of several rows with one key is kept: by columns, among equals by content or arrival."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from dataflow.dedup.hashing import canonical_text
from dataflow.dedup.strategy import REASON
from dataflow.errors import ConfigError
from dataflow.model.values import ROW_ID

PLACE = "_merge_place"
"""The number of a row in its batch, in order of arrival."""
TEXT = "_merge_text"
OLD = "_merge_old_"
"""Put before a column's name where it is the table's."""
_BY_CONTENT = "the table has the same key with other content, which comes first in the order of contents"


@dataclass(frozen=True)
class Ranking:
    """The order of the rows of one key."""

    order: tuple[str, ...]
    """Columns that decide; a null loses against every value."""
    keep: Literal["first", "last"]
    ties: Literal["content", "arrival"]
    ids: bool = False
    """Whether rows of the batch and the table's have row ids, which tell who came first."""

    @property
    def reads_content(self) -> bool:
        """Whether a row of the batch and the table's that are tied must be looked at as a whole."""
        return self.ties == "content" or self.keep == "last"

    def best(self, rows: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
        """Of each key the row that is kept.

        Of rows that are wholly alike, the first to arrive.
        """
        last = self.keep == "last"
        content = self.ties == "content"
        # Files that were written again are read behind later ones: there a row's place does not tell when it came.
        arrived = [ROW_ID] if ROW_ID in rows.columns else []
        by = [*self.order, *([TEXT] if content else arrived), PLACE]
        backwards = [False] * (len(by) - 1) + [content and last]
        ordered = rows.sort(by, descending=backwards, nulls_last=not last)
        return ordered.unique(list(key), keep=self.keep, maintain_order=True)

    def by_order(self) -> pl.Expr:
        """Why a row of the batch gives way to the table's: null where it does not, empty where they are tied."""
        found = pl.lit("")
        for column in reversed(self.order):
            new, old = pl.col(column), pl.col(OLD + column)
            greater, less = (new > old, new < old) if self.keep == "last" else (new < old, new > old)
            found = (
                pl.when(greater | (new.is_not_null() & old.is_null()))
                .then(pl.lit(None, pl.String))
                .when(less | (new.is_null() & old.is_not_null()))
                .then(pl.lit(self._given_way))
                .otherwise(found)
            )
        return found.alias(REASON)

    def by_content(self) -> pl.Expr:
        """The same for tied rows, of which the texts are known where ``reads_content``."""
        given_way = pl.lit(self._given_way)
        if not self.reads_content:
            return pl.when(self._came_first).then(None).otherwise(given_way).alias(REASON)
        new, old = pl.col(TEXT), pl.col(OLD + TEXT)
        if self.ties == "content":
            wins, why = new > old if self.keep == "last" else new < old, pl.lit(_BY_CONTENT)
        else:
            wins, why = ~self._came_first, given_way
        equal = pl.when(new == old).then(pl.lit("equal to the table's row"))
        return equal.when(~wins).then(why).alias(REASON)

    @property
    def _came_first(self) -> pl.Expr:
        """Whether the row of the batch came before the table's, though it is read after it."""
        return (pl.col(ROW_ID) < pl.col(OLD + ROW_ID)).fill_null(value=False) if self.ids else pl.lit(False)

    @property
    def _given_way(self) -> str:
        return f"the table has {'a later' if self.keep == 'last' else 'an earlier'} row"


def comparable(option: str, column: str, schema: Mapping[str, Any], held: Mapping[str, Any]) -> pl.Expr:
    """``column`` in the type that the table holds it in, so that rows of the batch can be compared with the table's.

    Errors: ConfigError for a type without an order.
    """
    dtype = held.get(column, schema[column])
    if dtype.is_nested():
        raise ConfigError(
            f"{option} names {column!r}, which is of type {dtype}; rows can be told apart by plain values only: name a field of it, in a stage with a function",
            column=column,
        )
    # Categories are ordered by when they were first seen, or as an Enum declares them: neither is in a table.
    return pl.col(column).cast(pl.String if isinstance(dtype, pl.Categorical | pl.Enum) else dtype)


def texts(frame: pl.LazyFrame, of: pl.DataFrame, by: Sequence[str], content: Sequence[str]) -> pl.DataFrame:
    """``by`` and the canonical text of ``content`` for the rows of ``frame`` that ``of`` has.

    Nulls: a column that the frame lacks is null.
    """
    if not (content and of.height):
        return of.select(*by, pl.lit("").alias(TEXT))
    whole = frame.with_columns(pl.lit(None).alias(c) for c in content if c not in frame.collect_schema())
    text = canonical_text(content, whole.collect_schema()).alias(TEXT)
    return whole.join(of.select(by).lazy(), on=list(by), how="semi").select(*by, text).collect()
