"""Personal data: what a verdict says of columns that hold some."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from dataflow.quality.causes import WAYS_OUT
from dataflow.quality.rules import ValidationRule

MASK = "•••"
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"|`([^`]*)`|‘([^’]*)’|“([^”]*)”")
_TYPE = re.compile(r"(str|bool|date|time|null|binary|[iuf]\d+|decimal|list|struct|enum|cat|datetime|duration)(\[.*\])?")


def is_personal(rule: ValidationRule, pii: Collection[str]) -> bool:
    """Whether a rule reads a column of personal data; of a free query nobody knows, so it counts as one that does."""
    return bool(pii) and (rule.kind == "unexpected_rows_expectation" or not set(rule.columns).isdisjoint(pii))


def masked_error(message: str, columns: Collection[str]) -> str:
    """A message without what it quotes, but for names of columns and types."""

    def mask(found: re.Match[str]) -> str:
        inner = next(group for group in found.groups() if group is not None)
        known = inner in columns or _TYPE.fullmatch(inner)
        return found.group() if known else found.group().replace(inner, MASK) if inner else found.group()

    ours = next((way_out for way_out in WAYS_OUT.values() if message.endswith(way_out)), "")
    return _QUOTED.sub(mask, message.removesuffix(ours)) + ours


def masked_value(value: Any) -> Any:
    """What is said instead of a value; nothing stays nothing."""
    return None if value is None else MASK
