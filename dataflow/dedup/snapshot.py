"""Full dumps without change marks: the table is the last one, and beside it stands what changed from dump to dump."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from dataflow.dedup.columns import as_held, check_free, quoted, user_columns
from dataflow.dedup.evidence import BATCH, TABLE, Layout
from dataflow.dedup.history import AT, CONTENT, ORIGIN, REF, REST, SEEN, UNTIL, VERSION
from dataflow.dedup.registry import register_strategy
from dataflow.dedup.snapshot_diff import CHANGE, Diff
from dataflow.dedup.strategy import TABLE_ROW, Settled, Strategy
from dataflow.errors import ConfigError, StageFailed
from dataflow.model import ROWS_PER_FILE, Frozen, is_row_id
from dataflow.model.values import ROW_ID

SNAPSHOT, MARK, DELETED = "_snapshot", "_seen_snapshot", "_deleted_in"
_BATCH_ID = "_batch_id"
_TOLD = "_told_in"
_INTERNAL = (CONTENT, REST, REF, ORIGIN, VERSION, AT, UNTIL, SEEN)
"""What the algebra calls its columns; keys stand beside them."""


class SnapshotOptions(Frozen):
    """Options of ``snapshot``."""

    key: tuple[str, ...] = Field(min_length=1)
    """The columns that tell which row of one snapshot is which of the next."""
    snapshot_by: str | None = None
    """The column that tells the snapshot of a row, and by its order that of the snapshots: a date, a time, a number, or
    text that sorts. By default each landed file is one, in the order in which they were first seen."""
    ignore: tuple[str, ...] = ()
    """Columns whose change alone is none; they keep the values with which the row came or last changed."""
    deletes: Literal["delete", "mark", "keep"] = "delete"
    """Rows that the next snapshot lacks: ``delete`` takes them out, ``mark`` writes the snapshot that lacks them into
    ``_deleted_in``, ``keep`` lets them be."""
    min_share: float = Field(default=0.5, ge=0, le=1)
    """A snapshot with fewer rows than this share of the one before is taken for incomplete, and refused."""
    changes: bool = True
    """Whether ``<stage>__changes`` tells each insert, update and delete."""

    @model_validator(mode="after")
    def _roles_are_apart(self) -> Self:
        if self.snapshot_by in self.key:
            raise ValueError(
                f"snapshot_by names {self.snapshot_by!r}, which is in the key; no row would be in two snapshots"
            )
        if twice := [c for c in self.ignore if c in (*self.key, self.snapshot_by)]:
            raise ValueError(f"ignore names {twice[0]!r}, which is the key or snapshot_by; leave it out")
        return self


@register_strategy("snapshot")
class Snapshot(Strategy):
    """The rows of the newest snapshot, of which those that did not change are not written again.

    ``_snapshot`` is the snapshot with which a row came as it is. ``_seen_snapshot`` is the newest that the table had
    heard of when the row was written; its maximum tells which rows come late, also when the last snapshot changed
    nothing. Late snapshots change nothing. Of rows with one key in one snapshot the greater counts, by a hash.
    """

    Config = SnapshotOptions

    def __init__(self, config: SnapshotOptions) -> None:
        self._config = config
        self._key = list(config.key)

    @property
    def columns(self) -> Mapping[str, Sequence[str]]:
        config = self._config
        by = (config.snapshot_by,) if config.snapshot_by else ()
        named = {"key": config.key, "snapshot_by": by, "ignore": config.ignore}
        return {option: columns for option, columns in named.items() if columns}

    @property
    def retells(self) -> Mapping[str, Sequence[str]]:
        by = self._config.snapshot_by
        return dict.fromkeys((SNAPSHOT, MARK, DELETED), (by,)) if by else {}

    @property
    def unique_by(self) -> tuple[str, ...]:
        return self._config.key

    @property
    def rules(self) -> Sequence[Mapping[str, Any]]:
        known = {f"key_{column}_is_known": column for column in self._key} | {"snapshot_by_is_known": SNAPSHOT}
        return [
            {"name": name, "predicate": f"{quoted(column)} IS NOT NULL", "on_fail": "quarantine"}
            for name, column in known.items()
        ]

    def derive(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """``rows`` with ``_snapshot``.

        Errors: ConfigError for rows that have such a column already, and for rows that do not tell their snapshot.
        """
        schema, by = rows.collect_schema(), self._config.snapshot_by
        check_free("snapshot", schema, (SNAPSHOT, MARK, DELETED, CHANGE, CONTENT, REST, REF))
        check_free("snapshot", self._key, _INTERNAL)
        if by is None:
            if ROW_ID not in schema:
                raise ConfigError(
                    "strategy 'snapshot' takes each landed file for a snapshot, and these rows do not tell their file; "
                    "name the column that tells the snapshot (`snapshot_by`), or let the stage take them from a landed table "
                    "without a function that joins or groups"
                )
            return rows.with_columns(pl.col(ROW_ID).floordiv(ROWS_PER_FILE).alias(SNAPSHOT))
        if schema[by].is_nested() or schema[by].base_type() in (pl.Boolean, pl.Categorical, pl.Enum, pl.Binary):
            raise ConfigError(
                f"strategy 'snapshot': snapshot_by names {by!r}, which is of type {schema[by]}; it takes a date, a time, a "
                "number or text that sorts; cast it before, in a stage with a function",
                column=by,
            )
        return rows.with_columns(pl.col(by).alias(SNAPSHOT))

    def settle(self, rows: pl.LazyFrame, table: pl.LazyFrame | None, everything: Callable[[], pl.LazyFrame]) -> Settled:
        """New and changed rows of the newest snapshot are added; the table's that it lacks or has otherwise go.

        Memory: key and a hash of each row of the batch and of the table.
        Errors: StageFailed for a snapshot that looks incomplete.
        """
        mark = None if table is None else table.select(pl.col(MARK).max()).collect().item()
        if table is None or mark is None:
            layout = self._layout(rows)
            return self._settled(rows, None, Diff(layout, layout.observe(rows, BATCH).collect(), self._whole))
        rows = as_held(rows, table.collect_schema(), [*self._key, SNAPSHOT])
        layout = self._layout(rows)
        known = layout.observe(table, TABLE).collect()
        there = known.filter(pl.col(DELETED).is_null()) if self._marks else known
        diff = Diff(layout, layout.observe(rows, BATCH).collect(), self._whole, there, mark)
        stay = there.join(diff.kept(), on=self._key, how="semi")
        gone = pl.concat([there.join(stay, on=self._key, how="anti"), self._back(known, there, diff)])
        told = self._newly_deleted(diff)
        if diff.newest > mark and self._added(diff).is_empty() and told.is_empty():
            # One row is written again for nothing but its ``_seen_snapshot``. It is the one that came last: the next such
            # batch finds it in the small file that this one writes.
            bearer = stay.top_k(1, by=TABLE_ROW)
            gone, told = pl.concat([gone, bearer]), bearer.select(*self._key, pl.lit(None, layout.at).alias(_TOLD))
        return replace(
            self._settled(rows, table, diff),
            replaced=gone.lazy().select(TABLE_ROW),
            deleted=gone.join(pl.concat([self._added(diff), told], how="diagonal"), on=self._key, how="anti").height,
            rewritten=self._rewritten(table, told, diff.newest),
        )

    @property
    def _whole(self) -> bool:
        return self._config.deletes != "keep"

    @property
    def _marks(self) -> bool:
        return self._config.deletes == "mark"

    def _layout(self, rows: pl.LazyFrame) -> Layout:
        schema, config = rows.collect_schema(), self._config
        apart = [*self._key, *config.ignore, *([config.snapshot_by] if config.snapshot_by else [])]
        tracked = [column for column in user_columns(schema) if column not in apart]
        rest = [c for c in schema if c not in (*self._key, *tracked, config.snapshot_by, SNAPSHOT, _BATCH_ID)]
        also = (TABLE_ROW, DELETED) if self._marks else (TABLE_ROW,)
        return Layout(self._key, tracked, [c for c in rest if not is_row_id(c)], schema[SNAPSHOT], SNAPSHOT, also)

    def _settled(self, rows: pl.LazyFrame, table: pl.LazyFrame | None, diff: Diff) -> Settled:
        """What the batch's rows come to, and what they tell of."""
        self._check_whole(diff)
        found = self._added(diff)
        stamps = found.lazy().select(REF, pl.col(UNTIL).alias(_TOLD))
        added = rows.with_row_index(REF).join(stamps, on=REF, maintain_order="left").drop(REF)
        dropped = diff.dropped(found).lazy().rename({AT: self._config.snapshot_by or SNAPSHOT})
        changes = diff.changes()
        return Settled(
            added=self._stamped(added, diff.newest),
            dropped=dropped,
            changes=_told(rows, table, changes, self._key) if self._config.changes else None,
            notes=_notes(changes, diff),
        )

    def _check_whole(self, diff: Diff) -> None:
        share = pl.col("rows") < self._config.min_share * pl.col("rows").shift(1)
        found = diff.sizes.with_columns(pl.col("rows").shift(1).alias("before")).filter(share)
        if self._whole and found.height:
            at, rows, before = found.row(0)
            which = f"{self._config.snapshot_by} '{at}'" if self._config.snapshot_by else f"file number {at}"
            raise StageFailed(
                f"strategy 'snapshot': the snapshot of {which} has {rows:,} rows, the one before it {before:,}; less than "
                f"min_share ({self._config.min_share:g}) of these looks incomplete, and {before - rows:,} rows or more would be "
                "deleted. Nothing is changed; deliver it again as a whole, or lower min_share if it is right"
            )

    def _added(self, diff: Diff) -> pl.DataFrame:
        """The versions that begin with rows of the batch and are in the table from now on."""
        found = diff.last.filter(pl.col(ORIGIN) == BATCH)
        return found if self._marks else found.filter(pl.col(UNTIL).is_null())

    def _newly_deleted(self, diff: Diff) -> pl.DataFrame:
        """Rows of the table that stay and are marked."""
        ended = diff.last.filter((pl.col(ORIGIN) == TABLE) & pl.col(UNTIL).is_not_null())
        found = ended.select(*self._key, pl.col(UNTIL).alias(_TOLD))
        return found if self._marks else found.clear()

    def _back(self, known: pl.DataFrame, there: pl.DataFrame, diff: Diff) -> pl.DataFrame:
        """Marked rows of the table for which others come."""
        marked = known.join(there, on=self._key, how="anti")
        return marked.join(self._added(diff), on=self._key, how="semi")

    def _rewritten(self, table: pl.LazyFrame, told: pl.DataFrame, newest: Any) -> pl.LazyFrame:
        found = table.drop(TABLE_ROW).join(told.lazy(), on=self._key)
        return self._stamped(found, newest).select(c for c in table.collect_schema() if c != TABLE_ROW)

    def _stamped(self, rows: pl.LazyFrame, newest: Any) -> pl.LazyFrame:
        """``rows`` with what they say of snapshots, from ``_TOLD``."""
        dtype = rows.collect_schema()[SNAPSHOT]
        marked = [pl.col(_TOLD).cast(dtype).alias(DELETED)] if self._marks else []
        return rows.with_columns(*marked, pl.lit(newest, dtype).alias(MARK)).drop(_TOLD)


