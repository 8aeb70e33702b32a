"""From a YAML file to a pipeline: what it includes, the environment, the command line; one error for all faults."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dataflow.config.anchoring import anchored_pipeline
from dataflow.config.applying import block_problems
from dataflow.config.document import Document
from dataflow.config.environment import RAW_DATA, Environment
from dataflow.config.flags import Flags, flag_settings
from dataflow.config.includes import read_document
from dataflow.config.options import mapping, typed_problems
from dataflow.config.overrides import Overrides, Setting, assigned, changed
from dataflow.config.pipeline import PipelineConfig
from dataflow.config.problems import as_error, explain
from dataflow.config.references import filled, substitute
from dataflow.config.shorthand import aliases


@dataclass(frozen=True)
class Loaded:
    """A pipeline, and the document that says where each of its keys stands."""

    config: PipelineConfig
    document: Document


def load(
    path: str | os.PathLike[str],
    *,
    overrides: Overrides = (),
    flags: Flags = Flags(),
    env: Mapping[str, str] | None = None,
) -> PipelineConfig:
    """The pipeline that a YAML file describes.

    A default gives way to the file, this to ``.env``, this to the environment, this to ``flags`` and ``overrides``,
    which are ``a.b.c=value``. ``env`` stands in for the process's variables and those of ``.env``, which is looked for
    in the working directory and beside the file; ``${VAR}`` in a value is taken from there.
    Relative paths count from the folder of the file that says them.
    Errors: one ConfigError that lists every problem with file, line and key.
    """
    return load_document(path, overrides=overrides, flags=flags, env=env).config


def load_document(
    path: str | os.PathLike[str],
    *,
    overrides: Overrides = (),
    flags: Flags = Flags(),
    env: Mapping[str, str] | None = None,
) -> Loaded:
    """As ``load``, together with the places of the keys."""
    known = Environment.of_process(Path(path).absolute().parent) if env is None else Environment(env)
    document = changed(read_document(path), known.settings())
    asked = assigned(overrides)
    # Options of the command line mean the source that is chosen in the end.
    chosen = changed(document, [each for each in asked if each.key[0] == "source" and len(each.key) <= 2])
    document = changed(document, [*flag_settings(flags, chosen, known.values), *asked])
    document = changed(document, list(_raw_data(document, known)))
    values = substitute(document, known.values)
    problems: list[str] = []
    config: PipelineConfig | None = None
    try:
        config = PipelineConfig.model_validate(values)
    except ValidationError as error:
        problems += explain(error, PipelineConfig, document.place, document.values)
    problems += [*typed_problems(values, document), *block_problems(values, document)]
    if config is None or problems:
        raise as_error(list(dict.fromkeys(problems)))
    return Loaded(anchored_pipeline(config, document), replace(document, aliases=aliases(config)))


def _raw_data(document: Document, env: Environment) -> Iterator[Setting]:
    """``RAW_DATA_PATH``, for file sources that have no path of their own."""
    path = env.path(RAW_DATA)
    if path is None:
        return

    def is_file(source: dict[str, Any], *at: str) -> bool:
        kind = source.get("type", "file")
        return isinstance(kind, str) and filled(kind, env.values, document, (*at, "type")) == "file"

    for name, source in mapping(document.values.get("sources")).items():
        if isinstance(source, dict) and is_file(mapping(source), "sources", name) and "path" not in source:
            yield Setting(("sources", name, "path"), path, env.origin(RAW_DATA))
    block = mapping(document.values.get("source"))
    if block and is_file(block, "source") and "path" not in mapping(block.get("file")):
        yield Setting(("source", "file", "path"), path, env.origin(RAW_DATA))
