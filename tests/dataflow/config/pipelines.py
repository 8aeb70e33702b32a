"""A pipeline in the short form, as the tests of this folder write and change it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from dataflow.config import Flags, load
from dataflow.errors import ConfigError

EVENTS = """\
pipeline: events
lake: lake
source:
  type: pubsub
  pubsub:
    buffer_size: 5
  file:
    path: landing/*.jsonl
generation:
  scale: 100
  chaos:
    slow_rate: 0.2
strategies:
  enabled: [bronze_append, polars_merge]
  polars_merge:
    dedup_key: [message_id]
  eager_dedup:
    write_mode: append
stages:
  counted:
    function: builtins:len
    depends_on: [events_polars_merge]
"""
PLAIN = """\
pipeline: shop
sources:
  orders: {path: orders/*.csv}
"""


def write(folder: Path, text: str = EVENTS, name: str = "events.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def changed(old: str, new: str, text: str = EVENTS) -> str:
    assert old in text
    return text.replace(old, new)


def refusal(
    folder: Path,
    text: str = EVENTS,
    *,
    flags: Flags | None = None,
    overrides: tuple[str, ...] = (),
    env: Mapping[str, str] | None = None,
) -> str:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text), flags=flags or Flags(), overrides=overrides, env={} if env is None else env)
    return str(caught.value).replace(f"{folder}/", "")
