"""Works off what changed in a stage's inputs: computes the pieces concerned, and takes out what they were before."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl

from dataflow.dedup import TABLE_ROW, Settled
from dataflow.engine.admission import admit
from dataflow.engine.counting import books
from dataflow.engine.effect import Effect, scan_table, take_effect
from dataflow.engine.job import SIDE_TABLES, StageJob, side_table
from dataflow.engine.pieces import Piece, piece_of, with_windows
from dataflow.engine.produced import one_per_key, stage_duplicates, stage_produced
from dataflow.engine.reading import check_named, every_row, produced_rows
from dataflow.engine.replacing import NO_ROWS, replace_rows
from dataflow.engine.routes import sink_aside_by_rules
from dataflow.engine.settling import settle
from dataflow.engine.writing import Writing
from dataflow.lake.lake import ActiveFile, Snapshot
from dataflow.model import Manifest, RowCounts
from dataflow.plan import PlannedUnit

_PATH = "_increment_path"


def compute_increment(job: StageJob, planned: PlannedUnit, writing: Writing) -> Manifest:
    """Stage what the unit's increment does to the table and to the tables beside it."""
    assert planned.increment is not None
    if planned.increment.note:
        writing.notes.append(planned.increment.note)
    piece = piece_of(job, planned.increment)
    produced = produced_rows(job, admit(job, piece.frames, writing))
    check_named(job, produced)
    head = job.lake.head(job.stage.name)
    before = job.lake.snapshot(head) if head else None
    gone = _rows_that_go(job, before, piece)
    removes: dict[str, tuple[str, ...]] = {}
    if job.stage.strategy is not None:
        effect = settle(writing, produced, partial(every_row, job), anew=False, going=gone)
        counts = effect.told(books(job, planned, writing, piece.rows))
        if gone is not None and before is not None:
            counts = _exact(counts, before, effect.unchanged)
        removes[job.stage.name] = effect.removes
    elif gone is None or before is None:
        stage_produced(writing, produced)
        counts = books(job, planned, writing, piece.rows)
        counts = counts.model_copy(update={"inserted": writing.rows(), "unchanged": before.rows if before else 0})
        if before is not None:
            # Of many small increments come many small files: now and then they are written into one.
            folded = replace_rows(writing, before, NO_ROWS)
            removes[job.stage.name] = tuple(file.path for file in folded.removed)
    else:
        effect = _replace(writing, produced, before, gone)
        counts = _exact(books(job, planned, writing, piece.rows), before, effect.unchanged)
        removes[job.stage.name] = effect.removes
    return writing.manifest(counts, {**removes, **_thin_side_tables(writing, piece)})


def _rows_that_go(job: StageJob, before: Snapshot | None, piece: Piece) -> pl.LazyFrame | None:
    """The rows of the table that are computed again, or are no more."""
    if piece.gone is None or before is None or not before.files:
        return None
    table, on = scan_table(job, before), piece.gone.columns
    return table.join(piece.gone.lazy(), on=on, how="semi", nulls_equal=True).select(TABLE_ROW)


def _replace(writing: Writing, produced: pl.LazyFrame, before: Snapshot, gone: pl.LazyFrame) -> Effect:
    """Stage what was computed, and take the rows that go out of the table."""
    dedup = writing.job.stage.deduplicate
    rows = produced
    if dedup is not None:
        produced = produced.cache()
        writing.count("produced", produced)
        rows = one_per_key(writing.job, produced, dedup)
    rows = writing.counting("settled", sink_aside_by_rules(writing, rows))
    effect = take_effect(writing, Settled(rows, replaced=gone), before, anew=False)
    if dedup is not None:
        stage_duplicates(writing, produced, dedup)
    return effect


def _exact(counts: RowCounts, before: Snapshot, unchanged: int) -> RowCounts:
    """``counts`` with what became of the table's rows: those that go are updated by as many, the others deleted."""
    gone = before.rows - unchanged
    updated = min(gone, counts.published)
    done = {
        "inserted": counts.published - updated,
        "updated": updated,
        "deleted": gone - updated,
        "unchanged": unchanged,
    }
    return counts.model_copy(update=done)


def _thin_side_tables(writing: Writing, piece: Piece) -> dict[str, tuple[str, ...]]:
    """Take what was set aside of rows that are computed again, or are no more, out of the tables beside the stage's own."""
    if piece.gone is None:
        return {}
    first = writing.job.stage.inputs[0]
    # Late rows are kept as the input has them, the others as the function gave them.
    of_input = piece.gone.rename({cut.column: cut.of(first) for cut in piece.cuts})
    removes = {
        side_table(writing.job.stage.name, what): _thin(
            writing, what, of_input if what == "late" else piece.gone, piece
        )
        for what in SIDE_TABLES
    }
    writing.collect()
    return {table: paths for table, paths in removes.items() if paths}


def _thin(writing: Writing, what: str, gone: pl.DataFrame, piece: Piece) -> tuple[str, ...]:
    job, table = writing.job, side_table(writing.job.stage.name, what)
    head = job.lake.head(table)
    snapshot = job.lake.snapshot(head) if head else None
    if snapshot is None or not snapshot.files:
        return ()
    root, on = f"{job.lake.table_uri(table)}/", gone.columns

    def told(files: Sequence[ActiveFile]) -> pl.LazyFrame:
        held = job.lake.scan(snapshot, files, path_column=_PATH).with_columns(pl.col(_PATH).str.strip_prefix(root))
        return with_windows(job, job.stage.inputs[0], held, piece.cuts) if what == "late" else held

    held = told(snapshot.files)
    if not set(on) <= set(held.collect_schema()):
        return ()
    concerned = held.join(gone.lazy(), on=on, how="semi", nulls_equal=True).select(_PATH).unique().collect()
    paths = tuple(sorted(concerned[_PATH]))
    if paths:
        touched = told([file for file in snapshot.files if file.path in paths])
        stay = touched.join(gone.lazy(), on=on, how="anti", nulls_equal=True)
        writing.sink(stay.select(snapshot.schema.names()), table, "carried")
    return paths
