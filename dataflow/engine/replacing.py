"""How replaced rows leave their files: the file is written again without them, or a vector says that they are dead.

Writing a file again (copy-on-write) costs as much as it is large, and nothing later. A vector (merge-on-read) costs
next to nothing now; but every later read takes the dead rows in as well, as long as they are in the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from dataflow.dedup import TABLE_ROW
from dataflow.engine.job import StageJob
from dataflow.engine.writing import Writing
from dataflow.errors import BooksUnbalanced
from dataflow.lake.deletion_vectors import Rows, write_vectors
from dataflow.lake.log import log_path
from dataflow.lake.naming import unit_id_of
from dataflow.lake.seams import Seam, reach
from dataflow.lake.snapshot import ActiveFile, Snapshot
from dataflow.model import Deletion

SMALL_BYTES = 1 << 18
"""A file of this size is written again in 5 ms; to look up places in it and to mark them takes 2, and a while of each read."""
DEAD_SHARE = 0.3
"""Writing a byte again costs as much as reading ``w`` of them, 6 (all columns) to 12 (some), as measured. Where a batch
replaces a share ``f`` of the rows and the table is read ``n`` times from batch to batch, the least work is done when
files are written again at a dead share of ``sqrt(2 * w * f / n)``: 0.3 for a fiftieth of the rows and three reads,
0.4 for a tenth and ten."""
MANY_SMALL = 32
"""More small files than this that came one after the other are folded into one: each costs every reader half a millisecond."""


NO_ROWS = pl.Series(TABLE_ROW, [], pl.UInt64)


@dataclass(frozen=True)
class Choice:
    """What becomes of the files of a table of which rows are replaced."""

    gone: tuple[ActiveFile, ...] = ()
    """No row of them is left."""
    rewritten: tuple[ActiveFile, ...] = ()
    folded: tuple[ActiveFile, ...] = ()
    """Small files of which no row is replaced, written together into one."""
    marked: tuple[ActiveFile, ...] = ()

    @property
    def removed(self) -> tuple[ActiveFile, ...]:
        return (*self.gone, *self.rewritten, *self.folded)


def replace_rows(writing: Writing, before: Snapshot, replaced: pl.Series) -> Choice:
    """Take rows out of the table as it was ``before``, by their numbers: what is written for it is staged."""
    dying = writing.job.lake.places(before, replaced, writing.job.by_arrival(before.files))
    choice = choose(writing, before, {path: len(rows) for path, rows in dying.items()})
    kept = (*choice.rewritten, *choice.folded, *choice.marked)
    hidden = writing.job.lake.dead_rows(before.version.table, kept)
    for path in {file.path for file in kept} & dying.keys():
        hidden[path] = hidden.get(path, Rows()) | dying[path]
    _write_again(writing, before, (*choice.rewritten, *choice.folded), hidden)
    _mark(writing, choice.marked, hidden)
    writing.saw(writing.job.stage.name, [*choice.removed, *choice.marked])
    writing.notes.extend(_told(choice, hidden, writing.job.stage.storage.updates))
    return choice


def choose(writing: Writing, before: Snapshot, dying: dict[str, int]) -> Choice:
    """What is least work over time for each file, or what the stage's storage says."""
    how = writing.job.stage.storage.updates
    gone, rewritten, marked = list[ActiveFile](), list[ActiveFile](), list[ActiveFile]()
    for file in before.files:
        died = dying.get(file.path, 0)
        if died and died == file.rows:
            gone.append(file)
        elif died:
            # Polars' own reader of Delta tables does not find the vectors of files whose paths the log has to escape.
            plain = log_path(file.path) == file.path
            light = (file.dead + died) / (file.dead + file.rows) <= DEAD_SHARE and file.size_bytes > SMALL_BYTES
            mark = plain and (how == "merge_on_read" or (how == "auto" and light))
            (marked if mark else rewritten).append(file)
    touched = {file.path for file in (*gone, *rewritten, *marked)}
    folded = _foldable(writing, [file for file in before.files if file.path not in touched])
    return Choice(tuple(gone), tuple(rewritten), folded, tuple(marked))


