"""Kinds of things by name: ours, those that a program registers, and those of installed packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from dataflow.errors import ConfigError

K = TypeVar("K")
T = TypeVar("T")


class Registry(Generic[T]):
    """The classes behind the names that ``type:`` of a ``what`` accepts.

    ``ours`` are modules that register a class when they are imported, by the class's name;
    installed packages bring theirs by entry points of ``group``; ``package.module:Class`` is that class.
    """

    def __init__(self, what: str, group: str, ours: Mapping[str, str]) -> None:
        self.what = what
        self.group = group
        self._ours = dict(ours)
        self._types: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[K]], type[K]]:
        """Make the decorated class the one behind ``name``.

        Errors: ConfigError where another class has the name already.
        """

        def add(kind: type[K]) -> type[K]:
            known = self._types.get(name)
            if known is not None and known is not kind:
                raise ConfigError(
                    f"{self.what} {name!r} is registered twice: by {_place(known)} and by {_place(kind)}; rename one",
                    name=name,
                )
            self._types[name] = cast(type[T], kind)
            return kind

        return add

    @property
    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted({*self._ours, *self._types, *(point.name for point in entry_points(group=self.group))})

    def find(self, name: str) -> type[T]:
        """The class behind ``name``.

        Errors: ConfigError for an unknown name, and for a class that cannot be imported.
        """
        if name not in self._types and name in self._ours:
            import_module(self._ours[name])
        if name not in self._types and ":" in name:
            way_out = "mend it, or put its folder on PYTHONPATH"
            self.register(name)(self._load(EntryPoint(name, name, self.group), way_out))
        if name not in self._types:
            for point in entry_points(group=self.group, name=name):
                self.register(name)(self._load(point, "mend or remove the package that brings it"))
        if name not in self._types:
            raise ConfigError.unknown(self.what, name, self.names)
        return self._types[name]

    def _load(self, point: EntryPoint, way_out: str) -> type[Any]:
        try:
            found = point.load()
        except Exception as error:
            raise ConfigError(
                f"{self.what} {point.name!r}: {point.value} cannot be imported: {type(error).__name__}: {error}; {way_out}",
                name=point.name,
            ) from error
        if not isinstance(found, type) or not hasattr(found, "Config"):
            raise ConfigError(
                f"{self.what} {point.name!r}: {point.value} is no class with a Config; name one that has it",
                name=point.name,
            )
        return found


def _place(kind: type[Any]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
