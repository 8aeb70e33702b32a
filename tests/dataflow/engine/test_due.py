"""Whether a run is due: looked at often, without leaving a trace."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import polars as pl
import pytest

from dataflow import Engine, Workflow
from dataflow.engine.due import LEFT
from dataflow.engine.run import new_run_id
from dataflow.errors import ConfigError, SourceUnavailable
from dataflow.lake.lake import Lake
from dataflow.lake.lease import acquire, held
from dataflow.model import Frozen
from dataflow.sources import source_types
from dataflow.sources.spooled import Pull, SpooledSource
from tests.dataflow.engine.made import AT_ONCE, Made, done, same


def pipeline(made: Made) -> Workflow:
    workflow = made.workflow()
    made.source(workflow, "orders")
    workflow.add_task("copy", same, depends_on=["orders"], retry=AT_ONCE["retry"])
    return workflow


def due(workflow: Workflow, **options: Any) -> str | None:
    found = Engine(runner="inline").due(workflow, **options)
    return None if found is None else found.why


def test_a_new_file_makes_a_run_due_and_nothing_else_does(made: Made):
    made.csv("orders/1.csv", "n", ["1"])
    assert "orders: 1 new file" == due(pipeline(made))
    assert not made.lake.exists()

    done(made.run(pipeline(made)))
    before = made.files()
    for _ in range(20):
        assert due(pipeline(made)) is None
    assert before == made.files()

    made.csv("orders/2.csv", "n", ["2"])
    assert "orders: 1 new file" == due(pipeline(made))


def test_only_what_is_selected_counts(made: Made):
    made.csv("orders/1.csv", "n", ["1"])
    assert due(pipeline(made), select="copy") is None
    with pytest.raises(ConfigError, match="copies"):
        due(pipeline(made), select="copies")


def test_a_stage_that_is_behind_makes_a_run_due(made: Made):
    made.csv("orders/1.csv", "n", ["1"])
    done(made.run(pipeline(made), select="orders"))
    assert "copy: never run before" == due(pipeline(made))


def test_while_another_run_is_at_work_none_is_due(made: Made):
    made.csv("orders/1.csv", "n", ["1"])
    with held(Lake(made.lake), "made", new_run_id(), ttl_seconds=60):
        assert due(pipeline(made)) is None
    assert due(pipeline(made)) is not None


def test_what_an_interrupted_run_left_makes_a_run_due(made: Made):
    made.csv("orders/1.csv", "n", ["1"])
    done(made.run(pipeline(made)))
    acquire(Lake(made.lake), "made", new_run_id(), ttl_seconds=0.001)

    assert "an interrupted run has left something to finish or sweep" == due(pipeline(made))

    made.run(pipeline(made))
    assert due(pipeline(made)) is None


def test_what_there_is_to_do_has_names_that_last_until_it_changes(made: Made):
    def keys() -> set[str]:
        found = Engine(runner="inline").due(workflow)
        return set() if found is None else set(found.reasons)

    workflow = pipeline(made)
    made.source(workflow, "others", columns=["n"])
    made.csv("orders/1.csv", "n", ["1"])
    made.csv("others/1.csv", "m", ["1"])
    first = keys()
    assert 2 == len(first)
    assert "failed" == made.run(workflow).state
    second = keys()
    assert second < first | {LEFT}
    assert "failed" == made.run(workflow).state
    assert second == keys()
    made.csv("others/1.csv", "m", ["2"])
    third = keys()
    assert third & second == {LEFT}
    made.csv("orders/2.csv", "n", ["2"])
    assert third < keys()
    made.csv("others/1.csv", "n", ["3"])
    done(made.run(workflow))
    assert set() == keys()


def test_what_is_wrong_with_one_source_is_the_runs_to_tell_where_another_is_due(feed: Workflow, made: Made):
    Feed.error = ConnectionError("no route")
    made.source(feed, "orders")
    made.csv("orders/1.csv", "n", ["1"])
    assert "orders: 1 new file" == due(feed)


def test_a_file_that_was_touched_is_hashed_once(made: Made):
    path = made.csv("orders/1.csv", "n", ["1"])
    done(made.run(pipeline(made)))
    os.utime(path, (1, 1))

    assert "orders: files were touched, their content is the same" == due(pipeline(made))

    assert "skipped" == made.run(pipeline(made)).state
    assert due(pipeline(made)) is None


def test_a_stage_whose_condition_does_not_hold_makes_no_run_due(made: Made):
    made.csv("orders/1.csv", "n", ["1"])
    workflow = made.workflow()
    made.source(workflow, "orders", gate=[{"name": "known", "predicate": "n IS NOT NULL"}])
    workflow.add_task("alarm", same, depends_on=["orders"], when="orders.quarantined > 0", retry=AT_ONCE["retry"])
    done(made.run(workflow))

    assert due(workflow) is None


class Options(Frozen):
    pass


class Feed(SpooledSource):
    """Gives what the test has put into ``rows``, once."""

    Config: ClassVar[type[Frozen]] = Options
    rows: ClassVar[list[int]] = []
    asked: ClassVar[int] = 0
    error: ClassVar[Exception | None] = None

    def pull(self, state: dict[str, Any] | None) -> Pull:
        Feed.asked += 1
        if Feed.error is not None:
            raise Feed.error
        given = (state or {"given": 0})["given"]
        if self.rows[given:]:
            yield [{"n": n} for n in self.rows[given:]]
        return {"given": len(self.rows)}


@pytest.fixture
def feed(made: Made, monkeypatch: pytest.MonkeyPatch) -> Workflow:
    monkeypatch.setitem(source_types._types, "feed", Feed)
    monkeypatch.setattr(Feed, "rows", [1, 2])
    monkeypatch.setattr(Feed, "asked", 0)
    monkeypatch.setattr(Feed, "error", None)
    workflow = made.workflow()
    workflow.add_source("numbers", {"type": "feed", **AT_ONCE})
    return workflow


def test_a_source_that_has_to_be_asked_is_asked_and_its_answer_is_kept_for_the_run(made: Made, feed: Workflow):
    assert "numbers: 1 new file" == due(feed)
    Feed.rows.append(3)
    assert 3 == done(made.run(feed)).stage("numbers").counts.published
    assert [(1,), (2,), (3,)] == made.rows("numbers", "n")
    assert 2 == Feed.asked
    before = made.files()

    for _ in range(5):
        assert due(feed) is None

    assert (7, before) == (Feed.asked, made.files())


def test_a_source_is_not_asked_while_another_run_is_at_work(made: Made, feed: Workflow):
    with held(Lake(made.lake), "made", new_run_id(), ttl_seconds=60):
        assert due(feed) is None
    assert 0 == Feed.asked


def test_a_source_that_does_not_answer_is_told(feed: Workflow):
    Feed.error = ConnectionError("no route")
    with pytest.raises(SourceUnavailable, match="no route"):
        due(feed)


def test_rows_that_are_the_same_do_not_come_twice(made: Made, feed: Workflow):
    assert due(feed)
    assert due(feed)
    done(made.run(feed))
    assert pl.Series("n", [1, 2]).to_list() == sorted(made.frame("numbers")["n"])
