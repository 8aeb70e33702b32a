"""The rows of its inputs that an increment is computed from, and by which values rows of the table go for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from dataflow.engine.admission import cut_windows
from dataflow.engine.job import StageJob, is_system
from dataflow.engine.reading import arrived
from dataflow.incremental.tables import TableDiff, rows_that_left
from dataflow.lake.lake import ActiveFile, partition_text
from dataflow.lineage.locality import Cut
from dataflow.lineage.row_ids import row_id_column
from dataflow.model import ROW_ID, is_row_id
from dataflow.plan import Increment
from dataflow.windows.assignment import WINDOW_END, WINDOW_START

_CONTENT, _COUNT = "_piece_content", "_piece_count"
_FEW = 1_000
"""Up to so many values are told one by one, where their bounds alone would let the rows between them pass."""


@dataclass(frozen=True)
class Piece:
    """What an increment reads, and what goes."""

    frames: Mapping[str, pl.LazyFrame]
    """By input, in order of arrival."""
    rows: int
    """Of the first input."""
    gone: pl.DataFrame | None = None
    """Values of columns of the table, each combination once: its rows with these go. None where no row goes."""
    cuts: tuple[Cut, ...] = ()
    """The cut of each column of ``gone``; none for row ids."""


def piece_of(job: StageJob, increment: Increment) -> Piece:
    """What is to be read for an increment."""
    if not increment.cuts:
        return _new_rows(job, increment.diffs[job.stage.inputs[0]])
    if _was_one_to_one(job, increment):
        piece = _new_rows(job, increment.diffs[job.stage.inputs[0]])
        if not _meets_others(job, increment, piece):
            return piece
    return _slices(job, increment)


def _was_one_to_one(job: StageJob, increment: Increment) -> bool:
    """Whether each row of the input was one of the table, so that no two of them had the same key."""
    strategy, first = job.stage.strategy, job.stage.inputs[0]
    if strategy is None or job.carried is None or set(increment.diffs) != {first}:
        return False
    key, head = strategy.strategy.unique_by, job.lake.head(job.stage.name)
    known = bool(key) and set(key) <= {cut.column for cut in increment.cuts}
    kept = job.carried.rows == "preserved" and row_id_column(first) in job.carried.columns
    if not (known and kept and job.single_ids and head):
        return False
    return job.lake.snapshot(head).rows == increment.diffs[first].before.rows


def _meets_others(job: StageJob, increment: Increment, piece: Piece) -> bool:
    """Whether a row that came may have the key of one that stayed: another one than those that left had."""
    assert job.stage.strategy is not None
    assert piece.gone is not None
    first, key = job.stage.inputs[0], job.stage.strategy.strategy.unique_by
    own = [cut.of(first) for cut in increment.cuts if cut.column in key]
    left = rows_that_left(job.lake, increment.diffs[first], [ROW_ID, *own]).join(
        piece.gone.lazy(), on=ROW_ID, how="semi"
    )
    others = piece.frames[first].select(own).join(left, on=own, how="anti", nulls_equal=True)
    return bool(_height(others))


def _whole(job: StageJob) -> dict[str, pl.LazyFrame]:
    return {name: arrived(job, name, snapshot.files) for name, snapshot in job.inputs.items()}


def _new_rows(job: StageJob, diff: TableDiff) -> Piece:
    """Rows that came; where others left, also what is still there of the rows that were one with these."""
    first = job.stage.inputs[0]
    if diff.grew:
        return Piece({**_whole(job), first: arrived(job, first, diff.came)}, diff.rows_came)
    ids = rows_that_left(job.lake, diff, [ROW_ID])
    left = (ids if job.single_ids else ids.unique()).collect()
    same = _came_back(job, diff, left)
    new, differ, rows = arrived(job, first, diff.came), left, diff.rows_came
    if same.height:
        differ = left.join(same, on=ROW_ID, how="anti")
        new = new.join(same.lazy(), on=ROW_ID, how="anti", maintain_order="left")
        rows = _height(new)
    if stay := _files_with(job, diff, differ):
        others = arrived(job, first, stay).join(differ.lazy(), on=ROW_ID, how="semi", maintain_order="left")
        new, rows = pl.concat([others, new]), rows + _height(others)
    return Piece({**_whole(job), first: new}, rows, differ)


def _came_back(job: StageJob, diff: TableDiff, left: pl.DataFrame) -> pl.DataFrame:
    """The ids of rows that left and came again as they were."""
    came = arrived(job, job.stage.inputs[0], diff.came)
    both = came.select(ROW_ID).join(left.lazy(), on=ROW_ID, how="semi").unique().collect()
    if not both.height:
        # What else the rows say need not be read.
        return both
    columns = _told(job, diff.after.schema)
    sides = (rows_that_left(job.lake, diff, columns), came)
    told = [s.join(both.lazy(), on=ROW_ID, how="semi").select(ROW_ID, _content(columns)).collect() for s in sides]
    return both.join(_differing(told, [ROW_ID]), on=ROW_ID, how="anti")


def _files_with(job: StageJob, diff: TableDiff, ids: pl.DataFrame) -> list[ActiveFile]:
    """Files that stayed, and hold rows with one of ``ids``: where a row became many, not all of them left."""
    came = {file.path for file in diff.came}
    stay = [file for file in diff.after.files if file.path not in came]
    if job.single_ids:
        return []
    path = "_piece_path"
    root = f"{job.lake.table_uri(diff.after.version.table)}/"
    found = job.lake.scan(diff.after, stay, path_column=path).select(ROW_ID, path)
    held = found.join(ids.lazy(), on=ROW_ID, how="semi").select(path).unique().collect()
    paths = set(held[path].str.strip_prefix(root))
    return [file for file in stay if file.path in paths]


def _slices(job: StageJob, increment: Increment) -> Piece:
    """All rows of the inputs with values that rows which came or left have."""
    cuts = increment.cuts
    parts = [_values(job, name, diff, cuts) for name, diff in increment.diffs.items()]
    touched = pl.concat(parts).unique(maintain_order=False)
    frames, first = _whole(job), job.stage.inputs[0]
    rows = job.inputs[first].rows
    for name in cuts[0].domain:
        frames[name], found = _slice(job, name, touched, cuts)
        rows = found if name == first else rows
    return Piece(frames, rows, touched, cuts)


def _values(job: StageJob, name: str, diff: TableDiff, cuts: Sequence[Cut]) -> pl.DataFrame:
    """The values of the cuts' columns in rows that came to an input or left it, under the table's names."""
    named = [pl.col(cut.of(name)).alias(cut.column) for cut in cuts]
    columns = [cut.column for cut in cuts]
    came = with_windows(job, name, arrived(job, name, diff.came), cuts)
    if diff.grew:
        return came.select(named).unique().collect()
    content = _told(job, diff.after.schema)
    left = with_windows(job, name, rows_that_left(job.lake, diff, content), cuts)
    if not diff.came:
        return left.select(named).unique().collect()
    apart, meeting = _met(left, came) if ROW_ID in content else ([], [left, came])
    touched = [pl.concat(side.select(named) for side in apart).unique().collect()] if apart else []
    if meeting:
        touched.append(_differing([side.select(*named, _content(content)).collect() for side in meeting], columns))
    return pl.concat(touched).unique() if len(touched) > 1 else touched[0]


def _met(left: pl.LazyFrame, came: pl.LazyFrame) -> tuple[list[pl.LazyFrame], list[pl.LazyFrame]]:
    """Rows whose id is on one side alone, which is all that there is to know of them, and those whose content has to be read."""
    ids = left.select(ROW_ID).collect().lazy()
    both = came.select(ROW_ID).join(ids, on=ROW_ID, how="semi").unique().collect()
    if not both.height:
        return [left, came], []
    sides = {how: [side.join(both.lazy(), on=ROW_ID, how=how) for side in (left, came)] for how in ("anti", "semi")}
    return sides["anti"], sides["semi"]


def _slice(job: StageJob, name: str, touched: pl.DataFrame, cuts: Sequence[Cut]) -> tuple[pl.LazyFrame, int]:
    """The rows of an input with touched values, in order of arrival, and how many there are.

    They are looked for in the columns of the cuts alone; of the files that have none, nothing else is read.
    """
    snapshot, path = job.inputs[name], "_piece_path"
    values = touched.select(pl.col(cut.column).alias(cut.of(name)) for cut in cuts)
    files = _files_of(job, name, touched, cuts)
    held = _with_values(job, name, job.lake.scan(snapshot, files, path_column=path), values, cuts)
    found = held.group_by(path).len().collect()
    root = f"{job.lake.table_uri(snapshot.version.table)}/"
    paths = set(found[path].str.strip_prefix(root))
    rows = arrived(job, name, [file for file in files if file.path in paths])
    return _with_values(job, name, rows, values, cuts), int(found["len"].sum())


def _with_values(
    job: StageJob, name: str, frame: pl.LazyFrame, values: pl.DataFrame, cuts: Sequence[Cut]
) -> pl.LazyFrame:
    columns = frame.collect_schema().names()
    for column in values.columns:
        if column in columns:
            frame = frame.filter(_among(values[column]))
    frame = with_windows(job, name, frame, cuts)
    found = frame.join(values.lazy(), on=values.columns, how="semi", nulls_equal=True, maintain_order="left")
    return found.select(columns)


def _files_of(job: StageJob, name: str, touched: pl.DataFrame, cuts: Sequence[Cut]) -> list[ActiveFile]:
    """The files that may hold touched values, as far as partitions tell."""
    snapshot = job.inputs[name]
    by = {cut.of(name): cut.column for cut in cuts if cut.of(name) in snapshot.partition_by}
    known = {own: {partition_text(v) for v in touched[column].unique()} for own, column in by.items()}
    return [f for f in snapshot.files if all(f.partition[own] in values for own, values in known.items())]


def _among(values: pl.Series) -> pl.Expr:
    """What Parquet's statistics can be asked before rows are met one by one; true of every touched value."""
    column, known = pl.col(values.name), values.drop_nulls().unique()
    if not known.len():
        return column.is_null()
    few = known.len() <= _FEW and not isinstance(known.dtype, pl.Boolean)
    found = (
        column.is_in(known.implode())
        if few
        else column.is_between(_literal(known.min(), known), _literal(known.max(), known))
    )
    return found | column.is_null() if values.has_nulls() else found


