"""From a YAML file to a pipeline: overrides, environment values, paths, one error for all that is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from dataflow.config.document import Document, read_document
from dataflow.config.gates import RuleConfig, SuiteConfig
from dataflow.config.models import PipelineConfig, SourceConfig, split_options
from dataflow.config.overrides import Overrides, override, substitute
from dataflow.config.problems import Place, as_error, explain
from dataflow.errors import ConfigError, hint
from dataflow.model import Frozen
from dataflow.sources import source_type, source_types


@dataclass(frozen=True)
class Loaded:
    """A pipeline, and the document that says on which line each of its keys stands."""

    config: PipelineConfig
    document: Document


def load(
    path: str | os.PathLike[str], *, overrides: Overrides = (), env: Mapping[str, str] | None = None
) -> PipelineConfig:
    """The pipeline that a YAML file describes.

    ``overrides`` are ``a.b.c=value``; ``${VAR}`` in a value is taken from ``env``, by default the process's.
    Relative paths count from the file's folder.
    Errors: one ConfigError that lists every problem with file, line and key.
    """
    return load_document(path, overrides=overrides, env=env).config


def load_document(
    path: str | os.PathLike[str], *, overrides: Overrides = (), env: Mapping[str, str] | None = None
) -> Loaded:
    """As ``load``, together with the places of the keys."""
    document = override(read_document(path), overrides)
    values = substitute(document, os.environ if env is None else env)
    problems: list[str] = []
    config: PipelineConfig | None = None
    try:
        config = PipelineConfig.model_validate(values)
    except ValidationError as error:
        problems += explain(error, PipelineConfig, document.place, document.values)
    problems += _source_problems(values, document)
    if config is None or problems:
        raise as_error(problems)
    return Loaded(_anchored(config, document.path.absolute().parent), document)


def source_settings(config: SourceConfig, place: Place) -> Frozen:
    """The options of a source as its type understands them.

    Errors: ConfigError for an unknown type and for options that the type does not take.
    """
    problems = _option_problems(config.type, config.options, place, config.options)
    if problems:
        raise as_error(problems)
    return source_type(config.type).Config.model_validate(config.options)


def _source_problems(values: dict[str, Any], document: Document) -> list[str]:
    sources = values.get("sources")
    problems: list[str] = []
    for name, source in cast(dict[str, Any], sources).items() if isinstance(sources, dict) else ():
        if not isinstance(source, dict):
            continue
        if "options" in source:
            problems.append(f"{document.place('sources', name, 'options')}: write its keys flat, beside `type`")
            continue
        known, own = split_options(cast(dict[str, Any], source))
        written = document.values["sources"][name]

        def place(*key: str | int, name: str = name) -> str:
            return document.place("sources", name, *key)

        problems += _option_problems(known.get("type", "file"), own, place, written)
    return problems


def _option_problems(kind: Any, options: dict[str, Any], place: Place, written: Any) -> list[str]:
    if not isinstance(kind, str):
        return []
    try:
        settings = source_type(kind).Config
    except ConfigError as error:
        said = written.get("type", kind)
        # The name as it was written: what it became may be a value of the environment.
        text = str(error) if said == kind else f"unknown source type {said!r}{hint(said, source_types())}"
        return [f"{place('type')}: {text}"]
    try:
        settings.model_validate(options)
    except ValidationError as error:
        common = [field for field in SourceConfig.model_fields if field != "options"]
        return explain(error, settings, place, written, also=common)
    return []


def _anchored(config: PipelineConfig, folder: Path) -> PipelineConfig:
    """Relative paths of the file count from its folder, wherever the process runs."""
    sources = {
        name: source.model_copy(
            update={"options": anchored_options(source.options, folder), "gate": _anchored_suites(source.gate, folder)}
        )
        for name, source in config.sources.items()
    }
    stages = {
        name: task.model_copy(update={"gate": _anchored_suites(task.gate, folder)})
        for name, task in config.stages.items()
    }
    lake = anchored(config.lake, folder) if config.lake is not None else None
    return config.model_copy(update={"sources": sources, "stages": stages, "lake": lake})


def _anchored_suites(gate: Sequence[RuleConfig | SuiteConfig], folder: Path) -> tuple[RuleConfig | SuiteConfig, ...]:
    return tuple(
        entry.model_copy(update={"suite": anchored(entry.suite, folder)}) if isinstance(entry, SuiteConfig) else entry
        for entry in gate
    )


def anchored_options(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The options of a source with ``path``, one or several, counted from ``folder``."""
    path = options.get("path")
    if isinstance(path, str):
        return {**options, "path": anchored(path, folder)}
    if isinstance(path, (list, tuple)):
        return {**options, "path": [anchored(str(each), folder) for each in cast(list[Any], path)]}
    return options


def anchored(path: str, folder: Path) -> str:
    """``path`` counted from ``folder``, unless it is absolute or a URI.

    Example:
        >>> anchored("../lake", Path("/etc/pipelines")), anchored("s3://bucket/lake", Path("/etc"))
        ('/etc/lake', 's3://bucket/lake')
    """
    return path if "://" in path else os.path.normpath(folder / Path(path).expanduser())
