"""Computes in full what an increment came to, and compares, before anything of it is published."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl

from dataflow.dedup.columns import user_columns
from dataflow.engine.admission import punctual, shown
from dataflow.engine.job import StageJob, side_table
from dataflow.engine.produced import one_per_key
from dataflow.engine.reading import every_row, produced_rows, read
from dataflow.errors import StageFailed
from dataflow.model import Unit
from dataflow.plan import PlannedUnit, count

_SIDE, _NEAR = "_verify_side", 1e-9


def verify(job: StageJob, now: pl.LazyFrame) -> tuple[str, ...]:
    """Compare ``now``, the table as it is going to be, with what a full computation comes to; says what was compared.

    Numbers with fractions may differ in the last digits, as sums do where rows come in another order.
    Errors: StageFailed where they differ.
    """
    if job.plan.in_full or job.plan.replays or job.source is not None:
        return ()
    if job.lake.exists(side_table(job.stage.name, "replayed")):
        return ("not verified: rows that were sent again are in the table, which a full computation would set aside",)
    schema = now.collect_schema()
    # What strategies note of when a row came, and of copies beside it, tells of batches: a full computation is one.
    columns = user_columns(schema)
    # A table keeps some types in wider ones.
    stored = [pl.col(column).cast(schema[column]) for column in columns]
    sides = [frame.select(*stored, pl.lit(side).alias(_SIDE)) for frame, side in ((in_full(job), 1), (now, -1))]
    sums = pl.concat(sides).group_by(columns).agg(pl.col(_SIDE).sum())
    differ = sums.filter(pl.col(_SIDE) != 0).collect()
    if differ.height and not _is_near(differ, columns):
        raise StageFailed(_told(job, differ, columns), stage=job.stage.name)
    return (f"verified: a full computation comes to the same {count(_height(now), 'row')}",)


def in_full(job: StageJob) -> pl.LazyFrame:
    """The good rows of all that the stage reads, as they would be published."""
    by = job.stage.partition_by
    partitions = sorted({p for name in job.sliced for p in job.inputs[name].partitions(by)}, key=str) if by else [()]
    return pl.concat(
        _of_unit(job, Unit(stage=job.stage.name, partition=tuple(zip(by, p, strict=True)))) for p in partitions
    )


def _of_unit(job: StageJob, unit: Unit) -> pl.LazyFrame:
    planned, stage = PlannedUnit(unit, key=""), job.stage
    frames = {name: read(job, name, planned) for name in stage.inputs}
    produced = produced_rows(job, shown(job, punctual(job, frames)))
    if stage.deduplicate is not None:
        produced = one_per_key(job, produced, stage.deduplicate)
    good = job.routed(produced).good
    if stage.strategy is None:
        return good
    if not job.repeatable:
        # Asked twice, a function may give its rows in another order, or other rows.
        good = good.collect().lazy()
    settled = stage.strategy.strategy.settle(good, None, partial(every_row, job))
    rewritten = [] if settled.rewritten is None else [settled.rewritten]
    return pl.concat([settled.added, *rewritten], how="diagonal")


def _is_near(differ: pl.DataFrame, columns: Sequence[str]) -> bool:
    """Whether rows pair off that are alike but for the last digits of fractions."""
    fractions = [column for column in columns if differ.schema[column].is_float()]
    exact = [column for column in columns if column not in fractions]
    if not fractions:
        return False
    ordered = differ.select(*columns, pl.col(_SIDE)).sort([*exact, *fractions])
    full, now = (_repeated(ordered.filter(pl.col(_SIDE) * side > 0)) for side in (1, -1))
    if full.height != now.height or not full.select(exact).equals(now.select(exact)):
        return False
    others = now.select(pl.col(column).alias(f"{_SIDE}{column}") for column in fractions)
    close = [
        pl.col(column)
        .is_close(f"{_SIDE}{column}", rel_tol=_NEAR, abs_tol=_NEAR, nans_equal=True)
        .fill_null(pl.col(column).is_null() & pl.col(f"{_SIDE}{column}").is_null())
        for column in fractions
    ]
    return bool(full.hstack(others).select(pl.all_horizontal(close).all()).item())


def _repeated(rows: pl.DataFrame) -> pl.DataFrame:
    """Each row as often as it is there."""
    return rows.select(pl.exclude(_SIDE).repeat_by(pl.col(_SIDE).abs()).explode()) if rows.height else rows.drop(_SIDE)


def _told(job: StageJob, differ: pl.DataFrame, columns: Sequence[str]) -> str:
    missing = int(differ.filter(pl.col(_SIDE) > 0)[_SIDE].sum())
    extra = -int(differ.filter(pl.col(_SIDE) < 0)[_SIDE].sum())
    public = [column for column in columns if column not in job.stage.pii]
    row = differ.sort(columns[0], nulls_last=True).row(0, named=True)
    example = ", ".join(f"{column}={row[column]!r}" for column in public) or "(its values are not told)"
    where = "a full computation has" if row[_SIDE] > 0 else "the increment has"
    how = f" ({job.plan.how.kind}: {job.plan.how.why})" if job.plan.how else ""
    return (
        f"stage {job.stage.name!r}: its increment{how} is not what a full computation comes to: {count(missing, 'row')} "
        f"missing, {count(extra, 'row')} too many; {where} {example}. Nothing is published; run with --full, and declare "
        "incremental: full where the function does not go by what is declared or proven"
    )


def _height(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect().item())
