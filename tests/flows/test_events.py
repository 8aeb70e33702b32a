"""The second pipeline, ``config/events.yaml``, as people run it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow import Workflow
from flows.command import PROJECT, main
from flows.examples.events import count_per_window

CONFIG = PROJECT / "config" / "events.yaml"
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def etl(*arguments: str, code: int = 0) -> dict[str, Any]:
        capfd.readouterr()
        assert code == main([*arguments, "--lake", "lake", "--runner", "inline", "--json"])
        return json.loads(capfd.readouterr().out)

    return etl


def table(name: str) -> pl.DataFrame:
    return pl.read_delta(f"lake/{name}")


def test_the_pipeline_lands_once_and_settles_by_each_strategy(run: Run):
    report = run("--config", str(CONFIG), "--scale", "6000", "--set", "source.pubsub.batch_size=2500")
    assert "completed" == report["state"]
    landed, bronze, merged = table("events"), table("events_bronze_append"), table("events_polars_merge")
    assert 6000 == landed["message_id"].n_unique() < landed.height
    message = ["message_id", "value", "event_time"]
    assert sorted(landed.select(message).iter_rows()) == sorted(bronze.select(message).iter_rows())
    first = landed.group_by("message_id").agg(pl.col("received_at").min())
    assert sorted(first.iter_rows()) == sorted(merged.select("message_id", "received_at").iter_rows())
    copies = bronze.filter(pl.col("_duplicate_of").is_not_null())
    assert landed.height - 6000 == copies.height, "they were landed in one batch"
    minutes = table("messages_per_minute")
    assert landed.height == minutes["deliveries"].sum()
    assert 6000 == minutes["messages"].sum()
    assert merged["value"].sum() == minutes["value_sum"].sum()


def test_a_greater_scale_lands_only_new_batches(run: Run):
    options = ["--config", str(CONFIG), "--set", "source.pubsub.batch_size=2000"]
    run(*options, "--scale", "2000")
    before = table("events").height
    report = run(*options, "--scale", "4000")
    stage = next(each for each in report["stages"] if each["stage"] == "events")
    assert table("events").height - before == stage["counts"]["read"]
    assert 4000 == table("events_polars_merge").height
    assert "skipped" == run(*options, "--scale", "4000")["state"]


def test_synthetic_messages_in_speed_mode_are_all_different(run: Run):
    run("--source", "polars_synthetic", "--mode", "speed", "--scale", "5000")
    assert (5000, 5000) == (table("events").height, table("events_polars_merge").height)
    assert 0 == table("events_bronze_append")["_duplicate_of"].count()


def test_logs_go_where_the_command_line_says(run: Run, tmp_path: Path):
    options = ["--log-file", "logs/run.log", "--log-format", "json", "--strategy", "polars_merge"]
    run("--config", str(CONFIG), "--scale", "500", *options)
    lines = [json.loads(line) for line in (tmp_path / "logs" / "run.log").read_text().splitlines()]
    assert {"events", "events_polars_merge"} <= {line["stage"] for line in lines}


def test_files_cost_their_broken_lines(run: Run, tmp_path: Path):
    (tmp_path / "landing").mkdir()
    line = '{"message_id": "%s", "value": %s, "event_time": "2026-01-01T00:00:00Z", "partition": 0, "offset": 0, "received_at": "2026-01-01T00:00:01Z"}\n'
    (tmp_path / "landing" / "a.jsonl").write_text(line % ("a", 1) + line % ("a", 1) + line % ("b", '"x"') + '{"messa\n')
    run("--source", "file", "--path", "landing/*.jsonl")
    assert ["a", "a"] == table("events")["message_id"].to_list()
    assert ["a"] == table("events_polars_merge")["message_id"].to_list()
    assert [3, 4] == sorted(table("events__quarantine")["_line"].to_list())


@pytest.mark.parametrize("strategy", ["bronze_append", "polars_merge", "eager_dedup", "scd2"])
def test_each_strategy_has_a_block_that_runs(run: Run, strategy: str):
    run("--config", str(CONFIG), "--scale", "1000", "--strategy", strategy)
    assert table(f"events_{strategy}").height > 0


def test_every_source_has_a_block_that_is_right(monkeypatch: pytest.MonkeyPatch):
    for kind in ("pubsub", "polars_synthetic", "file"):
        workflow = Workflow.from_yaml(CONFIG, overrides=[f"source.type={kind}"], env={"RAW_DATA_PATH": "/landing"})
        assert ["events", "events_bronze_append", "events_polars_merge", "messages_per_minute"] == list(workflow.stages)


# ---------------------------------------------------------------- the function


START = datetime(2026, 1, 1, tzinfo=UTC)
DELIVERIES = st.lists(
    st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(-9, 9)), st.integers(0, 2)), max_size=30
)


@settings(max_examples=40, deadline=None)
@given(DELIVERIES)
def test_windows_count_deliveries_messages_and_values(drawn: list[tuple[int, int | None, int]]):
    # A message has one value and one event time, however often it is delivered.
    first: dict[int, tuple[int | None, int]] = {}
    rows = [(number, *first.setdefault(number, (value, minute))) for number, value, minute in drawn]
    expected: dict[datetime, tuple[int, int, int]] = {}
    for minute in {minute for _, _, minute in rows}:
        inside = [(number, value) for number, value, at in rows if at == minute]
        expected[START + timedelta(minutes=minute)] = (
            len(set(inside)),
            sum(value or 0 for _, value in set(inside)),
            len(inside),
        )
    frame = pl.DataFrame(
        [(str(number), value, START + timedelta(minutes=minute)) for number, value, minute in rows],
        schema={"message_id": pl.String, "value": pl.Int64, "window_start": pl.Datetime("us", "UTC")},
        orient="row",
    ).with_columns(window_end=pl.col("window_start") + pl.duration(minutes=1))
    counted = count_per_window(frame.lazy()).collect()
    found = {row["window_start"]: (row["messages"], row["value_sum"], row["deliveries"]) for row in counted.to_dicts()}
    assert expected == found
