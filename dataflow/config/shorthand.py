"""What ``source``, ``generation`` and ``strategies`` are short for: a source, and a stage for each strategy."""

from __future__ import annotations

from typing import Any

from dataflow.config.blocks import SourceBlock, StrategiesConfig, StrategyBlock
from dataflow.config.document import Key
from dataflow.config.models import SourceConfig, StageOptions, StrategyConfig, TaskConfig
from dataflow.config.options import SOURCES
from dataflow.config.pipeline import PipelineConfig
from dataflow.config.problems import spelled
from dataflow.sources.generation import GenerationConfig


def source_name(config: PipelineConfig, source: SourceBlock) -> str:
    """The table that ``source`` is landed as."""
    return source.name or config.pipeline


def table_name(source: str, strategy: str, block: StrategyBlock) -> str:
    """The table of a strategy."""
    return block.table or f"{source}_{strategy}"


def all_sources(config: PipelineConfig) -> list[tuple[str, SourceConfig]]:
    """The sources with their names, that of the block ``source`` first."""
    written = list(config.sources.items())
    if config.source is None:
        return written
    block = config.source
    made = {} if config.generation is None else config.generation.model_dump(exclude_unset=True)
    options = {**(made if generates(block.type) else {}), **block.blocks.get(block.type, {})}
    source = SourceConfig.model_validate({"type": block.type, "options": options, **_shared(block)})
    return [(source_name(config, block), source), *written]


def all_stages(config: PipelineConfig) -> list[tuple[str, TaskConfig]]:
    """The stages with their names, those of the strategies first."""
    written = list(config.stages.items())
    if config.source is None:
        return written
    source, given = source_name(config, config.source), config.strategies or StrategiesConfig()
    stages: list[tuple[str, TaskConfig]] = []
    for strategy in given.enabled:
        block = given.blocks.get(strategy, StrategyBlock())
        fields = _shared(block)
        if "pii" not in block.model_fields_set:
            fields["pii"] = config.source.pii
        settling = StrategyConfig.model_validate({"type": strategy, "options": block.options})
        task = TaskConfig.model_validate({"depends_on": (source,), "strategy": settling, **fields})
        stages.append((table_name(source, strategy, block), task))
    return [*stages, *written]


def aliases(config: PipelineConfig) -> dict[Key, Key]:
    """Where the keys of these sources and stages were written."""
    if config.source is None:
        return {}
    kind, source = config.source.type, source_name(config, config.source)
    written: dict[Key, Key] = {("sources", source): ("source",)}
    in_block = config.source.blocks.get(kind, {})
    for option in spelled(SOURCES.settings(kind)).values():
        made = generates(kind) and option in GenerationConfig.model_fields and option not in in_block
        written["sources", source, option] = ("generation", option) if made else ("source", kind, option)
    given = config.strategies or StrategiesConfig()
    for strategy in given.enabled:
        stage = table_name(source, strategy, given.blocks.get(strategy, StrategyBlock()))
        written["stages", stage] = ("strategies", strategy)
        written["stages", stage, "strategy"] = ("strategies", strategy)
        written["stages", stage, "strategy", "type"] = ("strategies", "enabled")
    return written


def generates(kind: str) -> bool:
    """Whether sources of this type make their messages, so that ``generation`` says how."""
    return GenerationConfig.generates(SOURCES.settings(kind))


def _shared(options: StageOptions) -> dict[str, Any]:
    return {key: getattr(options, key) for key in StageOptions.model_fields}
