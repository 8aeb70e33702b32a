"""The expectations that a rule may name: what each is about and which arguments it takes.

A plain table, so that a workflow is checked when it is declared, without the seconds
that importing Great Expectations takes. A test holds it against Great Expectations' own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dataflow.errors import ConfigError, hint
from dataflow.quality.patterns import regex_problem

BOUNDS = ("min_value", "max_value", "strict_min", "strict_max")
LISTS = (
    "value_set",
    "value_pairs_set",
    "column_set",
    "column_list",
    "type_list",
    "regex_list",
    "like_pattern_list",
)
"""Arguments that are lists."""


@dataclass(frozen=True)
class Expected:
    """What an expectation is about and what it takes."""

    scope: Literal["row", "batch"]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    """Arguments that name columns which must be there."""
    mostly: bool = False
    """Whether a share of passing rows can be asked for."""
    empty: bool = False
    """Whether it says something about a batch without rows."""
    ordered: bool = False
    """Whether it is about the order of rows, which a table does not have."""
    keys: bool = False
    """Whether its columns are a key that must not repeat."""
    shows: bool = False
    """Whether what it observes shows values of its columns."""

    @property
    def accepted(self) -> tuple[str, ...]:
        return (*self.columns, *self.required, *self.optional)

    @property
    def bounded(self) -> bool:
        """Whether it says nothing without a least or a greatest value."""
        return {"min_value", "max_value"} <= {*self.optional} and "threshold" not in self.required


def _row(*required: str, optional: tuple[str, ...] = (), columns: tuple[str, ...] = ("column",)) -> Expected:
    return Expected("row", required, optional, columns, mostly=True)


def _pair(*required: str, optional: tuple[str, ...] = ()) -> Expected:
    return _row(*required, optional=(*optional, "ignore_row_if"), columns=("column_A", "column_B"))


def _several(*required: str) -> Expected:
    return _row(*required, optional=("ignore_row_if",), columns=("column_list",))


def _column(*required: str, optional: tuple[str, ...] = (), shows: bool = False) -> Expected:
    return Expected("batch", required, optional, ("column",), shows=shows)


def _spread(*required: str, optional: tuple[str, ...] = (), ordered: bool = False) -> Expected:
    """About values, each of which is judged by the others: rows are counted, but none breaks it by itself."""
    return Expected("batch", required, optional, ("column",), mostly=True, ordered=ordered)


def _kind(*required: str, optional: tuple[str, ...] = (), mostly: bool = False, columns: bool = True) -> Expected:
    """About rows, columns and types as such: a batch without rows has them too."""
    return Expected("batch", required, optional, ("column",) if columns else (), mostly=mostly, empty=True)


EXPECTATIONS: dict[str, Expected] = {
    "expect_column_values_to_not_be_null": _row(),
    "expect_column_values_to_be_null": _row(),
    "expect_column_values_to_be_between": _row(optional=BOUNDS),
    "expect_column_values_to_be_in_set": _row("value_set"),
    "expect_column_values_to_not_be_in_set": _row("value_set"),
    "expect_column_values_to_match_regex": _row("regex"),
    "expect_column_values_to_not_match_regex": _row("regex"),
    "expect_column_values_to_match_regex_list": _row("regex_list", optional=("match_on",)),
    "expect_column_values_to_not_match_regex_list": _row("regex_list"),
    "expect_column_values_to_match_like_pattern": _row("like_pattern", optional=("escape",)),
    "expect_column_values_to_not_match_like_pattern": _row("like_pattern", optional=("escape",)),
    "expect_column_values_to_match_like_pattern_list": _row("like_pattern_list", optional=("match_on", "escape")),
    "expect_column_values_to_not_match_like_pattern_list": _row("like_pattern_list", optional=("escape",)),
    "expect_column_values_to_match_strftime_format": _row("strftime_format"),
    "expect_column_values_to_be_dateutil_parseable": _row(),
    "expect_column_values_to_be_json_parseable": _row(),
    "expect_column_values_to_match_json_schema": _row("json_schema"),
    "expect_column_value_lengths_to_be_between": _row(optional=BOUNDS),
    "expect_column_value_lengths_to_equal": _row("value"),
    "expect_column_pair_values_a_to_be_greater_than_b": _pair(optional=("or_equal",)),
    "expect_column_pair_values_to_be_equal": _pair(),
    "expect_column_pair_values_to_be_in_set": _pair("value_pairs_set"),
    "expect_multicolumn_sum_to_equal": _several("sum_total"),
    "expect_multicolumn_values_to_be_equal": _several(),
    "expect_select_column_values_to_be_unique_within_record": _several(),
    "expect_column_values_to_be_unique": Expected("batch", columns=("column",), mostly=True, keys=True),
    "expect_compound_columns_to_be_unique": Expected(
        "batch", optional=("ignore_row_if",), columns=("column_list",), mostly=True, keys=True
    ),
    "expect_column_value_z_scores_to_be_less_than": _spread("threshold", "double_sided"),
    "expect_column_values_to_not_be_outliers": _spread(optional=("method", "multiplier")),
    "expect_column_values_to_be_increasing": _spread(optional=("strictly",), ordered=True),
    "expect_column_values_to_be_decreasing": _spread(optional=("strictly",), ordered=True),
    "expect_column_values_to_be_of_type": _kind("type_", mostly=True),
    "expect_column_values_to_be_in_type_list": _kind("type_list", mostly=True),
    "expect_column_type_to_be": _kind("type_"),
    "expect_column_to_exist": _kind("column", optional=("column_index",), columns=False),
    "expect_table_row_count_to_be_between": _kind(optional=BOUNDS, columns=False),
    "expect_table_row_count_to_equal": _kind("value", columns=False),
    "expect_table_column_count_to_be_between": _kind(optional=BOUNDS[:2], columns=False),
    "expect_table_column_count_to_equal": _kind("value", columns=False),
    "expect_table_columns_to_match_set": _kind("column_set", optional=("exact_match",), columns=False),
    "expect_table_columns_to_match_ordered_list": _kind("column_list", columns=False),
    "unexpected_rows_expectation": Expected("batch", required=("unexpected_rows_query",)),
    **{
        f"expect_column_{statistic}_to_be_between": _column(optional=BOUNDS, shows=True)
        for statistic in ("mean", "min", "max", "sum", "median", "stdev")
    },
    **{
        f"expect_column_{count}_to_be_between": _column(optional=BOUNDS)
        for count in ("unique_value_count", "proportion_of_unique_values", "proportion_of_non_null_values")
    },
    **{
        f"expect_column_distinct_values_to_{relation}_set": _column("value_set", shows=True)
        for relation in ("be_in", "contain", "equal")
    },
    "expect_column_most_common_value_to_be_in_set": _column("value_set", optional=("ties_okay",), shows=True),
    "expect_column_quantile_values_to_be_between": _column(
        "quantile_ranges", optional=("allow_relative_error",), shows=True
    ),
    "expect_column_kl_divergence_to_be_less_than": _column(
        "partition_object",
        "threshold",
        optional=("internal_weight_holdout", "tail_weight_holdout", "bucketize_data", "min_value", "max_value"),
        shows=True,
    ),
}
"""Every one of Great Expectations' but two that ask other databases."""


def check_expectation(rule: str, expectation: Mapping[str, Any]) -> Expected:
    """What the expectation is about.

    Errors: ConfigError for an unknown type or argument (with the nearest), a missing argument, a missing bound,
    a regular expression that nobody can run.
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
    if expected.bounded and given.get("min_value") is None and given.get("max_value") is None:
        raise ConfigError(f"rule {rule!r}: {kind} needs min_value, max_value or both", rule=rule)
    for name in LISTS:
        if name in given and not isinstance(given[name], list | tuple | set | frozenset):
            raise ConfigError(f"rule {rule!r}: {name} of {kind} must be a list, not {given[name]!r}", rule=rule)
    patterns = [given["regex"]] if "regex" in given else list(given.get("regex_list", ()))
    for pattern in patterns:
        if problem := _unusable(str(pattern)):
            raise ConfigError(f"rule {rule!r}: the regular expression {pattern!r} cannot be used: {problem}", rule=rule)


def _unusable(pattern: str) -> str | None:
    """Why neither Rust nor Python takes a regular expression: what only Python knows (look-around) is slower, not wrong."""
    problem = regex_problem(pattern)
    if problem is not None:
        try:
            re.compile(pattern)
        except re.error:
            return problem
    return None
