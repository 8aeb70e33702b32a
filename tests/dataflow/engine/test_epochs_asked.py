"""A source that is asked is asked again from where a person sets it, and its answer replaces what it answered before."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from dataflow import Engine, Workflow
from dataflow.errors import ConfigError
from dataflow.lake.seams import Seam, watch
from dataflow.sources import source_types
from tests.dataflow.engine.made import AT_ONCE, Made, done
from tests.dataflow.sources.asked import Asked, Pages

INLINE = Engine(runner="inline")


class Database:
    """A table of orders, and the pipeline that reads it."""

    def __init__(self, made: Made) -> None:
        self.made = made
        self.base = sqlite3.connect(made.root / "orders.db")
        self.base.execute("create table orders (id integer primary key, at text, amount integer)")

    def put(self, *rows: tuple[int, str, int]) -> None:
        self.base.executemany("insert or replace into orders values (?, ?, ?)", rows)
        self.base.commit()

    def remove(self, *ids: int) -> None:
        self.base.executemany("delete from orders where id = ?", [(id,) for id in ids])
        self.base.commit()

    def workflow(self) -> Workflow:
        workflow = self.made.workflow()
        cursor = {"column": "at", "key": ["id"]}
        url = f"sqlite:///{self.made.root}/orders.db"
        workflow.add_source("orders", {"type": "database", "url": url, "table": "orders", "cursor": cursor, **AT_ONCE})
        return workflow

    def run(self) -> None:
        done(self.made.run(self.workflow()))

    @property
    def landed(self) -> list[tuple[Any, ...]]:
        return self.made.rows("orders", "id", "at", "amount")

    @property
    def here(self) -> list[tuple[Any, ...]]:
        return sorted(self.base.execute("select id, at, amount from orders"))

    def mark(self) -> tuple[Any, int]:
        found = INLINE.watermarks(self.workflow())["orders"]
        return found["position"].get("cursor"), found["epoch"]


@pytest.fixture
def database(made: Made) -> Iterator[Database]:
    found = Database(made)
    found.put((1, "2024-01-01", 10), (2, "2024-01-02", 20))
    found.run()
    found.put((3, "2024-01-03", 30))
    found.run()
    # What the cursor does not tell: an update, and a row that was committed too late.
    found.put((2, "2024-01-02", 99), (4, "2024-01-02", 40))
    yield found
    found.base.close()


def test_rows_from_the_cursor_on_are_those_of_the_source_again(database: Database):
    assert "skipped" == database.made.run(database.workflow()).state
    assert ("2024-01-03", 0) == database.mark()

    found = INLINE.move(database.workflow(), "orders", {"cursor": "2024-01-02"})

    assert (True, 3, 2) == (found.asked, found.rows, len(found.files))
    assert 'it is asked again from "2024-01-02", and its answer replaces 3 rows at most' in found.text
    assert ("2024-01-02", 1) == database.mark()
    assert [10, 20, 30] == [amount for _, _, amount in database.landed], "until the next run"
    database.run()
    assert database.here == database.landed
    assert ("2024-01-03", 1) == database.mark()
    assert "skipped" == database.made.run(database.workflow()).state


@pytest.mark.parametrize("position", [None, {}, {"cursor": None}])
def test_from_the_beginning_everything_is_asked_again(database: Database, position: Any):
    database.remove(1)
    database.put((1, "2024-01-01", 11))

    found = INLINE.move(database.workflow(), "orders", position)

    assert "it is asked again from its beginning" in found.text
    database.run()
    assert database.here == database.landed


def test_a_position_as_a_block_shows_it_with_its_cursor_edited(database: Database):
    position = INLINE.watermarks(database.workflow())["orders"]["position"]

    found = INLINE.move(database.workflow(), "orders", {**position, "cursor": "2024-01-02"})

    assert (True, 3) == (found.asked, found.rows)
    assert 1 == INLINE.move(database.workflow(), "orders", {"cursor": "2024-01-03"}).rows


def test_by_file_what_was_answered_is_landed_again_and_nobody_is_asked(database: Database):
    found = INLINE.move(database.workflow(), "orders", {"file_id": 1})

    assert (False, 1) == (found.asked, found.rows)
    before = database.landed
    database.run()
    assert before == database.landed


@pytest.mark.parametrize(
    ("position", "why"),
    [
        ({"cursor": "2030-01-01"}, "it was read up to 2024-01-03 only"),
        ({"cursor": 5}, "5 is no text; it was read up to 2024-01-03"),
        ({"file_id": 9}, "lies ahead of what was read"),
        ({"files": 2, "file_id": 2, "cursor": "2024-01-03"}, "the source is there already"),
    ],
)
def test_what_the_source_cannot_do_is_refused_and_nothing_is_touched(database: Database, position: Any, why: str):
    before = database.made.files()

    with pytest.raises(ConfigError, match=why):
        INLINE.move(database.workflow(), "orders", position)

    assert before == database.made.files()


def test_a_source_that_has_lost_what_is_held_cannot_be_read_that_far_back(database: Database):
    database.remove(1, 2)

    with pytest.raises(
        ConfigError, match=r"position \{\} is not taken: .* cannot be read from the beginning on any more"
    ):
        INLINE.move(database.workflow(), "orders", {})

    assert ("2024-01-03", 0) == database.mark()


def test_with_plan_the_source_stays_where_it_is(database: Database):
    before = database.made.files()

    planned = INLINE.move(database.workflow(), "orders", {"cursor": "2024-01-02"}, plan=True)

    assert before == database.made.files()
    assert planned == INLINE.move(database.workflow(), "orders", {"cursor": "2024-01-02"})


def test_ended_between_the_source_and_the_journal_nothing_is_doubled_and_the_wish_can_be_told_again(database: Database):
    def end(seam: Seam, what: str) -> None:
        if (seam, what) == (Seam.ENTRY_WRITTEN, "stale"):
            raise KeyboardInterrupt

    unwatch = watch(end)
    with contextlib.suppress(KeyboardInterrupt):
        INLINE.move(database.workflow(), "orders", {"cursor": "2024-01-02"})
    unwatch()
    assert ("2024-01-02", 0) == database.mark()

    INLINE.move(database.workflow(), "orders", {"cursor": "2024-01-02"})
    database.run()

    assert database.here == database.landed
    assert ("2024-01-03", 1) == database.mark()


def test_ended_there_the_next_run_does_what_the_source_was_told(database: Database):
    def end(seam: Seam, what: str) -> None:
        if (seam, what) == (Seam.ENTRY_WRITTEN, "stale"):
            raise KeyboardInterrupt

    unwatch = watch(end)
    with contextlib.suppress(KeyboardInterrupt):
        INLINE.move(database.workflow(), "orders", {"cursor": "2024-01-02"})
    unwatch()

    database.run()

    assert database.here == database.landed
    assert "skipped" == database.made.run(database.workflow()).state


# ---------------------------------------------------------------- a source without a cursor that people know


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the source of type ``asked`` has; the type is forgotten after the test."""
    from dataflow.model import Frozen

    found: list[Any] = []

    class Kept(Asked):
        def __init__(self, name: str, config: Any) -> None:
            super().__init__(name, Pages(pages=found))

    Kept.Config = Frozen
    monkeypatch.setitem(source_types._types, "asked", Kept)
    return found


