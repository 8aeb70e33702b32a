"""Names of data files: whose unit wrote them, in which run, is told by the name alone."""

from __future__ import annotations

import re

from dataflow.model import FileRole

_OURS = re.compile(r"([0-9a-f]{12})-([^/]+)-(new|carried|side|broken)(\d+)-(\d+)\.parquet")


def file_name(unit_id: str, run_id: str, role: FileRole, nth: int, index: int) -> str:
    """The name of the ``index``-th file of a unit's ``nth`` write in a role."""
    return f"{unit_id}-{run_id}-{role}{nth}-{index}.parquet"


def unit_id_of(path: str) -> str | None:
    """The id of the unit that wrote a file; None for a file that another program wrote.

    Example:
        >>> unit_id_of("month=3/c10dca02ac77-20260101T000000x1a2b3c-new0-0.parquet")
        'c10dca02ac77'
        >>> unit_id_of("part-00000-6a097c10-7583-4984-8b5e-4383e790ebc8-c000.zstd.parquet")
    """
    found = _OURS.fullmatch(path.rsplit("/", 1)[-1])
    return found[1] if found else None


def written_when(path: str) -> tuple[str, bool, int, int]:
    """Orders the files of a unit by when their rows came: by run, what was carried over first, then as they were written.

    Example:
        >>> written_when("c10dca02ac77-20260101T000000x1a2b3c-new0-10.parquet")
        ('20260101T000000x1a2b3c', True, 0, 10)
    """
    found = _OURS.fullmatch(path.rsplit("/", 1)[-1])
    return (found[2], found[3] != "carried", int(found[4]), int(found[5])) if found else ("", False, 0, 0)
