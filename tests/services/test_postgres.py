"""The database source against a real PostgreSQL: its types, its snapshots, its ways to fail."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataflow.errors import ConfigError, SourceError, SourceUnavailable
from dataflow.lake.lake import Lake
from dataflow.lake.spool import Spool
from dataflow.sources.database import DatabaseConfig, DatabaseSource
from tests.dataflow.sources.asked import landed
from tests.services import postgres
from tests.services.postgres import PASSWORD, Postgres

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(postgres.missing() is not None, reason=str(postgres.missing())),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Postgres]:
    with postgres.running() as found:
        yield found


@pytest.fixture
def server(cluster: Postgres) -> Postgres:
    cluster.sql("drop schema public cascade", "create schema public")
    return cluster


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def source(server: Postgres, lake: Path, **options: Any) -> DatabaseSource:
    asked = {} if "query" in options else {"table": "orders"}
    config = DatabaseConfig.model_validate({"url": server.url, **asked, **options})
    found = DatabaseSource("orders", config)
    found.attach(Spool(Lake(lake), "made", "orders"))
    return found


def pulled(found: DatabaseSource) -> int:
    return sum(file.rows for file in found.fetch())


AT = {"column": "at", "lag": "10 minutes"}
ORDERS = "create table orders (id bigint primary key, at timestamptz not null, note text)"


def test_types_are_those_of_the_table(server: Postgres, lake: Path) -> None:
    server.sql(
        "create type mood as enum ('sad', 'happy')",
        "create table orders (id serial primary key, small smallint, amount numeric(12,2), any_number numeric, ratio real, "
        "ok boolean, name varchar(9), code char(3), day date, at timestamptz, local_at timestamp, t time, gap interval, "
        "doc jsonb, tags text[], raw bytea, u uuid, m mood)",
        "insert into orders values (default, 7, 12.30, 1.5, 0.5, true, 'ann', 'it', '2026-01-31', '2026-01-31 10:00+01', "
        "'2026-01-31 10:00', '09:30', '1 day', '{\"a\": [1, null]}', '{x,y}', '\\xff', "
        "'6b1d5b5e-5b1c-4d0f-9d3e-0a6a4f2f3f11', 'happy')",
        "insert into orders (id) values (default)",
    )
    found = source(server, lake)
    found.fetch()
    frame = landed(found).drop("_n", "_broken", "_raw", "_line")

    assert {
        "id": 1,
        "small": 7,
        "amount": Decimal("12.30"),
        "any_number": Decimal("1.5"),
        "ratio": 0.5,
        "ok": True,
        "name": "ann",
        "code": "it ",
        "day": date(2026, 1, 31),
        "at": datetime(2026, 1, 31, 9, tzinfo=UTC),
        "local_at": datetime(2026, 1, 31, 10),
        "t": "09:30:00",
        "gap": "1 day, 0:00:00",
        "doc": '{"a":[1,null]}',
        "tags": '["x","y"]',
        "raw": b"\xff",
        "u": "6b1d5b5e-5b1c-4d0f-9d3e-0a6a4f2f3f11",
        "m": "happy",
    } == frame.row(0, named=True)
    assert {None} == set(frame.row(1)[1:])
    assert pl.Decimal(12, 2) == frame.schema["amount"]


def test_what_a_cursor_delivers_is_there_once(server: Postgres, lake: Path) -> None:
    server.sql(ORDERS, "insert into orders values (1, '2026-01-01 12:00Z', 'a'), (2, '2026-01-01 13:00Z', 'b')")
    assert [2, 0] == [pulled(source(server, lake, cursor=AT, page_rows=1)) for _ in range(2)]
    server.sql("insert into orders values (3, '2026-01-01 12:50Z', 'late'), (4, '2026-01-01 13:00Z', 'tie')")
    server.sql("update orders set note = 'c', at = '2026-01-01 14:00Z' where id = 2")

    assert [3, 0] == [pulled(source(server, lake, cursor=AT, page_rows=1)) for _ in range(2)]
    found = source(server, lake, cursor=AT)
    assert "2026-01-01T14:00:00+00:00" == found.position()
    assert ["a", "b", "c", "late", "tie"] == sorted(landed(found)["note"])


def test_rows_of_the_future_do_not_hide_others(server: Postgres, lake: Path) -> None:
    server.sql(ORDERS, "insert into orders values (1, '2999-01-01', 'future')")
    assert [1, 0] == [pulled(source(server, lake, cursor=AT)) for _ in range(2)]
    server.sql("insert into orders values (2, now(), 'now')")

    assert [1, 0] == [pulled(source(server, lake, cursor=AT)) for _ in range(2)]


def test_a_pull_sees_one_moment_of_the_database(server: Postgres, lake: Path) -> None:
    server.sql(ORDERS, "insert into orders select i, '2026-01-01', 'x' from generate_series(1, 10) i")
    found = source(server, lake, cursor=AT, reconcile={}, page_rows=2)
    pull = found.pull(None)
    next(pull)
    server.sql("insert into orders values (11, '2025-01-01', 'meanwhile')")
    server.sql("update orders set note = 'meanwhile'")

    assert ["x"] * 8 == [note for page in pull for note in page["note"]]


def test_missed_rows_are_counted_and_read_again(server: Postgres, lake: Path) -> None:
    server.sql(ORDERS, "insert into orders values (1, '2026-01-01 12:00Z', 'a')")
    source(server, lake, cursor=AT).fetch()
    server.sql("insert into orders values (2, '2026-01-01 11:00Z', 'too late')")
    warned = source(server, lake, cursor=AT, reconcile={})
    assert 0 == pulled(warned)
    assert "the database has 2 rows, but 1 of them are held" in warned.findings[0].statement

    assert 1 == pulled(source(server, lake, cursor=AT, reconcile={"on_missing": "read_again"}))
    assert ["a", "too late"] == sorted(landed(source(server, lake))["note"])


def test_text_is_ordered_by_its_bytes_whatever_the_database_thinks(server: Postgres, lake: Path) -> None:
    server.sql(
        "create collation it (provider = icu, locale = 'it')",
        "create table orders (id bigint primary key, code text collate it)",
        "insert into orders values (1, 'a'), (2, 'B')",
    )
    cursor = {"column": "code"}
    assert 2 == pulled(source(server, lake, cursor=cursor))
    assert "a" == source(server, lake, cursor=cursor).position()
    server.sql("insert into orders values (3, 'b'), (4, 'a')")

    assert [2, 0] == [pulled(source(server, lake, cursor=cursor)) for _ in range(2)]


def test_a_schema_a_view_and_a_query(server: Postgres, lake: Path) -> None:
    server.sql(
        "drop schema if exists sales cascade",
        "create schema sales",
        'create table sales."Orders" (id int, "At" timestamptz)',
        "insert into sales.\"Orders\" values (1, '2026-01-01Z'), (2, '2026-01-02Z')",
        'create view recent as select * from sales."Orders"',
    )
    query = 'select id, "At", \'%s :id\'::text as t from sales."Orders" -- the end'
    asked: list[dict[str, Any]] = [{"table": "sales.Orders"}, {"table": "recent"}, {"query": query}]
    for number, which in enumerate(asked):
        options: dict[str, Any] = {**which, "cursor": {"column": "At", "lag": "1 hour", "key": ["id"]}}
        found = [source(server, lake / str(number), **options) for _ in range(2)]
        assert [2, 0] == [pulled(one) for one in found]
    assert ["%s :id"] * 2 == landed(found[0])["t"].to_list()

    twice = source(server, lake / "twice", query="select id, id from recent")
    with pytest.raises(ConfigError, match="its query gives two columns 'id'; name one otherwise"):
        twice.fetch()


def test_going_back_replaces_what_was_held(server: Postgres, lake: Path) -> None:
    server.sql(
        ORDERS,
        "insert into orders select i, '2026-01-01Z'::timestamptz + i * interval '1 day', 'x' from generate_series(0, 9) i",
    )
    source(server, lake, cursor=AT).fetch()
    server.sql("update orders set note = 'y'")
    assert 1 == len(source(server, lake, cursor=AT).rewind("2026-01-06"))

    assert 5 == pulled(source(server, lake, cursor=AT))
    assert ["x"] * 5 + ["y"] * 5 == sorted(landed(source(server, lake, cursor=AT))["note"])
    server.sql("delete from orders where id < 3")
    with pytest.raises(SourceError, match=r"it has none before 2026-01-04T00:00:00\+00:00, but rows from 2026-01-01T"):
        source(server, lake, cursor=AT).rewind()


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"table": "ordres"}, ConfigError, r"there is no table 'ordres' in the database; did you mean 'orders'\?"),
        ({"table": "nowhere.orders"}, ConfigError, r"there is no table 'nowhere\.orders' in the database"),
        (
            {"query": "select nothing from orders"},
            ConfigError,
            'was refused: UndefinedColumn: column "nothing" does not',
        ),
        ({"query": "selec 1"}, ConfigError, "was refused: SyntaxError"),
        ({"query": "select 1/0 as id"}, SourceError, r"source 'orders': its query, page 1, failed: DivisionByZero"),
        ({"url": "postgresql://ann:wrong@127.0.0.1:{port}/postgres"}, SourceError, "password authentication failed"),
        ({"url": "postgresql://ann:{password}@127.0.0.1:{port}/nowhere"}, SourceError, "was refused: .*does not exist"),
    ],
)
def test_what_is_wrong_is_told_and_no_secret(
    server: Postgres, lake: Path, options: dict[str, Any], kind: type[Exception], says: str
) -> None:
    server.sql(ORDERS)
    given = {key: value.format(port=server.port, password=PASSWORD) for key, value in options.items()}

    with pytest.raises(kind, match=says) as raised:
        source(server, lake, **{"table": "orders", **given} if "query" not in given else given).fetch()
    assert not isinstance(raised.value, SourceUnavailable)
    assert PASSWORD not in str(raised.value)
    assert not lake.exists()


def test_a_user_without_rights_is_told(server: Postgres, lake: Path) -> None:
    server.sql(
        ORDERS,
        "drop role if exists bob",
        "create role bob login password 'bob-has-one'",
        "grant usage on schema public to bob",
    )
    url = server.url.replace(f"ann:{PASSWORD}", "bob:bob-has-one")

    with pytest.raises(ConfigError, match=r"InsufficientPrivilege: permission denied .*the rights of the user"):
        source(server, lake, url=url).fetch()


def test_a_server_that_is_not_there_may_be_there_later(server: Postgres, lake: Path) -> None:
    with pytest.raises(
        SourceUnavailable, match=r"source 'orders': orders, page 1, was not answered: .*refused.*run again"
    ):
        source(server, lake, url=server.url.replace(str(server.port), "1")).fetch()


def test_a_connection_that_ends_in_the_middle_leaves_nothing(server: Postgres, lake: Path) -> None:
    server.sql(ORDERS, "insert into orders select i, '2026-01-01', repeat('x', 2000) from generate_series(1, 20000) i")
    found = source(server, lake, cursor=AT, page_rows=100)
    pages = found._frames

    def interrupted(*about: Any) -> Any:
        for number, page in enumerate(pages(*about)):
            if number == 2:
                server.sql(
                    "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname is not null"
                )
            yield page

    found._frames = interrupted  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(SourceUnavailable, match=r"source 'orders': orders, page \d+, was not answered: .*run again"):
        found.fetch()
    assert ([], None) == (found.items(), found.spool.state())
    assert 20000 == pulled(source(server, lake, cursor=AT))


def test_late_commits_of_several_writers_all_land_once(server: Postgres, lake: Path) -> None:
    """Real transactions that overlap: each takes its time first and commits later."""
    import psycopg

    server.sql(ORDERS)
    done = threading.Event()

    def write(writer: int) -> None:
        with psycopg.connect(server.url) as connection:
            for n in range(25):
                connection.execute("insert into orders values (%s, clock_timestamp(), 'x')", (writer * 100 + n,))
                connection.execute("select pg_sleep(%s)", ((n % 3) * 0.01,))
                connection.commit()

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for writer in writers:
        writer.start()
    threading.Thread(target=lambda: ([w.join() for w in writers], done.set())).start()
    while not done.is_set():
        source(server, lake, cursor={"column": "at", "lag": "1 minute"}).fetch()
    last = source(server, lake, cursor={"column": "at", "lag": "1 minute"}, reconcile={})
    last.fetch()

    assert () == last.findings
    assert [n * 100 + m for n in range(4) for m in range(25)] == sorted(landed(last)["id"])
    assert re.fullmatch(r"\d{4}-.*\+00:00", last.position())
