"""Strategies by name: ours, and those of installed packages (entry points ``dataflow.strategies``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dataflow.dedup.strategy import Strategy
from dataflow.model.registry import Registry

S = TypeVar("S")
strategy_types: Registry[Strategy] = Registry(
    "strategy",
    "dataflow.strategies",
    {
        "bronze_append": "dataflow.dedup.bronze_append",
        "eager_dedup": "dataflow.dedup.eager_dedup",
        "polars_merge": "dataflow.dedup.polars_merge",
        "scd2": "dataflow.dedup.scd2",
        "snapshot": "dataflow.dedup.snapshot",
    },
)


def register_strategy(name: str) -> Callable[[type[S]], type[S]]:
    """Make the decorated class the strategy ``name``.

    Errors: ConfigError where another class has the name already.
    """
    return strategy_types.register(name)
