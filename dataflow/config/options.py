"""Options that belong to a type of source or to a strategy, checked by the model that this brings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from dataflow.config.document import Document
from dataflow.config.models import SourceConfig, StrategyConfig, Typed
from dataflow.config.problems import MISSING, Place, as_error, explain
from dataflow.dedup import strategy_types
from dataflow.errors import ConfigError, hint
from dataflow.model import Frozen
from dataflow.model.registry import Registry
from dataflow.sources import source_types


@dataclass(frozen=True)
class Family:
    """Types that options may belong to, and the model whose own keys may stand beside these."""

    types: Registry[Any]
    model: type[BaseModel]

    def settings(self, kind: str) -> type[Frozen]:
        """The options that ``kind`` takes.

        Errors: ConfigError for an unknown type.
        """
        return self.types.find(kind).Config

    def problems(
        self, kind: Any, options: Mapping[str, Any], place: Place, written: Any, *, inactive: bool = False
    ) -> list[str]:
        """What is wrong with the ``options`` of something of type ``kind``.

        ``written`` is what stands in the file: only this is quoted. Of what is inactive, keys may be missing.
        """
        if not isinstance(kind, str):
            return []
        try:
            settings = self.settings(kind)
        except ConfigError as error:
            said = written.get("type", kind)
            # The name as it was written: what it became may be a value of the environment.
            text = str(error) if said == kind else f"unknown {self.types.what} {said!r}{hint(said, self.types.names)}"
            return [f"{place('type')}: {text}"]
        try:
            settings.model_validate(options)
        except ValidationError as error:
            common = [field for field in self.model.model_fields if field not in ("options", "blocks")]
            return explain(error, settings, place, written, also=common, but=MISSING if inactive else ())
        return []


SOURCES = Family(source_types, SourceConfig)
STRATEGIES = Family(strategy_types, StrategyConfig)


def source_settings(config: SourceConfig, place: Place) -> Frozen:
    """The options of a source as its type understands them.

    Errors: ConfigError for an unknown type and for options that the type does not take.
    """
    return _settings(config, SOURCES, place)


def strategy_settings(config: StrategyConfig, place: Place) -> Frozen:
    """The options of a strategy as it understands them.

    Errors: ConfigError for an unknown strategy and for options that it does not take.
    """
    return _settings(config, STRATEGIES, place)


def _settings(config: SourceConfig | StrategyConfig, family: Family, place: Place) -> Frozen:
    problems = family.problems(config.type, config.options, place, config.options)
    if problems:
        raise as_error(problems)
    return family.settings(config.type).model_validate(config.options)


def typed_problems(values: Mapping[str, Any], document: Document) -> Iterator[str]:
    """What is wrong with the options of ``sources`` and with those of the strategies of ``stages``."""
    for name, source in mapping(values.get("sources")).items():
        yield from _written_flat(source, document, SOURCES, SourceConfig, "file", "sources", name)
    for name, stage in mapping(values.get("stages")).items():
        settling = mapping(stage).get("strategy")
        yield from _written_flat(settling, document, STRATEGIES, StrategyConfig, None, "stages", name, "strategy")


def _written_flat(
    given: Any, document: Document, family: Family, model: type[Typed], default: str | None, *at: str
) -> Iterator[str]:
    if not isinstance(given, dict):
        return
    if "options" in given:
        yield f"{document.place(*at, 'options')}: write its keys flat, beside `type`"
        return
    known, own = model.split_options(cast(dict[str, Any], given))
    written: Any = document.values
    for part in at:
        written = written[part]
    yield from family.problems(known.get("type", default), own, lambda *key: document.place(*at, *key), written)


def mapping(value: Any) -> dict[str, Any]:
    """``value`` where it holds keys; else none: that is told elsewhere."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
