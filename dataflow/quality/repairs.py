"""Repairs: what a rule does to the value of a row that breaks it, checked before any row is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import polars as pl

from dataflow.errors import ConfigError
from dataflow.quality.rules import ValidationRule

_MANY = 3
"""Rows on which a repair is tried: enough to see whether it adds or loses some."""


def check_repairs(rules: Sequence[ValidationRule], schema: Mapping[str, pl.DataType] | None = None) -> None:
    """Whether the repairs of a gate can be made; of the data, only the ``schema`` tells some.

    Errors: ConfigError for two repairs of one column, one that its rule does not read, and a function that raises,
    returns no expression, changes the column's type, adds or loses rows, or needs other rows.
    """
    seen: dict[str, str] = {}
    for rule in rules:
        if rule.repair is None:
            continue
        column = rule.repair.column
        if column in seen:
            raise ConfigError(
                f"rules {seen[column]!r} and {rule.name!r} both repair {column!r}; a gate repairs a column once: "
                "let one function do both",
                rule=rule.name,
                column=column,
            )
        if column not in rule.columns:
            raise ConfigError(
                f"rule {rule.name!r}: its repair changes {column!r}, which the rule does not read ({rule.statement}), "
                f"so that no row could ever be made good; repair {' or '.join(map(repr, rule.columns))}",
                rule=rule.name,
                column=column,
            )
        seen[column] = rule.name
        if schema is not None:
            repaired_value(rule, schema, pl.lit(value=True))


def repaired_value(rule: ValidationRule, schema: Mapping[str, pl.DataType], breaks: pl.Expr) -> pl.Expr:
    """The repaired column: a new value where ``breaks`` is true, the old one elsewhere."""
    assert rule.repair is not None
    column = rule.repair.column
    try:
        made: Any = rule.repair.function(pl.col(column))
    except (Exception, SystemExit) as error:
        _refuse(rule, f"raised {_in_one_line(f'{type(error).__name__}: {error}')}", error)
    if not isinstance(made, pl.Expr):
        _refuse(rule, f"returned {type(made).__name__}, not an expression; return what it makes of the one it is given")
    value = pl.when(breaks).then(made).otherwise(pl.col(column)).alias(column)
    _try(rule, schema, made)
    return value


def _try(rule: ValidationRule, schema: Mapping[str, pl.DataType], made: pl.Expr) -> None:
    assert rule.repair is not None
    column = rule.repair.column
    ours = {name: kind for name, kind in schema.items() if not name.startswith("__gate_")}
    rows = pl.DataFrame({name: pl.Series([None] * _MANY, dtype=kind) for name, kind in ours.items()}).lazy()
    try:
        kind = rows.select(made.alias(column)).collect_schema()[column]
        becomes = rows.with_columns(
            pl.when(pl.int_range(pl.len()) < 1).then(made).otherwise(pl.col(column)).alias(column)
        )
        tried = becomes.collect_schema()[column]
        same = tried == schema[column] and (kind in (tried, pl.Null) or (kind.is_numeric() and tried.is_numeric()))
        if not same:
            _refuse(rule, f"makes {kind} of {schema[column]}; a repair keeps its column's type: cast to it")
        becomes.collect()
    except pl.exceptions.PolarsError as error:
        _refuse(rule, f"cannot be run: {_in_one_line(str(error))}", error)
    if _needs_other_rows(made, rows):
        _refuse(rule, "needs other rows than the one it repairs; do that in the stage's function")


def _in_one_line(message: str) -> str:
    # After an empty line Polars shows the plan.
    return " ".join(message.strip().split("\n\n")[0].split())


def _needs_other_rows(made: pl.Expr, rows: pl.LazyFrame) -> bool:
    """Whether a row's new value hangs on the rows around it, which are others in another batch."""
    try:
        return not made.meta.is_row_separable()
    except pl.exceptions.PolarsError:
        return False


def _refuse(rule: ValidationRule, problem: str, cause: BaseException | None = None) -> NoReturn:
    assert rule.repair is not None
    column = rule.repair.column
    raise ConfigError(
        f"rule {rule.name!r}: its repair of {column!r} {problem}", rule=rule.name, column=column
    ) from cause
