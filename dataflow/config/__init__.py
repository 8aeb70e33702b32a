"""The configuration of a pipeline: one YAML file, frozen models, every key documented."""

from __future__ import annotations

from dataflow.config.alerts import AlertConfig, Alerts, EmailAlert, Secret, SlackAlert, WebhookAlert
from dataflow.config.document import Document
from dataflow.config.durations import Duration, PositiveDuration, parse_duration
from dataflow.config.gates import (
    GateEntry,
    Names,
    QuarantineLimitConfig,
    RepairConfig,
    RouteConfig,
    RuleConfig,
    SuiteConfig,
)
from dataflow.config.load import Loaded, anchored, anchored_options, load, load_document, source_settings
from dataflow.config.models import (
    CacheConfig,
    DeduplicateConfig,
    IncrementalConfig,
    PipelineConfig,
    RetryConfig,
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
    "AlertConfig",
    "Alerts",
    "CacheConfig",
    "DeduplicateConfig",
    "Document",
    "Duration",
    "EmailAlert",
    "GateEntry",
    "IncrementalConfig",
    "Loaded",
    "Names",
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
    "SourceConfig",
    "StageOptions",
    "StorageConfig",
    "SuiteConfig",
    "TaskConfig",
    "WebhookAlert",
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
