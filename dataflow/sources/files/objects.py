"""JSON objects, a line each: the values as text that keeps them exactly, or why a line is none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, cast

from dataflow.sources.files.packing import Line, as_text, told_long


class Number(str):
    """A number as it is written."""

    __slots__ = ()


class Nested(str):
    """An object or array as it is written."""

    __slots__ = ()


Value = str | Number | Nested | bool | None


class Row(NamedTuple):
    """A line that holds an object, or why it holds none."""

    number: int
    text: str
    values: Mapping[str, Value] | None
    why: str | None = None


class _Twice(ValueError):
    pass


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(f"column {next(name for name in names if names.count(name) > 1)!r} is twice in its object")
    return found


_DECODER = json.JSONDecoder(
    parse_int=Number, parse_float=Number, parse_constant=Number, object_pairs_hook=_members, strict=True
)
_SPACE = re.compile(r"[ \t\r\n]*")
_MOST_DIGITS = 38
_HALF = re.compile(r"[\ud800-\udfff]")


def rows(lines: Iterable[Line]) -> Iterator[Row]:
    """A row for each line; blank lines are none."""
    for line in lines:
        if line.why:
            yield _broken(line, line.why)
        elif content := line.content.strip(b" \t\r\n"):
            yield _row(line, content)


def _row(line: Line, content: bytes) -> Row:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return _broken(line, "bytes that are not UTF-8 text")
    try:
        found: Any = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        return _broken(line, f"no JSON: {error.msg.removesuffix(' at')} at character {error.pos + 1:,}")
    except _Twice as error:
        return _broken(line, str(error))
    except RecursionError:
        return _broken(line, "JSON that is nested too deeply")
    if not isinstance(found, dict):
        return _broken(line, f"JSON that is no object but {_kind(found)}")
    values = cast(dict[str, Any], found)
    if any(type(value) in (dict, list) for value in values.values()):
        values = {name: Nested(raw) if raw[0] in "{[" else values[name] for name, raw in _spelled(text)}
    # Where an escape stands for half a character, which no file can hold.
    if "\\u" in text and any(_HALF.search(part) for pair in values.items() for part in pair if isinstance(part, str)):
        return _broken(line, "an escape \\ud800 to \\udfff that is half a character")
    return Row(line.number, text, values)


def _spelled(text: str) -> Iterator[tuple[str, str]]:
    """The members of an object that is known to be sound, as they are written."""
    at = text.index("{") + 1
    while True:
        name, at = _DECODER.raw_decode(text, _after_space(text, at))
        begin = _after_space(text, _after_space(text, at) + 1)
        _, at = _DECODER.raw_decode(text, begin)
        yield name, text[begin:at]
        at = _after_space(text, at)
        if text[at] == "}":
            return
        at += 1


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true or false"
    return "a list" if isinstance(value, list) else "a number" if isinstance(value, Number) else "text"


def _broken(line: Line, why: str) -> Row:
    return Row(line.number, as_text(line.content), None, told_long(why, line.content))


def as_json(value: Value) -> str:
    """A value as JSON, as it was written."""
    if isinstance(value, Number | Nested):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def as_column(value: Value) -> str | None:
    """A value as text: text as it is, the rest as JSON."""
    return value if value is None or isinstance(value, str) else "true" if value else "false"


def without_exponent(text: str | None) -> str | None:
    """A number as digits alone; anything else as it is."""
    if not isinstance(text, Number) or "e" not in text.lower():
        return text
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    return format(number, "f") if abs(number.adjusted()) <= _MOST_DIGITS else text
