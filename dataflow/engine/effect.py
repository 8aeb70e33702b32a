"""What a batch does to its table becomes files.

Rows that are added, rows that are not, and rows that leave the files which hold them.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from dataflow.dedup import TABLE_ROW, Settled
from dataflow.engine.job import StageJob
from dataflow.engine.replacing import NO_ROWS, replace_rows
from dataflow.engine.replacing import scan_table as scan_table
from dataflow.engine.writing import Writing
from dataflow.errors import BooksUnbalanced, StageFailed
from dataflow.lake.lake import Snapshot
from dataflow.model import RowCounts


@dataclass(frozen=True)
class Effect:
    """What a batch did to the rows of the table."""

    inserted: int
    updated: int
    unchanged: int
    removes: tuple[str, ...]
    """Files that go for those which were written."""
    deleted: int = 0

    def told(self, counts: RowCounts) -> RowCounts:
        """``counts`` with the effect in their terms."""
        done = {"inserted": self.inserted, "updated": self.updated, "deleted": self.deleted}
        return counts.model_copy(update={**done, "unchanged": self.unchanged})


def take_effect(writing: Writing, settled: Settled, before: Snapshot | None, *, anew: bool) -> Effect:
    """Stage what ``settled`` says to the table as it was ``before``; ``anew`` where nothing of it stays.

    The rows that were given to be settled are counted by whoever gave them, as ``settled``.
    """
    job = writing.job
    writing.notes.extend(settled.notes)
    writing.sink(settled.added)
    if settled.dropped is not None:
        writing.sink_aside("duplicates", settled.dropped, later=True)
    if settled.changes is not None:
        writing.sink_aside("changes", settled.changes, later=True)
    replaced = _replaced(job, settled, before)
    if settled.rewritten is not None:
        writing.sink(settled.rewritten, role="carried")
    writing.collect()
    writing.forget_scratch()
    _check(job, writing)
    rewritten = writing.carried()
    if anew:
        # The table is written anew: of what it was before nobody asks.
        return Effect(0, 0, 0, ())
    if before is None or settled.overwrites:
        writing.saw(job.stage.name, before.files if before else ())
        return Effect(writing.rows(), 0, rewritten, tuple(f.path for f in before.files) if before else ())
    choice = replace_rows(writing, before, replaced)
    gone, came = replaced.len(), writing.rows() + rewritten
    deleted = max(settled.deleted, gone - came)
    updated = gone - deleted
    paths = tuple(f.path for f in choice.removed)
    return Effect(came - updated, updated, before.rows - gone, paths, deleted)


def _replaced(job: StageJob, settled: Settled, before: Snapshot | None) -> pl.Series:
    """The numbers of the rows that go.

    Errors: StageFailed for numbers that are not each those of one row.
    """
    if settled.replaced is None or before is None:
        return NO_ROWS
    # Of another type, or below zero, they would be taken for places far behind the file's end.
    found = settled.replaced.select(pl.col(TABLE_ROW).cast(pl.UInt64, strict=False)).collect()[TABLE_ROW]
    wrong = found.len() - found.filter(found < before.rows).n_unique()
    if wrong:
        strategy = job.stage.strategy
        who = f"strategy {strategy.config.type!r}" if strategy else "its increment"
        raise StageFailed(
            f"stage {job.stage.name!r}: {who} replaces {found.len()} rows, of which {wrong} are told twice or are not "
            "in the table; nothing is published",
            stage=job.stage.name,
        )
    return found


def _check(job: StageJob, writing: Writing) -> None:
    given, added, dropped = writing.counted("settled"), writing.rows(), writing.rows("duplicates")
    if given != added + dropped:
        assert job.stage.strategy is not None
        raise BooksUnbalanced(
            f"stage {job.stage.name!r}: strategy {job.stage.strategy.config.type!r} was given {given} rows, of which it "
            f"added {added} and dropped {dropped}; nothing of them is published",
            stage=job.stage.name,
        )
