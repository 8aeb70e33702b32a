"""A workflow of ``source``, ``generation`` and ``strategies``."""

from pathlib import Path
from typing import Any

import pytest

from dataflow import Workflow
from dataflow.errors import ConfigError
from tests.dataflow.config.pipelines import EVENTS, PLAIN, changed, write

TEXT = changed("function: builtins:len\n    depends_on", "strategy: {type: eager_dedup}\n    depends_on")


def refusal(folder: Path, text: str, **more: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Workflow.from_yaml(write(folder, text), env={}, **more)
    return str(caught.value).replace(f"{folder}/", "")


def test_the_source_and_the_strategies_are_stages(tmp_path: Path):
    stages = Workflow.from_yaml(write(tmp_path, TEXT), env={}).stages
    inputs = {name: stage.inputs for name, stage in stages.items()}
    assert {
        "events": (),
        "events_bronze_append": ("events",),
        "events_polars_merge": ("events",),
        "counted": ("events_polars_merge",),
    } == inputs
    merge = stages["events_polars_merge"]
    assert ["dedup_key_message_id_is_known"] == [rule.name for rule in merge.gate]
    assert merge.strategy is not None
    assert ("polars_merge", {"dedup_key": ["message_id"]}) == (
        merge.strategy.config.type,
        merge.strategy.config.options,
    )


def test_the_long_form_is_the_same(tmp_path: Path):
    long = """\
pipeline: events
lake: lake
sources:
  events: {type: pubsub, buffer_size: 5, scale: 100, chaos: {slow_rate: 0.2}}
stages:
  events_bronze_append: {depends_on: [events], strategy: {type: bronze_append}}
  events_polars_merge: {depends_on: [events], strategy: {type: polars_merge, dedup_key: [message_id]}}
  counted: {depends_on: [events_polars_merge], strategy: {type: eager_dedup}}
"""
    short = Workflow.from_yaml(write(tmp_path, TEXT), env={})
    other = Workflow.from_yaml(write(tmp_path, long, "long.yaml"), env={})

    def told(workflow: Workflow) -> dict[str, Any]:
        return {
            name: (stage.kind, stage.source, stage.inputs, stage.gate, stage.strategy and stage.strategy.config)
            for name, stage in workflow.stages.items()
        }

    assert told(short) == told(other)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  counted:",
            "  events_polars_merge:",
            "events.yaml:15: strategies.polars_merge: there is a task of this name already; rename one",
        ),
        (
            "  counted:",
            "  events:",
            "events.yaml:20: stages.events: there is a source of this name already; rename one",
        ),
        (
            "[events_polars_merge]",
            "[events_scd2]",
            "events.yaml:22: stages.counted.depends_on: unknown stage 'events_scd2'",
        ),
        (
            "type: pubsub",
            "type: pubsub\n  name: Events",
            "events.yaml:5: source.name: small letters, digits and underscores are expected",
        ),
        (
            "    dedup_key: [message_id]",
            "    dedup_key: [message_id]\n    table: a__b",
            "events.yaml:15: strategies.polars_merge: a name is made of small letters",
        ),
        (
            "type: pubsub",
            "type: pubsub\n  gate: [{name: a, predicate: value >}]",
            "events.yaml:5: source.gate.0",
        ),
        (
            "    dedup_key: [message_id]",
            "    dedup_key: [message_id]\n    gate: [{name: a, predicate: value >}]",
            "events.yaml:17: strategies.polars_merge.gate.0",
        ),
    ],
)
def test_mistakes_are_placed_where_they_were_written(tmp_path: Path, old: str, new: str, message: str):
    assert old in TEXT
    assert refusal(tmp_path, TEXT.replace(old, new)).startswith(message)


def test_a_stage_needs_a_function_or_a_strategy(tmp_path: Path):
    message = "events.yaml:5: stages.clean.function: is missing; a stage needs a function, a strategy, or both"
    assert message == refusal(tmp_path, PLAIN + "stages:\n  clean: {rows: any}\n")


def test_a_lake_that_is_named_goes_before_all(tmp_path: Path):
    path = write(tmp_path, EVENTS.partition("stages:")[0])
    assert "/other" == Workflow.from_yaml(path, lake="/other", env={"DELTA_TABLE_PATH": "/variable"}).lake
    assert "/variable" == Workflow.from_yaml(path, env={"DELTA_TABLE_PATH": "/variable"}).lake
