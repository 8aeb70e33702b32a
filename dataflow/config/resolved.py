"""What a configuration comes to: every value, and what says it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from pydantic import BaseModel, SecretStr

from dataflow.config.alerts import REFERENCE
from dataflow.config.blocks import SourceBlock, StrategiesConfig, StrategyBlock
from dataflow.config.document import Document, Key, Origin
from dataflow.config.load import Loaded
from dataflow.config.models import SourceConfig, StageOptions, StrategyConfig
from dataflow.config.options import SOURCES, STRATEGIES, Family, mapping
from dataflow.config.problems import spelled
from dataflow.config.references import holds_reference
from dataflow.config.shorthand import all_sources, generates, source_name, table_name
from dataflow.model.secrets import SECRET_NAME
from dataflow.sources.generation import GenerationConfig

HIDDEN = "***"
_LOGIN = re.compile(r"(://)[^/@\s]+@")


@dataclass(frozen=True)
class Resolved:
    """A value of the configuration as a run would take it."""

    key: Key
    value: Any
    """Of what JSON knows. ``${VAR}`` stands as it was written, and a secret as ``***``."""
    origin: Origin | None
    """None for a default."""
    inactive: str = ""
    """Why it has no effect; empty where it has."""


def resolved(loaded: Loaded) -> list[Resolved]:
    """Every value of a configuration, in the order of its keys; of blocks that are not selected, what was written."""
    return list(_Reading(loaded).pipeline())


class _Reading:
    def __init__(self, loaded: Loaded) -> None:
        self.config = loaded.config
        self.document: Document = loaded.document

    def pipeline(self) -> Iterator[Resolved]:
        for name in type(self.config).model_fields:
            value = getattr(self.config, name)
            if name == "source" and self.config.source is not None:
                yield from self._source(self.config.source)
            elif name == "generation":
                yield from self._generation()
            elif name == "strategies" and self.config.source is not None:
                yield from self._strategies(self.config.strategies or StrategiesConfig(), self.config.source)
            else:
                yield from self._value(value, (name,))

    def _source(self, source: SourceBlock) -> Iterator[Resolved]:
        at: Key = ("source",)
        named = source.model_copy(update={"name": source_name(self.config, source)})
        yield from self._fields(named, at, but=("blocks",))
        chosen = SOURCES.settings(source.type)
        made = set(GenerationConfig.model_fields) if generates(source.type) else set[str]()
        apart = made - source.blocks.get(source.type, {}).keys()
        yield from self._fields(chosen.model_validate(self._options()), (*at, source.type), but=tuple(apart))
        for name, block in source.blocks.items():
            if name != source.type:
                yield from self._value(block, (*at, name), f"source.type is {source.type}")

    def _generation(self) -> Iterator[Resolved]:
        source, given = self.config.source, self.config.generation
        if source is None:
            return
        if generates(source.type):
            whole = SOURCES.settings(source.type).model_validate(self._options())
            apart = set(type(whole).model_fields) - set(GenerationConfig.model_fields)
            yield from self._fields(whole, ("generation",), but=(*apart, *source.blocks.get(source.type, {})))
        elif given is not None:
            written = given.model_dump(exclude_unset=True)
            yield from self._value(written, ("generation",), f"source.type is {source.type}")

    def _options(self) -> dict[str, Any]:
        return all_sources(self.config)[0][1].options

    def _strategies(self, given: StrategiesConfig, source: SourceBlock) -> Iterator[Resolved]:
        at: Key = ("strategies",)
        yield from self._value(given.enabled, (*at, "enabled"))
        for name in dict.fromkeys([*given.enabled, *given.blocks]):
            block = given.blocks.get(name, StrategyBlock())
            if name not in given.enabled:
                written = mapping(mapping(self.document.values["strategies"])[name])
                yield from self._value(written, (*at, name), f"{name} is not among strategies.enabled")
                continue
            derived: dict[str, Any] = {"table": table_name(source_name(self.config, source), name, block)}
            if "pii" not in block.model_fields_set:
                derived["pii"] = source.pii
            yield from self._typed(block.model_copy(update=derived), name, STRATEGIES, (*at, name))

    def _typed(self, block: BaseModel, kind: str, family: Family, at: Key) -> Iterator[Resolved]:
        shared = tuple(StageOptions.model_fields)
        yield from self._fields(block, at, but=("options", *shared))
        yield from self._fields(family.settings(kind).model_validate(getattr(block, "options", {})), at)
        yield from self._fields(block, at, but=[name for name in spelled(type(block)) if name not in shared])

    def _fields(self, model: BaseModel, at: Key, but: Sequence[str] = ()) -> Iterator[Resolved]:
        for name, key in _ordered(model):
            if name not in but:
                idle = name == "chaos" and getattr(model, "mode", None) == "speed"
                yield from self._value(getattr(model, name), (*at, key), "mode is speed" if idle else "")

    def _value(self, value: Any, at: Key, inactive: str = "") -> Iterator[Resolved]:
        if isinstance(value, SourceConfig):
            yield from self._typed(value, value.type, SOURCES, at)
        elif isinstance(value, StrategyConfig):
            yield from self._typed(value, value.type, STRATEGIES, at)
        elif isinstance(value, BaseModel):
            for name, key in _ordered(value):
                yield from self._value(getattr(value, name), (*at, key), inactive)
        elif isinstance(value, Mapping) and value:
            for name, item in cast(Mapping[str, Any], value).items():
                yield from self._value(item, (*at, str(name)), inactive)
        elif isinstance(value, (list, tuple)) and any(
            isinstance(item, (BaseModel, Mapping)) for item in cast(Sequence[Any], value)
        ):
            for number, item in enumerate(cast(Sequence[Any], value)):
                yield from self._value(item, (*at, number), inactive)
        else:
            yield self._leaf(value, at, inactive)

    def _leaf(self, value: Any, at: Key, inactive: str) -> Resolved:
        found, written = self._written(at)
        return Resolved(at, _shown(value, written, at), self.document.origin(*at) if found else None, inactive)

    def _written(self, at: Key) -> tuple[bool, Any]:
        """Whether somebody wrote the key, and what."""
        value: Any = self.document.values
        for part in at:
            held = value
            if isinstance(held, dict) and part in held:
                value = cast(dict[Any, Any], held)[part]
            elif isinstance(held, list) and isinstance(part, int) and part < len(cast(list[Any], held)):
                value = cast(list[Any], held)[part]
            else:
                return False, None
        return True, value


def _shown(value: Any, written: Any, at: Key) -> Any:
    if value is not None and (isinstance(value, SecretStr) or any(SECRET_NAME.search(str(part)) for part in at)):
        return written if isinstance(written, str) and REFERENCE.fullmatch(written) else HIDDEN
    texts = cast(list[Any], written) if isinstance(written, list) else [written]
    if any(holds_reference(text) for text in texts):
        return [_without_login(text) for text in texts] if isinstance(written, list) else _without_login(written)
    if isinstance(value, timedelta):
        return written if isinstance(written, str) else f"{value.total_seconds():g} seconds"
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_shown(item, None, at) for item in cast(Sequence[Any], value)]
    if isinstance(value, str):
        return _without_login(value)
    return cast(Any, value) if value is None or isinstance(value, (bool, int, float, dict)) else str(value)


def _without_login(text: Any) -> Any:
    return _LOGIN.sub(rf"\1{HIDDEN}@", text) if isinstance(text, str) else text


def _ordered(model: BaseModel) -> list[tuple[str, str]]:
    """Fields and how they are written: what is its own before what it shares with other stages."""
    return sorted(spelled(type(model)).items(), key=lambda field: field[0] in StageOptions.model_fields)
