"""Any split into batches, any order of these, any duplication: the same history, which is that of a plain dictionary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataflow.dedup.history_table import HistoryTable

Row = tuple[str, str, int, str | None, str]
"""Two columns of a key, a day, a tracked and an untracked value."""
SCHEMA = {"k": pl.String, "site": pl.String, "at": pl.Date, "state": pl.String, "note": pl.String}
FIRST = date(2026, 1, 1)
KEY = ("k", "site")


def frame(rows: Iterable[Row]) -> pl.DataFrame:
    days = [(k, site, FIRST + timedelta(day), state, note) for k, site, day, state, note in rows]
    return pl.DataFrame(days, schema=SCHEMA, orient="row")


def numbered(rows: pl.DataFrame, batch: int) -> pl.DataFrame:
    return rows.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("_row_id") + batch * 1000)


def name(*values: str | None) -> str:
    """The documented hash of the documented text."""
    text = "".join("~:" if v is None else f"{len(v.encode())}:{v}" for v in values)
    return xxhash.xxh3_128_hexdigest(text.encode())


def counted(rows: Iterable[Row], *, all_tracked: bool) -> dict[tuple[str, str], dict[int, Row]]:
    """For each key the row that counts at each instant."""

    def rank(row: Row) -> tuple[str, str]:
        return (name(row[3], row[4]), "") if all_tracked else (name(row[3]), name(row[4]))

    found: dict[tuple[str, str], dict[int, Row]] = defaultdict(dict)
    for row in rows:
        held = found[row[:2]].get(row[2])
        if held is None or rank(row) > rank(held):
            found[row[:2]][row[2]] = row
    return found


def expected(rows: list[Row], *, all_tracked: bool, snapshots: bool) -> list[tuple[Any, ...]]:
    """The history by going through the instants one by one."""
    times = sorted({row[2] for row in rows})
    history: list[list[Any]] = []
    for states in counted(rows, all_tracked=all_tracked).values():
        open_one: list[Any] | None = None
        for time in times:
            row = states.get(time)
            if row is None and not snapshots:
                continue
            content = None if row is None else row[3:] if all_tracked else row[3:4]
            if open_one is not None and open_one[2] == content:
                continue
            if open_one is not None:
                open_one[1] = time
                open_one = None
            if row is not None:
                open_one = [row, None, content]
                history.append(open_one)
    day = lambda n: None if n is None else FIRST + timedelta(n)  # noqa: E731
    told = [(*row[:2], day(row[2]), *row[3:], day(row[2]), day(until), until is None) for row, until, _ in history]
    return sorted(told, key=repr)


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from(["", "x"]),
        st.integers(0, 5),
        st.sampled_from([None, "", "on", "off"]),
        st.sampled_from(["", "n"]),
    ),
    min_size=1,
    max_size=16,
)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Row], list[list[int]]]:
    """Rows, and batches of their numbers: each row in one at least."""
    rows = draw(ROWS)
    of = draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    batches = [[n for n, batch in enumerate(of) if batch == b] for b in sorted(set(of))]
    again = draw(st.lists(st.sampled_from(batches), max_size=2))
    return rows, draw(st.permutations([*batches, *again]))


def delivered(rows: list[Row], batches: list[list[int]], *, row_ids: bool, **options: Any) -> HistoryTable:
    table = HistoryTable(key=KEY, effective_at="at", **options)
    for n, batch in enumerate(batches):
        arriving = frame(rows[i] for i in batch)
        before = None if table.rows is None else table.rows["_seen_at"].max()
        # Without row ids: as where the plan of a stage's function does not prove that they may ride along.
        table.add(numbered(arriving, n) if row_ids else arriving)
        assert table.rows is not None
        assert max(t for t in (before, arriving["at"].max()) if t is not None) == table.rows["_seen_at"].max()
    return table


@settings(max_examples=20, deadline=None)
@given(deliveries(), st.booleans(), st.booleans())
def test_upserts_give_the_same_history_however_they_arrive(
    given_rows: tuple[list[Row], list[list[int]]], all_tracked: bool, row_ids: bool
) -> None:
    rows, batches = given_rows
    options = {} if all_tracked else {"tracked": ["state"]}
    table = delivered(rows, batches, row_ids=row_ids, **options)
    assert expected(rows, all_tracked=all_tracked, snapshots=False) == table.history()


@settings(max_examples=20, deadline=None)
@given(deliveries(), st.booleans(), st.booleans())
def test_snapshots_give_the_same_history_however_they_arrive(
    given_rows: tuple[list[Row], list[list[int]]], all_tracked: bool, row_ids: bool
) -> None:
    rows, batches = given_rows
    options = {} if all_tracked else {"tracked": ["state"]}
    table = delivered(rows, batches, row_ids=row_ids, mode="snapshot", **options)
    assert expected(rows, all_tracked=all_tracked, snapshots=True) == table.history()


@settings(max_examples=12, deadline=None)
@given(ROWS, st.booleans())
def test_in_the_order_of_time_nothing_that_is_landed_is_asked(rows: list[Row], snapshots: bool) -> None:
    mode = "snapshot" if snapshots else "upsert"
    table = HistoryTable(key=KEY, effective_at="at", mode=mode)
    for n, day in enumerate(sorted({row[2] for row in rows})):
        today = frame(row for row in rows if row[2] == day)
        table.add(numbered(today, n))
    assert 0 == table.asked
    assert expected(rows, all_tracked=True, snapshots=snapshots) == table.history()


@settings(max_examples=12, deadline=None)
@given(deliveries(), st.sampled_from(["upsert", "snapshot"]))
def test_text_dates_and_instants_are_one_time(given_rows: tuple[list[Row], list[list[int]]], mode: str) -> None:
    rows, batches = given_rows
    plain = delivered(rows, batches, row_ids=True, mode=mode)
    table = HistoryTable(key=KEY, effective_at="at", mode=mode)
    for n, batch in enumerate(batches):
        text = frame(rows[i] for i in batch).with_columns(pl.col("at").cast(pl.String))
        table.add(numbered(text, n))
    begun = [
        (k, site, datetime.combine(at, datetime.min.time(), UTC), state)
        for k, site, at, state in plain.history(*KEY, "valid_from", "state")
    ]
    assert sorted(begun, key=repr) == table.history(*KEY, "valid_from", "state")
