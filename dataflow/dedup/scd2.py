"""A history table: what was the case for each key, from when, and until when."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from dataflow.dedup.columns import as_held, check_free, quoted, user_columns
from dataflow.dedup.evidence import BATCH, CURRENT, LANDED, MARK, SPAN, TABLE, Layout, Reading
from dataflow.dedup.history import AT, CONTENT, ORIGIN, REF, REST, UNTIL, VERSION, settle_ties, versions
from dataflow.dedup.registry import register_strategy
from dataflow.dedup.strategy import REASON, TABLE_ROW, Settled, Strategy
from dataflow.errors import ConfigError
from dataflow.model import Frozen, is_row_id
from dataflow.model.values import ROW_ID

_BATCH_ID = "_batch_id"
_BEGINS, _ENDS, _COUNTED = "_begins", "_ends", "_counted"


class Scd2Options(Frozen):
    """Options of ``scd2``."""

    key: tuple[str, ...] = Field(min_length=1)
    """The columns that tell whose history it is."""
    effective_at: str
    """The column that says from when on a row holds: a date, a datetime, or ISO text."""
    tracked: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The columns whose change makes a version; by default all but ``key`` and ``effective_at`` and those that begin
    with ``_``. The others keep the values with which the version began."""
    mode: Literal["upsert", "snapshot"] = "upsert"
    """``upsert``: a row tells how its key is from then on. ``snapshot``: all rows with one ``effective_at`` are all there
    is at that time; a key that the next snapshot lacks ends with it."""

    @model_validator(mode="after")
    def _roles_are_apart(self) -> Self:
        if self.effective_at in self.key:
            raise ValueError(
                f"effective_at names {self.effective_at!r}, which is in the key; a key has no history then"
            )
        if twice := [c for c in self.tracked or () if c in (*self.key, self.effective_at)]:
            raise ValueError(f"tracked names {twice[0]!r}, which is the key or effective_at; leave it out")
        return self


