"""Windows: members add up, and what comes later than the tolerance is set aside and counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from dataflow import Workflow
from dataflow.lake.journal import Journal
from dataflow.lake.lake import Lake
from dataflow.lake.lease import read_state
from tests.dataflow.engine.made import Made, done, failed, nonzero, same


def typed(events: pl.LazyFrame) -> pl.LazyFrame:
    return events.with_columns(pl.col("at").str.to_datetime("%Y-%m-%d %H:%M", time_zone="UTC"))


def daily(timed: pl.LazyFrame) -> pl.LazyFrame:
    return timed.group_by(pl.col("window_start").alias("day"), "shop").agg(pl.len().alias("events"))


def windowed(made: Made, **window: str) -> Workflow:
    workflow = made.workflow()
    by: dict[str, Any] = {"partition_by": ["shop"]}
    made.source(workflow, "events", storage=by)
    workflow.add_task("timed", typed, ["events"], rows="preserved", storage=by, **by)
    options = {"window_size": "1 day", "late_arrival_tolerance": "2 days", **window}
    workflow.add_task("daily", daily, ["timed"], rows="grouped", members="events", window=options, storage=by, **by)
    return workflow


def deliver(made: Made, number: int, *moments: str, shop: str = "a") -> None:
    made.csv(f"events/{number}-{shop}.csv", "shop,at", [f"{shop},{moment}" for moment in moments])


def days(made: Made) -> list[tuple[str, str, int]]:
    return sorted((f"{day:%m-%d}", shop, n) for day, shop, n in made.rows("daily", "day", "shop", "events"))


def late(made: Made) -> list[str]:
    return sorted(f"{at:%m-%d %H:%M}" for (at,) in made.rows("daily__late", "at"))


def test_rows_later_than_the_tolerance_are_set_aside_and_counted(made: Made):
    deliver(made, 1, "2024-03-10 08:00", "2024-03-10 09:00", "2024-03-01 00:00")
    first = done(made.run(windowed(made)))
    assert {"read": 3, "aggregated": 3, "produced": 2, "published": 2} == nonzero(first.stage("daily"))
    assert [("03-01", "a", 1), ("03-10", "a", 2)] == days(made), "nothing is late before a watermark is set"
    # The watermark is 8 March, 9:00.
    deliver(made, 2, "2024-03-08 08:59", "2024-03-08 09:00", "2024-03-11 00:00")

    second = done(made.run(windowed(made)))

    assert {"read": 6, "late": 1, "aggregated": 5, "produced": 4, "published": 4} == nonzero(second.stage("daily"))
    assert [("03-01", "a", 1), ("03-08", "a", 1), ("03-10", "a", 2), ("03-11", "a", 1)] == days(made)
    assert ["03-08 08:59"] == late(made)
    assert [(2 << 40,)] == made.rows("daily__late", "_row_id"), "the second file's first row"
    assert [("daily.0.2",)] == made.rows("daily__late", "_batch_id")


def test_what_is_late_stays_late_and_what_is_not_stays_so(made: Made):
    deliver(made, 1, "2024-03-10 09:00")
    done(made.run(windowed(made)))
    deliver(made, 2, "2024-03-01 00:00", "2024-03-20 00:00")
    done(made.run(windowed(made)))
    before = days(made), late(made)

    done(made.run(windowed(made), incremental=False))
    done(made.run(windowed(made), incremental=False))

    assert ([("03-10", "a", 1), ("03-20", "a", 1)], ["03-01 00:00"]) == before == (days(made), late(made))


def test_a_correction_of_a_file_is_not_late(made: Made):
    deliver(made, 1, "2024-03-01 08:00", "2024-03-20 09:00")
    done(made.run(windowed(made)))
    deliver(made, 1, "2024-03-01 08:00", "2024-03-01 10:00", "2024-03-20 09:00")

    report = done(made.run(windowed(made)))

    assert 0 == report.stage("daily").counts.late
    assert [("03-01", "a", 2), ("03-20", "a", 1)] == days(made)


def test_a_partition_may_be_late_as_a_whole(made: Made):
    deliver(made, 1, "2024-03-10 09:00")
    done(made.run(windowed(made)))
    deliver(made, 2, "2024-03-01 00:00", "2024-03-01 01:00", shop="b")

    report = done(made.run(windowed(made)))

    assert {"read": 2, "late": 2} == nonzero(report.stage("daily"))
    assert [("03-10", "a", 1)] == days(made)
    assert ["03-01 00:00", "03-01 01:00"] == late(made)


def test_the_watermark_is_that_of_all_partitions(made: Made):
    deliver(made, 1, "2024-03-10 09:00", shop="a")
    deliver(made, 1, "2024-03-01 09:00", shop="b")
    done(made.run(windowed(made)))
    deliver(made, 2, "2024-03-02 09:00", shop="b")

    report = done(made.run(windowed(made)))

    assert 1 == report.stage("daily").counts.late
    assert [("03-01", "b", 1), ("03-10", "a", 1)] == days(made)


def test_rows_without_a_time_are_in_no_window_and_not_lost(made: Made):
    deliver(made, 1, "2024-03-10 09:00", "")

    report = done(made.run(windowed(made)))

    assert {"read": 2, "aggregated": 2, "produced": 2, "published": 2} == nonzero(report.stage("daily"))
    assert {(None, 1), (datetime(2024, 3, 10, tzinfo=UTC), 1)} == set(made.rows("daily", "day", "events"))


def test_a_stage_waits_for_its_trigger(made: Made):
    deliver(made, 1, "2024-03-10 09:00")
    done(made.run(windowed(made, trigger_interval="1 hour")))
    deliver(made, 2, "2024-03-11 09:00")

    report = done(made.run(windowed(made, trigger_interval="1 hour")))
    again = made.run(windowed(made, trigger_interval="1 hour"))

    assert ["published", "published", "deferred"] == [s.state for s in report.stages]
    assert report.stage("daily").reason.startswith("its trigger interval ends at ")
    assert "skipped" == again.state
    assert again.reason.startswith("stage 'daily' waits: ")
    assert [("03-10", "a", 1)] == days(made)
    assert done(made.run(windowed(made, trigger_interval="0 hours"))).stage("daily").counts.published == 2


def test_a_window_over_rows_that_no_file_brought_is_refused(made: Made):
    deliver(made, 1, "2024-03-10 09:00")
    workflow = windowed(made)
    workflow.add_task("weekly", same, ["daily"], window={"window_size": "7 days"})

    said = failed(made.run(workflow), "weekly")

    assert "the rows of 'daily' carry no row id" in said
    assert "Put the window on a stage whose first input keeps its rows apart" in said


@pytest.mark.parametrize(
    ("column", "says"),
    [("day", "'day' is not in the input; did you mean"), ("shop", "'shop' is String, neither a date nor a time")],
)
def test_a_time_column_that_does_not_fit_is_named(made: Made, column: str, says: str):
    deliver(made, 1, "2024-03-10 09:00")

    said = failed(made.run(windowed(made, time_column=column)), "daily")

    assert says in said or (column == "day" and "'day' is not in the input" in said)


def test_an_intent_holds_the_step_of_its_batch_alone(made: Made):
    for day in range(10, 16):
        deliver(made, day, f"2024-03-{day} 08:00")
        done(made.run(windowed(made)))

    intents = [json.loads(e.body) for e in Journal(Lake(made.lake)).entries(archived=True) if e.kind == "intent"]
    assert [1] * 6 == [len(body["late_steps"]) for body in intents if body["stage"] == "daily"]
    assert 6 == len(read_state(Lake(made.lake), "made").stage("daily").late_steps)
