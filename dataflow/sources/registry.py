"""Source types by name: ours, and those of installed packages (entry points ``dataflow.sources``)."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from dataflow.errors import ConfigError
from dataflow.sources.source import Source

S = TypeVar("S", bound=type[Source])
_types: dict[str, type[Source]] = {}
_OURS = {"file": "dataflow.sources.file"}


def register_source(name: str) -> Callable[[S], S]:
    """Make the decorated class the source type ``name``."""

    def register(kind: S) -> S:
        if name in _types and _types[name] is not kind:
            raise ConfigError(
                f"source type {name!r} is registered twice: by {_place(_types[name])} and by {_place(kind)}; rename one",
                name=name,
            )
        _types[name] = kind
        return kind

    return register


def source_types() -> list[str]:
    """The names that ``type:`` of a source accepts."""
    return sorted({*_OURS, *_types, *(point.name for point in entry_points(group="dataflow.sources"))})


def source_type(name: str) -> type[Source]:
    """The class behind ``type: name``.

    Errors: ConfigError for an unknown name, and for a package whose source cannot be imported.
    """
    if name not in _types and name in _OURS:
        import_module(_OURS[name])
    if name not in _types:
        for point in entry_points(group="dataflow.sources", name=name):
            register_source(name)(_load(point))
    if name not in _types:
        raise ConfigError.unknown("source type", name, source_types())
    return _types[name]


def _load(point: EntryPoint) -> type[Source]:
    try:
        return point.load()
    except Exception as error:
        raise ConfigError(
            f"source type {point.name!r}: {point.value} cannot be imported: {type(error).__name__}: {error}; mend or remove the package that brings it",
            name=point.name,
        ) from error


def _place(kind: type[Source]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
