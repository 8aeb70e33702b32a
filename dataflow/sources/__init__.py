"""Where data comes from: one file per source, one registry."""

from __future__ import annotations

from dataflow.sources.registry import register_source, source_types
from dataflow.sources.source import BROKEN, LINE, RAW, RESCUED, Item, Source, Watching

__all__ = ["BROKEN", "LINE", "RAW", "RESCUED", "Item", "Source", "Watching", "register_source", "source_types"]
