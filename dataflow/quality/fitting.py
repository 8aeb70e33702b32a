"""Predicates that say exactly what an expectation of Great Expectations says.

As real expectations they get the sentences of Data Docs, and the statistics of files can
settle them without a scan. Everything else stays a statement that every row must satisfy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, TypeAlias

import polars as pl
from sqlglot import exp

from dataflow.quality.predicate import tree_of
from dataflow.quality.syntax import Node, constant

Fitted: TypeAlias = tuple[str, dict[str, Any]]
Schema: TypeAlias = Mapping[str, pl.DataType]
EXACT = 1 << 53
"""Great Expectations keeps bounds as floats, which are whole numbers up to here."""

_SAME = re.compile(
    r"""(?P<pattern>(?:
        [^\\^$*+?{}\[\]|()]                                           # a character, or . for any
        | \^ | \| | \((?:\?:|(?!\?)) | \)
        | \\(?:[dD]|[^\w\s<>])                                         # digits, and what would mean something else
        | (?:[*+?]|\{\d+(?:,\d*)?\})\??(?!\+)
        | \[\^?(?:[^\[\]\\&~^-]|-(?!-)|\\(?:[dD]|[^\w\s<>]))+\]
    )*)(?P<end>\$?)""",
    re.VERBOSE,
)
"""Regular expressions that Rust, which runs predicates, and Python, which Great Expectations follows, read alike."""

FLIPPED: dict[type, type] = {exp.GT: exp.LT, exp.GTE: exp.LTE, exp.LT: exp.GT, exp.LTE: exp.GTE}


def fit(text: str, schema: Schema | None = None) -> Fitted | None:
    """The type and arguments of the expectation that the same rows break as the predicate; None where none is.

    Which rows break one depends on the columns' types: NaN is above every number for a predicate but in no
    interval for Great Expectations, which also compares text with dates. Without ``schema`` only what holds for
    every type is fitted: IS [NOT] NULL and the comparison of two columns.

    Nulls: a row for which the predicate is unknown breaks neither.
    Example:
        >>> fit("distance > 0", {"distance": pl.Int64()})
        ('expect_column_values_to_be_between', {'column': 'distance', 'min_value': 0, 'strict_min': True})
    """
    node = tree_of(text).unnest()
    negated = isinstance(node, exp.Not)
    node = node.this.unnest() if negated else node
    fitting = _FITTING.get(node.__class__)
    return fitting(node, negated, schema or {}) if fitting is not None else None


def _named(node: Node, schema: Schema, *kinds: type[pl.DataType]) -> str | None:
    """The name of a column, where it is one whose type is among ``kinds``."""
    column = node.unnest()
    return column.name if isinstance(column, exp.Column) and isinstance(schema.get(column.name), kinds) else None


def _fit_null(node: exp.Is, negated: bool, _: Schema) -> Fitted | None:
    column = node.this.unnest()
    if not isinstance(column, exp.Column) or not isinstance(node.expression, exp.Null):
        return None
    return f"expect_column_values_to_{'not_' if negated else ''}be_null", {"column": column.name}


def _fit_set(node: exp.In, negated: bool, schema: Schema) -> Fitted | None:
    return _members(node.this, list(node.expressions), negated, schema)


def _fit_equal(node: exp.EQ | exp.NEQ, negated: bool, schema: Schema) -> Fitted | None:
    asked, value = (node.right, node.left) if constant(node.left) is not None else (node.left, node.right)
    excluded = negated is not isinstance(node, exp.NEQ)
    if isinstance(asked.unnest(), exp.Length) and not excluded:
        column, length = _named(asked.unnest().this, schema, pl.String), _length(value)
        if column is not None and length is not None:
            return "expect_column_value_lengths_to_equal", {"column": column, "value": length}
    return _members(asked, [value], excluded, schema)


def _members(asked: Node, items: list[Node], excluded: bool, schema: Schema) -> Fitted | None:
    values, column = [constant(item) for item in items], asked.unnest()
    if (
        not isinstance(column, exp.Column)
        or not items
        or not all(_suits(schema.get(column.name), value) for value in values)
    ):
        return None
    return f"expect_column_values_to_{'not_' if excluded else ''}be_in_set", {
        "column": column.name,
        "value_set": values,
    }


def _fit_order(node: exp.Binary, negated: bool, schema: Schema) -> Fitted | None:
    kind, first, second = type(node), node.left.unnest(), node.right.unnest()
    if negated:
        return None
    if constant(first) is not None or (isinstance(second, exp.Column) and kind in (exp.LT, exp.LTE)):
        kind, first, second = FLIPPED[kind], second, first
    if isinstance(first, exp.Column) and isinstance(second, exp.Column):
        return _pair(first.name, second.name, or_equal=kind in (exp.GTE, exp.LTE))
    side = "min" if kind in (exp.GT, exp.GTE) else "max"
    return _bounds(first, {side: second}, schema, strict=kind in (exp.GT, exp.LT))


def _pair(greater: str, lesser: str, *, or_equal: bool) -> Fitted | None:
    columns = {"column_A": greater, "column_B": lesser, "or_equal": or_equal}
    return "expect_column_pair_values_a_to_be_greater_than_b", {**columns, "ignore_row_if": "either_value_is_missing"}


def _fit_between(node: exp.Between, negated: bool, schema: Schema) -> Fitted | None:
    return None if negated else _bounds(node.this.unnest(), {"min": node.args["low"], "max": node.args["high"]}, schema)


def _bounds(asked: Node, ends: Mapping[str, Node], schema: Schema, *, strict: bool = False) -> Fitted | None:
    values = {side: constant(node) for side, node in ends.items()}
    given = {f"{side}_value": value for side, value in values.items()} | {
        f"strict_{side}": True for side in ends if strict
    }
    if isinstance(asked, exp.Length):
        column, lengths = _named(asked.this, schema, pl.String), [_length(node) for node in ends.values()]
        if column is None or None in lengths or not _ascending(lengths):
            return None
        return "expect_column_value_lengths_to_be_between", {"column": column, **given}
    dtype = schema.get(asked.name) if isinstance(asked, exp.Column) else None
    if not all(_suits(dtype, value) and not isinstance(value, str) for value in values.values()):
        return None
    if not _ascending(list(values.values())) or (isinstance(dtype, pl.Float64) and "max" not in ends):
        return None
    return "expect_column_values_to_be_between", {"column": asked.name, **given}


def _ascending(values: list[Any]) -> bool:
    # Bounds the wrong way round are an error there, and an interval that holds nothing here.
    return len(values) == 1 or (
        isinstance(values[0], datetime) is isinstance(values[1], datetime) and values[0] <= values[1]
    )


def _fit_pattern(node: exp.RegexpLike, negated: bool, schema: Schema) -> Fitted | None:
    column, found = _named(node.this, schema, pl.String), _SAME.fullmatch(node.expression.name)
    if column is None or found is None:
        return None
    # Python's $ also stands before a last newline.
    regex = found["pattern"] + (r"\z" if found["end"] else "")
    return f"expect_column_values_to_{'not_' if negated else ''}match_regex", {"column": column, "regex": regex}


def _fit_like(node: exp.Like, negated: bool, schema: Schema, **escape: str) -> Fitted | None:
    column, excluded = _named(node.this, schema, pl.String), negated is not bool(node.args.get("negate"))
    if column is None:
        return None
    kind = f"expect_column_values_to_{'not_' if excluded else ''}match_like_pattern"
    return kind, {"column": column, "like_pattern": node.expression.name, **escape}


def _fit_escape(node: exp.Escape, negated: bool, schema: Schema) -> Fitted | None:
    return _fit_like(node.this, negated, schema, escape=node.expression.name)


def _length(node: Node) -> int | None:
    value = constant(node)
    return value if isinstance(value, int) and 0 <= value < EXACT else None


def _suits(dtype: pl.DataType | None, value: Any) -> bool:
    """Whether the predicate and Great Expectations compare a column of this type with the value alike."""
    if isinstance(value, int | float):
        return ((dtype is not None and dtype.is_integer()) or isinstance(dtype, pl.Float64)) and -EXACT < value < EXACT
    if isinstance(value, str):
        return isinstance(dtype, pl.String)
    if not isinstance(value, date):
        return False
    if isinstance(dtype, pl.Date):
        return not isinstance(value, datetime)
    zone = "UTC" if isinstance(value, datetime) and value.tzinfo else None
    return isinstance(dtype, pl.Datetime) and (dtype.time_unit, dtype.time_zone) == ("us", zone)


# Any: each fitting takes the node that it stands beside.
_FITTING: dict[type, Callable[[Any, bool, Schema], Fitted | None]] = {
    exp.Is: _fit_null,
    exp.In: _fit_set,
    exp.EQ: _fit_equal,
    exp.NEQ: _fit_equal,
    **dict.fromkeys(FLIPPED, _fit_order),
    exp.Between: _fit_between,
    exp.RegexpLike: _fit_pattern,
    exp.Like: _fit_like,
    exp.Escape: _fit_escape,
}
