"""JSON objects, a line each, read by Arrow: fast, and an error where anything is not as the contract has it.

Arrow refuses unknown and repeated fields, and values of another kind, which Polars passes over in silence. What Arrow
passes over is looked at here: text that is not UTF-8, several objects in a line, and one over several lines.
"""

# pyarrow has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.json as pa_json

from dataflow.sources.files.packing import unpacked

_BLOCK = 4 << 20
"""A line that is longer is not read here."""


def strict_frames(file: Any, schema: pl.Schema) -> Iterator[pl.DataFrame]:
    """The objects with the columns of ``schema``; dates and instants as text. Missing fields are null.

    Errors: ValueError (of which Arrow's are) where a line is not exactly such an object, OSError.
    """
    with unpacked(file) as stream:
        checked = _Checked(stream.bytes)
        if not checked.some:
            return
        batches = pa_json.open_json(
            pa.PythonFile(checked, mode="r"),
            read_options=pa_json.ReadOptions(block_size=_BLOCK),
            parse_options=pa_json.ParseOptions(explicit_schema=_arrow(schema), unexpected_field_behavior="error"),
        )
        rows = 0
        for batch in batches:
            batch.validate(full=True)
            rows += batch.num_rows
            yield cast(pl.DataFrame, pl.from_arrow(batch))
        if rows != checked.lines:
            raise ValueError(f"{checked.lines:,} lines hold {rows:,} objects")


def _arrow(schema: pl.Schema) -> Any:
    return pa.schema([(name, _arrow_type(dtype)) for name, dtype in schema.items()])


def _arrow_type(dtype: pl.DataType) -> Any:
    if dtype.is_temporal() or isinstance(dtype, pl.String):
        return pa.string()
    return pl.Series([], dtype=dtype).to_arrow().type


class _Checked:
    """A file for Arrow in which every line begins with a brace: a bare ``null`` would end the process (pyarrow 26)."""

    closed = False

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._ahead = stream.read(_BLOCK).removeprefix(b"\xef\xbb\xbf")
        self._last = b"\n"
        self.some = bool(self._ahead)
        self.lines = 0

    def read(self, size: int = -1) -> bytes:
        piece = self._ahead or self._stream.read(size if size > 0 else _BLOCK)
        if size >= 0 and len(piece) > size:
            piece, self._ahead = piece[:size], piece[size:]
        else:
            self._ahead = b""
        if piece:
            self._check(piece)
        return piece

    def _check(self, piece: bytes) -> None:
        begun = piece.count(b"\n{") + (self._last == b"\n" and piece.startswith(b"{"))
        due = piece.count(b"\n", 0, len(piece) - 1) + (self._last == b"\n")
        if begun != due:
            raise ValueError("a line does not begin with an object")
        self.lines += begun
        self._last = piece[-1:]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True
