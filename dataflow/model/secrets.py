"""Values that no log may show: passwords, tokens, keys of storage."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

HIDDEN = "•••"
SECRET_NAME = re.compile(
    r"secret|passw|token|credential|api_?key|access_?key|account_?key|private_?key|sas_|webhook", re.I
)
"""What a name of something secret holds: of an environment variable, of an option of a storage."""
_SHORTEST = 4
"""A shorter text is hidden from nobody, but would make every line unreadable."""
_hidden: set[str] = set()


def hide(values: Iterable[str]) -> None:
    """Show none of ``values`` in any line that ``redacted`` lets through, from now on, in this process."""
    for value in values:
        if len(value) >= _SHORTEST:
            _hidden.update((value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]))


def hide_named(settings: Mapping[str, str]) -> None:
    """Hide those of ``settings`` whose names say that they are secret.

    Example:
        >>> hide_named({"aws_secret_access_key": "s3cr3t!", "aws_region": "eu-south-1"})
        >>> redacted("eu-south-1 refused s3cr3t!")
        'eu-south-1 refused •••'
    """
    hide(value for name, value in settings.items() if SECRET_NAME.search(name))


def redacted(text: str) -> str:
    """``text`` without what is hidden."""
    # The longest first: one secret may be a part of another.
    for secret in sorted(_hidden, key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return text
