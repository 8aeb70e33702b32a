"""What a text file of separated values looks like from outside: its header, and lines of another length."""

# pyarrow has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""What Polars recognises too, by the first bytes and not by the file's name."""
_UNREAD = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip", b"\x04\x22\x4d\x18": "lz4"}


@contextmanager
def unpacked(file: Any) -> Generator[Any]:
    """The bytes behind an open file, decompressed where it is gzip or zstd.

    Errors: ValueError for a compression that is not read.
    """
    magic = file.read(6)
    file.seek(0)
    if packed := next((name for start, name in _UNREAD.items() if magic.startswith(start)), None):
        raise ValueError(f"it is packed with {packed}; gzip and zstd are read")
    raw = pa.PythonFile(file, mode="r")
    codec = next((name for start, name in _CODECS.items() if magic.startswith(start)), None)
    yield pa.CompressedInputStream(raw, codec) if codec else raw


def header(file: Any, separator: str) -> list[str]:
    """The names in the first line.

    Errors: ValueError where there is none, or where a name is twice in it.
    """
    with unpacked(file) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        first = text.readline()
        if first.endswith("\r"):
            raise ValueError("its lines end with a carriage return alone, as on old Macs; deliver it with line feeds")
        names = next(csv.reader(itertools.chain([first], text), delimiter=separator), None)
    if not names:
        raise ValueError("no header line")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"column {twice[0]!r} is twice in its header")
    return names


def check_lengths(file: Any, names: list[str], separator: str) -> None:
    """Look at every line for too few or too many fields; blank lines are let pass.

    Errors: ValueError that names the first such line.
    """

    def refuse(row: Any) -> str:
        found.append(row)
        return "skip"

    found: list[Any] = []
    with unpacked(file) as stream:
        batches = pa_csv.open_csv(
            stream,
            read_options=pa_csv.ReadOptions(column_names=names),
            parse_options=pa_csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=refuse),
            convert_options=pa_csv.ConvertOptions(include_columns=names[:1], column_types={names[0]: pa.binary()}),
        )
        for _ in batches:
            if found:
                break
    if found:
        row = found[0]
        raise ValueError(f"its line {row.text!r} has {row.actual_columns} fields, its header {row.expected_columns}")
