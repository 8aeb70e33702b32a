"""What a text file of separated values looks like from outside: its header, and lines of another length."""

# pyarrow has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from dataflow.sources.files.fit import nameless
from dataflow.sources.files.packing import lines, unpacked
from dataflow.sources.files.records import records

_LONGEST_HEADER = 16 << 20
"""Bytes of a header."""
MOST_COLUMNS = 5_000
"""More are no table, but a file of another kind, or one whose line ends are lost."""


def header(file: Any, separator: str) -> list[str]:
    """The names in the first line.

    Errors: ValueError where there is none, where it is too long, or where a name is twice in it or can be no column's.
    """
    with unpacked(file) as stream:
        found = lines(stream)
        first = next(found, None)
        if first is None or not first.content.strip():
            raise ValueError("no header line" if first is None or first.why is None else first.why)
        if first.why or len(first.content) > _LONGEST_HEADER:
            raise ValueError(first.why or f"its first line has {len(first.content):,} bytes, which is no header")
        if "\r" in first.content.decode().removesuffix("\r"):
            raise ValueError("its lines end with a carriage return alone, as on old Macs; deliver it with line feeds")
        record = next(records(itertools.chain([first], found), separator))
    if record.fields is None:
        raise ValueError(f"its header has {record.why}")
    names = [name or "" for name in record.fields]
    if len(names) > MOST_COLUMNS:
        raise ValueError(f"its header has {len(names):,} columns; up to {MOST_COLUMNS:,} are read")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValueError(f"column {twice[0]!r} is twice in its header")
    if (taken := nameless(names)) is not None:
        raise ValueError(
            f"{taken!r} in its header can be no column's name{' (is it UTF-16?)' if chr(0) in taken else ''}"
        )
    return names


def check_lengths(file: Any, names: list[str], separator: str) -> None:
    """Look at every line for too few or too many fields; blank lines are let pass.

    Errors: ValueError that tells of the first such line.
    """

    def refuse(row: Any) -> str:
        found.append(row)
        return "skip"

    found: list[Any] = []
    with unpacked(file) as stream:
        batches = pa_csv.open_csv(
            stream.bytes,
            read_options=pa_csv.ReadOptions(column_names=names),
            parse_options=pa_csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=refuse),
            convert_options=pa_csv.ConvertOptions(include_columns=names[:1], column_types={names[0]: pa.binary()}),
        )
        for _ in batches:
            if found:
                break
    if found:
        # Not the line itself, which may be personal.
        raise ValueError(f"a line has {found[0].actual_columns} fields, the header {len(names)}")
