"""What a question to the data is, and the registry of all of them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, TypeAlias, overload

import polars as pl

Schema: TypeAlias = Mapping[str, pl.DataType]
Kwargs: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Rows:
    """A question to each row: ``about`` are the rows that are asked (None: all), ``breaks`` those that answer no.

    ``about`` is never null; a null in ``breaks`` says that the row was not asked.
    """

    about: pl.Expr | None
    breaks: pl.Expr
    columns: tuple[str, ...]
    shared: Mapping[str, pl.Expr] = field(default_factory=dict[str, pl.Expr])
    """Columns that both refer to, so that what costs is worked out once."""


@dataclass(frozen=True)
class Keys:
    """A key that must not repeat among the rows that ``about`` is true of (None: all)."""

    about: pl.Expr | None
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Among:
    """A question to each value among all that are asked: their order, or a measure of them, decides the answer."""

    about: pl.Expr
    columns: tuple[str]
    breaks: Callable[[pl.Expr], pl.Expr]
    """The values that are asked, as a sequence in the frame's order -> which of them answer no."""


Question: TypeAlias = Rows | Keys | Among


@dataclass(frozen=True)
class Column:
    """A column, as a builder sees it."""

    name: str
    dtype: pl.DataType
    expr: pl.Expr

    @property
    def text(self) -> pl.Expr:
        if self.dtype.is_nested():
            raise ValueError(f"column {self.name!r} holds {self.dtype}, of which there is no text")
        return self.expr if self.dtype == pl.String else self.expr.cast(pl.String)

    @property
    def is_text(self) -> bool:
        return isinstance(self.dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)


Condition = Callable[[Kwargs, Kwargs, Schema], Question]
CONDITIONS: dict[str, Condition] = {}
"""Map metrics, by name: domain arguments, value arguments, schema -> the question."""


def column(schema: Schema, name: str) -> Column:
    """The column of that name; as everywhere in Great Expectations, one that differs in case only will do.

    Errors: ValueError that says which columns there are.
    """
    found = name if name in schema else next((n for n in schema if n.casefold() == name.casefold()), None)
    if found is None:
        near = difflib.get_close_matches(name, list(schema), n=1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f'The column "{name}" in BatchData does not exist.{guess} Columns: {", ".join(schema)}.')
    if found == "*" or (found.startswith("^") and found.endswith("$")):
        raise ValueError(f"Polars reads the name {found!r} as a pattern for many columns: rename this column")
    return Column(found, schema[found], pl.col(found))


def of_column(name: str, *, ask_nulls: bool = False) -> Callable[[Callable[..., pl.Expr]], Callable[..., pl.Expr]]:
    """Register a question to each value of a column.

    The builder says what is true of a good value; null where there is no value.
    """

    def register(builder: Callable[..., pl.Expr]) -> Callable[..., pl.Expr]:
        def condition(domain: Kwargs, values: Kwargs, schema: Schema) -> Rows:
            asked = column(schema, domain["column"])
            return Rows(None if ask_nulls else asked.expr.is_not_null(), builder(asked, **values).not_(), (asked.name,))

        CONDITIONS[name] = condition
        return builder

    return register


@overload
def both(first: pl.Expr, second: pl.Expr | None) -> pl.Expr: ...
@overload
def both(first: pl.Expr | None, second: pl.Expr | None) -> pl.Expr | None: ...
def both(first: pl.Expr | None, second: pl.Expr | None) -> pl.Expr | None:
    """Where both are true; None stands for every row."""
    return second if first is None else first if second is None else first & second


def considered(
    domain: Kwargs, names: Sequence[str], *, any_missing: str, all_missing: str, never: str
) -> pl.Expr | None:
    """The rows that ``ignore_row_if`` leaves; None for all."""
    present = [pl.col(name).is_not_null() for name in names]
    rule = domain.get("ignore_row_if")
    left = {any_missing: reduce(pl.Expr.__and__, present), all_missing: reduce(pl.Expr.__or__, present), never: None}
    if rule not in left:
        raise ValueError(f'Unrecognized value of ignore_row_if ("{rule}"); accepted: {", ".join(left)}.')
    return left[rule]


def always(asked: Column) -> pl.Expr:
    """True of every value."""
    return asked.expr.is_null() | True
