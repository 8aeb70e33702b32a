"""A table or a query of any database that SQLAlchemy knows, by a cursor; what a cursor misses is found by counting.

Each pull sees one moment of the database: rows and counts belong together.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, NamedTuple, Self

import polars as pl
from pydantic import Field, model_validator

from dataflow.errors import ConfigError, DataFlowError, SourceError
from dataflow.incremental.cursors import CursorConfig, Lag, Value, to_json
from dataflow.incremental.overlap import distinct
from dataflow.lake.pulls import SpooledFile
from dataflow.model import Frozen, RuleResult
from dataflow.sources.cursored import CursorSource, There
from dataflow.sources.database_errors import database_failure
from dataflow.sources.pages import from_columns
from dataflow.sources.registry import register_source
from dataflow.sources.relation import Relation, snapshot
from dataflow.sources.spooled import Pull


class ReconcileConfig(Frozen):
    """Counting rows at the source and those that we hold, after each pull."""

    over: Lag | None = None
    """So far behind the position rows are counted; by default all of them."""
    on_missing: Literal["warn", "read_again"] = "warn"
    """What is done about missed rows: people are told, or they are fetched too."""


class DatabaseConfig(Frozen):
    """Options of ``type: database``."""

    url: str = Field(min_length=1, repr=False)
    """The database, as SQLAlchemy writes it. Write secrets as ``${VAR}``."""
    table: str | None = Field(default=None, min_length=1)
    """A table or a view, as ``schema.table`` where needed; or a ``query``."""
    query: str | None = Field(default=None, min_length=1)
    """A SELECT; or a ``table``."""
    columns: tuple[str, ...] = ()
    """These columns alone; by default all."""
    cursor: CursorConfig | None = None
    """What tells new rows; without it everything is read each time."""
    page_rows: int = Field(default=50_000, ge=1)
    """So many rows are in memory at a time."""
    reconcile: ReconcileConfig | None = None
    """Count at the source after each pull whether rows were missed."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("give either `table` or `query`")
        if self.cursor is not None and self.columns:
            needed = (self.cursor.column, *(self.cursor.key or ()))
            if missing := [name for name in needed if name not in self.columns]:
                raise ValueError(f"`columns` lacks {missing[0]!r}, which `cursor` needs")
        if self.reconcile is not None and self.cursor is None:
            raise ValueError("`reconcile` counts by a cursor; set `cursor`, or leave it out")
        return self


class Counted(NamedTuple):
    """Rows that were counted at the source."""

    since: Value | None
    """From this value of the cursor on."""
    rows: int
    key: tuple[str, ...]
    """What names a row."""


