"""What a run changes about a configuration: assignments of the command line and of the environment."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from ruamel.yaml.error import YAMLError

from dataflow.config.document import Document, Key, Origin, yaml_parser
from dataflow.config.includes import FREE, INCLUDE
from dataflow.errors import ConfigError

Overrides = Mapping[str, str] | Sequence[str]
SET = "--set"


@dataclass(frozen=True)
class Setting:
    """A value for a key, and what says so."""

    key: tuple[str, ...]
    """Items of lists go by number or name."""
    value: Any
    origin: Origin

    @property
    def said(self) -> str:
        """How messages begin: ``--set a.b``, or what else says it."""
        return f"{SET} {'.'.join(self.key)}" if self.origin.name == SET else str(self.origin)


def assigned(overrides: Overrides) -> list[Setting]:
    """The settings of ``a.b.c=value``; values are read as YAML.

    Errors: ConfigError for a text that is no assignment.
    """
    if isinstance(overrides, str):
        overrides = [overrides]
    pairs = overrides.items() if isinstance(overrides, Mapping) else [_assignment(text) for text in overrides]
    origin = Origin("flag", SET)
    return [Setting(tuple(key.split(".")), read_value(text, f"{SET} {key}"), origin) for key, text in pairs]


def _assignment(text: str) -> tuple[str, str]:
    dotted, equals, value = text.partition("=")
    if not equals or not dotted.strip():
        raise ConfigError(f"{SET} {text}: write it as key=value, as in {SET} run.threads=4", key=text)
    return dotted.strip(), value


def read_value(text: Any, said: str) -> Any:
    """What a text means as YAML.

    Errors: ConfigError, which does not hold the text.
    """
    if not isinstance(text, str):
        return text
    try:
        return yaml_parser().load(io.StringIO(text))
    except YAMLError:
        raise ConfigError(f"{said}: the value is not valid YAML; put quotes around it") from None


def changed(document: Document, settings: Iterable[Setting]) -> Document:
    """The document with every setting in it, later ones over earlier ones.

    Errors: ConfigError for a key that leads through something that holds no keys.
    """
    values = copy.deepcopy(document.values)
    origins = dict(document.origins)
    for setting in settings:
        if setting.key[-1] == INCLUDE and not FREE & {*setting.key[2:]}:
            raise ConfigError(
                f"{setting.said}: {INCLUDE} is read together with the file that says it; change it there, or take another "
                "configuration",
                key=".".join(setting.key),
            )
        at = _set(values, setting)
        for below in [key for key in origins if key[: len(at)] == at]:
            del origins[below]
        origins[at] = setting.origin
    return replace(document, values=values, origins=origins)


def _set(values: dict[str, Any], setting: Setting) -> Key:
    *parents, last = setting.key
    at: Key = ()
    holder: Any = values
    for part in parents:
        index = _index(holder, part, setting, at)
        at = (*at, index)
        holder = _descend(holder, index, setting, at)
    index = _index(holder, last, setting, at)
    holder[index] = setting.value
    return *at, index


def _descend(holder: Any, index: str | int, setting: Setting, at: Key) -> Any:
    if isinstance(holder, dict):
        keys = cast(dict[Any, Any], holder)
        if keys.get(index) is None:
            if len(at) == 2 and at[0] in ("sources", "stages"):
                raise _unknown(setting, str(at[0])[:-1], str(index), map(str, keys))
            keys[index] = {}
        return keys[index]
    return holder[index]


def _unknown(setting: Setting, what: str, name: str, known: Iterable[str]) -> ConfigError:
    return ConfigError(f"{setting.said}: {ConfigError.unknown(what, name, known)}", key=".".join(setting.key))


def _index(holder: Any, part: str, setting: Setting, at: Key) -> str | int:
    if isinstance(holder, dict):
        keys = cast(dict[str, Any], holder)
        # Names of variables are written in capitals, whatever their keys are like.
        alike = (key for key in keys if str(key).lower() == part.lower() and setting.origin.layer != "flag")
        return part if part in keys else next(alike, part)
    where = ".".join(str(p) for p in at)
    if not isinstance(holder, list):
        raise ConfigError(f"{setting.said}: {where} holds a value, no keys", key=".".join(setting.key))
    items = cast(list[Any], holder)
    names = [_called(cast(dict[str, Any], item)) if isinstance(item, dict) else "" for item in items]
    if part in names:
        return names.index(part)
    if part.isdigit() and int(part) < len(items):
        return int(part)
    known = [name or str(number) for number, name in enumerate(names)]
    raise _unknown(setting, f"item of {where}", part, known)


def _called(item: dict[str, Any]) -> str:
    return str(item.get("name") or item.get("suite") or "")