def events(made: Made) -> Workflow:
    workflow = made.workflow()
    workflow.add_source("events", {"type": "asked", **AT_ONCE})
    window: dict[str, Any] = {"window_size": "1 day", "late_arrival_tolerance": "2 days"}
    workflow.add_task("timed", timed, ["events"], rows="preserved")
    workflow.add_task("daily", daily, ["timed"], rows="grouped", members="events", window=window)
    return workflow


def timed(events: pl.LazyFrame) -> pl.LazyFrame:
    return events.with_columns(pl.col("at").str.to_datetime("%Y-%m-%d", time_zone="UTC"))


def daily(timed: pl.LazyFrame) -> pl.LazyFrame:
    return timed.group_by(pl.col("window_start").alias("day")).agg(pl.len().alias("events"))


def days(made: Made) -> list[tuple[str, int]]:
    return sorted((f"{day:%m-%d}", events) for day, events in made.rows("daily", "day", "events"))


def test_a_source_whose_state_only_it_understands_goes_back_to_its_beginning_alone(made: Made, pages: list[Any]):
    pages += [[{"at": "2024-03-01"}]]
    workflow = events(made)
    done(made.run(workflow))

    with pytest.raises(ConfigError, match="its state cannot be set by hand"):
        INLINE.move(workflow, "events", {"cursor": {"given": 0}, "files": 1})

    pages[0] = [{"at": "2024-03-02"}]
    INLINE.move(workflow, "events")
    done(made.run(workflow))
    assert [("2024-03-02",)] == made.rows("events", "at")
    assert [("03-02", 1)] == days(made)


def test_rows_that_are_delivered_once_more_are_not_late(made: Made, pages: list[Any]):
    workflow = events(made)
    pages.append([{"at": "2024-03-01"}])
    done(made.run(workflow))
    pages.append([{"at": "2024-03-20"}])
    done(made.run(workflow))
    before = days(made)
    assert [("03-01", 1), ("03-20", 1)] == before

    INLINE.move(workflow, "events")
    report = done(made.run(workflow))

    assert before == days(made), "the first row comes in a file of its own that arrives long after the watermark"
    assert 0 == report.stage("daily").counts.late
    pages.append([{"at": "2024-03-02"}])
    assert 1 == done(made.run(workflow)).stage("daily").counts.late, "what really comes late is late as before"
