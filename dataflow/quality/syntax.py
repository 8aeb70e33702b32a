"""The SQL that a predicate may use: one table of node types, and nothing else is let through.

Each entry names the arguments that it understands; a node of another type, or one
that carries another argument, is refused. Polars SQL is not used: it can read files.
What computes a value has its entries in ``functions``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import reduce
from typing import Any, TypeAlias

import polars as pl
from sqlglot import exp

from dataflow.quality.patterns import RefusedError, like_regex, regex_problem
from dataflow.quality.refusals import reason

Node: TypeAlias = exp.Expr
Build = Callable[[Any], pl.Expr]

CASTS: dict[str, pl.DataType] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INT", "BIGINT"), pl.Int64()),
    **dict.fromkeys(("FLOAT", "DOUBLE"), pl.Float64()),
    **dict.fromkeys(("TEXT", "VARCHAR"), pl.String()),
    "BOOLEAN": pl.Boolean(),
    "DATE": pl.Date(),
    "TIMESTAMP": pl.Datetime("us"),
}
IN_CHAIN = 16
"""Up to so many values ``IN`` is a chain of comparisons, which compare across numeric types."""

_TABLE: dict[type, tuple[frozenset[str], Build]] = {}


def build(node: Node) -> pl.Expr:
    """The expression of an allowed node.

    Errors: RefusedError for everything that the table does not list.
    """
    entry = _TABLE.get(type(node))
    if entry is None:
        raise RefusedError(reason(node))
    known, builder = entry
    for name, value in node.args.items():
        if value and name not in known:
            raise RefusedError(reason(value) if name == "query" else f"{name.upper()} in {node.sql()!r} is not allowed")
    return builder(node)


def allow(*kinds: type, args: str = "this expression") -> Callable[[Build], Build]:
    """Let nodes of these kinds through, with the arguments ``args``: the builder says what they are."""

    def register(builder: Build) -> Build:
        _TABLE.update(dict.fromkeys(kinds, (frozenset(args.split()), builder)))
        return builder

    return register


def constant(node: Node) -> Any:
    """The value of a literal, ``DATE '…'`` and the like; None for everything else."""
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and not node.this.is_string:
        return -constant(node.this)
    if isinstance(node, exp.Cast) and _is_instant(node):
        return _instant(node.this.name, node.to.this.name)
    if not isinstance(node, exp.Literal):
        return None
    return node.name if node.is_string else int(node.name) if node.name.isdigit() else float(node.name)


def _is_null(node: Node) -> bool:
    return isinstance(node.unnest(), exp.Null)


def _truth(node: Node) -> pl.Expr:
    """A node where yes or no is wanted: a bare NULL needs its type there."""
    return pl.lit(None, dtype=pl.Boolean) if _is_null(node) else build(node)


@allow(exp.Column, args="this")
def _column(node: exp.Column) -> pl.Expr:
    return pl.col(node.name)


@allow(exp.Paren, args="this")
def _paren(node: exp.Paren) -> pl.Expr:
    return build(node.this)


@allow(exp.Literal, args="this is_string")
def _literal(node: exp.Literal) -> pl.Expr:
    return pl.lit(constant(node))


@allow(exp.Boolean, args="this")
def _boolean(node: exp.Boolean) -> pl.Expr:
    return pl.lit(bool(node.this))


@allow(exp.Null, args="")
def _null(node: exp.Null) -> pl.Expr:
    return pl.lit(None)


@allow(exp.And)
def _and(node: exp.And) -> pl.Expr:
    return _truth(node.left) & _truth(node.right)


@allow(exp.Or)
def _or(node: exp.Or) -> pl.Expr:
    return _truth(node.left) | _truth(node.right)


@allow(exp.Not, args="this")
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


@allow(*COMPARISONS)
def _compare(node: exp.Binary) -> pl.Expr:
    if _is_null(node.left) or _is_null(node.right):
        raise RefusedError(
            f"{node.sql()!r} is never true nor false (write IS NULL): comparing with NULL is not allowed"
        )
    return COMPARISONS[type(node)](build(node.left), build(node.right))


@allow(exp.NullSafeEQ)
def _same(node: exp.NullSafeEQ) -> pl.Expr:
    return build(node.left).eq_missing(build(node.right))


@allow(exp.NullSafeNEQ)
def _distinct(node: exp.NullSafeNEQ) -> pl.Expr:
    return build(node.left).ne_missing(build(node.right))


@allow(exp.Is)
def _is(node: exp.Is) -> pl.Expr:
    if isinstance(node.expression, exp.Null):
        return build(node.this).is_null()
    if isinstance(node.expression, exp.Boolean):
        return _truth(node.this).eq_missing(build(node.expression))
    raise RefusedError(f"IS {node.expression.sql()} is not allowed")


@allow(exp.Between, args="this low high")
def _between(node: exp.Between) -> pl.Expr:
    value = build(node.this)
    return (value >= build(node.args["low"])) & (value <= build(node.args["high"]))


@allow(exp.In, args="this expressions")
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


@allow(exp.Like, args="this expression negate")
def _like(node: exp.Like) -> pl.Expr:
    return _liked(node, escape=None)


@allow(exp.ILike, args="this expression negate")
def _like_in_any_case(node: exp.ILike) -> pl.Expr:
    found = build(node.this).str.contains(f"(?i){like_regex(quoted(node.expression, 'ILIKE'))}")
    return found.not_() if node.args.get("negate") else found


@allow(exp.Escape)
def _escape(node: exp.Escape) -> pl.Expr:
    if not isinstance(node.this, exp.Like) or len(quoted(node.expression, "ESCAPE")) != 1:
        raise RefusedError(f"{node.sql()!r}: ESCAPE takes one character, after LIKE; anything else is not allowed")
    return _liked(node.this, escape=node.expression.name)


def _liked(node: exp.Like, escape: str | None) -> pl.Expr:
    found = build(node.this).str.contains(like_regex(quoted(node.expression, "LIKE"), escape))
    return found.not_() if node.args.get("negate") else found


@allow(exp.RegexpLike)
def _matches(node: exp.RegexpLike) -> pl.Expr:
    pattern = quoted(node.expression, "MATCHES")
    if problem := regex_problem(pattern):
        raise RefusedError(f"the regular expression {pattern!r} is not allowed: {problem}")
    return build(node.this).str.contains(pattern)


def quoted(node: Node, where: str) -> str:
    """A literal text.

    Errors: RefusedError for anything else.
    """
    if not (isinstance(node, exp.Literal) and node.is_string):
        raise RefusedError(f"{where} with anything but a quoted text ({node.sql()}) is not allowed")
    return node.name


@allow(exp.Case, args="this ifs default")
def _case(node: exp.Case) -> pl.Expr:
    chain: Any = pl
    for branch in node.args["ifs"]:
        found = exp.EQ(this=node.this, expression=branch.this) if node.this else branch.this
        chain = chain.when(_truth(found)).then(build(branch.args["true"]))
    default = node.args.get("default")
    return chain.otherwise(build(default) if default else pl.lit(None))


@allow(exp.Cast, exp.TryCast, args="this to safe")
def _cast(node: exp.Cast) -> pl.Expr:
    if _is_instant(node):
        return pl.lit(constant(node))
    kind = node.to.this.name
    if kind not in CASTS or node.to.expressions:
        raise RefusedError(f"CAST to {node.to.sql()} is not allowed")
    return build(node.this).cast(CASTS[kind], strict=not isinstance(node, exp.TryCast))


def _is_instant(node: exp.Cast) -> bool:
    literal = isinstance(node.this, exp.Literal) and node.this.is_string
    return literal and node.to.this.name in ("DATE", "TIMESTAMP", "TIMESTAMPTZ")


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
