"""The options of a command line that stand for keys of the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from dataflow.config.document import Document, Origin, shown
from dataflow.config.options import SOURCES, mapping
from dataflow.config.overrides import Setting
from dataflow.config.paths import anchored
from dataflow.config.references import filled
from dataflow.errors import ConfigError
from dataflow.model import Frozen

_OF_SOURCE = ("source", "mode", "scale", "path", "seed", "strategy")
_KEYS = {
    "lake": ("lake",),
    "mode": ("generation", "mode"),
    "scale": ("generation", "scale"),
    "seed": ("generation", "seed"),
    "strategy": ("strategies", "enabled"),
    "log_level": ("logging", "level"),
    "log_format": ("logging", "format"),
    "log_file": ("logging", "file"),
}


class Flags(Frozen):
    """Options of a command line; None, or no word, is one that was not given."""

    source: str | None = None
    """The type of the source: ``source.type``."""
    mode: str | None = None
    """``generation.mode``."""
    scale: int | None = None
    """``generation.scale``."""
    path: tuple[str, ...] = ()
    """Of the source that is chosen; counts from the working directory, as a shell means it."""
    seed: int | None = None
    """``generation.seed``."""
    strategy: tuple[str, ...] = ()
    """``strategies.enabled``."""
    lake: str | None = None
    """``lake``; counts from the working directory."""
    log_level: str | None = None
    """``logging.level``."""
    log_format: str | None = None
    """``logging.format``."""
    log_file: str | None = None
    """``logging.file``; counts from the working directory."""

    def given(self) -> dict[str, Any]:
        """Those that were given."""
        return {name: value for name, value in self if value is not None and value != ()}


_PLACES = {"lake": "a folder or URI", "log_file": "a file", "path": "a file, folder or glob"}


def flag_settings(flags: Flags, document: Document, env: Mapping[str, str]) -> list[Setting]:
    """What ``flags`` say about the keys of ``document``.

    Errors: ConfigError for options that have no meaning for this configuration.
    """
    given = flags.given()
    for name, wanted in _PLACES.items():
        texts = given.get(name, "given")
        if any(not text.strip() for text in ([texts] if isinstance(texts, str) else texts)):
            # A variable of the shell that is not set, most likely: the working directory is not meant.
            raise ConfigError(
                f"{_option(name)} is empty; name {wanted}, or leave it out to take the configuration's own"
            )
    apart = [name for name in given if name in _OF_SOURCE]
    if apart and document.values.get("source") is None:
        options, no = " and ".join(map(_option, apart)), "have" if len(apart) > 1 else "has"
        raise ConfigError(
            f"{options} {no} no meaning for {shown(document.path)}, which has `sources` and no `source`; leave {'them' if len(apart) > 1 else 'it'} out, "
            "or take a configuration with a `source`, as in --config config/events.yaml"
        )
    return list(_settings(given, document, env))


def _settings(given: dict[str, Any], document: Document, env: Mapping[str, str]) -> Iterator[Setting]:
    source = mapping(document.values.get("source"))
    kind = given.get("source", source.get("type", "file"))
    if isinstance(kind, str):
        kind = filled(kind, env, document, ("source", "type"))
    if "source" in given:
        yield Setting(("source", "type"), kind, _origin("source"))
    if "path" in given:
        yield Setting(_path_key(kind), _paths(given["path"]), _origin("path"))
    for name, key in _KEYS.items():
        if name in given:
            # Where the chosen block says it, the option is meant for that.
            at = ("source", kind, name) if name in mapping(source.get(kind)) and key[0] == "generation" else key
            yield Setting(at, _value(name, given[name]), _origin(name))


def _path_key(kind: Any) -> tuple[str, ...]:
    if kind in SOURCES.types.names and "path" not in SOURCES.settings(kind).model_fields:
        raise ConfigError(
            f"--path: a source of type {kind} reads no files; leave --path out, or add --source file", key="path"
        )
    return "source", str(kind), "path"


def _value(name: str, value: Any) -> Any:
    if name in ("lake", "log_file"):
        return anchored(value, Path.cwd())
    return list(cast(tuple[str, ...], value)) if isinstance(value, tuple) else value


def _paths(paths: tuple[str, ...]) -> str | list[str]:
    found = [anchored(path, Path.cwd()) for path in paths]
    return found[0] if len(found) == 1 else found


def _origin(name: str) -> Origin:
    return Origin("flag", _option(name))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
