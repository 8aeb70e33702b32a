"""What a predicate may compute: arithmetic and functions, of each the arguments that it understands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
from sqlglot import exp

from dataflow.quality.patterns import RefusedError
from dataflow.quality.syntax import Node, allow, build, quoted

VALUES = (
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.Abs, exp.Round, exp.Floor, exp.Ceil, exp.DPipe),
    *(exp.Length, exp.Lower, exp.Upper, exp.Trim, exp.Substring, exp.Replace, exp.Literal),
    *(exp.Extract, exp.Year, exp.Month, exp.Day, exp.Hour, exp.DateDiff, exp.Interval),
)
"""Nodes whose answer is a value, never yes or no."""

OF_ONE: dict[type, Callable[[pl.Expr], pl.Expr]] = {
    exp.Neg: pl.Expr.__neg__,
    exp.Abs: pl.Expr.abs,
    exp.Floor: pl.Expr.floor,
    exp.Ceil: pl.Expr.ceil,
    exp.IsNan: pl.Expr.is_nan,
    exp.Length: lambda text: text.str.len_chars(),
    exp.Lower: lambda text: text.str.to_lowercase(),
    exp.Upper: lambda text: text.str.to_uppercase(),
    exp.Trim: lambda text: text.str.strip_chars(" "),
    exp.Year: lambda time: time.dt.year(),
    exp.Month: lambda time: time.dt.month(),
    exp.Day: lambda time: time.dt.day(),
    exp.Hour: lambda time: time.dt.hour(),
}
PARTS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "YEAR": OF_ONE[exp.Year],
    "QUARTER": lambda time: time.dt.quarter(),
    "MONTH": OF_ONE[exp.Month],
    "DAY": OF_ONE[exp.Day],
    "HOUR": OF_ONE[exp.Hour],
    "MINUTE": lambda time: time.dt.minute(),
    "SECOND": lambda time: time.dt.second(),
    "ISODOW": lambda time: time.dt.weekday(),
}
"""What EXTRACT takes; days of the week count from Monday, 1."""
LENGTHS = {"WEEK": "weeks", "DAY": "days", "HOUR": "hours", "MINUTE": "minutes", "SECOND": "seconds"}
"""Units of fixed length, and what Polars calls them."""
DIFFERENCES: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "HOUR": lambda span: span.dt.total_hours(),
    "MINUTE": lambda span: span.dt.total_minutes(),
    "SECOND": lambda span: span.dt.total_seconds(),
}


ARITHMETIC: dict[type, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    exp.Add: pl.Expr.__add__,
    exp.Sub: pl.Expr.__sub__,
    exp.Mul: pl.Expr.__mul__,
}


@allow(*ARITHMETIC)
def _arithmetic(node: exp.Binary) -> pl.Expr:
    return ARITHMETIC[type(node)](_operand(node.left, node.right), _operand(node.right, node.left))


def _operand(node: Node, other: Node) -> pl.Expr:
    operand = build(node)
    if isinstance(other, exp.Interval) and _unit(other.args.get("unit")) not in ("WEEK", "DAY"):
        # A day plus an hour would silently stay that day; this is an error for days, and nothing for instants.
        return operand.dt.cast_time_unit("us")
    return operand


@allow(exp.Div, args="this expression typed safe")
def _divide(node: exp.Div) -> pl.Expr:
    divisor = build(node.right)
    return build(node.left) / pl.when(divisor != 0).then(divisor)


@allow(exp.Mod)
def _remainder(node: exp.Mod) -> pl.Expr:
    value, divisor = build(node.left), build(node.right)
    # Polars rounds towards minus infinity, SQL towards zero: -7 % 3 is -1.
    return value.abs() % pl.when(divisor != 0).then(divisor).abs() * value.sign()


@allow(*OF_ONE, args="this")
def _of_one(node: exp.Unary | exp.Func) -> pl.Expr:
    return OF_ONE[type(node)](build(node.this))


@allow(exp.Coalesce, args="this expressions is_nvl is_null")
def _coalesce(node: exp.Coalesce) -> pl.Expr:
    return pl.coalesce(*(build(part) for part in (node.this, *node.expressions)))


@allow(exp.Nullif)
def _nullif(node: exp.Nullif) -> pl.Expr:
    value = build(node.this)
    return pl.when((value == build(node.expression)).not_().fill_null(value=True)).then(value)


@allow(exp.Greatest, args="this expressions ignore_nulls")
def _greatest(node: exp.Greatest) -> pl.Expr:
    # Like its counterpart it passes over nulls and NaN.
    return pl.max_horizontal(*(build(part) for part in (node.this, *node.expressions)))


@allow(exp.Least, args="this expressions ignore_nulls")
def _least(node: exp.Least) -> pl.Expr:
    return pl.min_horizontal(*(build(part) for part in (node.this, *node.expressions)))


@allow(exp.Round, args="this decimals")
def _round(node: exp.Round) -> pl.Expr:
    decimals = node.args.get("decimals")
    digits = 0 if decimals is None else _whole(node, decimals, "ROUND to anything but a whole number of digits")
    return build(node.this).round(digits, mode="half_away_from_zero")


@allow(exp.StartsWith)
def _starts(node: exp.StartsWith) -> pl.Expr:
    return build(node.this).str.starts_with(build(node.expression))


@allow(exp.EndsWith)
def _ends(node: exp.EndsWith) -> pl.Expr:
    return build(node.this).str.ends_with(build(node.expression))


@allow(exp.Contains)
def _contains(node: exp.Contains) -> pl.Expr:
    return build(node.this).str.contains(build(node.expression), literal=True)


@allow(exp.DPipe, args="this expression safe")
def _joined(node: exp.DPipe) -> pl.Expr:
    return pl.concat_str(build(node.left), build(node.right))


@allow(exp.Substring, args="this start length")
def _substring(node: exp.Substring) -> pl.Expr:
    start, length = node.args.get("start"), node.args.get("length")
    from_one = "SUBSTRING from anything but a whole number, counted from 1,"
    first = _whole(node, start, from_one)
    if first < 1:
        raise RefusedError(f"{node.sql()!r}: {from_one} is not allowed")
    taken = None if length is None else _whole(node, length, "SUBSTRING of anything but a whole number of characters")
    return build(node.this).str.slice(first - 1, taken)


@allow(exp.Replace, args="this expression replacement")
def _replace(node: exp.Replace) -> pl.Expr:
    old, new = quoted(node.expression, "REPLACE"), quoted(node.args["replacement"], "REPLACE")
    return build(node.this).str.replace_all(old, new, literal=True)


@allow(exp.Extract)
def _extract(node: exp.Extract) -> pl.Expr:
    part = node.this.name.upper()
    if part not in PARTS:
        raise RefusedError(f"EXTRACT({part} …) is not allowed; EXTRACT takes {', '.join(PARTS)}")
    return PARTS[part](build(node.expression))


@allow(exp.DateDiff, args="this expression unit")
def _difference(node: exp.DateDiff) -> pl.Expr:
    unit = _unit(node.args.get("unit"))
    if isinstance(node.this, exp.Literal) or unit not in ("DAY", *DIFFERENCES):
        units = ", ".join(("DAY", *DIFFERENCES))
        raise RefusedError(
            f"{node.sql()!r} is not allowed; write DATEDIFF(end, start, unit), where unit is one of {units}"
        )
    end, start = build(node.this), build(node.expression)
    if unit == "DAY":
        return (end.cast(pl.Date) - start.cast(pl.Date)).dt.total_days()
    # As databases count: the hours that begin in between, not those that are full.
    steps = [side.cast(pl.Datetime("us")).dt.truncate(f"1{unit[0].lower()}") for side in (end, start)]
    return DIFFERENCES[unit](steps[0] - steps[1])


@allow(exp.Interval, args="this unit")
def _interval(node: exp.Interval) -> pl.Expr:
    unit = _unit(node.args.get("unit"))
    if unit not in LENGTHS:
        raise RefusedError(f"{node.sql()!r} is not allowed: its length is not fixed; use {', '.join(LENGTHS)}")
    try:
        number = float(node.this.name)
    except ValueError:
        raise RefusedError(f"{node.sql()!r} is not allowed; write INTERVAL '90' MINUTE") from None
    lengths: dict[str, Any] = {LENGTHS[unit]: number}
    return pl.duration(**lengths, time_unit="us")


def _unit(node: Node | None) -> str:
    return "DAY" if node is None else node.name.upper().removesuffix("S")


def _whole(node: Node, number: Any, what: str) -> int:
    if not (isinstance(number, exp.Literal) and number.name.isdigit()):
        raise RefusedError(f"{node.sql()!r}: {what} is not allowed")
    return int(number.name)
