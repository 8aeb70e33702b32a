"""The pages name what there is: every key of the configuration, every file that is linked."""

import re
from pathlib import Path

import pytest

from dataflow.config import (
    CacheConfig,
    DeduplicateConfig,
    EmailAlert,
    IncrementalConfig,
    PipelineConfig,
    QuarantineLimitConfig,
    RepairConfig,
    RetryConfig,
    RouteConfig,
    RuleConfig,
    RunConfig,
    SlackAlert,
    StageOptions,
    StorageConfig,
    SuiteConfig,
    TaskConfig,
    WebhookAlert,
    WindowConfig,
)
from dataflow.sources.file import FileConfig

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "flows" / "README.md"])
MODELS = [
    CacheConfig, DeduplicateConfig, EmailAlert, FileConfig, IncrementalConfig, PipelineConfig, QuarantineLimitConfig,
    RepairConfig, RetryConfig, RouteConfig, RuleConfig, RunConfig, SlackAlert, StageOptions, StorageConfig, SuiteConfig,
    TaskConfig, WebhookAlert, WindowConfig,
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_of_the_configuration_is_explained(model):
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    said = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]+)`", page))))
    assert [] == [name for name in model.model_fields if name not in said]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [] == [target for target in targets if not (page.parent / target).exists()]
