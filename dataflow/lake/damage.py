"""What is broken in a table that something outside has damaged: file by file, and what can be set aside."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import polars as pl

from dataflow.errors import LakeCorrupt
from dataflow.lake.errors import WAY_OUT
from dataflow.lake.filesystem import FileSystem, paths_under
from dataflow.lake.naming import unit_id_of
from dataflow.lake.seams import Seam, reach

if TYPE_CHECKING:
    from dataflow.lake.lake import Lake, Snapshot
    from dataflow.lake.state import StageState

LOG = "_delta_log"
HINT = "_last_checkpoint"
ASIDE = ".broken"
"""What the names of files end with that were set aside."""
_VERSION = re.compile(r"^(\d{20})\.(json|checkpoint[.\w-]*\.parquet)$")


def present_files(lake: Lake, table: str) -> set[str]:
    """Paths of all files in the table's folder, by one listing of it: to ask for each takes an object store minutes."""
    return paths_under(lake.fs, lake.path(table))


def missing_files(lake: Lake, snapshot: Snapshot) -> tuple[str, ...]:
    """Paths of the snapshot's data files that are not in the table's folder any more."""
    there = present_files(lake, snapshot.version.table)
    return tuple(sorted(file.path for file in snapshot.files if file.path not in there))


def check_whole(lake: Lake, snapshot: Snapshot, state: StageState) -> None:
    """Errors: LakeCorrupt where a data file is gone whose unit is not about to be computed again."""
    again = {unit.unit.id for unit in state.stale}
    lost = [path for path in missing_files(lake, snapshot) if unit_id_of(path) not in again]
    if lost:
        table, uri = snapshot.version.table, snapshot.version.uri
        raise LakeCorrupt(
            f"table {table!r} lacks {uri}/{lost[0]}, which is gone{more(lost)}; {WAY_OUT}",
            table=table,
            path=lost[0],
            files=tuple(lost),
        )


def more(names: Sequence[str]) -> str:
    """How many there are beside the first, in words."""
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def broken_log_files(files: FileSystem, root: str) -> tuple[str, ...]:
    """Files of the log in the folder ``root`` of a table that cannot be read, or that a reader looks for in vain."""
    log = f"{root}/{LOG}"
    names = sorted(place.rsplit("/", 1)[-1] for place in files.find(log))
    found = {name: match for name in names if (match := _VERSION.match(name))}
    broken = [name for name, match in found.items() if not _reads(files, f"{log}/{name}", match[2] == "json")]
    return tuple(f"{LOG}/{name}" for name in (*broken, *_hinted(files, log, names), *_gaps(found)))


def _reads(files: FileSystem, place: str, is_commit: bool) -> bool:
    try:
        if is_commit:
            for line in files.cat_file(place).decode().split("\n"):
                if line:
                    json.loads(line)
        else:
            with files.open(place, "rb") as file:
                pl.read_parquet_schema(file)
    except (OSError, ValueError, pl.exceptions.PolarsError):
        return False
    return True


def _hinted(files: FileSystem, log: str, names: list[str]) -> Iterator[str]:
    """The checkpoint that the log's hint names and that is gone, or the hint where it says nothing."""
    if HINT not in names:
        return
    try:
        version = int(json.loads(files.cat_file(f"{log}/{HINT}"))["version"])
    except (ValueError, KeyError, TypeError):
        yield HINT
        return
    begins = f"{version:020d}.checkpoint"
    # One that was set aside begins so too.
    if not any(name.startswith(begins) and _VERSION.match(name) for name in names):
        yield f"{begins}.parquet"


def _gaps(found: dict[str, re.Match[str]]) -> Iterator[str]:
    """Commits that are missing after the last checkpoint."""
    commits = {int(match[1]) for match in found.values() if match[2] == "json"}
    checkpoints = [int(match[1]) for match in found.values() if match[2] != "json"]
    first = max(checkpoints, default=-1) + 1
    for version in range(first, max(commits, default=first)):
        if version not in commits:
            yield f"{version:020d}.json"


def set_aside_checkpoints(files: FileSystem, root: str) -> tuple[str, ...]:
    """Rename checkpoints that cannot be read, with the hint that leads to them: the commits tell the same.

    Nothing is lost by it; whether the commits are all there shows when the table is opened.
    """
    broken = [name for name in broken_log_files(files, root) if ".checkpoint" in name or name.endswith(HINT)]
    if not broken:
        return ()
    there = [name for name in sorted({*broken, f"{LOG}/{HINT}"}) if files.exists(f"{root}/{name}")]
    for name in there:
        files.mv(f"{root}/{name}", f"{root}/{name}{ASIDE}")
        reach(Seam.LOG_SET_ASIDE, name)
    return tuple(there)


def set_log_aside(files: FileSystem, root: str) -> str:
    """Rename the whole log, so that a new table may begin in the folder; says what it is called now."""
    number = 1
    while files.exists(f"{root}/{LOG}{ASIDE}{number}"):
        number += 1
    aside = f"{LOG}{ASIDE}{number}"
    files.mv(f"{root}/{LOG}", f"{root}/{aside}", recursive=True)
    reach(Seam.LOG_SET_ASIDE, aside)
    return aside
