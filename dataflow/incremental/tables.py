"""What came to a table of ours and what left it between two versions, from its log: nothing is scanned for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any
from urllib.parse import unquote

import polars as pl

from dataflow.errors import LakeCorrupt, TableMissing
from dataflow.lake.damage import present_files
from dataflow.lake.deletion_vectors import Rows, everything_but, from_log, vector_path
from dataflow.lake.lake import ActiveFile, Lake, Partition, Snapshot
from dataflow.model import DeletionVector, TableVersion


@dataclass(frozen=True)
class TableDiff:
    """The files whose rows tell what ``after`` has that ``before`` had not, and the other way round.

    Files that were written again hold rows that came and rows that left alike: these have the same ``_row_id``.
    """

    before: Snapshot
    after: Snapshot
    came: tuple[ActiveFile, ...] = ()
    """Files whose rows are new to ``after``."""
    left: tuple[ActiveFile, ...] = ()
    """Files whose rows are no more."""
    thinned: tuple[tuple[ActiveFile, ActiveFile], ...] = ()
    """Files of both, as they were and as they are, of which more rows are dead."""

    @property
    def rows_came(self) -> int:
        return sum(file.rows for file in self.came)

    @property
    def rows_left(self) -> int:
        return sum(file.rows for file in self.left) + sum(was.rows - now.rows for was, now in self.thinned)

    @property
    def size_bytes(self) -> int:
        """What reading all of it takes."""
        return sum(file.size_bytes for file in (*self.came, *self.left, *(now for _, now in self.thinned)))

    @property
    def changed(self) -> bool:
        """Whether any row came or left."""
        return bool(self.came or self.left or self.thinned)

    @property
    def grew(self) -> bool:
        """Whether rows came, if any, and none left."""
        return not (self.left or self.thinned)

    @property
    def widened(self) -> tuple[str, ...]:
        """The columns that ``before`` had not; its rows have nulls there."""
        return tuple(name for name in self.after.schema if name not in self.before.schema)

    def touched(self, by: Sequence[str]) -> set[Partition] | None:
        """The values of the partition columns ``by`` of all rows that came or left; None where the files do not tell."""
        if not set(by) <= set(self.before.partition_by) & set(self.after.partition_by):
            return None
        files = chain(self.came, self.left, (now for _, now in self.thinned))
        return {tuple(file.partition[column] for column in by) for file in files}


def diff(lake: Lake, table: str, since: int, until: int) -> TableDiff | None:
    """What changed in ``table`` after version ``since``, up to ``until``.

    Commits that only rearrange files (``dataChange=false``) change nothing. None where the log no longer tells or a
    file of ``since`` is gone, where the table is another one or ran backwards, or where a column changed its type or
    went, or the partitioning changed.
    Errors: TableMissing for a version ``until`` that is not there; LakeCorrupt for a log that cannot be read.
    """
    after = lake.snapshot(TableVersion(table=table, uri=lake.table_uri(table), version=until))
    if since == until:
        return TableDiff(after, after)
    commits = list(lake.log(table).commits(since, until))
    actions = [commit for commit in commits if commit is not None]
    if since > until or len(actions) < len(commits):
        return None
    before = _before(lake, after, since, actions)
    if before is None or not _fits(before, after):
        return None
    found = _compared(lake, before, after, _rearranged(actions))
    return found if _is_there(lake, found) else None


def rows_that_came(lake: Lake, diff: TableDiff) -> pl.LazyFrame:
    """The rows of the files that came, with all columns."""
    return lake.scan(diff.after, diff.came)


def rows_that_left(lake: Lake, diff: TableDiff, columns: Sequence[str]) -> pl.LazyFrame:
    """The rows that were in files that are no more, and those that have died since in files that stay."""
    table = diff.after.version.table
    files = [*diff.left, *(now for _, now in diff.thinned)]
    hidden = lake.dead_rows(table, diff.left)
    was, now = (lake.dead_rows(table, side) for side in (_first(diff.thinned), _second(diff.thinned)))
    for _, file in diff.thinned:
        died = now[file.path] - was.get(file.path, Rows())
        hidden[file.path] = everything_but(died, file.rows + file.dead)
    return lake.scan(diff.after, files, hidden=hidden).select(columns)


Commit = list[dict[str, Any]]
Pair = tuple[ActiveFile, ActiveFile]
Marked = tuple[str, DeletionVector | None]
"""A file with its dead rows: with others it is another one."""


def _first(pairs: Iterable[Pair]) -> list[ActiveFile]:
    return [was for was, _ in pairs]


def _second(pairs: Iterable[Pair]) -> list[ActiveFile]:
    return [now for _, now in pairs]


def _before(lake: Lake, after: Snapshot, since: int, commits: Sequence[Commit]) -> Snapshot | None:
    """The table as it was: worked out where rows only came, else loaded. None where it cannot be, or was another one."""
    version = after.version.model_copy(update={"version": since})
    actions = list(chain.from_iterable(commits))
    if not any("remove" in action or "metaData" in action for action in actions):
        came = {unquote(action["add"]["path"]) for action in actions if "add" in action}
        return replace(after, version=version, files=tuple(f for f in after.files if f.path not in came))
    told = {action["metaData"]["id"] for action in actions if "metaData" in action}
    try:
        handle = lake.open(version.table, since)
    except (TableMissing, LakeCorrupt):
        # The commits after this version are there, but not what they build upon.
        return None
    return None if told - {str(handle.metadata().id)} else lake.loaded(handle, version.table)


def _fits(before: Snapshot, after: Snapshot) -> bool:
    """Whether rows of ``before`` can be read with the columns of ``after``."""
    same = all(after.schema.get(name) == dtype for name, dtype in before.schema.items())
    return same and before.partition_by == after.partition_by


def _rearranged(commits: Iterable[Commit]) -> list[tuple[set[Marked], set[Marked]]]:
    """What commits that change no rows took out and put in, by partition: rows never move from one to another."""
    groups: list[tuple[set[Marked], set[Marked]]] = []
    for commit in commits:
        found: dict[str, tuple[set[Marked], set[Marked]]] = defaultdict(lambda: (set[Marked](), set[Marked]()))
        for action in commit:
            for side, what in enumerate(("remove", "add")):
                change = action.get(what)
                if change and not change.get("dataChange", True):
                    values: dict[str, str | None] = change.get("partitionValues") or {}
                    place = repr(sorted(values.items()))
                    found[place][side].add((unquote(change["path"]), from_log(change.get("deletionVector"))))
        groups += found.values()
    return groups


def _compared(
    lake: Lake, before: Snapshot, after: Snapshot, rearranged: Sequence[tuple[set[Marked], set[Marked]]]
) -> TableDiff:
    was, now = ({(f.path, f.deleted): f for f in snapshot.files} for snapshot in (before, after))
    same = _only_rearranged(rearranged, was.keys() - now.keys(), now.keys() - was.keys())
    left = {path: f for (path, dead), f in was.items() if (path, dead) not in now and (path, dead) not in same}
    came = {path: f for (path, dead), f in now.items() if (path, dead) not in was and (path, dead) not in same}
    thinned = _thinned(lake, before.version.table, [(f, came[path]) for path, f in left.items() if path in came])
    for file, _ in thinned:
        del left[file.path], came[file.path]
    return TableDiff(before, after, tuple(came.values()), tuple(left.values()), tuple(thinned))


def _only_rearranged(
    rearranged: Sequence[tuple[set[Marked], set[Marked]]], left: set[Marked], came: set[Marked]
) -> set[Marked]:
    """The files of all chains of rearrangements that lead from files that left to files that came, and nowhere else."""
    chains: list[tuple[set[Marked], set[Marked]]] = []
    for out, into in rearranged:
        joined = [known for known in chains if known[1] & out]
        chains = [known for known in chains if known not in joined]
        chains.append((out.union(*(o for o, _ in joined)), into.union(*(i for _, i in joined))))
    # What was put in and taken out on the way was part of neither version.
    ends = [(out - into, into - out) for out, into in chains]
    return set[Marked]().union(*(out | into for out, into in ends if out <= left and into <= came))


def _thinned(lake: Lake, table: str, differ: Sequence[Pair]) -> list[Pair]:
    """Of files that are in both versions with other dead rows: those of which none came back to life."""
    was, now = lake.dead_rows(table, _first(differ)), lake.dead_rows(table, _second(differ))
    return [(old, new) for old, new in differ if was.get(old.path, Rows()) <= now.get(new.path, Rows())]


def _is_there(lake: Lake, diff: TableDiff) -> bool:
    """Whether what left can still be read: files that no version needs any more are cleared away one day."""
    vectors = (vector_path(file.deleted) for file in diff.left if file.deleted)
    needed = {file.path for file in diff.left} | {path for path in vectors if path}
    return not needed or needed <= present_files(lake, diff.after.version.table)
