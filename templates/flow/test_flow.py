from datetime import UTC, date, datetime

import polars as pl

import dataflow
from flows.my_flow import CONFIG, sum_by_day, type_orders


def test_text_becomes_types_and_what_cannot_be_read_becomes_null():
    bronze = {"order_id": ["1", "x"], "ordered_at": ["2026-01-01 09:30:00", ""], "region": ["north", "south"]}
    typed = type_orders(pl.LazyFrame({**bronze, "amount": ["120", "free"]})).collect()
    expected = [(1, datetime(2026, 1, 1, 9, 30, tzinfo=UTC), "north", 120), (None, None, "south", None)]
    assert expected == typed.rows()


def test_orders_are_summed_by_day():
    at = [datetime(2026, 1, 1, 9, tzinfo=UTC), datetime(2026, 1, 1, 17, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)]
    days = sum_by_day(pl.LazyFrame({"ordered_at": at, "amount": [120, 80, 40]})).sort("ordered_on").collect()
    assert [(date(2026, 1, 1), 2, 200), (date(2026, 1, 2), 1, 40)] == days.rows()


def test_a_run_publishes_and_the_next_one_has_nothing_to_do(tmp_lake):
    workflow = dataflow.Workflow.from_yaml(CONFIG, lake=tmp_lake)
    engine = dataflow.Engine(runner="inline")
    first = engine.execute(workflow)
    assert "completed" == first.state, first
    counts = first.stage("orders").counts
    assert (5, 1, 1, 3) == (counts.read, counts.deduplicated, counts.quarantined, counts.published)
    assert 2 == first.stage("daily_orders").counts.published
    assert "skipped" == engine.execute(workflow).state
