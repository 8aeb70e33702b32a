"""The expectations that a rule may name: what each is about and which arguments it takes.

A plain table, so that a workflow is checked when it is declared, without the seconds
that importing Great Expectations takes. A test holds it against Great Expectations' own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dataflow.errors import ConfigError, hint
from dataflow.quality.patterns import regex_problem

Scope = Literal["row", "batch"]
BOUNDS = ("min_value", "max_value", "strict_min", "strict_max")


@dataclass(frozen=True)
class Expected:
    """What an expectation is about and what it takes."""

    scope: Scope
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    """Arguments that name columns which must be there."""
    mostly: bool = False
    """Whether a share of passing rows can be asked for."""
    empty: bool = False
    """Whether it says something about a batch without rows."""

    @property
    def accepted(self) -> tuple[str, ...]:
        return (*self.columns, *self.required, *self.optional)


def _row(*required: str, optional: tuple[str, ...] = ()) -> Expected:
    return Expected("row", required, optional, columns=("column",), mostly=True)


_AGGREGATE = Expected("batch", optional=BOUNDS, columns=("column",))

EXPECTATIONS: dict[str, Expected] = {
    "expect_column_values_to_not_be_null": _row(),
    "expect_column_values_to_be_null": _row(),
    "expect_column_values_to_be_between": _row(optional=BOUNDS),
    "expect_column_values_to_be_in_set": _row("value_set"),
    "expect_column_values_to_not_be_in_set": _row("value_set"),
    "expect_column_values_to_match_regex": _row("regex"),
    "expect_column_values_to_not_match_regex": _row("regex"),
    "expect_column_value_lengths_to_be_between": _row(optional=BOUNDS),
    "expect_column_value_lengths_to_equal": _row("value"),
    "expect_column_pair_values_a_to_be_greater_than_b": Expected(
        "row", optional=("or_equal", "ignore_row_if"), columns=("column_A", "column_B"), mostly=True
    ),
    "expect_column_values_to_be_unique": Expected("batch", columns=("column",), mostly=True),
    "expect_compound_columns_to_be_unique": Expected(
        "batch", optional=("ignore_row_if",), columns=("column_list",), mostly=True
    ),
    "expect_table_row_count_to_be_between": Expected("batch", optional=BOUNDS, empty=True),
    "expect_table_row_count_to_equal": Expected("batch", required=("value",), empty=True),
    "expect_table_columns_to_match_set": Expected(
        "batch", required=("column_set",), optional=("exact_match",), empty=True
    ),
    "expect_column_to_exist": Expected("batch", required=("column",), optional=("column_index",), empty=True),
    **{
        f"expect_column_{statistic}_to_be_between": _AGGREGATE
        for statistic in ("mean", "min", "max", "sum", "median", "stdev", "unique_value_count")
    },
}


def check_expectation(rule: str, expectation: Mapping[str, Any]) -> Expected:
    """What the expectation is about.

    Errors: ConfigError for an unknown type or argument (with the nearest), a missing argument, a missing bound,
    a regular expression that Rust cannot run.
    """
    kind = expectation.get("type")
    if kind is None:
        raise ConfigError(
            f"rule {rule!r}: the expectation has no 'type'; write type: expect_… and its arguments", rule=rule
        )
    if kind not in EXPECTATIONS:
        raise ConfigError(
            f"rule {rule!r}: unknown expectation {kind!r}{hint(str(kind), EXPECTATIONS)}", rule=rule, name=kind
        )
    expected, given = EXPECTATIONS[kind], {name for name in expectation if name != "type"}
    if "mostly" in given:
        raise ConfigError(f"rule {rule!r}: 'mostly' belongs to the rule, not to its expectation", rule=rule)
    if unknown := sorted(given - set(expected.accepted)):
        raise ConfigError(
            f"rule {rule!r}: {kind} takes no {unknown[0]!r}{hint(unknown[0], expected.accepted)}", rule=rule
        )
    if missing := [name for name in (*expected.columns, *expected.required) if name not in given]:
        raise ConfigError(
            f"rule {rule!r}: {kind} needs {', '.join(missing)}; accepted: {', '.join(expected.accepted)}", rule=rule
        )
    _check_values(rule, kind, expected, expectation)
    return expected


def _check_values(rule: str, kind: str, expected: Expected, given: Mapping[str, Any]) -> None:
    if "min_value" in expected.optional and given.get("min_value") is None and given.get("max_value") is None:
        raise ConfigError(f"rule {rule!r}: {kind} needs min_value, max_value or both", rule=rule)
    if "regex" in given and (problem := regex_problem(str(given["regex"]))):
        raise ConfigError(
            f"rule {rule!r}: the regular expression {given['regex']!r} cannot be used: {problem}", rule=rule
        )
    for name in ("value_set", "column_set", "column_list"):
        if name in given and not isinstance(given[name], list | tuple | set | frozenset):
            raise ConfigError(f"rule {rule!r}: {name} of {kind} must be a list, not {given[name]!r}", rule=rule)
