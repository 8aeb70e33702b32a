"""Columns and types of JSON objects, from the first of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import islice

import polars as pl

from dataflow.sources.files.fit import nameless
from dataflow.sources.files.objects import Nested, Number, Value, rows
from dataflow.sources.files.packing import Line

SAMPLE_ROWS = 10_000
SAMPLE_BYTES = 4 << 20
MOST_COLUMNS = 5_000
"""Of a wider object, the later columns are in no contract."""
_EXACT = 2**53
"""Up to here every integer is a float."""
_LONGEST = 2**63
_HELD: tuple[tuple[set[str], pl.DataType], ...] = (
    ({"integer", "large"}, pl.Int64()),
    ({"integer", "float"}, pl.Float64()),
    ({"boolean"}, pl.Boolean()),
)


class Kinds:
    """Which kinds of values the columns of some objects hold."""

    def __init__(self) -> None:
        self._kinds: dict[str, set[str]] = defaultdict(set)
        self._spellings: set[str] = set()
        self._used = 0

    def look(self, lines: Iterable[Line]) -> None:
        """Take in the first objects of a file; broken lines tell nothing."""
        self._used = 0
        for row in islice(rows(self._few(lines)), SAMPLE_ROWS):
            for name, value in (row.values or {}).items():
                if self._known(name):
                    self._kinds[name].add(_kind(value))

    def _few(self, lines: Iterable[Line]) -> Iterable[Line]:
        for line in lines:
            yield line
            self._used += len(line.content)
            if self._used >= SAMPLE_BYTES:
                return

    def _known(self, name: str) -> bool:
        """Whether the name can be a column's: a Delta table does not tell upper from lower case."""
        if name in self._kinds:
            return True
        if not name or nameless([name]) or len(self._kinds) >= MOST_COLUMNS or name.lower() in self._spellings:
            return False
        self._spellings.add(name.lower())
        return True

    def schema(self) -> pl.Schema:
        """A type that holds what was seen of each column; text where there is no other."""
        return pl.Schema({name: _dtype(kinds - {"null"}) for name, kinds in self._kinds.items()})


def _dtype(kinds: set[str]) -> pl.DataType:
    for held, dtype in _HELD:
        if kinds and kinds <= held:
            return dtype
    return pl.String()


def _kind(value: Value) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, Number):
        return _number(value)
    return "nested" if isinstance(value, Nested) else "text"


def _number(text: Number) -> str:
    if not text.lstrip("-").isdecimal():
        return "float"
    # Python refuses to read integers of thousands of digits.
    size = abs(int(text)) if len(text) <= 20 else _LONGEST
    return "integer" if size <= _EXACT else "large" if size < _LONGEST else "huge"
