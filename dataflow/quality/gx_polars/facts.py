"""What is known of a batch without a scan, and where the knowledge comes from."""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from great_expectations.expectations.registry import get_metric_kwargs
from great_expectations.expectations.row_conditions import deserialize_row_condition

from .conditions import Kwargs
from .expectations import make_expectation

Evidence: TypeAlias = Literal["schema", "statistics", "known", "scan", "hashes"]
STRENGTH: tuple[Evidence, ...] = ("schema", "statistics", "known", "scan", "hashes")
"""From what costs nothing to what reads the rows, and then only their hashes: a result names the last that it needs."""
Key: TypeAlias = tuple[str, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]
ELSEWHERE = ("batch_id", "table", "condition_parser", "result_format")
"""Arguments of a metric that do not change what it asks."""


@dataclass(frozen=True)
class Facts:
    """What is known of a batch; what is not said here is read from the rows.

    Facts are about all rows: a row condition sets them aside, but for ``counts`` of that very condition.
    """

    rows: int | None = None
    nulls: Mapping[str, int] = field(default_factory=dict[str, int])
    """Missing values of a column."""
    minimum: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The least value of a column; it settles nothing for texts and floats."""
    maximum: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The greatest value of a column; it settles nothing for texts and floats."""
    unique: frozenset[tuple[str, ...]] = frozenset()
    """Keys that are distinct among the rows where every column of the key has a value."""
    counts: Mapping[Key, tuple[int, int]] = field(default_factory=dict[Key, tuple[int, int]])
    """Rows that an expectation asks, and those that break it: see ``of_expectation``."""

    @classmethod
    def of_expectation(cls, kind: str, arguments: Mapping[str, Any], *, asked: int, breaking: int) -> Facts:
        """What somebody counted already: how many rows an expectation asks, and how many of them break it.

        Errors: ValueError for arguments that do not fit, and for expectations that are not about rows.
        """
        made: Any = make_expectation(kind, **arguments)
        metric = getattr(made, "map_metric", None)
        if metric is None:
            raise ValueError(f"{kind} is about the batch: it has no count of rows that break it")
        found = get_metric_kwargs(f"{metric}.unexpected_count", made.configuration, {"result_format": "BOOLEAN_ONLY"})
        key = identity(metric, found["metric_domain_kwargs"], found["metric_value_kwargs"] or {})
        return cls(counts={key: (asked, breaking)})

    def __or__(self, other: Facts) -> Facts:
        """Both; where they tell of the same thing, the other's."""
        return Facts(
            self.rows if other.rows is None else other.rows,
            {**self.nulls, **other.nulls},
            {**self.minimum, **other.minimum},
            {**self.maximum, **other.maximum},
            frozenset(self.unique) | frozenset(other.unique),
            {**self.counts, **other.counts},
        )

    def present(self, column: str) -> int | None:
        """How many values a column has."""
        return None if self.rows is None or column not in self.nulls else self.rows - self.nulls[column]


def identity(condition: str, domain: Kwargs, values: Kwargs) -> Key:
    """What a count is of, however it was written."""
    return condition, _frozen(domain), _frozen(values)


def _frozen(arguments: Kwargs) -> tuple[tuple[str, str], ...]:
    kept = {name: value for name, value in arguments.items() if name not in ELSEWHERE and value is not None}
    if "row_condition" in kept:
        condition: Any = deserialize_row_condition(kept["row_condition"])
        kept["row_condition"] = condition if isinstance(condition, str) else condition.dict()
    return tuple(sorted((name, repr(value)) for name, value in kept.items()))
