"""A plan as values of our own, which can be walked and compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl

_WORDS = {
    "BinaryExpr": "an operator",
    "Cast": "a cast",
    "Column": "an operation",
    "Ternary": "when/then",
    "Window": "over()",
}


@dataclass(frozen=True)
class Expression:
    """An expression: its kind, what it was told, and the expressions that it is made of."""

    kind: str
    detail: tuple[Any, ...] = ()
    parts: tuple[Expression, ...] = ()

    def walk(self) -> Iterator[Expression]:
        """The expression and everything within it."""
        left: list[Expression] = [self]
        while left:
            expression = left.pop()
            yield expression
            left.extend(reversed(expression.parts))

    @property
    def column(self) -> str | None:
        """The name of a bare column; None for everything else."""
        return self.detail[0] if self.kind == "Column" else None

    @property
    def bare(self) -> str | None:
        """The name of a column that comes out as it is, under whatever name; None for everything else."""
        inner = self
        while inner.kind == "Alias":
            inner = inner.parts[0]
        return inner.column

    @property
    def columns(self) -> frozenset[str]:
        """Every column that the expression looks at."""
        return frozenset(name for e in self.walk() if (name := e.column) is not None)

    @property
    def is_null(self) -> bool:
        """Whether this is the literal null, cast or not."""
        inner = self.parts[0] if self.kind == "Cast" else self
        return inner.kind == "Literal" and inner.detail[0] is None

    @property
    def function(self) -> tuple[str, str]:
        """Family and name of a function: ``("StringFunction", "Strptime")``, ``("", "fill_null")``."""
        if self.kind != "Function":
            return "", ""
        told = self.detail[0][0]
        return ("", told) if isinstance(told, str) else (str(told[0]), str(told[1]).rsplit(".", 1)[-1])

    @property
    def name(self) -> str:
        """What a person would call it: ``sum()``, ``fill_null()``, ``a cast``."""
        if self.kind == "Function":
            return f"{self.function[1]}()"
        return f"{self.detail[0]}()" if self.kind == "Agg" else _WORDS.get(self.kind, f"{self.kind.lower()}()")


@dataclass(frozen=True)
class Node:
    """An operation on frames, its inputs, and the schema that it produces."""

    kind: str
    inputs: tuple[Node, ...] = ()
    expressions: tuple[tuple[str, tuple[tuple[str, Expression], ...]], ...] = ()
    """Per role (``keys``, ``aggs``), output name and expression."""
    detail: tuple[Any, ...] = ()
    schema: dict[str, pl.DataType] = field(default_factory=dict[str, pl.DataType])

    def of(self, role: str) -> tuple[tuple[str, Expression], ...]:
        """The named expressions of one role."""
        return dict(self.expressions).get(role, ())

    @property
    def carried(self) -> dict[str, frozenset[str]]:
        """Where each column of the input is after an operation that computes columns or leaves rows out, unchanged."""
        if self.kind == "Select":
            return names_of(self.of("expr"))
        computed = dict(self.of("exprs"))
        before = self.inputs[0].schema
        kept = {c: frozenset({c}) for c in before if c not in computed and c in self.schema}
        named = names_of(self.of("exprs"))
        return {c: kept.get(c, frozenset()) | named.get(c, frozenset()) for c in before}

    def walk(self) -> Iterator[Node]:
        """The node and everything below it."""
        yield self
        for below in self.inputs:
            yield from below.walk()

    @property
    def unknown(self) -> str | None:
        """The first part of the plan that Polars does not show, in words."""
        for node in self.walk():
            if node.kind == "opaque":
                return str(node.detail[0])
            named = (pair for _, pairs in node.expressions for pair in pairs)
            hidden = (part.detail[0] for _, e in named for part in e.walk() if part.kind == "opaque")
            found = next(hidden, None)
            if found is not None:
                return str(found)
        return None


def names_of(named: Iterable[tuple[str, Expression]]) -> dict[str, frozenset[str]]:
    """By column: the names under which it comes out as it is."""
    found: dict[str, frozenset[str]] = {}
    for name, expression in named:
        if (column := expression.bare) is not None:
            found[column] = found.get(column, frozenset()) | {name}
    return found


class Held:
    """A frame or series inside a plan; equal when the data are."""

    def __init__(self, data: pl.DataFrame | pl.Series) -> None:
        self.data = data

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Held):
            return False
        mine, theirs = self.data, other.data
        if isinstance(mine, pl.DataFrame) and isinstance(theirs, pl.DataFrame):
            return mine.schema == theirs.schema and mine.equals(theirs)
        if isinstance(mine, pl.Series) and isinstance(theirs, pl.Series):
            return mine.dtype == theirs.dtype and mine.equals(theirs)
        return False

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # data of any size: never a key
