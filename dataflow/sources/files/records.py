"""Records of a text file of separated values, one by one; what is no record is told with its line."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dataflow.sources.files.packing import Line, as_text, told_long

_MOST_LINES = 1000
"""Lines that one record may span where a quote is open."""
_MOST_BYTES = 1 << 20

Fields = list[str | None]


def blank(width: int) -> Fields:
    """The fields of a line without a character."""
    fields: Fields = [None]
    return fields * width


class Record(NamedTuple):
    """A row of a file, or why it is none."""

    number: int
    """Of its first line, from 1."""
    text: str
    fields: Fields | None
    why: str | None = None


class _NotText(ValueError):
    pass


class Splitter:
    """Splits text into fields, quoted as RFC 4180 has it; an empty field is null, an empty quoted one is empty text."""

    def __init__(self, separator: str) -> None:
        sep = re.escape(separator)
        self.separator = separator
        self._field = re.compile(rf'(?:"([^"]*(?:""[^"]*)*)"|([^"{sep}\n][^{sep}\n]*)?)({sep}|\Z)')

    def split(self, text: str) -> Fields | None:
        """The fields; None where a quote is not closed, or text follows one."""
        if '"' not in text:
            return [field or None for field in text.split(self.separator)]
        fields: Fields = []
        at = 0
        while found := self._field.match(text, at):
            quoted, plain, end = found.groups()
            fields.append(plain if quoted is None else quoted.replace('""', '"'))
            if not end:
                return fields
            at = found.end()
        return None


def records(lines: Iterable[Line], separator: str) -> Iterator[Record]:
    """The records of a file, its header first; those after it have as many fields, or are told as broken.

    A quote that is open at a line's end takes in the lines that follow, where that makes a record of the right length;
    else the line alone is broken.
    """
    ahead = _Ahead(lines)
    splitter = Splitter(separator)
    width: int | None = None
    while line := ahead.next():
        record = _record(line, ahead, splitter, width)
        width = width or len(record.fields or ()) or None
        yield record


class _Ahead:
    """Lines, with some read ahead."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = iter(lines)
        self._read: deque[Line] = deque()

    def next(self) -> Line | None:
        return self._read.popleft() if self._read else next(self._lines, None)

    def peek(self, nth: int) -> Line | None:
        while len(self._read) <= nth:
            line = next(self._lines, None)
            if line is None:
                return None
            self._read.append(line)
        return self._read[nth]


def _record(line: Line, ahead: _Ahead, splitter: Splitter, width: int | None) -> Record:
    if line.why:
        return _broken(line, line.why)
    try:
        text = _text(line)
    except _NotText:
        return _broken(line, "bytes that are not UTF-8 text")
    fields = splitter.split(text) if text or not width else blank(width)
    if fields is None and text.count('"') % 2:
        joined = _joined(line, ahead, splitter, width)
        return joined or _broken(line, "a quote that is not closed")
    if fields is None:
        return _broken(line, "text after a closing quote")
    if width and len(fields) != width:
        return _broken(line, f"{len(fields):,} field{'' if len(fields) == 1 else 's'}, where the header has {width:,}")
    return Record(line.number, text, fields)


def _joined(line: Line, ahead: _Ahead, splitter: Splitter, width: int | None) -> Record | None:
    parts, size = [line.content], len(line.content)
    for nth in range(_MOST_LINES - 1):
        following = ahead.peek(nth)
        if following is None or following.why or (size := size + len(following.content)) > _MOST_BYTES:
            return None
        parts.append(following.content)
        if following.content.count(b'"') % 2:
            break
    else:
        return None
    try:
        text = _text(Line(line.number, b"\n".join(parts)))
    except _NotText:
        return None
    fields = splitter.split(text)
    if fields is None or (width and len(fields) != width):
        return None
    for _ in parts[1:]:
        ahead.next()
    return Record(line.number, text, fields)


def _text(line: Line) -> str:
    try:
        return line.content.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise _NotText from error


def _broken(line: Line, why: str) -> Record:
    return Record(line.number, as_text(line.content), None, told_long(why, line.content))
