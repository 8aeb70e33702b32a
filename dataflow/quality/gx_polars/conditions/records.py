"""Questions to several columns of a row: pairs, sums, equal or different values, compound keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from itertools import combinations
from typing import Any

import polars as pl

from .literals import key, members, nanoseconds
from .questions import CONDITIONS, Column, Keys, Kwargs, Rows, Schema, always, both, column, considered

PAIR = {
    "any_missing": "either_value_is_missing",
    "all_missing": "both_values_are_missing",
    "never": "neither",
}
LIST = {"any_missing": "any_value_is_missing", "all_missing": "all_values_are_missing", "never": "never"}
Builder = Callable[..., pl.Expr]


def of_pair(name: str) -> Callable[[Builder], Builder]:
    """Register a question to two columns; the builder says what is true of a good row, null counts as no."""
    return _of_columns(name, lambda domain: [domain["column_A"], domain["column_B"]], PAIR)


def of_columns(name: str) -> Callable[[Builder], Builder]:
    """Register a question to a list of columns; the builder says what is true of a good row, null counts as no."""
    return _of_columns(name, lambda domain: domain["column_list"], LIST)


def _of_columns(name: str, named: Callable[[Kwargs], list[str]], rules: dict[str, str]) -> Callable[[Builder], Builder]:
    def register(builder: Builder) -> Builder:
        def condition(domain: Kwargs, values: Kwargs, schema: Schema) -> Rows:
            asked = [column(schema, one) for one in named(domain)]
            names = tuple(dict.fromkeys(one.name for one in asked))
            about = considered(domain, names, **rules)
            good = builder(*asked, **values)
            return Rows(about, both(good.fill_null(value=False).not_(), about), names)

        CONDITIONS[name] = condition
        return builder

    return register


@of_pair("column_pair_values.a_greater_than_b")
def _greater(first: Column, second: Column, or_equal: bool | None = None, **_: Any) -> pl.Expr:
    left, right = _comparable(first, second)
    above = left >= right if or_equal else left > right
    # Polars sorts NaN above every number.
    return above & left.is_not_nan() if first.dtype.is_float() else above


@of_pair("column_pair_values.equal")
def _equal_pair(first: Column, second: Column) -> pl.Expr:
    return _same(first, second) & first.expr.is_not_null()


@of_pair("column_pair_values.in_set")
def _pair_in_set(first: Column, second: Column, value_pairs_set: Iterable[tuple[Any, Any]] | None = None) -> pl.Expr:
    if value_pairs_set is None:
        return always(first)
    pairs = [(_held(first, a), _held(second, b)) for a, b in value_pairs_set]
    possible = [pl.DataFrame({"a": a, "b": b}) for a, b in pairs if len(a) and len(b)]
    if not possible:
        return always(first).not_()
    known = pl.concat(possible).unique().to_struct()
    return pl.struct(key(first).alias("a"), key(second).alias("b")).is_in(known.implode())


def _held(asked: Column, value: Any) -> pl.Series:
    """The value as the column's type, alone in a series; none where the type cannot hold it."""
    found = members(asked, [value])
    return pl.Series([None], dtype=found.dtype) if value is None else found


@of_columns("multicolumn_sum.equal")
def _sum(*asked: Column, sum_total: float) -> pl.Expr:
    return reduce(pl.Expr.__add__, map(_addend, asked)) == sum_total


def _addend(asked: Column) -> pl.Expr:
    if asked.dtype.is_integer() or asked.dtype == pl.Boolean:
        return asked.expr.cast(pl.Int128)  # small integers would overflow silently
    if not (asked.dtype.is_numeric() or asked.dtype == pl.Null):
        raise ValueError(f"column {asked.name!r} holds {asked.dtype}: it cannot be added up")
    return asked.expr


@of_columns("multicolumn_values.equal")
def _all_equal(*asked: Column) -> pl.Expr:
    return reduce(pl.Expr.__and__, [_same(asked[0], one) for one in asked])


@of_columns("select_column_values.unique.within_record")
def _all_different(*asked: Column) -> pl.Expr:
    different = [_same(one, other).not_() for one, other in combinations(asked, 2)]
    return reduce(pl.Expr.__and__, different, always(asked[0]))


def _same(first: Column, second: Column) -> pl.Expr:
    """Whether two values are the same, or both missing; those of types that do not compare never are."""
    left, right = _comparable(first, second)
    try:
        pl.DataFrame(schema={first.name: first.dtype, second.name: second.dtype}).select(left == right)
    except pl.exceptions.PolarsError:
        return left.is_null() & right.is_null()
    return left.eq_missing(right)


def _comparable(*asked: Column) -> list[pl.Expr]:
    """Two columns so that Polars compares their values exactly: it would cut the finer of two units."""
    one, other = (each.dtype for each in asked)
    temporal = (
        isinstance(one, pl.Datetime) and isinstance(other, pl.Datetime) and one.time_zone == other.time_zone
    ) or (isinstance(one, pl.Duration) and isinstance(other, pl.Duration))
    if temporal and one != other:
        return [nanoseconds(each.expr, each.dtype.time_unit) for each in asked]  # pyright: ignore
    return [each.text if each.is_text else each.expr for each in asked]


def _compound(domain: Kwargs, _: Kwargs, schema: Schema) -> Keys:
    names = tuple(dict.fromkeys(column(schema, name).name for name in domain["column_list"]))
    return Keys(considered(domain, names, **LIST), names)


CONDITIONS["compound_columns.unique"] = _compound
