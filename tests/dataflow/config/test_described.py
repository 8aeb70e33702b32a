"""Every key of the configuration is documented: below its field, and in docs/configuration.md."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from dataflow.config import PipelineConfig, SourceConfig, StrategyConfig
from dataflow.config.options import SOURCES, STRATEGIES
from dataflow.config.problems import spelled
from dataflow.config.schema import described

ROOT = Path(__file__).resolve().parents[3]
BASES = [family.settings(name) for family in (SOURCES, STRATEGIES) for name in family.types.names]


def models(kind: Any, seen: dict[type[BaseModel], None]) -> Iterator[type[BaseModel]]:
    """All models that ``kind`` is made of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind in seen:
            return
        seen[kind] = None
        yield kind
        for field in kind.model_fields.values():
            yield from models(field.annotation, seen)
    for argument in get_args(kind):
        yield from models(argument, seen)


def every() -> list[type[BaseModel]]:
    seen: dict[type[BaseModel], None] = {}
    return [model for base in (PipelineConfig, SourceConfig, StrategyConfig, *BASES) for model in models(base, seen)]


OURS = [model for model in every() if model.__module__.startswith("dataflow.")]


def test_the_models_are_found():
    assert {"Chaos", "EmailAlert", "FileConfig", "RuleConfig", "WindowConfig"} <= {model.__name__ for model in OURS}


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_field_says_what_it_is(model: type[BaseModel]):
    assert [] == [name for name in model.model_fields if not described(model).get(name)]
    assert model.model_config.get("frozen"), "a configuration is not changed after it was read"


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_the_page_explains_every_key(model: type[BaseModel]):
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    page = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    said = set(re.findall(r"[a-z_0-9]+", " ".join(re.findall(r"`([^`]+)`", page))))
    keys = [key for key in spelled(model).values() if key not in ("options", "blocks")]
    assert [] == [key for key in keys if key not in said]
