"""A configuration as it was written: its values, and what says each of them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from dataflow.errors import ConfigError

Key = tuple[str | int, ...]
Layer = Literal["file", ".env", "environment", "flag"]


@dataclass(frozen=True)
class Origin:
    """What says a value: a line of a file, a variable, an option of the command line."""

    layer: Layer
    name: str
    """The variable or option; of a line, its file as it is shown."""
    line: int | None = None
    file: Path | None = None
    """The file that the line or variable stands in."""

    def __str__(self) -> str:
        if self.layer == ".env" and self.file is not None:
            return f"{shown(self.file)}: {self.name}"
        return self.name if self.line is None else f"{self.name}:{self.line}"


@dataclass(frozen=True)
class Document:
    """The values of a configuration, and where each of them stands."""

    path: Path
    values: dict[str, Any]
    """As written; ``${VAR}`` is still in place, so that messages may quote what they find here."""
    origins: Mapping[Key, Origin] = field(default_factory=dict[Key, Origin])
    aliases: Mapping[Key, Key] = field(default_factory=dict[Key, Key])
    """Keys that nobody wrote, since a shorter form stands for them, by where that stands."""

    def place(self, *key: str | int) -> str:
        """Where ``key`` stands: ``flights.yaml:12: stages.flights.rows``; items of lists go by number or name."""
        key = self._written(key)
        dotted = ".".join(str(part) for part in key)
        origin = self.origin(*key)
        if origin.name == "--set":
            return f"--set {dotted}"
        return f"{origin}: {dotted}".removesuffix(": ")

    def origin(self, *key: str | int) -> Origin:
        """What says ``key``, or the nearest key that it is part of."""
        numbered = self._numbered(key)
        nearest = (numbered[:end] for end in range(len(numbered), -1, -1))
        found = next((self.origins[k] for k in nearest if k in self.origins), None)
        return found or Origin("file", shown(self.path), 1, self.path)

    def folder(self, *key: str | int) -> Path:
        """The folder that a relative path in ``key`` counts from: that of the file which says it."""
        origin = self.origin(*key)
        return (origin.file if origin.layer == "file" and origin.file else self.path).absolute().parent

    def _written(self, key: Key) -> Key:
        for end in range(len(key), 0, -1):
            if key[:end] in self.aliases:
                return (*self.aliases[key[:end]], *key[end:])
        return key

    def _numbered(self, key: Key) -> Key:
        found: list[str | int] = []
        at: Any = self.values
        for part in key:
            if isinstance(at, list):
                items = cast(list[Any], at)
                named = (n for n, item in enumerate(items) if isinstance(item, dict) and item.get("name") == part)  # pyright: ignore[reportUnknownMemberType]
                part = next(named, part)
                at = items[part] if isinstance(part, int) and part < len(items) else None
            else:
                at = cast(dict[Any, Any], at).get(part) if isinstance(at, dict) else None
            found.append(part)
        return tuple(found)


@dataclass(frozen=True)
class Page:
    """One YAML file, before what it includes is put in its place."""

    file: Path
    values: dict[str, Any]
    lines: Mapping[Key, int]

    def origin(self, key: Key) -> Origin:
        """The line of ``key``, or of the nearest key that it is part of."""
        nearest = (key[:end] for end in range(len(key), -1, -1))
        return Origin("file", shown(self.file), next((self.lines[k] for k in nearest if k in self.lines), 1), self.file)


def shown(path: Path) -> str:
    """The path as short as it stays right: relative below the working directory."""
    absolute = path.absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)


def read_page(path: str | os.PathLike[str], example: str) -> Page:
    """Read a YAML file; ``example`` says what keys it may have.

    Errors: ConfigError, with file and line, where it cannot be read as one mapping without duplicate keys.
    """
    file = Path(path)
    text = _read(file)
    name = shown(file)
    try:
        node = yaml_parser().compose(io.StringIO(text))
        lines = dict(_lines(node, (), name)) if node is not None else {}
        values = yaml_parser().load(io.StringIO(text))
    except MarkedYAMLError as error:
        raise _invalid(error, name) from None
    except YAMLError as error:
        raise ConfigError(f"{name}: not valid YAML: {str(error).splitlines()[0]}", file=name) from None
    except RecursionError:
        raise ConfigError(f"{name}: not valid YAML: an alias leads back to itself; write it out", file=name) from None
    if values is None:
        raise ConfigError(f"{name}: the file is empty; it needs {example}", file=name)
    if not isinstance(values, dict):
        raise ConfigError(f"{name}:1: keys with values are expected, {example}", file=name)
    return Page(file, cast(dict[str, Any], values), lines)


def _invalid(error: Any, name: str) -> ConfigError:
    line: int = error.problem_mark.line + 1 if error.problem_mark else 1
    return ConfigError(f"{name}:{line}: not valid YAML: {error.problem or error.context}", file=name, line=line)


def yaml_parser() -> Any:
    """A parser of plain values."""
    # Any: ruamel's nodes and loaders carry no types.
    return YAML(typ="safe", pure=True)


def _read(file: Path) -> str:
    name = shown(file)
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{name}: there is no such configuration file; name one with --config", file=name) from None
    except IsADirectoryError:
        raise ConfigError(f"{name}: is a folder; name a YAML file in it with --config", file=name) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: is not UTF-8 text (byte {error.start}); save it as UTF-8", file=name) from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}", file=name) from None


def _lines(node: Any, at: Key, name: str) -> Iterator[tuple[Key, int]]:
    kind = cast(type[Any], type(node))
    children = node.value
    yield at, node.start_mark.line + 1
    if issubclass(kind, SequenceNode):
        for index, item in enumerate(children):
            yield from _lines(item, (*at, index), name)
    if issubclass(kind, MappingNode):
        yield from _mapping_lines(children, at, name)


def _mapping_lines(items: Sequence[tuple[Any, Any]], at: Key, name: str) -> Iterator[tuple[Key, int]]:
    seen: dict[str, int] = {}
    for key, value in items:
        line: int = key.start_mark.line + 1
        text = str(key.value) if issubclass(type(key), ScalarNode) else str(line)
        if text in seen:
            dotted = ".".join(str(part) for part in (*at, text))
            message = f"{name}:{line}: {dotted}: given twice, first on line {seen[text]}; keep one"
            raise ConfigError(message, file=name, line=line, key=dotted)
        seen[text] = line
        for found, at_line in _lines(value, (*at, text), name):
            # A key's line helps more than that of a value that begins below it.
            yield found, line if found == (*at, text) else at_line
