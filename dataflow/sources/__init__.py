"""Where data comes from: one file per source, one registry."""

from __future__ import annotations

from dataflow.sources.registry import register_source, source_type, source_types
from dataflow.sources.source import Item, Source

__all__ = ["Item", "Source", "register_source", "source_type", "source_types"]
