"""``config_file``: a block whose keys stand in a file of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from dataflow.config.document import Document, Key, Origin, Page, read_page, shown
from dataflow.errors import ConfigError

INCLUDE = "config_file"
FREE = frozenset({"arguments", "expectation", "storage_options", "schema"})
"""Blocks whose keys are a user's own: ``config_file`` in them is one of these."""


def read_document(path: str | os.PathLike[str]) -> Document:
    """Read a YAML file, and in the place of each ``config_file`` the mapping that this holds.

    Keys beside ``config_file`` win, key by key where both hold mappings.
    Errors: ConfigError for a file that cannot be read as one mapping without duplicate keys, and, with the chain that
        leads there, for a ``config_file`` that is not there or includes itself.
    """
    page = read_page(path, "`pipeline` and `sources`")
    reading = _Reading()
    values = reading.block(page.values, (), (), page, (page.file,))
    return Document(page.file, values, reading.origins)


class _Reading:
    def __init__(self) -> None:
        self.origins: dict[Key, Origin] = {}

    def block(self, values: dict[Any, Any], own: Key, at: Key, page: Page, chain: tuple[Path, ...]) -> dict[str, Any]:
        """The mapping ``own`` of ``page``, which comes to stand at ``at``, with what it includes."""
        self.origins[at] = page.origin(own)
        free = bool(FREE & {*at[2:]})  # at[1] is the name of a stage or source
        merged: dict[str, Any] = {}
        if INCLUDE in values and not free:
            merged = self._included(values[INCLUDE], (*own, INCLUDE), at, page, chain)
            self.origins[at] = page.origin(own)
        for key, value in values.items():
            if key == INCLUDE and not free:
                continue
            below = (*at, str(key))
            held = merged.get(key)
            if key in merged and not (isinstance(held, dict) and isinstance(value, dict)):
                self._forget(below)
            read = self._value(value, (*own, str(key)), below, page, chain)
            merged[key] = _over(cast(dict[str, Any], held), read) if isinstance(held, dict) else read
        return merged

    def _value(self, value: Any, own: Key, at: Key, page: Page, chain: tuple[Path, ...]) -> Any:
        if isinstance(value, dict):
            return self.block(cast(dict[Any, Any], value), own, at, page, chain)
        self.origins[at] = page.origin(own)
        if isinstance(value, list):
            items = enumerate(cast(list[Any], value))
            return [self._value(item, (*own, number), (*at, number), page, chain) for number, item in items]
        return value

    def _included(self, named: Any, own: Key, at: Key, page: Page, chain: tuple[Path, ...]) -> dict[str, Any]:
        place = f"{page.origin(own)}: {'.'.join(map(str, (*at, INCLUDE)))}"
        if not isinstance(named, str) or not named:
            raise ConfigError(f"{place}: the path of a YAML file is expected", file=shown(page.file))
        if "${" in named:
            raise ConfigError(f"{place}: files are included before variables are known; write the path without ${{…}}")
        file = Path(os.path.normpath(page.file.parent / Path(named).expanduser()))
        links = " > ".join(shown(each) for each in (*chain, file))
        if file.absolute() in [each.absolute() for each in chain]:
            raise ConfigError(f"{place}: the file includes itself ({links}); leave one of them out", file=shown(file))
        if not file.is_file():
            raise ConfigError(
                f"{place}: there is no file {shown(file)} ({links}); mend the path, which counts from "
                f"{shown(page.file.parent)}",
                file=shown(file),
            )
        included = read_page(file, f"keys of {'.'.join(map(str, at)) or 'a pipeline'}")
        return self.block(included.values, (), at, included, (*chain, file))

    def _forget(self, at: Key) -> None:
        for key in [key for key in self.origins if key[: len(at)] == at]:
            del self.origins[key]


def _over(below: dict[str, Any], above: Any) -> Any:
    """``above``, and from ``below`` what it does not say."""
    if not isinstance(above, dict):
        return above
    merged = dict(below)
    for key, value in cast(dict[str, Any], above).items():
        held = merged.get(key)
        merged[key] = _over(cast(dict[str, Any], held), value) if isinstance(held, dict) else value
    return merged