@register_strategy("scd2")
class Scd2(Strategy):
    """Keeps a row for each version of each key, with ``valid_from``, ``valid_to`` (null while it lasts), ``is_current``.

    A row that says what the table says already is not added. Of rows with one key and instant the greater counts, by a
    hash of what they hold. So the table does not depend on how rows are cut into batches, on the batches' order, nor on
    what is sent twice. ``_seen_at`` is the newest instant that the table had heard of when the row was written; its
    maximum tells which rows come late, also when the last batch changed nothing.
    """

    Config = Scd2Options

    def __init__(self, config: Scd2Options) -> None:
        self._config = config
        self._key = list(config.key)

    @property
    def columns(self) -> Mapping[str, Sequence[str]]:
        config = self._config
        return {"key": config.key, "effective_at": (config.effective_at,), "tracked": config.tracked or ()}

    @property
    def retells(self) -> Mapping[str, Sequence[str]]:
        return dict.fromkeys((AT, UNTIL, MARK), (self._config.effective_at,))

    @property
    def unique_by(self) -> tuple[str, ...]:
        return (*self._config.key, AT)

    @property
    def rules(self) -> Sequence[Mapping[str, Any]]:
        known = {f"key_{column}_is_known": column for column in self._key} | {"effective_at_is_known": AT}
        return [
            {"name": name, "predicate": f"{quoted(column)} IS NOT NULL", "on_fail": "quarantine"}
            for name, column in known.items()
        ]

    def derive(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        schema, column = rows.collect_schema(), self._config.effective_at
        check_free("scd2", schema, (AT, UNTIL, CURRENT, MARK, CONTENT, REST, REF, _BEGINS, _ENDS))
        return rows.with_columns(_instant(column, schema[column]).alias(AT))

    def settle(self, rows: pl.LazyFrame, table: pl.LazyFrame | None, everything: Callable[[], pl.LazyFrame]) -> Settled:
        mark = None if table is None else table.select(pl.col(MARK).max()).collect().item()
        if table is None or mark is None:
            return self._begun(rows)
        held = table.collect_schema()
        told = [*self._key, AT]
        rows, landed = as_held(rows, held, told), lambda: as_held(everything(), held, told)
        layout = self._layout(rows)
        batch = layout.observe(rows, BATCH).collect()
        evidence = Reading(layout, batch, table, landed, mark, self._config.mode == "snapshot").evidence()
        observed = settle_ties(evidence.observations, self._key)
        found = versions(observed, self._key, evidence.times)
        newest = batch.select(pl.max_horizontal(pl.col(AT).max(), pl.lit(mark, layout.at))).item()
        added = self._added(rows, found, newest)
        kept = self._kept(evidence.held, found)
        gone = evidence.held.join(kept, on=[*self._key, AT], how="anti")
        moved = found.filter(pl.col(ORIGIN) != BATCH).join(kept, on=[*self._key, AT], how="anti")
        if newest > mark and found.height == kept.height and gone.is_empty():
            gone = moved = self._bearer(table, mark)
        return Settled(
            added,
            self._dropped(batch, observed, found),
            replaced=gone.lazy().select(TABLE_ROW),
            rewritten=self._rewritten(table, landed, layout, moved, newest),
            notes=evidence.notes,
        )

    def _begun(self, rows: pl.LazyFrame) -> Settled:
        """A table's first rows, or all of them."""
        batch = self._layout(rows).observe(rows, BATCH).collect()
        observed = settle_ties(batch, self._key)
        found = versions(observed, self._key, batch[AT] if self._config.mode == "snapshot" else None)
        return Settled(self._added(rows, found, batch[AT].max()), self._dropped(batch, observed, found))

    def _layout(self, rows: pl.LazyFrame) -> Layout:
        schema, config = rows.collect_schema(), self._config
        apart = (*self._key, config.effective_at)
        tracked = config.tracked or [column for column in user_columns(schema, (AT,)) if column not in apart]
        # Of texts several say the same instant; other types are the instant.
        told = (*self._key, *tracked, *(() if schema[config.effective_at] == pl.String else (config.effective_at,)))
        rest = [c for c in schema if c not in (*told, AT, _BATCH_ID) and not is_row_id(c)]
        return Layout(self._key, list(tracked), rest, schema[AT])

    def _added(self, rows: pl.LazyFrame, found: pl.DataFrame, newest: Any) -> pl.LazyFrame:
        begun = _spans(found.filter(pl.col(ORIGIN) == BATCH), REF)
        return _stamped(rows.with_row_index(REF).join(begun, on=REF, maintain_order="left"), newest).drop(REF)

    def _dropped(self, batch: pl.DataFrame, observed: pl.DataFrame, found: pl.DataFrame) -> pl.LazyFrame:
        others = batch.join(found.select(REF), on=REF, how="anti")
        counted = observed.select(*self._key, AT, pl.col(CONTENT).alias(_COUNTED))
        told = others.lazy().join(counted.lazy(), on=[*self._key, AT], how="left", maintain_order="left")
        differs = pl.col(_COUNTED) != pl.col(CONTENT)
        reason = (
            pl.when(differs).then(pl.lit("another row of this key and instant counts")).otherwise(pl.lit("unchanged"))
        )
        ids = [ROW_ID] if ROW_ID in batch.columns else []
        return told.select(*ids, *self._key, pl.col(AT).alias(self._config.effective_at), reason.alias(REASON))

    def _kept(self, held: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
        """The versions of the table that come out as they are."""
        on = [*self._key, AT, UNTIL]
        own = found.filter(pl.col(ORIGIN) == TABLE)
        return held.join(own, on=on, how="semi", nulls_equal=True).select(*self._key, AT)

    def _bearer(self, table: pl.LazyFrame, mark: Any) -> pl.DataFrame:
        """One row of the table, which is written again for nothing but its ``_seen_at``: it is all that a batch without news leaves.

        It is the one that came last: the next such batch finds it in the small file that this one writes.
        """
        last = table.filter(pl.col(MARK) == mark).select(*self._key, AT, UNTIL, TABLE_ROW).top_k(1, by=TABLE_ROW)
        return last.with_columns(pl.lit(TABLE, pl.Int8).alias(ORIGIN), pl.col(AT).alias(VERSION)).collect()

    def _rewritten(
        self, table: pl.LazyFrame, landed: Callable[[], pl.LazyFrame], layout: Layout, moved: pl.DataFrame, newest: Any
    ) -> pl.LazyFrame:
        """The rows of ``moved``: versions of the table with other ends, landed rows of which no version began so far."""
        columns = [column for column in table.collect_schema() if column != TABLE_ROW]
        own = _spans(moved.filter(pl.col(ORIGIN).is_in([TABLE, SPAN])), *self._key, VERSION)
        found = table.join(own, left_on=[*self._key, AT], right_on=[*self._key, VERSION])
        kept = _stamped(found, newest).select(columns)
        late = moved.filter(pl.col(ORIGIN) == LANDED)
        if late.is_empty():
            return kept
        what = [*self._key, AT, CONTENT, REST]
        told = layout.named(landed().join(late.lazy(), on=[*self._key, AT], how="semi"))
        rows = told.join(_spans(late, *what), on=what, nulls_equal=True).unique([*self._key, AT], keep="any")
        absent = [pl.lit(None).alias(column) for column in columns if column not in rows.collect_schema()]
        stamped = _stamped(rows.with_columns(absent), newest)
        return pl.concat([kept, stamped.select(columns)], how="vertical_relaxed")


def _spans(found: pl.DataFrame, *by: str) -> pl.LazyFrame:
    """From when until when the versions of ``found`` last."""
    return found.lazy().select(*by, pl.col(AT).alias(_BEGINS), pl.col(UNTIL).alias(_ENDS))


def _stamped(rows: pl.LazyFrame, newest: Any) -> pl.LazyFrame:
    """``rows`` with the columns that tell when they hold, from those that ``_spans`` gave them."""
    begins, ends = pl.col(_BEGINS), pl.col(_ENDS)
    dtype = rows.collect_schema()[_BEGINS]
    stamps = (begins.alias(AT), ends.alias(UNTIL), ends.is_null().alias(CURRENT), pl.lit(newest, dtype).alias(MARK))
    return rows.with_columns(stamps).drop(_BEGINS, _ENDS)


def _instant(column: str, dtype: pl.DataType) -> pl.Expr:
    """The column as an instant, null where it tells none.

    Errors: ConfigError for a type that is neither a time nor text.
    """
    value = pl.col(column)
    if isinstance(dtype, pl.Date):
        return value
    if isinstance(dtype, pl.Datetime):
        utc = value.dt.convert_time_zone("UTC") if dtype.time_zone else value
        return utc.dt.cast_time_unit("us")
    if not isinstance(dtype, pl.String):
        raise ConfigError(
            f"strategy 'scd2': effective_at names {column!r}, which is of type {dtype}; it takes a date, a datetime, or "
            "text like 2026-01-31 or 2026-01-31T12:00:00Z; cast it before, in a stage with a function",
            column=column,
        )
    text = value.str.replace(r"^(\d{4}-\d\d-\d\d)$", "${1}T00:00").str.replace(r"^(\d{4}-\d\d-\d\d)[ t]", "${1}T")
    text = text.str.replace(r"[Zz]$", "+00:00").str.replace(r"T(\d\d:\d\d)($|[+-])", "T$1:00$2")
    text = text.str.replace(r"(:\d\d(?:\.\d+)?[+-]\d\d)$", "${1}:00")
    zoned = pl.when(text.str.contains(r"[+-]\d\d:?\d\d$")).then(text).otherwise(text + "+00:00")
    return zoned.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", time_zone="UTC", strict=False)