def _told(rows: pl.LazyFrame, table: pl.LazyFrame | None, changes: pl.DataFrame, key: Sequence[str]) -> pl.LazyFrame:
    """The rows that came, changed and went, with ``CHANGE``, and in ``SNAPSHOT`` the snapshot that tells of it."""
    schema, told = rows.collect_schema(), changes.lazy().select(*key, REF, ORIGIN, CHANGE, pl.col(AT).alias(_TOLD))
    ours = told.filter(pl.col(ORIGIN) == BATCH).select(REF, CHANGE, _TOLD)
    found = [rows.with_row_index(REF).join(ours, on=REF, how="inner", maintain_order="left").drop(REF)]
    if table is not None:
        theirs = told.filter(pl.col(ORIGIN) == TABLE).select(*key, CHANGE, _TOLD)
        columns = [column for column in table.collect_schema() if column in schema]
        left = table.select(columns).join(theirs, on=list(key)).cast({column: schema[column] for column in columns})
        found.append(left)
    return pl.concat(found, how="diagonal").with_columns(pl.col(_TOLD).alias(SNAPSHOT)).drop(_TOLD)


def _notes(changes: pl.DataFrame, diff: Diff) -> tuple[str, ...]:
    counts = dict(changes.group_by(CHANGE).len().iter_rows())
    told = ", ".join(f"{counts.get(kind, 0):,} {kind}s" for kind in ("insert", "update", "delete"))
    snapshots = diff.batch[AT].n_unique()
    return (f"{snapshots} snapshot{'' if snapshots == 1 else 's'}: {told}",)
