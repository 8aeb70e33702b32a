"""The relative paths of a pipeline count from the file that says them, wherever the process runs."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from dataflow.config.document import Document
from dataflow.config.gates import SuiteConfig
from dataflow.config.models import StageOptions
from dataflow.config.paths import anchored, anchored_options
from dataflow.config.pipeline import PipelineConfig

S = TypeVar("S", bound=StageOptions)


def anchored_pipeline(config: PipelineConfig, document: Document) -> PipelineConfig:
    """``config``, which ``document`` says, with absolute paths."""

    def suites(options: S, *at: str) -> S:
        gate = tuple(
            entry.model_copy(update={"suite": anchored(entry.suite, document.folder(*at, "gate", number, "suite"))})
            if isinstance(entry, SuiteConfig)
            else entry
            for number, entry in enumerate(options.gate)
        )
        return options.model_copy(update={"gate": gate}) if gate else options

    def folder(*at: str) -> Path:
        return document.folder(*at, "path")

    changes: dict[str, object] = {
        "sources": {
            name: suites(source, "sources", name).model_copy(
                update={"options": anchored_options(source.options, folder("sources", name))}
            )
            for name, source in config.sources.items()
        },
        "stages": {name: suites(task, "stages", name) for name, task in config.stages.items()},
    }
    if config.source is not None:
        blocks = config.source.blocks.items()
        named = {name: anchored_options(options, folder("source", name)) for name, options in blocks}
        changes["source"] = suites(config.source, "source").model_copy(update={"blocks": named})
    if config.strategies is not None:
        own = {name: suites(block, "strategies", name) for name, block in config.strategies.blocks.items()}
        changes["strategies"] = config.strategies.model_copy(update={"blocks": own})
    if config.lake is not None:
        changes["lake"] = anchored(config.lake, document.folder("lake"))
    if config.logging.file is not None:
        file = anchored(config.logging.file, document.folder("logging", "file"))
        changes["logging"] = config.logging.model_copy(update={"file": file})
    return config.model_copy(update=changes)
