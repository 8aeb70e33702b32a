"""Source types by name: ours, and those of installed packages (entry points ``dataflow.sources``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dataflow.model.registry import Registry
from dataflow.sources.source import Source

S = TypeVar("S")
source_types: Registry[Source] = Registry(
    "source type",
    "dataflow.sources",
    {
        "database": "dataflow.sources.database",
        "dlt": "dataflow.sources.dlt",
        "file": "dataflow.sources.file",
        "polars_synthetic": "dataflow.sources.synthetic",
        "pubsub": "dataflow.sources.pubsub",
    },
)


def register_source(name: str) -> Callable[[type[S]], type[S]]:
    """Make the decorated class the source type ``name``.

    Errors: ConfigError where another class has the name already.
    """
    return source_types.register(name)