@register_source("database")
class DatabaseSource(CursorSource):
    """Reads what is new in a table or a query since the last time."""

    Config: ClassVar[type[Frozen]] = DatabaseConfig
    config: DatabaseConfig

    def __init__(self, name: str, config: DatabaseConfig) -> None:
        super().__init__(name, config)
        self._declared: dict[str, pl.DataType] = {}
        self._counted: Counted | None = None
        self._whole_range = False
        """Whether all that was counted is asked again, whatever the lag."""
        self._notes: list[RuleResult] = []

    @property
    def cursor(self) -> CursorConfig | None:
        """The one that is configured."""
        return self.config.cursor

    def there(self, since: Value | None) -> There:
        """What the database has at or after ``since``; None: with any value of the cursor."""
        assert self.cursor is not None
        column = self.cursor.column
        with self._connected() as relation:
            key = self._key(relation, self.config.columns or relation.names, self.cursor)
            nulls = self.cursor.nulls == "every_time" and since is None
            rows = relation.count(relation.since(column, since, nulls=nulls, exactly=True))
            return There(relation.least(column, since), rows, key)

    def declared(self) -> Mapping[str, pl.DataType]:
        """The types of a table's columns."""
        return self._declared

    def pull(self, state: dict[str, Any] | None) -> Pull:
        """What is new in the table or the query."""
        page = [1]
        with self._connected(page) as relation:
            names = list(self.config.columns or relation.names)
            relation.check(names, "`columns`", self.name)
            if self.cursor is not None:
                return (yield from self._new(relation, self.cursor, names, self.reached(state), page))
            for found in relation.pages(names, None, _stable(relation, names), self.config.page_rows):
                yield from_columns(found.items())
                page[0] += 1
            return None

    def _new(
        self, relation: Relation, cursor: CursorConfig, names: list[str], position: Value | None, page: list[int]
    ) -> Pull:
        key = self._key(relation, names, cursor)
        self._judge_nulls(relation, cursor)
        since = None if position is None else self.back(position, cursor.lag, "cursor.lag")
        if self.config.reconcile is not None:
            self._counted = self._count(relation, cursor, key, position, self.config.reconcile.over)
            since = self._counted.since if self._whole_range else since
        overlap = self.overlap(names, key, since)
        where = relation.since(cursor.column, since, nulls=cursor.nulls == "every_time")
        for found in relation.pages(names, where, list(dict.fromkeys((cursor.column, *key))), self.config.page_rows):
            position = self.further(position, found[cursor.column])
            if position is not None:
                # A lag that such values cannot have is refused by the first pull, not by the second.
                self.back(position, cursor.lag, "cursor.lag")
            yield overlap.fresh(from_columns(found.items()))
            page[0] += 1
        return None if position is None else {"position": self.mark(position)}

    @contextmanager
    def _connected(self, page: Sequence[int] = ()) -> Generator[Relation]:
        try:
            with snapshot(self.config.url, self.name) as connection:
                relation = self._relation(connection)
                self._declared = relation.declared()
                yield relation
        except DataFlowError:
            raise
        except Exception as error:
            what = f"source {self.name!r}: {self.config.table or 'its query'}{f', page {page[0]},' if page else ''}"
            raise database_failure(what, error, self.name) from error

    def _relation(self, connection: Any) -> Relation:
        if self.config.table is not None:
            return Relation.of_table(connection, self.config.table, self.name)
        return Relation.of_query(connection, self.config.query or "", self.name)

    def _key(self, relation: Relation, names: Sequence[str], cursor: CursorConfig) -> tuple[str, ...]:
        relation.check([cursor.column], "`cursor.column`", self.name)
        relation.check(cursor.key or (), "`cursor.key`", self.name)
        key = cursor.key
        if key is None:
            key = relation.primary_key if set(relation.primary_key) <= set(names) else ()
        if self.config.reconcile is not None and not key:
            raise ConfigError(
                f"source {self.name!r}: `reconcile` counts keys, but no column is known that names a row; set `cursor.key`",
                source=self.name,
            )
        return key

    def _judge_nulls(self, relation: Relation, cursor: CursorConfig) -> None:
        if cursor.nulls == "every_time" or cursor.column in relation.required or self._whole_range:
            return
        count = relation.count(relation.asked.c[cursor.column].is_(None))
        if count and cursor.nulls == "refuse":
            raise SourceError(
                f"source {self.name!r}: {_rows(count)} without a value in the cursor {cursor.column!r}: nothing tells whether "
                "they are new; fill them in, take another column, or set `cursor.nulls` to every_time or ignore",
                source=self.name,
            )
        if count:
            self._told("rows without a cursor", 0, count, f"{_rows(count)} without {cursor.column!r}: ignored")

    def fetch(self) -> tuple[SpooledFile, ...]:
        """Ask for what is new and keep it; then see whether rows were missed."""
        self._notes, self._counted = [], None
        files = super().fetch()
        missing = self._missing()
        if missing and self.config.reconcile is not None and self.config.reconcile.on_missing == "read_again":
            self._whole_range = True
            try:
                files += super().fetch()
            finally:
                self._whole_range = False
            found = missing - self._missing()
            self._told(
                "missed rows",
                0,
                missing,
                f"{_rows(found)} had been missed, and {'was' if found == 1 else 'were'} read again",
            )
            missing = self._missing()
        if missing:
            self._tell_missing(missing)
        self.findings = tuple(self._notes)
        return files

    def _count(
        self, relation: Relation, cursor: CursorConfig, key: tuple[str, ...], position: Value | None, over: Lag | None
    ) -> Counted:
        since = None if position is None or over is None else self.back(position, over, "reconcile.over")
        return Counted(since, relation.count(relation.since(cursor.column, since, exactly=True)), key)

    def _missing(self) -> int:
        """How many of the rows that were counted are not held; updated ones are held more than once, and count once."""
        if self._counted is None:
            return 0
        held = distinct(self.held(self.spool.files(), self._counted.since), self._counted.key)
        return max(0, self._counted.rows - held)

    def _tell_missing(self, missing: int) -> None:
        assert self._counted is not None
        assert self.cursor is not None
        since, rows = self._counted.since, self._counted.rows
        where = "" if since is None else f" with {self.cursor.column!r} from {to_json(since)} on"
        self._told(
            "missed rows",
            missing,
            rows,
            f"the database has {_rows(rows)}{where}, but {rows - missing:,} of them are held: {_rows(missing)} came later than "
            "`cursor.lag` allows; set a greater lag, and an earlier position or `reconcile.on_missing: read_again`",
        )

    def _told(self, rule: str, failed: int, checked: int, text: str) -> None:
        self._notes.append(
            RuleResult(
                rule=rule,
                severity="critical" if failed else "info",
                route="warn",
                scope="table",
                success=not failed,
                checked=checked,
                failed=failed,
                statement=text,
            )
        )


def _stable(relation: Relation, names: Sequence[str]) -> list[str]:
    # Else what did not change may come in another order, and look changed.
    return [name for name in relation.primary_key if name in names]


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
