"""What a batch does to its table becomes files.

Rows that are added, rows that are not, and copies of the files that hold replaced rows, without these.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from dataflow.dedup import TABLE_FILE, Settled
from dataflow.engine.job import StageJob
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

    def told(self, counts: RowCounts) -> RowCounts:
        """``counts`` with the effect in their terms."""
        done = {"inserted": self.inserted, "updated": self.updated, "unchanged": self.unchanged}
        return counts.model_copy(update=done)


def take_effect(
    writing: Writing, rows: pl.LazyFrame, settled: Settled, before: Snapshot | None, *, anew: bool
) -> Effect:
    """Stage what ``settled`` says of ``rows`` to the table as it was ``before``; ``anew`` where nothing of it stays."""
    job = writing.job
    writing.notes.extend(settled.notes)
    writing.count("settled", rows)
    writing.sink(settled.added)
    if settled.dropped is not None:
        writing.sink_aside("duplicates", settled.dropped)
    replaced = _replaced(settled)
    if settled.rewritten is not None:
        writing.sink(settled.rewritten, role="carried")
    writing.collect()
    writing.forget_scratch()
    _check(job, writing)
    rewritten = _carried(writing)
    if anew:
        # The table is written anew: of what it was before nobody asks.
        return Effect(0, 0, 0, ())
    if before is None or settled.overwrites:
        return Effect(writing.rows(), 0, rewritten, tuple(f.path for f in before.files) if before else ())
    paths = _copy_survivors(writing, before, replaced, settled.identity)
    gone = replaced.height
    return Effect(writing.rows() + rewritten - gone, gone, before.rows - gone, paths)


def scan_table(job: StageJob, snapshot: Snapshot) -> pl.LazyFrame:
    """The rows of the stage's table, each with the file that it is in."""
    root = f"{job.lake.table_uri(job.stage.name)}/"
    return job.lake.scan(snapshot, path_column=TABLE_FILE).with_columns(pl.col(TABLE_FILE).str.strip_prefix(root))


def _replaced(settled: Settled) -> pl.DataFrame:
    columns = [*settled.identity, TABLE_FILE]
    if settled.replaced is None:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.Null()))
    return settled.replaced.select(columns).collect()


def _check(job: StageJob, writing: Writing) -> None:
    given, added, dropped = writing.counted("settled"), writing.rows(), writing.rows("duplicates")
    if given != added + dropped:
        assert job.stage.strategy is not None
        raise BooksUnbalanced(
            f"stage {job.stage.name!r}: strategy {job.stage.strategy.config.type!r} was given {given} rows, of which it "
            f"added {added} and dropped {dropped}; nothing of them is published",
            stage=job.stage.name,
        )


def _carried(writing: Writing) -> int:
    return sum(f.rows for f in writing.files if f.role == "carried" and f.table == writing.job.stage.name)


def _copy_survivors(
    writing: Writing, before: Snapshot, replaced: pl.DataFrame, identity: tuple[str, ...]
) -> tuple[str, ...]:
    """Write the files that hold replaced rows again, without these; tells which files."""
    paths = tuple(sorted(replaced[TABLE_FILE].unique()))
    if not paths:
        return ()
    job, so_far = writing.job, _carried(writing)
    touched = [file for file in before.files if file.path in set(paths)]
    # A row that leaves one file may stay in another, if what tells it is there twice: it is asked by file and identity.
    gone = replaced.lazy().with_columns(pl.col(TABLE_FILE).cast(pl.String))
    on = [*identity, TABLE_FILE]
    root = f"{job.lake.table_uri(job.stage.name)}/"
    old = job.lake.scan(before, touched, path_column=TABLE_FILE).with_columns(pl.col(TABLE_FILE).str.strip_prefix(root))
    writing.sink(old.join(gone, on=on, how="anti", maintain_order="left").drop(TABLE_FILE), role="carried")
    writing.collect()
    left, expected = _carried(writing) - so_far, sum(file.rows for file in touched) - replaced.height
    if left != expected:
        assert job.stage.strategy is not None
        raise StageFailed(
            f"stage {job.stage.name!r}: strategy {job.stage.strategy.config.type!r} replaces {replaced.height} rows by "
            f"{', '.join(identity)}, but {sum(f.rows for f in touched) - left} rows are found by that; nothing is published",
            stage=job.stage.name,
        )
    return paths
