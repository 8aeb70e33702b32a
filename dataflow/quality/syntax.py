"""The SQL that a predicate may use: one table of node types, and nothing else is let through.

Each entry names the arguments that it understands; a node of another type, or one
that carries another argument, is refused. Polars SQL is not used: it can read files.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import reduce
from typing import Any, TypeAlias

import polars as pl
from sqlglot import exp

from dataflow.quality.patterns import RefusedError, like_regex, regex_problem

Node: TypeAlias = exp.Expr
Build = Callable[[Any], pl.Expr]

ALLOWED = (
    "columns, numbers, 'text', TRUE, FALSE, NULL, DATE '…', TIMESTAMP '…', TIMESTAMPTZ '…', AND, OR, NOT, "
    "= <> < <= > >=, IS [NOT] NULL/TRUE/FALSE, BETWEEN, IN (…), LIKE … [ESCAPE], MATCHES (also ~ and RLIKE), "
    "+ - * / %, CASE, COALESCE, ABS, LENGTH, LOWER, UPPER, TRIM, ROUND, "
    "CAST and TRY_CAST to BIGINT, DOUBLE, TEXT, BOOLEAN, DATE, TIMESTAMP"
)
CASTS: dict[str, pl.DataType] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INT", "BIGINT"), pl.Int64()),
    **dict.fromkeys(("FLOAT", "DOUBLE"), pl.Float64()),
    **dict.fromkeys(("TEXT", "VARCHAR"), pl.String()),
    "BOOLEAN": pl.Boolean(),
    "DATE": pl.Date(),
    "TIMESTAMP": pl.Datetime("us"),
}
NUMBERS = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.Abs, exp.Round)
VALUES = (*NUMBERS, exp.Length, exp.Lower, exp.Upper, exp.Trim, exp.Literal)
"""Nodes whose answer is a value, never yes or no."""
IN_CHAIN = 16
"""Up to so many values ``IN`` is a chain of comparisons, which compare across numeric types."""

_TABLE: dict[type, tuple[frozenset[str], Build]] = {}


def build(node: Node) -> pl.Expr:
    """The expression of an allowed node.

    Errors: RefusedError for everything that the table does not list.
    """
    entry = _TABLE.get(type(node))
    if entry is None:
        raise RefusedError(f"{describe(node)} is not allowed")
    known, builder = entry
    for name, value in node.args.items():
        if value and name not in known:
            raise RefusedError(f"{name.upper()} in {node.sql()!r} is not allowed")
    return builder(node)


def describe(node: Node) -> str:
    """What a user would call the node."""
    if isinstance(node, exp.Anonymous):
        return f"the function {node.name.upper()}"
    if isinstance(node, exp.Func):
        return f"the function {node.sql_name()}"
    return f"{node.key.upper()} ({node.sql()})"


def _allow(*kinds: type, args: str = "this expression") -> Callable[[Build], Build]:
    def register(builder: Build) -> Build:
        _TABLE.update(dict.fromkeys(kinds, (frozenset(args.split()), builder)))
        return builder

    return register


def _is_null(node: Node) -> bool:
    return isinstance(node.unnest(), exp.Null)


def _truth(node: Node) -> pl.Expr:
    """A node where yes or no is wanted: a bare NULL needs its type there."""
    return pl.lit(None, dtype=pl.Boolean) if _is_null(node) else build(node)


@_allow(exp.Column, args="this")
def _column(node: exp.Column) -> pl.Expr:
    return pl.col(node.name)


@_allow(exp.Paren, args="this")
def _paren(node: exp.Paren) -> pl.Expr:
    return build(node.this)


@_allow(exp.Literal, args="this is_string")
def _literal(node: exp.Literal) -> pl.Expr:
    if node.is_string:
        return pl.lit(node.name)
    return pl.lit(int(node.name) if node.name.isdigit() else float(node.name))


@_allow(exp.Boolean, args="this")
def _boolean(node: exp.Boolean) -> pl.Expr:
    return pl.lit(bool(node.this))


@_allow(exp.Null, args="")
def _null(node: exp.Null) -> pl.Expr:
    return pl.lit(None)


@_allow(exp.And)
def _and(node: exp.And) -> pl.Expr:
    return _truth(node.left) & _truth(node.right)


@_allow(exp.Or)
def _or(node: exp.Or) -> pl.Expr:
    return _truth(node.left) | _truth(node.right)


@_allow(exp.Not, args="this")
def _not(node: exp.Not) -> pl.Expr:
    return _truth(node.this).not_()


COMPARISONS: dict[type, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    exp.EQ: pl.Expr.__eq__,
    exp.NEQ: pl.Expr.__ne__,
    exp.GT: pl.Expr.__gt__,
    exp.GTE: pl.Expr.__ge__,
    exp.LT: pl.Expr.__lt__,
    exp.LTE: pl.Expr.__le__,
}


@_allow(*COMPARISONS)
def _compare(node: exp.Binary) -> pl.Expr:
    if _is_null(node.left) or _is_null(node.right):
        raise RefusedError(
            f"{node.sql()!r} is never true nor false (write IS NULL): comparing with NULL is not allowed"
        )
    return COMPARISONS[type(node)](build(node.left), build(node.right))


@_allow(exp.Is)
def _is(node: exp.Is) -> pl.Expr:
    if isinstance(node.expression, exp.Null):
        return build(node.this).is_null()
    if isinstance(node.expression, exp.Boolean):
        return _truth(node.this).eq_missing(build(node.expression))
    raise RefusedError(f"IS {node.expression.sql()} is not allowed")


@_allow(exp.Between, args="this low high")
def _between(node: exp.Between) -> pl.Expr:
    value = build(node.this)
    return (value >= build(node.args["low"])) & (value <= build(node.args["high"]))


@_allow(exp.In, args="this expressions")
def _in(node: exp.In) -> pl.Expr:
    value, items = build(node.this), [item for item in node.expressions if not _is_null(item)]
    if not items:
        raise RefusedError("IN without a value is not allowed")
    found = _member(value, items)
    # SQL: where NULL is among the values, a row that matches none of them is unknown, not false.
    return found if len(items) == len(node.expressions) else found | pl.lit(None, dtype=pl.Boolean)


def _member(value: pl.Expr, items: list[Node]) -> pl.Expr:
    literals = [item for item in items if isinstance(item, exp.Literal)] if len(items) > IN_CHAIN else []
    if len(literals) == len(items) and all(item.is_string for item in literals):
        return value.is_in([item.name for item in literals])
    if len(literals) == len(items) and all(item.name.isdigit() and not item.is_string for item in literals):
        return value.is_in([int(item.name) for item in literals])
    return reduce(pl.Expr.__or__, [value == build(item) for item in items])


@_allow(exp.Like, args="this expression negate")
def _like(node: exp.Like) -> pl.Expr:
    return _liked(node, escape=None)


@_allow(exp.Escape)
def _escape(node: exp.Escape) -> pl.Expr:
    if not isinstance(node.this, exp.Like) or len(_text(node.expression, "ESCAPE")) != 1:
        raise RefusedError(f"{node.sql()!r}: ESCAPE takes one character, after LIKE; anything else is not allowed")
    return _liked(node.this, escape=node.expression.name)


def _liked(node: exp.Like, escape: str | None) -> pl.Expr:
    found = build(node.this).str.contains(like_regex(_text(node.expression, "LIKE"), escape))
    return found.not_() if node.args.get("negate") else found


@_allow(exp.RegexpLike)
def _matches(node: exp.RegexpLike) -> pl.Expr:
    pattern = _text(node.expression, "MATCHES")
    if problem := regex_problem(pattern):
        raise RefusedError(f"the regular expression {pattern!r} is not allowed: {problem}")
    return build(node.this).str.contains(pattern)


def _text(node: Node, where: str) -> str:
    if not (isinstance(node, exp.Literal) and node.is_string):
        raise RefusedError(f"{where} with anything but a quoted text ({node.sql()}) is not allowed")
    return node.name


ARITHMETIC: dict[type, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    exp.Add: pl.Expr.__add__,
    exp.Sub: pl.Expr.__sub__,
    exp.Mul: pl.Expr.__mul__,
}


@_allow(*ARITHMETIC)
def _arithmetic(node: exp.Binary) -> pl.Expr:
    return ARITHMETIC[type(node)](build(node.left), build(node.right))


@_allow(exp.Div, args="this expression typed safe")
def _divide(node: exp.Div) -> pl.Expr:
    divisor = build(node.right)
    return build(node.left) / pl.when(divisor != 0).then(divisor)


@_allow(exp.Mod)
def _remainder(node: exp.Mod) -> pl.Expr:
    value, divisor = build(node.left), build(node.right)
    # Polars rounds towards minus infinity, SQL towards zero: -7 % 3 is -1.
    return value.abs() % pl.when(divisor != 0).then(divisor).abs() * value.sign()


@_allow(exp.Case, args="this ifs default")
def _case(node: exp.Case) -> pl.Expr:
    chain: Any = pl
    for branch in node.args["ifs"]:
        found = exp.EQ(this=node.this, expression=branch.this) if node.this else branch.this
        chain = chain.when(_truth(found)).then(build(branch.args["true"]))
    default = node.args.get("default")
    return chain.otherwise(build(default) if default else pl.lit(None))


@_allow(exp.Coalesce, args="this expressions is_nvl is_null")
def _coalesce(node: exp.Coalesce) -> pl.Expr:
    return pl.coalesce(*(build(part) for part in (node.this, *node.expressions)))


OF_ONE: dict[type, Callable[[pl.Expr], pl.Expr]] = {
    exp.Neg: pl.Expr.__neg__,
    exp.Abs: pl.Expr.abs,
    exp.Length: lambda text: text.str.len_chars(),
    exp.Lower: lambda text: text.str.to_lowercase(),
    exp.Upper: lambda text: text.str.to_uppercase(),
    exp.Trim: lambda text: text.str.strip_chars(" "),
}


@_allow(*OF_ONE, args="this")
def _of_one(node: exp.Unary | exp.Func) -> pl.Expr:
    return OF_ONE[type(node)](build(node.this))


@_allow(exp.Round, args="this decimals")
def _round(node: exp.Round) -> pl.Expr:
    decimals = node.args.get("decimals")
    if decimals is not None and not (isinstance(decimals, exp.Literal) and decimals.name.isdigit()):
        raise RefusedError(f"{node.sql()!r}: ROUND to anything but a whole number of digits is not allowed")
    return build(node.this).round(int(decimals.name) if decimals else 0, mode="half_away_from_zero")


@_allow(exp.Cast, exp.TryCast, args="this to safe")
def _cast(node: exp.Cast) -> pl.Expr:
    kind = node.to.this.name
    if isinstance(node.this, exp.Literal) and node.this.is_string and kind in ("DATE", "TIMESTAMP", "TIMESTAMPTZ"):
        return pl.lit(_instant(node.this.name, kind))
    if kind not in CASTS or node.to.expressions:
        raise RefusedError(f"CAST to {node.to.sql()} is not allowed")
    return build(node.this).cast(CASTS[kind], strict=not isinstance(node, exp.TryCast))


def _instant(text: str, kind: str) -> date | datetime:
    try:
        if kind == "DATE":
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise RefusedError(f"{kind} {text!r} is not allowed: it is no date or time of ISO 8601 ({error})") from None
    if (moment.tzinfo is not None) != (kind == "TIMESTAMPTZ"):
        raise RefusedError(
            f"{kind} {text!r} is not allowed: TIMESTAMP is a local time without a zone, "
            "TIMESTAMPTZ an instant with one ('2013-01-01 05:00Z')"
        )
    return moment.astimezone(UTC) if moment.tzinfo else moment
