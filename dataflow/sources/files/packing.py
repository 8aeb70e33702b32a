"""The bytes behind a file, plain or packed, and its lines, whatever state they are in."""

# pyarrow has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow as pa

LONGEST_LINE = 64 << 20
"""Bytes of a line; a longer one is broken."""
KEPT_OF_BROKEN = 64 << 10
"""Characters that are kept of a broken line."""
_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""What Polars recognises too, by the first bytes and not by the file's name."""
_UNREAD = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip", b"\x04\x22\x4d\x18": "lz4"}
_PIECE = 1 << 20
_PACKED_PIECE = 1 << 8
"""Of a packed file that ends too early, less than this is lost."""


class Line(NamedTuple):
    """A line without its end."""

    number: int
    """From 1."""
    content: bytes
    why: str | None = None
    """Why it cannot be read, where that is known already."""


class Stream(NamedTuple):
    """An open file's bytes, unpacked."""

    bytes: Any
    codec: str | None


@contextmanager
def unpacked(file: Any) -> Generator[Stream]:
    """The bytes behind an open file, decompressed where it is gzip or zstd.

    Errors: ValueError for a compression that is not read.
    """
    magic = file.read(6)
    file.seek(0)
    if packed := next((name for start, name in _UNREAD.items() if magic.startswith(start)), None):
        raise ValueError(f"it is packed with {packed}; gzip and zstd are read")
    raw = pa.PythonFile(file, mode="r")
    codec = next((name for start, name in _CODECS.items() if magic.startswith(start)), None)
    yield Stream(pa.CompressedInputStream(raw, codec) if codec else raw, codec)


def lines(stream: Stream) -> Iterator[Line]:
    """The lines of a stream; one that is too long, or where packed data ends too early, says so.

    Errors: OSError where packed data is damaged: then nothing that was read of it can be trusted.
    """
    number, begun = 1, _Begun()
    try:
        for piece in _pieces(stream):
            first, *rest = piece.split(b"\n")
            begun.add(first)
            if not rest:
                continue
            yield begun.line(number)
            yield from map(Line, range(number + 1, number + len(rest)), rest)
            number += len(rest)
            begun = _Begun()
            begun.add(rest[-1])
    except OSError as error:
        # What Arrow says of data that is sound as far as it goes.
        if "Truncated" not in str(error):
            raise
        why = f"the {stream.codec} data ends here, before its end: the rest of this line and what followed are lost"
        yield begun.line(number)._replace(why=why)
        return
    if begun.size:
        yield begun.line(number)


class _Begun:
    """A line of which more may come."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, part: bytes) -> None:
        if self.size <= LONGEST_LINE:
            self.parts.append(part)
        else:
            # Of a line that is too long nothing more is kept, however long it is.
            self.parts = [b"".join(self.parts)[:KEPT_OF_BROKEN]]
        self.size += len(part)

    def line(self, number: int) -> Line:
        content = b"".join(self.parts)
        if self.size <= LONGEST_LINE:
            return Line(number, content)
        why = f"a line of {self.size:,} bytes; up to {LONGEST_LINE:,} are read"
        return Line(number, content[:KEPT_OF_BROKEN], why)


def _pieces(stream: Stream) -> Iterator[bytes]:
    size = _PACKED_PIECE if stream.codec else _PIECE
    begin = True
    while piece := stream.bytes.read(size):
        yield piece.removeprefix(b"\xef\xbb\xbf") if begin else piece
        begin = False


def as_text(content: bytes) -> str:
    """Bytes as text that shows what is no UTF-8 as ``\\xff``, cut where it is very long."""
    return content[: KEPT_OF_BROKEN + 4].decode("utf-8", "backslashreplace")[:KEPT_OF_BROKEN]


def told_long(why: str, content: bytes) -> str:
    """A reason, with the true length of a line that is not kept whole."""
    return f"{why} (a line of {len(content):,} bytes)" if len(content) > KEPT_OF_BROKEN else why
