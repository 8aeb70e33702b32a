"""``Workflow``: what a pipeline is made of, declared in Python or read from YAML."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from dataflow.config import (
    AlertConfig,
    Alerts,
    CacheConfig,
    DeduplicateConfig,
    Document,
    Incremental,
    Loaded,
    Overrides,
    Place,
    RetryConfig,
    RunConfig,
    SourceConfig,
    StorageConfig,
    StrategyConfig,
    TaskConfig,
    WindowConfig,
    all_sources,
    all_stages,
    anchored,
    anchored_options,
    as_error,
    collected,
    load_document,
    placed,
    source_settings,
    validated,
)
from dataflow.errors import ConfigError
from dataflow.quality.when import Condition, When
from dataflow.workflow import graph
from dataflow.workflow.functions import find_function
from dataflow.workflow.gates import Limit, Rule, declare_limit, declare_rules
from dataflow.workflow.resolution import resolve
from dataflow.workflow.stage import Stage
from dataflow.workflow.strategies import as_they_are, declare_strategy, strategy_rules

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_NAMING = "a name is made of small letters, digits and single underscores, and begins with a letter"
_APART = ("function", "depends_on", "gate", "quarantine_limit", "when", "strategy")
_OF_STAGE = tuple(key for key in TaskConfig.model_fields if key not in _APART)


class Workflow:
    """Sources and tasks, and how each of them is checked, stored and retried.

    The order of calls is free, but a stage is added before it is configured:
    ``depends_on`` and parameter names may refer to stages that are added later.

    Errors: ConfigError, naming the stage and the key, as early as something can be known to be wrong.
    """

    def __init__(
        self,
        name: str,
        lake: str | os.PathLike[str] | None = None,
        *,
        run: RunConfig | None = None,
        alerts: Sequence[AlertConfig | Mapping[str, Any]] = (),
        data_docs: bool = True,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"workflow {name!r}: {_NAMING}")
        self.name = name
        self.lake = None if lake is None else anchored(os.fspath(lake), Path.cwd())
        self.run = run or RunConfig()
        told = partial(_place, f"workflow {name!r}")
        self.alerts = validated(Alerts, {"alerts": alerts}, told).alerts
        self.data_docs = data_docs
        self._document: Document | None = None
        self._drafts: dict[str, Stage] = {}
        self._resolved: dict[str, Stage] | None = None

    @classmethod
    def from_yaml(
        cls,
        path: str | os.PathLike[str],
        *,
        lake: str | os.PathLike[str] | None = None,
        overrides: Overrides = (),
        env: Mapping[str, str] | None = None,
    ) -> Self:
        """The workflow that a YAML file describes; ``lake`` stands in for the file's own.

        Errors: one ConfigError that lists all problems with file, line and key; PlanError for a cycle.
        """
        return cls.from_loaded(load_document(path, overrides=overrides, env=env), lake=lake)

    @classmethod
    def from_loaded(cls, loaded: Loaded, *, lake: str | os.PathLike[str] | None = None) -> Self:
        """As ``from_yaml``, of a configuration that is read already."""
        config = loaded.config
        at = config.lake if lake is None else lake
        workflow = cls(config.pipeline, at, run=config.run, alerts=config.alerts, data_docs=config.data_docs)
        workflow._document = loaded.document
        problems: list[str] = []
        for name, source in all_sources(config):
            with collected(problems):
                workflow.add_source(name, source)
        for name, task in all_stages(config):
            with collected(problems):
                workflow.add_task(name, **{key: getattr(task, key) for key in TaskConfig.model_fields})
        if problems:
            raise as_error(problems)
        _ = workflow.stages
        return workflow

    def add_source(self, name: str, config: SourceConfig | Mapping[str, Any] | str | os.PathLike[str]) -> None:
        """Land a source as the table ``name``; a bare path is that of a file source."""
        place = self._placer("source", name)
        given = {"path": os.fspath(config)} if isinstance(config, (str, os.PathLike)) else config
        source = validated(SourceConfig, given, place)
        source_settings(source, place)
        bare = SourceConfig(type=source.type, options=anchored_options(source.options, Path.cwd()))
        shared = {key: getattr(source, key) for key in ("pii", "storage", "retry", "cache")}
        gate, limit = declare_rules(source.gate, place), declare_limit(source.quarantine_limit, place)
        self._add(Stage(name, "source", bare, gate=gate, quarantine_limit=limit, **shared))

    def add_task(
        self,
        name: str,
        function: Callable[..., Any] | str | None = None,
        depends_on: Sequence[str] | None = None,
        *,
        strategy: StrategyConfig | Mapping[str, Any] | str | None = None,
        partition_by: Sequence[str] = (),
        rows: Literal["any", "preserved", "grouped"] = "any",
        members: str | None = None,
        gate: Sequence[Rule] = (),
        quarantine_limit: Limit | None = None,
        pii: Sequence[str] = (),
        when: str | Condition | None = None,
        **options: Any,
    ) -> None:
        """Compute the table ``name`` by a function that takes and returns LazyFrames.

        ``function`` may be an import string, ``package.module:function``. Its inputs are those of ``depends_on``,
        in the order of its parameters; else the stages that its parameters are named after.
        ``strategy`` says how new rows meet those of the table: ``{"type": "polars_merge", "dedup_key": ["id"]}``, or
        a name where its options may be left out. Then ``function`` may be left out too: rows are taken as they are.
        It runs only where ``when`` holds: a condition on what the gates of earlier stages found, as SQL over
        ``stage.rule.metric``, or a function of their quality metrics.
        ``options`` are the other keys of ``TaskConfig``: deduplicate, incremental, window, storage, retry, cache.
        """
        place = self._placer("task", name)
        named: dict[str, Any] = {
            "depends_on": depends_on or (),
            "partition_by": partition_by,
            "rows": rows,
            "members": members,
        }
        named |= {"quarantine_limit": quarantine_limit, "pii": pii, "when": None if callable(when) else when}
        named["strategy"] = {"type": strategy} if isinstance(strategy, str) else strategy
        task = validated(TaskConfig, {**options, **named, "function": "given"}, place)
        if function is None and task.strategy is None:
            raise as_error([f"{place('function')}: is missing; a stage needs a function, a strategy, or both"])
        if function is None and not task.depends_on:
            raise as_error(
                [f"{place('depends_on')}: is missing; without a function it names the stage whose rows are taken"]
            )
        settling = declare_strategy(task.strategy, lambda *at: place("strategy", *at))
        with placed(place, "function"):
            found = find_function(function or as_they_are)
        with placed(place, "when"):
            condition = None if when is None else When(when)
        fields = {key: getattr(task, key) for key in _OF_STAGE}
        fields |= {"gate": declare_rules(gate, place, strategy_rules(settling, place))}
        fields |= {"quarantine_limit": declare_limit(quarantine_limit, place), "strategy": settling}
        self._add(Stage(name, "task", None, found, task.depends_on, when=condition, **fields))

    def add_quality_gate(self, stage: str, rules: Sequence[Rule], *, limit: Limit | None = None) -> None:
        """Check what ``stage`` produces before it is published; rules of several calls add up.

        ``limit`` is the most that the gate may set aside, ``{"rows": 100, "share": "1 %"}``; the last one counts.
        """
        draft = self._draft(stage)
        place = self._placer(draft.kind, stage)
        gate, allowed = declare_rules(rules, place, draft.gate), declare_limit(limit, place)
        self._change(stage, gate=gate, quarantine_limit=allowed or draft.quarantine_limit)

    def configure_incremental(self, stage: str, config: Incremental | Mapping[str, Any]) -> None:
        """Say how what changed in the inputs comes to the table.

        ``{"key_columns": [...], "timestamp_column": ...}`` merges new rows by key, ``{"by": [...]}`` recomputes the
        touched values of these columns; ``"append"``, ``"partition"``, ``"window"`` and ``"full"`` stand for themselves.
        """
        self._configure(stage, "incremental", config, tasks_only=True)

    def configure_time_window(self, stage: str, config: WindowConfig | Mapping[str, Any]) -> None:
        """Cut event time into windows and set late rows aside."""
        self._configure(stage, "window", config, tasks_only=True)

    def configure_deduplication(self, stage: str, config: DeduplicateConfig | Mapping[str, Any]) -> None:
        """Keep one row per key."""
        self._configure(stage, "deduplicate", config, tasks_only=True)

    def configure_storage(self, stage: str, config: StorageConfig | Mapping[str, Any]) -> None:
        """Say how the table is stored."""
        self._configure(stage, "storage", config)

    def configure_retry(self, stage: str, config: RetryConfig | Mapping[str, Any]) -> None:
        """Say how often a step is tried again."""
        self._configure(stage, "retry", config)

    def configure_cache(self, stage: str, config: CacheConfig | Mapping[str, Any]) -> None:
        """Say how long staged results may be reused."""
        self._configure(stage, "cache", config)

    @property
    def stages(self) -> dict[str, Stage]:
        """The stages with their inputs, inputs first.

        Errors: ConfigError for inputs that cannot be found and options that do not go together; PlanError for a cycle.
        """
        if self._resolved is None:
            if not self._drafts:
                raise ConfigError(f"workflow {self.name!r} has no stages; add a source")
            self._resolved = resolve(self._drafts, self._placer)
        return dict(self._resolved)

    def select(self, expressions: str | Iterable[str]) -> set[str]:
        """The stages that ``a``, ``+a`` (with all it needs), ``a+`` (with all that need it) or ``+a+`` name."""
        return graph.select({name: stage.inputs for name, stage in self.stages.items()}, expressions)

    def _add(self, stage: Stage) -> None:
        place = self._placer(stage.kind, stage.name)
        if not _NAME.fullmatch(stage.name) or "__" in stage.name:
            raise ConfigError(f"{place()}: {_NAMING}", name=stage.name)
        if stage.name in self._drafts:
            raise ConfigError(f"{place()}: there is a {self._drafts[stage.name].kind} of this name already; rename one")
        self._drafts[stage.name] = stage
        self._resolved = None

    def _draft(self, name: str) -> Stage:
        if name not in self._drafts:
            raise ConfigError.unknown("stage", name, self._drafts)
        return self._drafts[name]

    def _configure(self, name: str, key: str, config: Any, *, tasks_only: bool = False) -> None:
        draft = self._draft(name)
        place = self._placer(draft.kind, name)
        if tasks_only and draft.kind == "source":
            raise ConfigError(f"{place(key)}: a source is landed as it is; configure a task that reads it")
        self._change(name, **{key: getattr(validated(TaskConfig, {"function": "given", key: config}, place), key)})

    def _change(self, name: str, **fields: Any) -> None:
        self._drafts[name] = replace(self._drafts[name], **fields)
        self._resolved = None

    def _placer(self, kind: str, name: str) -> Place:
        document = self._document
        if document is not None:
            return partial(document.place, "sources" if kind == "source" else "stages", name)
        return partial(_place, f"{kind} {name!r}")


def _place(what: str, *key: str | int) -> str:
    return what + (f": {'.'.join(map(str, key))}" if key else "")
