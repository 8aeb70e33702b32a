"""Bronze: every row is kept, with its hashes; copies within a batch are marked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl
from pydantic import Field

from dataflow.dedup.columns import check_free, user_columns
from dataflow.dedup.hashing import Algorithm, canonical_text, grouping_key, row_hash
from dataflow.dedup.registry import register_strategy
from dataflow.dedup.strategy import Settled, Strategy
from dataflow.errors import ConfigError
from dataflow.model import Frozen
from dataflow.model.values import ROW_ID

COMPOSITE_HASH = "composite_hash"
PAYLOAD_HASH = "payload_hash"
PARTITION_DATE = "partition_date"
DUPLICATE_OF = "_duplicate_of"
_KEY = "_grouping_key"
_TEXT = "_canonical_text"


class BronzeOptions(Frozen):
    """Options of ``bronze_append``."""

    hash_algorithm: Algorithm = "sha256"
    """``sha256`` and ``md5`` agree with hashlib; ``xxh3_128`` is the fastest."""
    composite_columns: tuple[str, ...] | None = Field(default=None, min_length=1)
    """What makes two rows copies of one another; by default all columns but those that dataflow adds."""
    payload_columns: tuple[str, ...] | None = Field(default=None, min_length=1)
    """What ``payload_hash`` is made of; by default the columns that ``composite_columns`` does not name, and all
    columns where it names all."""
    partition_date: str | None = None
    """The column that tells the day by which the table is partitioned: a date, a datetime (its day in UTC) or ISO
    text. Without it the table is not partitioned."""


@register_strategy("bronze_append")
class BronzeAppend(Strategy):
    """Adds all rows and reads nothing of the table.

    ``_duplicate_of`` is the ``_row_id`` of the first row of the batch that is the same in ``composite_columns``, null
    in that row itself. Where the table is computed anew, the whole input is one batch, and copies are marked across
    the batches of old.
    """

    Config = BronzeOptions

    def __init__(self, config: BronzeOptions) -> None:
        self._config = config

    @property
    def columns(self) -> Mapping[str, Sequence[str]]:
        config = self._config
        named = {
            "composite_columns": config.composite_columns or (),
            "payload_columns": config.payload_columns or (),
            "partition_date": (config.partition_date,) if config.partition_date else (),
        }
        return {option: columns for option, columns in named.items() if columns}

    @property
    def partition_by(self) -> tuple[str, ...]:
        return (PARTITION_DATE,) if self._config.partition_date else ()

    @property
    def retells(self) -> Mapping[str, Sequence[str]]:
        return {PARTITION_DATE: (self._config.partition_date,)} if self._config.partition_date else {}

    def derive(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """``rows`` with ``composite_hash``, ``payload_hash`` and, where it is asked for, ``partition_date``.

        Nulls: ``partition_date`` is null where its column is, or does not begin with an ISO date.
        Errors: ConfigError for columns that the rows have already, and for a ``partition_date`` that tells no day.
        """
        schema, config = rows.collect_schema(), self._config
        check_free("bronze_append", schema, [*self._added(schema), DUPLICATE_OF])
        composite, payload = self._hashed(schema)
        derived = [
            row_hash(composite, schema, config.hash_algorithm).alias(COMPOSITE_HASH),
            row_hash(payload, schema, config.hash_algorithm).alias(PAYLOAD_HASH),
        ]
        if config.partition_date is not None:
            derived.append(_day(config.partition_date, schema).alias(PARTITION_DATE))
        return rows.with_columns(derived)

    def settle(self, rows: pl.LazyFrame, table: pl.LazyFrame | None, everything: Callable[[], pl.LazyFrame]) -> Settled:
        """All rows are added, copies of an earlier one marked.

        Memory: 16 bytes for each row of the batch, and its copies' texts.
        """
        schema = rows.collect_schema()
        if ROW_ID not in schema:
            raise ConfigError(
                "strategy 'bronze_append' marks a copy by the row id of the first, and these rows have none; "
                "let the stage take them from a landed table without a function that joins or groups"
            )
        pairs = _copies(rows, self._hashed(schema)[0], schema)
        marked = rows.join(pairs.lazy(), on=ROW_ID, how="left", maintain_order="left")
        notes = (
            (f"{pairs.height:,} of the rows copy others of their batch, as {DUPLICATE_OF} tells",)
            if pairs.height
            else ()
        )
        return Settled(added=marked, notes=notes)

    def _hashed(self, schema: pl.Schema) -> tuple[list[str], list[str]]:
        """Columns of the composite and of the payload hash."""
        config = self._config
        own = user_columns(schema, self._added(schema))
        composite = list(config.composite_columns or own)
        rest = [column for column in own if column not in set(composite)]
        return composite, list(config.payload_columns or rest or own)

    def _added(self, schema: pl.Schema) -> list[str]:
        dated = self._config.partition_date
        # A column of that name which is a date stays what it is.
        own = dated == PARTITION_DATE and schema[dated] == pl.Date
        return [COMPOSITE_HASH, PAYLOAD_HASH, *([PARTITION_DATE] if dated and not own else [])]


def _copies(rows: pl.LazyFrame, columns: Sequence[str], schema: pl.Schema) -> pl.DataFrame:
    """``_row_id`` and ``_duplicate_of`` of the rows that are the same in ``columns`` as one before them.

    Only rows that share a cheap key are looked at closely: hashing all of them would cost as much as writing them.
    """
    keyed = rows.select(grouping_key(columns, schema).alias(_KEY), ROW_ID).collect()
    ordered = keyed[_KEY].sort()
    shared = ordered.filter(ordered == ordered.shift()).unique()
    close = keyed.join(shared.to_frame(), on=_KEY, how="semi").select(ROW_ID).lazy()
    texts = rows.join(close, on=ROW_ID, how="semi").select(ROW_ID, canonical_text(columns, schema).alias(_TEXT))
    # Row ids grow in order of arrival.
    first: Any = pl.col(ROW_ID).min().over(_TEXT)
    found = texts.collect().select(ROW_ID, first.alias(DUPLICATE_OF))
    return found.filter(pl.col(ROW_ID) != pl.col(DUPLICATE_OF)).unique(ROW_ID)


def _day(column: str, schema: pl.Schema) -> pl.Expr:
    value, dtype = pl.col(column), schema[column]
    if dtype == pl.Date:
        return value
    if isinstance(dtype, pl.Datetime):
        instant = value.dt.convert_time_zone("UTC") if dtype.time_zone else value
        return instant.dt.date()
    if dtype == pl.String:
        iso = value.str.replace(" ", "T", literal=True)
        instant = iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)
        return pl.coalesce(instant.dt.date(), value.str.head(10).str.to_date("%Y-%m-%d", strict=False))
    raise ConfigError(
        f"strategy 'bronze_append': partition_date names {column!r}, which is of type {dtype} and tells no day; name a date, a datetime or ISO text",
        column=column,
    )
