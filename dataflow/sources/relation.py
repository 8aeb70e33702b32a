"""A table or a query of a database, as one snapshot of it shows: its columns, its rows in pages, their number."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, cast

import polars as pl
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from dataflow.errors import ConfigError, SourceError, hint
from dataflow.incremental.cursors import Value
from dataflow.model.secrets import hide

_BYTEWISE = {"postgresql": "C", "sqlite": "BINARY", "mysql": "utf8mb4_bin", "mariadb": "utf8mb4_bin"}
"""The collations that order text as we do."""
_PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w+(?!:))")
"""What SQLAlchemy would take for the beginning of a parameter: a query of ours has none."""


@contextmanager
def snapshot(url: str, source: str) -> Generator[sa.Connection]:
    """A connection that sees the database as it is at one moment, where the database can do that, and changes nothing.

    Errors: ConfigError for an address that cannot be used; SQLAlchemy's where the database does not answer.
    """
    engine = _engine(url, source)
    try:
        levels: Sequence[str] = engine.dialect.get_isolation_level_values(None)  # pyright: ignore[reportArgumentType]
        options: dict[str, Any] = {"isolation_level": "REPEATABLE READ"} if "REPEATABLE READ" in levels else {}
        if engine.dialect.name == "postgresql":
            options["postgresql_readonly"] = True
        with engine.connect().execution_options(**options) as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA query_only = ON")
                connection.exec_driver_sql("BEGIN")
            yield connection
    finally:
        engine.dispose()


def _engine(text: str, source: str) -> sa.Engine:
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError):
        raise ConfigError(
            f"source {source!r}: `url` is no address of a database; write it like postgresql://user:${{PASSWORD}}@host/database "
            "or sqlite:////folder/file.db",
            source=source,
        ) from None
    hide([text, *([str(url.password)] if url.password else [])])
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if (
        url.get_backend_name() == "sqlite"
        and (url.database or ":memory:") != ":memory:"
        and not os.path.isfile(str(url.database))
    ):
        # SQLite would make one.
        raise SourceError(f"source {source!r}: there is no file {url.database}; mend `url`", source=source)
    try:
        return sa.create_engine(url, poolclass=NullPool, hide_parameters=True)
    except (exc.NoSuchModuleError, ModuleNotFoundError) as error:
        extra = "dataflow-lake[postgres]" if url.get_backend_name() == "postgresql" else "the package of its driver"
        raise ConfigError(
            f"source {source!r}: databases of type {url.drivername} need a driver that is not installed ({error}); install {extra}",
            source=source,
        ) from error


@dataclass
class Relation:
    """What is asked; made by ``of_table`` and ``of_query``."""

    connection: sa.Connection
    asked: Any
    """What stands after FROM."""
    names: list[str]
    types: dict[str, Any] = field(default_factory=dict[str, Any])
    """Of a table, its columns' types."""
    primary_key: tuple[str, ...] = ()
    required: frozenset[str] = frozenset()
    """Columns that are never null."""

    @classmethod
    def of_table(cls, connection: sa.Connection, name: str, source: str) -> Relation:
        """A table or a view; ``schema.table`` where it is not in the user's own schema.

        Errors: ConfigError where there is none.
        """
        schema, _, table = name.rpartition(".")
        look = sa.inspect(connection)
        try:
            columns = look.get_columns(table, schema=schema or None)
        except exc.NoSuchTableError:
            known = [*look.get_table_names(schema=schema or None), *look.get_view_names(schema=schema or None)]
            raise ConfigError(
                f"source {source!r}: there is no table {name!r} in the database{hint(table, known)}", source=source
            ) from None
        types = {column["name"]: _raw(column["type"], connection.dialect.name) for column in columns}
        found = sa.table(table, *(sa.column(n, t) for n, t in types.items()), schema=schema or None)
        key = tuple(look.get_pk_constraint(table, schema=schema or None).get("constrained_columns") or ())
        required = frozenset(column["name"] for column in columns if not column["nullable"])
        return cls(connection, found, list(types), types, key, required)

    @classmethod
    def of_query(cls, connection: sa.Connection, query: str, source: str) -> Relation:
        """A query, which becomes a subquery of what is asked.

        Errors: ConfigError where it gives one name to two columns.
        """
        # A line of its own: it may end with a comment.
        text = sa.text(_PARAMETER.sub(r"\\:", query.strip().rstrip(";")) + "\n")
        everything: Any = sa.select(cast(Any, sa.literal_column("*"))).select_from(text.columns().subquery("asked"))
        names = [str(name) for name in connection.execute(everything.limit(0)).keys()]  # noqa: SIM118
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ConfigError(
                f"source {source!r}: its query gives two columns {twice!r}; name one otherwise", source=source
            )
        return cls(connection, text.columns(*(cast(Any, sa.column(n)) for n in names)).subquery("asked"), names)

    def check(self, names: Sequence[str], option: str, source: str) -> None:
        """Look whether there are such columns.

        Errors: ConfigError that names the nearest.
        """
        for name in names:
            if name not in self.names:
                raise ConfigError(
                    f"source {source!r}: {option} names a column {name!r} that is not there{hint(name, self.names)}",
                    source=source,
                )

    def declared(self) -> dict[str, pl.DataType]:
        """The types of a table's columns, where one of ours holds all that theirs does."""
        found = {name: _declared(dtype) for name, dtype in self.types.items()}
        return {name: dtype for name, dtype in found.items() if dtype is not None}

    def pages(
        self, columns: Sequence[str], where: Any | None, order_by: Sequence[str], page_rows: int
    ) -> Generator[dict[str, list[Any]]]:
        """The rows' values by column, ``page_rows`` rows at a time."""
        asked = sa.select(*(self.asked.c[name] for name in columns)).order_by(*(self._ordered(n) for n in order_by))
        if where is not None:
            asked = asked.where(where)
        streamed = self.connection.execution_options(stream_results=True, max_row_buffer=page_rows)
        with streamed.execute(asked) as result:
            for rows in result.partitions(page_rows):
                yield dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))

    def count(self, where: Any | None) -> int:
        """How many rows there are; None: in all."""
        counted = sa.select(sa.func.count()).select_from(self.asked)
        return int(self.connection.execute(counted if where is None else counted.where(where)).scalar_one())

    def least(self, column: str, since: Value | None) -> Any:
        """The least value of a column at or after ``since``; None where there is none."""
        where: Any = self.since(column, since)
        return self.connection.execute(
            sa.select(self._ordered(column)).where(where).order_by(self._ordered(column)).limit(1)
        ).scalar()

    def since(self, column: str, value: Value | None, *, nulls: bool = False, exactly: bool = False) -> Any | None:
        """The condition on rows at or after ``value``, None: with any; with ``nulls`` those without one too."""
        if value is None:
            return None if nulls else self.asked.c[column].is_not(None)
        found = self.at_or_after(column, value, exactly=exactly)
        return found | self.asked.c[column].is_(None) if nulls else found

    def at_or_after(self, column: str, value: Value, *, exactly: bool = False) -> Any:
        """The condition on a cursor; where the database keeps times as text, a few rows before may fulfil it too.

        ``exactly`` costs the database the use of an index there.
        """
        found = self.asked.c[column]
        if self.connection.dialect.name == "sqlite" and isinstance(value, date):
            # Text that may or may not have parts of seconds: the second's beginning is before all of them.
            text = value.strftime("%Y-%m-%d %H:%M:%S" if isinstance(value, datetime) else "%Y-%m-%d")
            return (sa.func.datetime(found) if exactly else sa.type_coerce(found, sa.String())) >= text
        return self._ordered(column, value) >= value

    def _ordered(self, column: str, value: Value | None = None) -> Any:
        found, name = self.asked.c[column], self.connection.dialect.name
        dtype = self.types.get(column)
        text = isinstance(value, str) or (isinstance(dtype, sa.String) and not isinstance(dtype, sa.Enum))
        return sa.collate(found, _BYTEWISE[name]) if text and name in _BYTEWISE else found


def _raw(dtype: Any, dialect: str) -> Any:
    """A column's type for reading it: SQLite has floats where a table says decimals."""
    return sa.Float() if dialect == "sqlite" and isinstance(dtype, sa.Numeric) else dtype


def _declared(dtype: Any) -> pl.DataType | None:
    if isinstance(dtype, sa.DateTime):
        return pl.Datetime("us", "UTC" if dtype.timezone else None)
    if isinstance(dtype, sa.Numeric) and not isinstance(dtype, sa.Float):
        exact = dtype.precision is not None and dtype.scale is not None and 0 <= dtype.scale <= dtype.precision <= 38
        return pl.Decimal(dtype.precision, dtype.scale or 0) if exact else None
    for kind, known in _TYPES:
        if isinstance(dtype, kind):
            return known
    return None


_TYPES: tuple[tuple[Any, pl.DataType], ...] = (
    (sa.Boolean, pl.Boolean()),
    (sa.Integer, pl.Int64()),
    (sa.Float, pl.Float64()),
    (sa.Date, pl.Date()),
    (sa.LargeBinary, pl.Binary()),
    ((sa.String, sa.Uuid, sa.JSON, sa.Time, sa.ARRAY), pl.String()),
)
