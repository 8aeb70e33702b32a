"""Removing duplicates: one file per strategy, one registry."""

from __future__ import annotations

from dataflow.dedup.registry import register_strategy, strategy_types
from dataflow.dedup.strategy import REASON, TABLE_ROW, Settled, Strategy

__all__ = ["REASON", "TABLE_ROW", "Settled", "Strategy", "register_strategy", "strategy_types"]
