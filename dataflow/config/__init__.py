"""The configuration of a pipeline: one YAML file, frozen models, every key documented."""

from __future__ import annotations

from dataflow.config.document import Document
from dataflow.config.durations import Duration, PositiveDuration, parse_duration
from dataflow.config.load import Loaded, anchored, anchored_options, load, load_document, source_settings
from dataflow.config.models import (
    CacheConfig,
    DeduplicateConfig,
    IncrementalConfig,
    Names,
    PipelineConfig,
    RetryConfig,
    RuleConfig,
    RunConfig,
    SourceConfig,
    StageOptions,
    StorageConfig,
    TaskConfig,
    WindowConfig,
)
from dataflow.config.overrides import Overrides
from dataflow.config.problems import Place, as_error, collected, placed, validated

__all__ = [
    "CacheConfig",
    "DeduplicateConfig",
    "Document",
    "Duration",
    "IncrementalConfig",
    "Loaded",
    "Names",
    "Overrides",
    "PipelineConfig",
    "Place",
    "PositiveDuration",
    "RetryConfig",
    "RuleConfig",
    "RunConfig",
    "SourceConfig",
    "StageOptions",
    "StorageConfig",
    "TaskConfig",
    "WindowConfig",
    "anchored",
    "anchored_options",
    "as_error",
    "collected",
    "load",
    "load_document",
    "parse_duration",
    "placed",
    "source_settings",
    "validated",
]
