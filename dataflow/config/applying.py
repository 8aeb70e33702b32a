"""What is wrong with ``source``, ``generation`` and ``strategies``: what they select, and what does not apply to that.

A block that is not selected is checked and otherwise inactive. What the command line or the environment says is meant
for this run, so that it is refused where it would change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from pydantic import ValidationError

from dataflow.config.blocks import SourceBlock, StrategiesConfig, StrategyBlock
from dataflow.config.document import Document
from dataflow.config.options import SOURCES, STRATEGIES, Family, mapping
from dataflow.config.problems import REQUIRED, spelled
from dataflow.config.shorthand import generates
from dataflow.errors import ConfigError, hint
from dataflow.sources.generation import GenerationConfig

_SOURCE = Family(SOURCES.types, SourceBlock)
_STRATEGY = Family(STRATEGIES.types, StrategyBlock)


def block_problems(values: Mapping[str, Any], document: Document) -> list[str]:
    """One line for each thing that is wrong; ``values`` are those of ``document`` with the environment's in them."""
    if values.get("source") is None:
        return [
            f"{_said(document, key)}: belongs to the rows of `source`, and there is none; give one, as in "
            f"`source: {{type: {'pubsub' if key == 'generation' else 'file'}}}`, or leave {key} out"
            for key in ("generation", "strategies")
            if values.get(key) is not None
        ]
    if not isinstance(values["source"], dict):
        return []
    source = _Source(values, document)
    return [*source.problems(), *_strategy_problems(values, document)]


def _said(document: Document, block: str) -> str:
    """The place of a block, or of the first key in it where the block itself is written nowhere."""
    found = [key for key in document.origins if key[0:1] == (block,)]
    return document.place(*min(found, key=len, default=(block,)))


@dataclass(frozen=True)
class _Source:
    values: Mapping[str, Any]
    document: Document

    @property
    def given(self) -> dict[str, Any]:
        return mapping(self.values.get("source"))

    @property
    def kind(self) -> Any:
        return self.given.get("type", "file")

    @property
    def said_kind(self) -> str:
        """As it was written: what it became may be a value of the environment."""
        return str(self._written("source").get("type", "file"))

    def problems(self) -> Iterator[str]:
        for name, block in _apart(self.given, SourceBlock).items():
            if name == self.kind and name not in SOURCES.types.names:
                continue  # told below, of the type
            if (fault := self._no_block(name, block)) is not None:
                yield f"{self.document.place('source', name)}: {fault}"
            elif name != self.kind:
                at = partial(self.document.place, "source", name)
                yield from _SOURCE.problems(name, mapping(block), at, self._written("source", name), inactive=True)
                yield from _without_effect(self.document, f"source.type is {self.said_kind}", "source", name)
        if isinstance(self.kind, str) and self.kind not in SOURCES.types.names:
            known = hint(self.said_kind, SOURCES.types.names)
            yield f"{self.document.place('source', 'type')}: unknown source type {self.said_kind!r}{known}"
        elif isinstance(self.kind, str):
            yield from self._selected(self.kind)

    def _no_block(self, name: str, block: Any) -> str | None:
        known = SOURCES.types.names
        if name in known:
            return None if block is None or isinstance(block, dict) else "keys with values are expected"
        selected = SOURCES.settings(self.kind) if self.kind in known else None
        if selected is not None and name in spelled(selected).values():
            return f"belongs to the type: write it in the block `{self.kind}`, as in `{self.kind}: {{{name}: ...}}`"
        keys = [key for key in SourceBlock.model_fields if key != "blocks"]
        return f"unknown key{hint(name, [*keys, *known])}"

    def _selected(self, kind: str) -> Iterator[str]:
        try:
            made = mapping(self.values.get("generation")) if generates(kind) else {}
        except ConfigError as error:  # a package whose class cannot be imported
            yield f"{self.document.place('source', 'type')}: {error}"
            return
        own = mapping(self.given.get(kind))
        for key in (key for key in made if key in own):
            yield f"{self.document.place('source', kind, key)}: is given by generation.{key} too; keep one of them"
        written = {**self._written("generation"), **self._written("source", kind)}

        def place(*key: str | int) -> str:
            at = ("generation",) if key and key[0] in made and key[0] not in own else ("source", kind)
            return self.document.place(*at, *key)

        for problem in _SOURCE.problems(kind, {**made, **own}, place, written):
            yield f"{problem}{self._way_out(kind, problem)}"
        if not generates(kind):
            why = f"a source of type {kind} does not make its messages; that is what {' and '.join(_makers())} do"
            yield from _without_effect(self.document, why, "generation")
        elif {**made, **own}.get("mode") == "speed":
            for at in (("generation", "chaos"), ("source", kind, "chaos")):
                yield from _without_effect(self.document, "mode is speed, in which nothing goes wrong", *at)

    def _way_out(self, kind: str, problem: str) -> str:
        if problem == f"{self.document.place('source', 'file', 'path')}: {REQUIRED}":
            return "; say it here, with --path, or in RAW_DATA_PATH"
        # What other types take is wrong for this one.
        if ": generation." in problem and _is_valid(self.values["generation"]):
            return f"; source.type is {kind}"
        return ""

    def _written(self, *at: str) -> dict[str, Any]:
        found: Any = self.document.values
        for part in at:
            found = mapping(found).get(part)
        return mapping(found)