def _literal(value: Any, of: pl.Series) -> pl.Expr:
    # A text by itself would be taken for a column's name.
    return pl.lit(value, of.dtype)


def with_windows(job: StageJob, name: str, frame: pl.LazyFrame, cuts: Sequence[Cut]) -> pl.LazyFrame:
    """``frame`` of an input with the edges of windows, where slices are told by them."""
    named = {cut.of(name) for cut in cuts}
    if name != job.stage.inputs[0] or job.stage.window is None or job.time_column is None:
        return frame
    return cut_windows(frame, job.stage.window, job.time_column) if named & {WINDOW_START, WINDOW_END} else frame


def _told(job: StageJob, schema: pl.Schema) -> list[str]:
    """The columns that are part of what a row of an input says to the stage: not which batch wrote it, for one."""
    # By all of a row's ids together it is judged whether it is late.
    ids = is_row_id if job.stage.window else ROW_ID.__eq__
    return [column for column in schema if ids(column) or not is_system(column)]


def _content(columns: Sequence[str]) -> pl.Expr:
    return pl.struct(sorted(columns)).hash().alias(_CONTENT)


def _differing(frames: Sequence[pl.DataFrame], by: Sequence[str]) -> pl.DataFrame:
    """The values of ``by`` of rows that are in one of two frames more often than in the other, each once."""
    left, came = frames
    counted = pl.concat([left.with_columns(pl.lit(-1).alias(_COUNT)), came.with_columns(pl.lit(1).alias(_COUNT))])
    sums = counted.group_by([*by, _CONTENT]).agg(pl.col(_COUNT).sum())
    return sums.filter(pl.col(_COUNT) != 0).select(by).unique()


def _height(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect().item())
