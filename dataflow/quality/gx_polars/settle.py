"""Metrics that facts settle: an answer without a scan, or none, and then the rows are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from .conditions import Kwargs, Schema, bound, column
from .facts import Evidence, Facts, identity

COUNT, ASKED = "unexpected_count", "filtered_row_count"
EXACT = 2**53
"""Floats tell integers apart up to here."""
ANY_MISSING = ("any_value_is_missing", "either_value_is_missing")
ALL_MISSING = ("all_values_are_missing", "both_values_are_missing")


@dataclass(frozen=True)
class Settled:
    """A value that needs no scan, and why."""

    value: Any
    evidence: Evidence


@dataclass(frozen=True)
class Subject:
    """A metric to settle."""

    facts: Facts
    domain: Kwargs
    values: Kwargs
    schema: Schema

    @property
    def column(self) -> str:
        return self.domain["column"]


def settle(facts: Facts, name: str, domain: Kwargs, values: Kwargs, schema: Schema) -> Settled | None:
    """The value of a metric, if it is known; None where the rows must be asked."""
    condition, _, what = name.rpartition(".")
    if what in (COUNT, ASKED) and (counted := facts.counts.get(identity(condition, domain, values))):
        return Settled(counted[what == COUNT], "known")
    if domain.get("row_condition") or domain.get("table"):
        return None
    asked = Subject(facts, domain, values, schema)
    if name in SETTLERS:
        return SETTLERS[name](asked)
    return _statistic(_asked(asked)) if what == ASKED and ("column_list" in domain or "column_A" in domain) else None


def _statistic(value: Any) -> Settled | None:
    return None if value is None else Settled(value, "statistics")


def _absent(asked: Subject) -> Settled | None:
    return _statistic(asked.facts.nulls.get(asked.column))


def _present(asked: Subject) -> Settled | None:
    return _statistic(asked.facts.present(asked.column))


def _present_share(asked: Subject) -> Settled | None:
    present, rows = asked.facts.present(asked.column), asked.facts.rows
    return None if present is None or rows is None else Settled(present / rows if rows else 0, "statistics")


def _distinct(asked: Subject) -> Settled | None:
    present = asked.facts.present(asked.column)
    return Settled(present, "known") if present is not None and (asked.column,) in asked.facts.unique else None


def _distinct_share(asked: Subject) -> Settled | None:
    distinct = _distinct(asked)
    return distinct and Settled(1.0 if distinct.value else 0, distinct.evidence)


def _least(asked: Subject) -> Settled | None:
    return _extreme(asked, asked.facts.minimum.get(asked.column))


def _most(asked: Subject) -> Settled | None:
    return _extreme(asked, asked.facts.maximum.get(asked.column))


def _extreme(asked: Subject, value: Any) -> Settled | None:
    dtype = asked.schema.get(asked.column)
    if value is None or dtype is None or not exact(dtype):
        return None
    return Settled(pl.Series([value], dtype=dtype, strict=False).item(), "statistics")


def exact(dtype: pl.DataType) -> bool:
    """Whether the least and the greatest value are exact, and say all that bounds can ask.

    Not so texts (statistics cut them short), floats (a NaN may be among them), what is
    finer than Python's instants, nor nested values.
    """
    if isinstance(dtype, pl.Datetime):
        return dtype.time_unit != "ns"
    return dtype.is_integer() or isinstance(dtype, pl.Decimal | pl.Date | pl.Boolean)


def _between(asked: Subject) -> Settled | None:
    name, facts = asked.column, asked.facts
    if name not in asked.schema or not exact(asked.schema[name]) or not {name} <= facts.minimum.keys() & facts.maximum:
        return None
    held = column(asked.schema, name)
    low, high = (bound(held, asked.values.get(side)) for side in ("min_value", "max_value"))
    strict_min, strict_max = (bool(asked.values.get(side)) for side in ("strict_min", "strict_max"))
    try:
        inside = (
            (low is not None or high is not None)
            and (low is None or _above(facts.minimum[name], low, strict=strict_min))
            and (high is None or _above(high, facts.maximum[name], strict=strict_max))
            and (low is None or high is None or low <= high)
        )
    except TypeError:
        return None  # the scan says what does not fit
    return Settled(0, "statistics") if inside else None


def _above(high: Any, low: Any, *, strict: bool) -> bool:
    """Whether ``high`` lies above ``low`` for Polars too, which compares through floats where one side is one."""
    if not strict:
        return high >= low
    mixed = isinstance(high, float) != isinstance(low, float)
    return high > low and not (mixed and any(isinstance(v, Decimal) or abs(v) > EXACT for v in (high, low)))


def _unique(asked: Subject) -> Settled | None:
    return Settled(0, "known") if (asked.column,) in asked.facts.unique else None


def _compound(asked: Subject) -> Settled | None:
    facts, names = asked.facts, set(asked.domain["column_list"])
    known = [key for key in facts.unique if names.issuperset(key)]
    if asked.domain.get("ignore_row_if") not in ANY_MISSING:
        known = [key for key in known if all(facts.nulls.get(name) == 0 for name in key)]
    return Settled(0, "known") if known else None


def _asked(asked: Subject) -> int | None:
    """How many rows a question to several columns is about."""
    domain, nulls = asked.domain, asked.facts.nulls
    names = domain.get("column_list") or (domain["column_A"], domain["column_B"])
    whole = [nulls.get(name) == 0 for name in names]
    rule = domain.get("ignore_row_if")
    every = (rule in ANY_MISSING and all(whole)) or (rule in ALL_MISSING and any(whole)) or rule in ("never", "neither")
    return asked.facts.rows if every else None


SETTLERS: dict[str, Callable[[Subject], Settled | None]] = {
    "table.row_count": lambda asked: _statistic(asked.facts.rows),
    f"column_values.nonnull.{COUNT}": _absent,
    "column_values.null.count": _absent,
    f"column_values.null.{COUNT}": _present,
    "column.non_null_count": _present,
    "column.non_null_proportion": _present_share,
    "column.distinct_values.count": _distinct,
    "column.unique_proportion": _distinct_share,
    "column.min": _least,
    "column.max": _most,
    f"column_values.between.{COUNT}": _between,
    f"column_values.unique.{COUNT}": _unique,
    f"compound_columns.unique.{COUNT}": _compound,
}
