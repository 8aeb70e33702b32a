"""What a run changes about a document: assignments of the command line, values of the environment."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from ruamel.yaml.error import YAMLError

from dataflow.config.document import Document, Key, yaml_parser
from dataflow.errors import ConfigError
from dataflow.quality.alerts import SECRETS

Overrides = Mapping[str, str] | Sequence[str]
_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def override(document: Document, overrides: Overrides) -> Document:
    """The document with ``a.b.c=value`` set; values are read as YAML, list items are found by number or name.

    Errors: ConfigError where the text is no assignment or leads through something that holds no keys.
    """
    if isinstance(overrides, str):
        overrides = [overrides]
    pairs = overrides.items() if isinstance(overrides, Mapping) else [_assignment(text) for text in overrides]
    values = copy.deepcopy(document.values)
    done: set[Key] = set()
    for dotted, text in pairs:
        done.add(_set(values, dotted, _scalar(dotted, text)))
    return Document(document.path, values, document.lines, document.overridden | done)


def _assignment(text: str) -> tuple[str, str]:
    dotted, equals, value = text.partition("=")
    if not equals or not dotted.strip():
        raise ConfigError(f"--set {text}: write it as key=value, as in --set run.threads=4", key=text)
    return dotted.strip(), value


def _scalar(dotted: str, text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return yaml_parser().load(io.StringIO(text))
    except YAMLError:
        raise ConfigError(f"--set {dotted}: the value is not valid YAML; put quotes around it", key=dotted) from None


def _set(values: dict[str, Any], dotted: str, value: Any) -> Key:
    *parents, last = dotted.split(".")
    at: Key = ()
    holder: Any = values
    for part in parents:
        index = _index(holder, part, dotted, at)
        at = (*at, index)
        holder = _descend(holder, index, dotted, at)
    index = _index(holder, last, dotted, at)
    holder[index] = value
    return *at, index


def _descend(holder: Any, index: str | int, dotted: str, at: Key) -> Any:
    if isinstance(holder, dict):
        keys = cast(dict[Any, Any], holder)
        if keys.get(index) is None:
            if len(at) == 2 and at[0] in ("sources", "stages"):
                raise _unknown(dotted, str(at[0])[:-1], str(index), map(str, keys))
            keys[index] = {}
        return keys[index]
    return holder[index]


def _unknown(dotted: str, what: str, name: str, known: Iterable[str]) -> ConfigError:
    return ConfigError(f"--set {dotted}: {ConfigError.unknown(what, name, known)}", key=dotted)


def _index(holder: Any, part: str, dotted: str, at: Key) -> str | int:
    if isinstance(holder, dict):
        return part
    where = ".".join(str(p) for p in at)
    if not isinstance(holder, list):
        raise ConfigError(f"--set {dotted}: {where} holds a value, no keys", key=dotted)
    items = cast(list[Any], holder)
    names = [_called(cast(dict[str, Any], item)) if isinstance(item, dict) else "" for item in items]
    if part in names:
        return names.index(part)
    if part.isdigit() and int(part) < len(items):
        return int(part)
    known = [name or str(number) for number, name in enumerate(names)]
    raise _unknown(dotted, f"item of {where}", part, known)


def _called(item: dict[str, Any]) -> str:
    return str(item.get("name") or item.get("suite") or "")


def substitute(document: Document, env: Mapping[str, str]) -> dict[str, Any]:
    """The values with every ``${VAR}`` replaced, but for the secrets of alerts; ``$${`` stands for ``${`` itself.

    Errors: ConfigError that names a variable that is not set. No message holds a variable's value.
    """

    def walk(value: Any, at: Key) -> Any:
        if at[:1] == ("alerts",) and at[-1] in SECRETS:
            return value
        if isinstance(value, dict):
            return {key: walk(item, (*at, key)) for key, item in cast(dict[str, Any], value).items()}
        if isinstance(value, list):
            return [walk(item, (*at, index)) for index, item in enumerate(cast(list[Any], value))]
        return _REFERENCE.sub(lambda found: fill(found, at), value) if isinstance(value, str) else value

    def fill(found: re.Match[str], at: Key) -> str:
        name = found[1]
        if name is None:
            return "${"
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{document.place(*at)}: only ${{NAME}} is understood, not {found[0]}; $${{ stands for a literal ${{"
            )
        if name not in env:
            raise ConfigError(
                f"{document.place(*at)}: the environment variable {name} is not set; set it, or change the value"
            )
        return env[name]

    return walk(document.values, ())