def _is_valid(generation: Any) -> bool:
    try:
        GenerationConfig.model_validate(generation)
    except ValidationError:
        return False
    return True


def _makers() -> Iterator[str]:
    for name in SOURCES.types.names:
        with suppress(ConfigError):  # a package that cannot be imported is told where it is used
            if generates(name):
                yield name


def _strategy_problems(values: Mapping[str, Any], document: Document) -> Iterator[str]:
    given = mapping(values.get("strategies"))
    known = STRATEGIES.types.names
    enabled = given.get("enabled", StrategiesConfig().enabled)
    names = list(cast(Sequence[Any], enabled)) if isinstance(enabled, list | tuple) else []
    told = mapping(document.values.get("strategies")).get("enabled", ())
    for number, name in enumerate(names):
        place = document.place("strategies", "enabled", number)
        if isinstance(name, str) and name not in known:
            yield f"{place}: unknown strategy {told[number]!r}{hint(told[number], known)}"
        if name in names[:number]:
            yield f"{place}: names {told[number]!r} twice; once is enough"
    blocks = _apart(given, StrategiesConfig)
    for name in dict.fromkeys([*(name for name in names if name in known), *blocks]):
        at = partial(document.place, "strategies", name)
        if name not in known:
            yield f"{at()}: unknown strategy{hint(name, [*known, 'enabled'])}"
            continue
        block = mapping(blocks.get(name))
        if "options" in block:
            yield f"{at('options')}: write its keys flat, beside `table`"
            continue
        own = StrategyBlock.split_options(block)[1]
        written = mapping(mapping(document.values.get("strategies")).get(name))
        yield from _STRATEGY.problems(name, own, at, written, inactive=name not in names)
        if name not in names:
            yield from _without_effect(document, f"{name} is not among strategies.enabled", "strategies", name)


def _apart(given: Mapping[str, Any], model: type[SourceBlock | StrategiesConfig]) -> dict[str, Any]:
    """The keys that are no keys of the model; what it calls ``blocks`` is written flat."""
    return {name: value for name, value in given.items() if name not in model.model_fields or name == "blocks"}


def _without_effect(document: Document, why: str, *at: str) -> Iterator[str]:
    """What was said for this run alone, and would change nothing."""
    for key, origin in document.origins.items():
        if key[: len(at)] == at and origin.layer != "file":
            yield f"{document.place(*key)}: has no effect here: {why}; leave it out, or choose another"
