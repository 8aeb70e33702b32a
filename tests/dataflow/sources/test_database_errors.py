"""What is wrong with a database is told: the thing, the place, the way out, and no secret."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import exc

from dataflow.errors import ConfigError, SourceError, SourceUnavailable
from dataflow.model.secrets import redacted
from dataflow.sources import source_types
from dataflow.sources.database import DatabaseConfig, DatabaseSource
from dataflow.sources.database_errors import database_failure
from tests.dataflow.sources.shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "give either `table` or `query`"),
        ({"table": "a", "query": "select 1"}, "give either `table` or `query`"),
        ({"table": "a", "columns": ["id"], "cursor": {"column": "at"}}, "`columns` lacks 'at', which `cursor` needs"),
        (
            {"table": "a", "columns": ["at"], "cursor": {"column": "at", "key": ["id"]}},
            "`columns` lacks 'id', which `cursor` needs",
        ),
        ({"table": "a", "reconcile": {}}, "`reconcile` counts by a cursor; set `cursor`, or leave it out"),
        ({"table": "a", "page_rows": 0}, "greater than or equal to 1"),
        ({"table": "a", "cursor": {"column": "at", "nulls": "drop"}}, "'refuse', 'every_time' or 'ignore'"),
        ({"table": "a", "reconcile": {"on_missing": "fix"}}, "'warn' or 'read_again'"),
        ({"table": "a", "rows": 5}, "Extra inputs are not permitted"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        DatabaseConfig.model_validate({"url": "sqlite:///x.db", **options})


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"url": "not an address"}, ConfigError, "`url` is no address of a database; write it like postgresql://"),
        ({"url": "nosuch://host/db"}, ConfigError, r"databases of type nosuch need a driver that is not installed"),
        ({"url": "oracle://host/db"}, ConfigError, r"of type oracle need a driver .*install the package of its driver"),
        ({"url": "sqlite:////nowhere/shop.db"}, SourceError, "there is no file /nowhere/shop.db; mend `url`"),
        ({"table": "ordres"}, ConfigError, r"there is no table 'ordres' in the database; did you mean 'orders'\?"),
        (
            {"query": "select * from ordres"},
            SourceError,
            "its query, page 1, was refused: OperationalError: no such table",
        ),
        ({"query": "drop table orders"}, SourceError, "was refused: OperationalError: near .*syntax error; mend"),
    ],
)
def test_a_database_that_cannot_be_asked_is_told(
    shop: Shop, options: dict[str, Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=f"source 'orders': {says}|source 'orders': .*{says}") as raised:
        shop.pull(**options)

    assert not isinstance(raised.value, SourceUnavailable)
    assert not (shop.root / "lake").exists()
    assert not Path("/nowhere").exists()


def test_a_file_that_is_no_database_is_told(shop: Shop) -> None:
    (shop.root / "shop.db").write_text("id,at,note\n" * 200)

    with pytest.raises(SourceError, match="DatabaseError: file is not a database"):
        shop.pull()


def test_a_value_that_is_no_time_is_told_with_a_way_out(shop: Shop) -> None:
    shop.put((1, "yesterday", "a"))

    with pytest.raises(
        SourceError,
        match=r"orders, page 1, failed: ValueError: Invalid isoformat string: 'yesterday'; nothing of this pull is kept; a `query`",
    ):
        shop.pull(cursor={"column": "at"})


def test_a_database_that_is_locked_is_asked_again(shop: Shop) -> None:
    shop.put((1, "2026-01-01 12:00:00", "a"))
    other = sqlite3.connect(shop.root / "shop.db", isolation_level=None)
    other.execute("begin exclusive")
    source = shop.source(url=f"sqlite:///{shop.root}/shop.db?timeout=0.1")

    with pytest.raises(
        SourceUnavailable, match="orders, page 1, was not answered: OperationalError: database is locked"
    ):
        source.fetch()
    other.rollback()
    other.close()
    assert 1 == len(source.fetch())


def test_nothing_is_written_to_the_database(shop: Shop) -> None:
    shop.put((1, "2026-01-01 12:00:00", "a"))
    before = (shop.root / "shop.db").read_bytes()
    shop.pull(cursor={"column": "at"})

    assert before == (shop.root / "shop.db").read_bytes()
    assert ["lake", "shop.db"] == sorted(path.name for path in shop.root.iterdir())


def test_a_password_is_shown_nowhere(tmp_path: Path) -> None:
    config = DatabaseConfig(url="postgresql://ann:pa55word@127.0.0.1:1/shop", table="orders")
    source = DatabaseSource("orders", config)
    source.attach(Shop(tmp_path).source().spool)

    with pytest.raises(SourceError) as raised:
        source.fetch()
    assert "pa55word" not in str(raised.value)
    assert "pa55word" not in repr(config)
    assert "pa55word" not in redacted("it was postgresql://ann:pa55word@127.0.0.1:1/shop")


class Told(Exception):
    """An error of a driver, which may have a code."""

    def __init__(self, said: str, sqlstate: str | None = None) -> None:
        super().__init__(said)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exc.OperationalError("q", {}, Told("server closed the connection")), SourceUnavailable),
        (exc.OperationalError("q", {}, Told("terminating", "57P01")), SourceUnavailable),
        (exc.OperationalError("q", {}, Told("too many clients", "53300")), SourceUnavailable),
        (exc.DBAPIError("q", {}, Told("could not serialize", "40001")), SourceUnavailable),
        (exc.InterfaceError("q", {}, Told("connection is closed")), SourceUnavailable),
        (exc.DBAPIError("q", {}, Told("gone"), connection_invalidated=True), SourceUnavailable),
        (ConnectionResetError("gone"), SourceUnavailable),
        (TimeoutError(), SourceUnavailable),
        (exc.OperationalError("q", {}, Told("Access denied for user")), SourceError),
        (exc.OperationalError("q", {}, Told("password authentication failed")), SourceError),
        (exc.OperationalError("q", {}, Told("bad", "28P01")), SourceError),
        (exc.ProgrammingError("q", {}, Told("relation", "42P01")), ConfigError),
        (exc.DataError("q", {}, Told("division by zero", "22012")), SourceError),
        (ValueError("no date"), SourceError),
        (PermissionError("file"), SourceError),
    ],
    ids=repr,
)
def test_only_what_may_pass_is_tried_again(error: Exception, kind: type[Exception]) -> None:
    found = database_failure("source 'orders': orders", error, "orders")

    assert kind is type(found)
    assert "source 'orders': orders was" in str(found) or "source 'orders': orders failed" in str(found)


def test_the_name_is_known_and_the_library_is_imported_late() -> None:
    code = (
        "import sys, dataflow\n"
        "from dataflow.sources import source_types\n"
        "assert 'database' in source_types.names\n"
        "assert 'sqlalchemy' not in sys.modules\n"
        "source_types.find('database')\n"
        "assert 'sqlalchemy' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

    assert source_types.find("database") is DatabaseSource
