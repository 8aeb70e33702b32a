"""The JSON schema that editors take: right files conform, wrong ones do not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from dataflow.config.schema import json_schema
from tests.dataflow.config.pipelines import EVENTS, PLAIN, changed

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json_schema()


def mistakes(text: str) -> list[Any]:
    values = YAML(typ="safe", pure=True).load(text)
    return list(Draft202012Validator(SCHEMA).iter_errors(values))


def test_it_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_the_projects_configurations_conform(path: Path):
    assert [] == mistakes(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*/*.yaml")), ids=lambda path: path.name)
def test_the_files_that_they_include_conform_to_the_block_of_their_name(path: Path):
    blocks = {"sources": "SourceBlock", "strategies": "StrategiesConfig"}[path.parent.name]
    block = SCHEMA["$defs"][blocks]["properties"][path.stem]
    values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    assert [] == list(Draft202012Validator({**block, "$defs": SCHEMA["$defs"]}).iter_errors(values))


@pytest.mark.parametrize(
    "text",
    [
        EVENTS,
        PLAIN,
        changed("scale: 100", "scale: ${SCALE}"),
        changed("buffer_size: 5", "config_file: sources/pubsub.yaml"),
        changed("    path: landing/*.jsonl\n", ""),
        changed("dedup_key: [message_id]", "config_file: merge.yaml"),
        changed("function: builtins:len", "window: {window_size: 1 day}\n    quarantine_limit: {share: 1 %}"),
        "config_file: base.yaml\n",
        PLAIN.replace("path: orders/*.csv", ""),
        PLAIN + "stages:\n  once: {depends_on: [orders], strategy: {type: polars_merge, dedup_key: [id]}}\n",
        PLAIN.replace("path:", "storage_options: {anything: goes}, schema: {any: string}, path:"),
    ],
)
def test_what_is_right_conforms(text: str):
    assert [] == mistakes(text)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (changed("pipeline: events", "pipelin: events"), []),
        (changed("buffer_size", "bufer_size"), ["source", "pubsub"]),
        (changed("  pubsub:", "  pubsbu:"), ["source"]),
        (changed("type: pubsub", "type: pubsbu"), ["source", "type"]),
        (changed("scale: 100", "scale: many"), ["generation", "scale"]),
        (changed("scale: 100", "scale: -1"), ["generation", "scale"]),
        (changed("slow_rate", "slow_rat"), ["generation", "chaos"]),
        (changed("bronze_append,", "bronze,"), ["strategies", "enabled", 0]),
        (changed("dedup_key", "dedup_kye"), ["strategies", "polars_merge"]),
        (changed("write_mode: append", "write_mode: apend"), ["strategies", "eager_dedup", "write_mode"]),
        (changed("depends_on", "depends"), ["stages", "counted"]),
        (PLAIN.replace("path:", "paht:"), ["sources", "orders"]),
        (PLAIN.replace("path:", "type: fiel, path:"), ["sources", "orders"]),
        (PLAIN + "stages: {a: {strategy: {type: polars_merge}}}\n", ["stages", "a", "strategy"]),
        (PLAIN + "run: {threads: 0}\n", ["run", "threads"]),
        (PLAIN + "logging: {format: xml}\n", ["logging", "format"]),
    ],
)
def test_what_is_wrong_does_not(text: str, at: list[Any]):
    assert at in [place for error in mistakes(text) for place in places(error)]


def places(error: Any) -> Iterator[list[Any]]:
    """Where a mistake is, and where in what might have stood there."""
    yield list(error.absolute_path)
    for other in error.context or ():
        yield from places(other)


def test_keys_are_described():
    block = SCHEMA["$defs"]["SourceBlock"]["properties"]
    assert block["type"]["description"].startswith("Which block counts")
    assert block["pubsub"]["properties"]["buffer_size"]["description"].startswith("Deliveries that a partition keeps")
    assert "What becomes of columns" in block["file"]["properties"]["contract"]["description"]
