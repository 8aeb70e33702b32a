"""The nouns that travel between stages: references, never frames."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: immutable, strict about its fields, JSON at both ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def digest(*parts: object) -> str:
    """Sixteen hexadecimal digits that name ``parts``; stable across machines and versions."""
    text = "\x1f".join(f"{len(str(part))}:{part}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def reading_order(text: str) -> list[str | tuple[int, str]]:
    """A sort key for names as people count them: ``month=9`` comes before ``month=10``."""
    # Texts and runs of digits take turns, so that like is compared with like.
    parts = re.split("([0-9]+)", text)
    return [(len(part.lstrip("0")), part.lstrip("0")) if n % 2 else part for n, part in enumerate(parts)]


class TableVersion(Frozen):
    """A table as it stood at one version: what stages hand to each other."""

    table: str
    uri: str
    version: int
    table_id: str = ""
    """Which table it is: one that began again under the same name has another. Empty where that is not known."""

    def is_of(self, other: TableVersion) -> bool:
        """Whether both are versions of one table, as far as is known."""
        return self.table_id == other.table_id or not (self.table_id and other.table_id)


ROW_ID = "_row_id"
ROWS_PER_FILE = 1 << 40
"""A row id is the id of the row's file times this, plus the row's number in the file."""


def is_row_id(column: str) -> bool:
    """Whether a column is a row id of ours: ``_row_id``, ``_<input>_row_id``."""
    return column.startswith("_") and column.endswith(ROW_ID)


Detect = Literal["auto", "modified", "etag", "content"]
"""What tells that a file changed.

``auto``: its content, looked at where size, time or ETag differ. ``modified``: its size and time. ``etag``: what the
object store calls its content. ``content``: its content, looked at every time.
"""

SOURCE_FILE = "_source_file"
"""The column of landed rows that tells their file; no column of a user's is called so."""


@lru_cache(maxsize=1 << 15)
def _unit_id(stage: str, partition: tuple[tuple[str, str | None], ...]) -> str:
    # Asked several times in a run for every file that was ever landed.
    return digest(stage, *(repr(text) for pair in partition for text in pair))[:12]


class Unit(Frozen):
    """A stage and one of its partitions: what is planned, retried and skipped.

    ``partition`` holds (column, value) pairs; ``((SOURCE_FILE, path),)`` for a landed
    file; nothing for a stage that runs whole.
    """

    stage: str
    partition: tuple[tuple[str, str | None], ...] = ()

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits; the name of every file of the unit begins with them."""
        return _unit_id(self.stage, self.partition)

    @property
    def label(self) -> str:
        """The partition in words: ``month=3``, a file's name, ``all``."""
        if not self.partition:
            return "all"
        if self.partition[0][0] == SOURCE_FILE:
            return str(self.partition[0][1]).rsplit("/", 1)[-1]
        return ", ".join(f"{column}={value}" for column, value in self.partition)
