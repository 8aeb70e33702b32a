"""Every value, and what says it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.config import Flags, load_document
from dataflow.config.resolved import Resolved, resolved
from tests.dataflow.config.pipelines import EVENTS, PLAIN, write

ROOT = Path(__file__).resolve().parents[3]


def values(folder: Path, text: str = EVENTS, env: Mapping[str, str] | None = None, **more: Any) -> dict[str, Resolved]:
    loaded = load_document(write(folder, text), env=env or {}, **more)
    found = resolved(loaded)
    named = {".".join(map(str, value.key)): value for value in found}
    assert len(found) == len(named), "no key is told twice"
    return named


def test_each_value_has_its_origin(tmp_path: Path):
    env = {"LOG_LEVEL": "INFO", "DATAFLOW__RUN__THREADS": "3"}
    found = values(tmp_path, env=env, flags=Flags(scale=7), overrides=["data_docs=false"])
    said = {key: (found[key].value, str(found[key].origin or "default").replace(f"{tmp_path}/", "")) for key in found}
    expected = {
        "pipeline": ("events", "events.yaml:1"),
        "source.type": ("pubsub", "events.yaml:4"),
        "source.name": ("events", "default"),
        "source.pubsub.buffer_size": (5, "events.yaml:6"),
        "source.pubsub.time": ("virtual", "default"),
        "source.retry.attempts": (3, "default"),
        "generation.scale": (7, "--scale"),
        "generation.seed": (7, "default"),
        "generation.chaos.slow_rate": (0.2, "events.yaml:12"),
        "strategies.bronze_append.table": ("events_bronze_append", "default"),
        "strategies.bronze_append.hash_algorithm": ("sha256", "default"),
        "strategies.polars_merge.dedup_key": (["message_id"], "events.yaml:16"),
        "stages.counted.depends_on": (["events_polars_merge"], "events.yaml:22"),
        "logging.level": ("INFO", "LOG_LEVEL"),
        "run.threads": (3, "DATAFLOW__RUN__THREADS"),
        "data_docs": (False, "--set"),
    }
    assert expected == {key: said[key] for key in expected}
    assert "source.pubsub.scale" not in found, "it is told where it was written"


def test_what_is_inactive_says_why(tmp_path: Path):
    found = values(tmp_path)
    assert "source.type is pubsub" == found["source.file.path"].inactive
    assert "eager_dedup is not among strategies.enabled" == found["strategies.eager_dedup.write_mode"].inactive
    assert "" == found["source.pubsub.buffer_size"].inactive
    assert "source.file.separator" not in found, "of an inactive block only what was written"
    file = values(tmp_path, flags=Flags(source="file"))
    assert "source.type is file" == file["generation.scale"].inactive
    speed = values(tmp_path, flags=Flags(source="polars_synthetic", mode="speed"))
    assert "mode is speed" == speed["generation.chaos.slow_rate"].inactive
    assert "" == speed["generation.scale"].inactive


def test_no_secret_and_no_value_of_a_variable_is_shown(tmp_path: Path):
    text = """\
pipeline: shop
lake: s3://${BUCKET}/lake
sources:
  orders:
    path: ["${FOLDER}/a.csv", b.csv]
    separator: ${SEPARATOR}
    storage_options: {aws_secret_access_key: hunter2, endpoint: "https://me:hunter2@host", region: x}
  other: {path: "${FOLDER}", storage_options: {token: "${TOKEN}"}}
alerts:
  - {type: slack, url: "${HOOK}"}
  - {type: webhook, url: "https://hunter2.example"}
run: {threads: "${THREADS}"}
"""
    env = {"BUCKET": "hunter2", "FOLDER": "hunter2", "SEPARATOR": ";", "TOKEN": "hunter2", "THREADS": "4", "HOOK": "x"}
    found = values(tmp_path, text, env)
    assert "hunter2" not in repr({key: value.value for key, value in found.items()})
    expected = {
        "lake": "s3://${BUCKET}/lake",
        "sources.orders.path": ["${FOLDER}/a.csv", "b.csv"],
        "sources.orders.separator": "${SEPARATOR}",
        "sources.orders.storage_options.aws_secret_access_key": "***",
        "sources.orders.storage_options.endpoint": "https://***@host",
        "sources.orders.storage_options.region": "x",
        "sources.other.storage_options.token": "${TOKEN}",
        "alerts.0.url": "${HOOK}",
        "alerts.1.url": "***",
        "run.threads": "${THREADS}",
    }
    assert expected == {key: found[key].value for key in expected}


def test_durations_stand_as_they_were_written(tmp_path: Path):
    text = PLAIN + "stages:\n  daily:\n    function: builtins:len\n    window: {window_size: 1 day 6 hours}\n"
    found = values(tmp_path, text)
    assert "1 day 6 hours" == found["stages.daily.window.window_size"].value
    assert "0 seconds" == found["stages.daily.window.trigger_interval"].value


def test_the_options_of_a_stages_strategy_are_told(tmp_path: Path):
    text = PLAIN + "stages:\n  once:\n    depends_on: [orders]\n    strategy: {type: polars_merge, dedup_key: [id]}\n"
    found = values(tmp_path, text)
    assert (["id"], "last") == (
        found["stages.once.strategy.dedup_key"].value,
        found["stages.once.strategy.keep"].value,
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["run.threads", "run.lease_seconds", "generation.scale", "source.pubsub.buffer_size"]), unique=True))  # fmt: skip
def test_what_a_flag_does_not_say_keeps_its_origin(tmp_path_factory: Any, keys: list[str]):
    folder = tmp_path_factory.mktemp("flags")
    before = values(folder)
    after = values(folder, overrides=[f"{key}=9" for key in keys])
    assert list(before) == list(after)
    for key in before:
        expected = (9, "--set") if key in keys else (before[key].value, str(before[key].origin))
        assert expected == (after[key].value, str(after[key].origin))


def test_the_projects_configurations_can_be_told():
    for path in sorted((ROOT / "config").glob("*.yaml")):
        found = resolved(load_document(path, env={}))
        assert len({value.key for value in found}) == len(found)
