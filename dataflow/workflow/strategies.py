"""Strategies as people hand them in, and as the engine calls them."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from dataflow.config import IncrementalConfig, Place, StrategyConfig, strategy_settings
from dataflow.dedup import Strategy, strategy_types
from dataflow.quality.rules import ValidationRule
from dataflow.workflow.gates import declare_rules


@dataclass(frozen=True)
class Settling:
    """A strategy, and the name and options that it was declared by."""

    strategy: Strategy
    config: StrategyConfig


def as_they_are(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The function of a stage that has a strategy and no function of its own."""
    return rows


def declare_strategy(config: StrategyConfig | None, place: Place) -> Settling | None:
    """Make the strategy.

    Errors: ConfigError for an unknown strategy and for options that it does not take.
    """
    if config is None:
        return None
    settings = strategy_settings(config, place)
    return Settling(strategy_types.find(config.type)(settings), config)


def strategy_rules(settling: Settling | None, place: Place) -> tuple[ValidationRule, ...]:
    """The rules that the strategy puts before those of the gate."""
    return () if settling is None else declare_rules(list(settling.strategy.rules), place)


def merging(incremental: IncrementalConfig) -> Settling:
    """What ``incremental`` is short for: the newest row of each key, the later arrival among equals."""
    options = {
        "dedup_key": incremental.key_columns,
        "sort_by": (incremental.timestamp_column,),
        "keep": "last",
        "ties": "arrival",
    }
    config = StrategyConfig.model_validate({"type": "polars_merge", **options})
    return Settling(strategy_types.find("polars_merge")(strategy_settings(config, _place)), config)


def _place(*key: str | int) -> str:
    return ".".join(("incremental", *map(str, key)))