def _foldable(writing: Writing, files: Sequence[ActiveFile]) -> tuple[ActiveFile, ...]:
    """The small files that arrived last in each partition, where they are many: written into one they still come last."""
    job, unit_id = writing.job, writing.planned.unit.id
    fixed = job.target(writing.planned.unit).fixed or {}
    parts: dict[tuple[str | None, ...], list[ActiveFile]] = {}
    for file in job.by_arrival(files):
        if all(file.partition[column] == value for column, value in fixed.items()):
            run = parts.setdefault(tuple(file.partition.values()), [])
            if file.size_bytes > SMALL_BYTES or unit_id_of(file.path) != unit_id:
                run.clear()
            else:
                run.append(file)
    return tuple(file for run in parts.values() if len(run) > MANY_SMALL for file in run)


def scan_table(job: StageJob, snapshot: Snapshot) -> pl.LazyFrame:
    """The rows of the stage's table, each with its number."""
    return job.lake.scan(snapshot, job.by_arrival(snapshot.files), number_column=TABLE_ROW)


def _write_again(writing: Writing, before: Snapshot, files: Sequence[ActiveFile], hidden: Mapping[str, Rows]) -> None:
    if not files:
        return
    so_far = writing.carried()
    writing.sink(writing.job.lake.scan(before, writing.job.by_arrival(files), hidden=hidden), role="carried")
    writing.collect()
    asked = sum(file.rows + file.dead - len(hidden.get(file.path, ())) for file in files)
    found = writing.carried() - so_far
    if asked != found:
        raise BooksUnbalanced(
            f"stage {writing.job.stage.name!r}: {asked} rows of {len(files)} of its files were to be written again, but "
            f"{found} are there; nothing is published",
            stage=writing.job.stage.name,
        )


def _mark(writing: Writing, files: Sequence[ActiveFile], dead: Mapping[str, Rows]) -> None:
    if not files:
        return
    lake, table = writing.job.lake, writing.job.stage.name
    prefix = f"_{writing.planned.unit.id}-{writing.job.run_id}-dead"
    vectors, path = write_vectors(lake.fs, lake.path(table), prefix, {file.path: dead[file.path] for file in files})
    reach(Seam.ROWS_MARKED, table)
    writing.mark(table, [Deletion(path=file.path, vector=vectors[file.path]) for file in files], path)


def _told(choice: Choice, hidden: Mapping[str, Rows], how: str) -> list[str]:
    """What was chosen and why; nothing where there was hardly a choice: small files are always written again."""
    said: list[str] = []
    share, asked = f"{DEAD_SHARE:.0%}".replace("%", " %"), "storage.updates says so"
    if choice.marked:
        dead = sum(len(hidden[file.path]) for file in choice.marked)
        why = f"at most {share} of their rows" if how == "auto" else asked
        said.append(
            f"{_files(choice.marked, 'keep')} {dead:,} dead row{'' if dead == 1 else 's'} in deletion vectors ({why})"
        )
    if choice.rewritten and (choice.marked or any(file.size_bytes > SMALL_BYTES for file in choice.rewritten)):
        why = f"small, or more than {share} of their rows are dead" if how == "auto" else asked
        said.append(f"{_files(choice.rewritten, 'were')} rewritten ({why})")
    if choice.folded:
        said.append(f"{_files(choice.folded, 'were')} folded into one, as they are small")
    return [f"updates: {', '.join(said)}"] if said else []


def _files(files: Sequence[ActiveFile], verb: str) -> str:
    one = {"keep": "keeps", "were": "was"}[verb]
    return f"1 file {one}" if len(files) == 1 else f"{len(files):,} files {verb}"
