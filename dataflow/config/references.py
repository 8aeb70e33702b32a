"""``${VAR}``: values that a configuration takes from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from dataflow.config.document import Document, Key
from dataflow.errors import ConfigError
from dataflow.model.secrets import SECRET_NAME, hide
from dataflow.quality.alerts import SECRETS

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def holds_reference(value: Any) -> bool:
    """Whether a value is a text with a ``${VAR}`` in it."""
    return isinstance(value, str) and any(found[1] is not None for found in _REFERENCE.finditer(value))


def substitute(document: Document, env: Mapping[str, str]) -> dict[str, Any]:
    """The values with every ``${VAR}`` replaced, but for the secrets of alerts; ``$${`` stands for ``${`` itself.

    What was put in is hidden in logs from then on.
    Errors: ConfigError that names a variable that is not set. No message holds a variable's value.
    """

    def walk(value: Any, at: Key) -> Any:
        if at[:1] == ("alerts",) and at[-1] in SECRETS:
            return value
        if isinstance(value, dict):
            return {key: walk(item, (*at, key)) for key, item in cast(dict[str, Any], value).items()}
        if isinstance(value, list):
            return [walk(item, (*at, index)) for index, item in enumerate(cast(list[Any], value))]
        return filled(value, env, document, at) if isinstance(value, str) else value

    return walk(document.values, ())


def filled(text: str, env: Mapping[str, str], document: Document, at: Key) -> str:
    """The text that stands at ``at``, with every ``${VAR}`` replaced.

    Errors: ConfigError that names a variable that is not set.
    """

    def fill(found: re.Match[str]) -> str:
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
        if SECRET_NAME.search(name) or any(SECRET_NAME.search(str(part)) for part in at) or _tells(env[name]):
            hide([env[name]])
        return env[name]

    return _REFERENCE.sub(fill, text)


def _tells(value: str) -> bool:
    """Whether a text tells something by itself: to hide every 2026 or every ``snappy`` would spoil the lines."""
    return len(value) >= 8 and any(character.isalpha() for character in value)
