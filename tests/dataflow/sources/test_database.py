"""Databases by a cursor: nothing lost that comes late or ties, nothing twice, and what was missed is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.errors import ConfigError, SourceError
from tests.dataflow.sources.asked import landed
from tests.dataflow.sources.shop import Shop

AT = {"column": "at", "lag": "10 minutes"}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_table_is_read_and_then_what_is_new(shop: Shop) -> None:
    shop.put((1, "2026-01-01 12:00:00", "a"), (2, "2026-01-01 12:30:00", "b"))
    assert 2 == shop.pull(cursor=AT)
    assert "2026-01-01T12:30:00" == shop.source(cursor=AT).position()
    assert 0 == shop.pull(cursor=AT)
    shop.put((3, "2026-01-01 13:00:00", "c"))
    assert 1 == shop.pull(cursor=AT)

    assert [(1, "a"), (2, "b"), (3, "c")] == shop.held(cursor=AT)
    source = shop.source(cursor=AT)
    expected = {"id": pl.Int64(), "at": pl.Datetime("us"), "note": pl.String()}
    assert expected == dict(source.contract(source.items(), None))


def test_rows_that_tie_with_the_last_one_are_not_lost(shop: Shop) -> None:
    cursor = {"column": "at"}
    shop.put((1, "2026-01-01 12:00:00", "a"))
    shop.pull(cursor=cursor)
    shop.put((2, "2026-01-01 12:00:00", "b"))

    assert 1 == shop.pull(cursor=cursor)
    assert [(1, "a"), (2, "b")] == shop.held(cursor=cursor)


def test_rows_that_are_committed_late_are_caught_within_the_lag(shop: Shop) -> None:
    shop.put((1, "2026-01-01 12:00:00", "a"))
    shop.pull(cursor=AT)
    shop.put((2, "2026-01-01 11:50:00", "in time"), (3, "2026-01-01 11:49:59", "too late"))

    assert 1 == shop.pull(cursor=AT)
    assert [(1, "a"), (2, "in time")] == shop.held(cursor=AT)


def test_an_updated_row_is_a_new_row(shop: Shop) -> None:
    shop.put((1, "2026-01-01 12:00:00", "a"), (2, "2026-01-01 12:00:00", "b"))
    shop.pull(cursor=AT)
    shop.put((1, "2026-01-01 12:00:00", "same time"), (2, "2026-01-01 12:00:01", "b"))

    assert 2 == shop.pull(cursor=AT)
    assert [(1, "a"), (1, "same time"), (2, "b"), (2, "b")] == shop.held(cursor=AT)


@pytest.mark.parametrize(
    ("written", "tie"),
    [
        ("2026-01-01 12:00:00", "2026-01-01 12:00:00.000000"),
        ("2026-01-01 12:00:00.500000", "2026-01-01 12:00:00.500"),
        ("2026-01-01T12:00:00", "2026-01-01T12:00:00"),
    ],
)
def test_times_tie_however_they_are_written(shop: Shop, written: str, tie: str) -> None:
    cursor = {"column": "at"}
    shop.put((1, written, "a"))
    shop.pull(cursor=cursor)
    shop.put((2, tie, "b"))

    assert [1, 0] == [shop.pull(cursor=cursor), shop.pull(cursor=cursor)]


TICKS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["insert", "update", "pull", "pull"]),
        st.integers(0, 4),
        st.integers(0, 4),
    ),
    max_size=20,
)


@given(TICKS, st.integers(1, 4), st.booleans())
@settings(max_examples=30, deadline=None)
def test_whatever_is_committed_within_the_lag_lands_once(
    tmp_path_factory: pytest.TempPathFactory, ticks: list[tuple[int, str, int, int]], page_rows: int, pages: bool
) -> None:
    """Rows get their time when a transaction begins, and are seen when it is committed, up to four ticks later."""
    shop = Shop(tmp_path_factory.mktemp("shop"), "create table orders (id integer primary key, at integer, note text)")
    options: dict[str, Any] = {"cursor": {"column": "at", "lag": 4}, "page_rows": page_rows if pages else 1000}
    now, following = 0, 0
    pending: list[tuple[int, tuple[int, int, str]]] = []
    begun: dict[int, int] = {}
    seen: set[tuple[int, int, str]] = set()
    there: dict[int, tuple[int, int, str]] = {}
    for passed, what, which, delay in [*ticks, (5, "pull", 0, 0)]:
        now += passed
        for when, row in sorted(pending):
            # A row that is updated is locked until then.
            if when <= now:
                shop.put(row)
                there[row[0]] = row
        pending = [(when, row) for when, row in pending if when > now]
        if what == "pull":
            shop.pull(**options)
            seen |= set(there.values())
        elif what == "insert" or which not in there:
            following += 1
            pending.append((now + delay, (following, now, "new")))
        elif begun.get(which, -1) <= now:
            begun[which] = now + delay
            pending.append((now + delay, (which, now, f"at {now}")))

    assert sorted(seen) == shop.held("id", "at", "note", **options)


def test_without_a_key_rows_alike_are_told_apart_by_their_number(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "create table orders (at integer, note text)")
    cursor = {"column": "at"}
    shop.put((1, "a"), (1, "a"))
    assert 2 == shop.pull(cursor=cursor)
    shop.put((1, "a"))

    assert [1, 0] == [shop.pull(cursor=cursor), shop.pull(cursor=cursor)]


def test_a_query_is_asked_by_its_cursor_too(shop: Shop) -> None:
    query = "select id, upper(note) || ':x' as note, at, '12:30' as half from orders where note <> ':none' ; "
    options: dict[str, Any] = {"query": query, "cursor": {"column": "at", "key": ["id"]}}
    shop.put((1, "2026-01-01 12:00:00", "a"), (2, "2026-01-01 12:00:00", ":none"))
    assert 1 == shop.pull(**options)
    shop.put((3, "2026-01-01 12:00:00", "c%s"))

    assert [1, 0] == [shop.pull(**options), shop.pull(**options)]
    assert [(1, "A:x", "12:30"), (3, "C%S:x", "12:30")] == shop.held("id", "note", "half", **options)


def test_some_columns_alone(shop: Shop) -> None:
    shop.put((1, "2026-01-01 12:00:00", "a"))
    shop.pull(cursor={"column": "at"}, columns=["at", "note"])

    assert ["at", "note"] == landed(shop.source()).drop("_n").columns


def test_without_a_cursor_all_is_read_and_kept_where_it_changed(shop: Shop) -> None:
    shop.put((2, "2026-01-01 12:00:00", "b"), (1, None, "a"))

    assert [2, 0] == [shop.pull(), shop.pull()]
    shop.put((1, None, "c"))
    assert [2, 0] == [shop.pull(), shop.pull()]
    assert [(1, "a"), (1, "c"), (2, "b"), (2, "b")] == shop.held()
    assert shop.source().position() is None


def test_an_empty_table_has_no_position(shop: Shop) -> None:
    assert [0, 0] == [shop.pull(cursor=AT), shop.pull(cursor=AT)]
    assert shop.source(cursor=AT).position() is None
    shop.put((1, "2026-01-01 12:00:00", "a"))
    assert 1 == shop.pull(cursor=AT)


def test_rows_without_a_cursor_are_an_error_unless_one_says_otherwise(shop: Shop) -> None:
    shop.put((1, None, "a"), (2, "2026-01-01 12:00:00", "b"))

    with pytest.raises(
        SourceError,
        match=r"source 'orders': 1 row without a value in the cursor 'at': nothing tells whether .*every_time",
    ):
        shop.pull(cursor=AT)
    assert [] == shop.source(cursor=AT).items()


def test_rows_without_a_cursor_may_be_asked_every_time(shop: Shop) -> None:
    cursor = {**AT, "nulls": "every_time"}
    shop.put((1, None, "a"))
    assert [1, 0] == [shop.pull(cursor=cursor), shop.pull(cursor=cursor)]
    shop.put((2, "2026-01-01 12:00:00", "b"), (3, None, "c"))
    assert [2, 0] == [shop.pull(cursor=cursor), shop.pull(cursor=cursor)]
    shop.put((1, "2026-01-01 12:00:00", "a"), (3, None, "d"))
    assert [2, 0] == [shop.pull(cursor=cursor), shop.pull(cursor=cursor)]

    assert [(1, "a"), (1, "a"), (2, "b"), (3, "c"), (3, "d")] == shop.held(cursor=cursor)


def test_rows_without_a_cursor_may_be_ignored_and_are_told(shop: Shop) -> None:
    shop.put((1, None, "a"), (2, "2026-01-01 12:00:00", "b"))
    source = shop.source(cursor={**AT, "nulls": "ignore"})
    source.fetch()

    assert [(2, "b")] == shop.held(cursor=AT)
    assert ["1 row without 'at': ignored"] == [finding.statement for finding in source.findings]
    assert source.findings[0].success


COUNTED: dict[str, Any] = {"cursor": AT, "reconcile": {}}


def missed(shop: Shop) -> None:
    shop.put((1, "2026-01-01 12:00:00", "a"), (2, "2026-01-02 12:00:00", "b"))
    shop.pull(**COUNTED)
    shop.put((2, "2026-01-02 12:00:00", "updated"), (3, "2026-01-01 13:00:00", "too late"))


def test_missed_rows_are_told_with_both_numbers_and_the_way_out(shop: Shop) -> None:
    missed(shop)
    source = shop.source(**COUNTED)

    assert [1] == [file.rows for file in source.fetch()]
    (finding,) = source.findings
    assert ("missed rows", False, "critical", 3, 1) == (
        finding.rule,
        finding.success,
        finding.severity,
        finding.checked,
        finding.failed,
    )
    assert (
        "the database has 3 rows, but 2 of them are held: 1 row came later than `cursor.lag` allows; set a greater lag, and an "
        "earlier position or `reconcile.on_missing: read_again`"
    ) == finding.statement


def test_missed_rows_are_told_until_they_are_there(shop: Shop) -> None:
    missed(shop)
    source = shop.source(**COUNTED)
    source.fetch()

    assert [] == list(source.fetch())
    assert 1 == len(source.findings)
    shop.sql("delete from orders where id = 3")
    source.fetch()
    assert () == source.findings


def test_missed_rows_may_be_read_again(shop: Shop) -> None:
    missed(shop)
    source = shop.source(cursor=AT, reconcile={"on_missing": "read_again"})

    assert [1, 1] == [file.rows for file in source.fetch()]
    assert ["1 row had been missed, and was read again"] == [f.statement for f in source.findings if f.success]
    assert 1 == len(source.findings)
    assert [(1, "a"), (2, "b"), (2, "updated"), (3, "too late")] == shop.held(**COUNTED)
    assert () == source.fetch() == source.findings


def test_rows_may_be_counted_over_a_range_that_slides(shop: Shop) -> None:
    missed(shop)
    narrow, wide = (shop.source(cursor=AT, reconcile={"over": over}) for over in ("22 hours", "24 hours"))

    narrow.fetch()
    assert () == narrow.findings
    wide.fetch()
    assert "the database has 3 rows with 'at' from 2026-01-01T12:00:00 on, but 2" in wide.findings[0].statement


@pytest.mark.parametrize("written", ["2026-01-01T{}:00:00", "2026-01-01 {}:00:00"])
def test_a_range_that_slides_is_exact_however_times_are_written(shop: Shop, written: str) -> None:
    shop.put(*((hour, written.format(f"{hour:02d}"), "x") for hour in range(1, 20)))
    source = shop.source(cursor=AT, reconcile={"over": "3 hours"})
    source.fetch()
    source.fetch()

    assert () == source.findings


def test_a_row_from_between_the_count_and_the_position_is_no_false_alarm(shop: Shop) -> None:
    shop.put((1, "2026-01-01 12:00:00", "a"))
    shop.pull(**COUNTED)
    shop.put((2, "2026-01-05 12:00:00", "b"))
    source = shop.source(**COUNTED)
    source.fetch()

    assert () == source.findings


@pytest.mark.parametrize(
    ("table", "rows", "position", "later"),
    [
        ("at integer", [5, 7], 7, 6),
        ("at real", [0.5, 1.5], 1.5, 1.5),
        ("at numeric(10, 2)", [1.25, 2.5], 2.5, 2.5),
        ("at date", ["2026-01-30", "2026-01-31"], "2026-01-31", "2026-01-31"),
        ("at text", ["b", "É"], "É", "É"),
        ("at varchar(9) collate nocase", ["B", "a"], "a", "a"),
    ],
)
def test_cursors_of_many_types(tmp_path: Path, table: str, rows: list[Any], position: Any, later: Any) -> None:
    shop = Shop(tmp_path, f"create table orders (id integer primary key, {table})")
    cursor: dict[str, Any] = {"column": "at", "lag": 1 if isinstance(later, int) else 0}
    shop.put(*enumerate(rows))
    shop.pull(cursor=cursor)
    shop.put((9, later))

    assert position == shop.source(cursor=cursor).position()
    assert [1, 0] == [shop.pull(cursor=cursor), shop.pull(cursor=cursor)]


def test_values_that_sqlite_does_not_check_are_landed_as_they_are(tmp_path: Path) -> None:
    shop = Shop(
        tmp_path,
        "create table orders (id integer primary key, n integer, paid boolean, price numeric(10,2), day date, raw blob, t time)",
    )
    shop.put((1, 7, 1, 0.1 + 0.2, "2026-01-31", b"\xff", "09:30:00"), (2, "many", 0, 2, None, None, None))
    shop.pull()

    frame = landed(shop.source()).sort("id")
    assert [0.1 + 0.2, 2.0] == frame["price"].to_list()
    assert [True, False] == frame["paid"].to_list()
    assert ["09:30:00", None] == frame["t"].to_list()
    assert [b"\xff", None] == frame["raw"].to_list()
    assert [7, None] == frame["n"].to_list()
    assert [None, "column 'n': a value of type string that is no int64"] == frame["_broken"].to_list()


def test_a_cursor_of_several_kinds_is_refused(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "create table orders (id integer primary key, at)")
    shop.put((1, 5), (2, "five"))

    with pytest.raises(
        SourceError,
        match=r"source 'orders': cursor 'at': values of several kinds \(number, text\) have no order; take another",
    ):
        shop.pull(cursor={"column": "at"})
    assert [] == shop.source().items()


def test_a_cursor_of_another_kind_than_before_is_refused(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "create table orders (id integer primary key, at)")
    shop.put((1, 5))
    shop.pull(cursor={"column": "at"})
    shop.put((2, "six"))

    with pytest.raises(SourceError, match=r"cursor 'at' holds values of another kind than before|of several kinds"):
        shop.pull(cursor={"column": "at"})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"cursor": {"column": "att"}},
            r"`cursor\.column` names a column 'att' that is not there; did you mean 'at'\?",
        ),
        ({"cursor": {"column": "at", "key": ["ID"]}}, r"`cursor\.key` names a column 'ID' that is not there"),
        ({"columns": ["id", "nota"]}, "`columns` names a column 'nota' that is not there; did you mean 'note'"),
        ({"cursor": {"column": "note", "lag": 5}}, r"`cursor\.lag`: text has no distance; leave `lag` out"),
        ({"cursor": {"column": "at", "lag": 5}}, r"`cursor\.lag`: `lag` has to be a duration like 10 minutes"),
        (
            {"cursor": {"column": "at"}, "reconcile": {"over": 5}},
            r"`reconcile\.over`: `lag` has to be a duration|`over`",
        ),
        ({"cursor": {"column": "at", "key": []}, "reconcile": {}}, r"`reconcile` counts keys, .* set `cursor\.key`"),
    ],
)
def test_columns_and_lags_that_do_not_fit_are_told(shop: Shop, options: dict[str, Any], says: str) -> None:
    shop.put((1, "2026-01-01 12:00:00", "a"))
    if "over" in str(options):
        shop.pull(cursor={"column": options["cursor"]["column"]})

    with pytest.raises(ConfigError, match=f"source 'orders': .*{says}"):
        shop.pull(**options)
