"""The configuration of a pipeline: one YAML file, frozen models, every key documented."""

from __future__ import annotations

from dataflow.config.alerts import AlertConfig, Alerts, EmailAlert, Secret, SlackAlert, WebhookAlert
from dataflow.config.blocks import SourceBlock, StrategiesConfig, StrategyBlock
from dataflow.config.document import Document, Origin
from dataflow.config.environment import Environment
from dataflow.config.flags import Flags
from dataflow.config.gates import (
    GateEntry,
    Names,
    QuarantineLimitConfig,
    RepairConfig,
    RouteConfig,
    RuleConfig,
    SuiteConfig,
)
from dataflow.config.load import Loaded, load, load_document
from dataflow.config.models import (
    CacheConfig,
    DeduplicateConfig,
    Incremental,
    IncrementalConfig,
    RetryConfig,
    SlicesConfig,
    SourceConfig,
    StageOptions,
    StorageConfig,
    StrategyConfig,
    TaskConfig,
    WindowConfig,
)
from dataflow.config.options import source_settings, strategy_settings
from dataflow.config.overrides import Overrides
from dataflow.config.paths import anchored, anchored_options
from dataflow.config.pipeline import LoggingConfig, PipelineConfig, RunConfig
from dataflow.config.problems import Place, as_error, collected, placed, validated
from dataflow.config.shorthand import all_sources, all_stages
from dataflow.model.durations import Duration, PositiveDuration, parse_duration

__all__ = [
    "AlertConfig",
    "Alerts",
    "CacheConfig",
    "DeduplicateConfig",
    "Document",
    "Duration",
    "EmailAlert",
    "Environment",
    "Flags",
    "GateEntry",
    "Incremental",
    "IncrementalConfig",
    "Loaded",
    "LoggingConfig",
    "Names",
    "Origin",
    "Overrides",
    "PipelineConfig",
    "Place",
    "PositiveDuration",
    "QuarantineLimitConfig",
    "RepairConfig",
    "RetryConfig",
    "RouteConfig",
    "RuleConfig",
    "RunConfig",
    "Secret",
    "SlackAlert",
    "SlicesConfig",
    "SourceBlock",
    "SourceConfig",
    "StageOptions",
    "StorageConfig",
    "StrategiesConfig",
    "StrategyBlock",
    "StrategyConfig",
    "SuiteConfig",
    "TaskConfig",
    "WebhookAlert",
    "WindowConfig",
    "all_sources",
    "all_stages",
    "anchored",
    "anchored_options",
    "as_error",
    "collected",
    "load",
    "load_document",
    "parse_duration",
    "placed",
    "source_settings",
    "strategy_settings",
    "validated",
]
