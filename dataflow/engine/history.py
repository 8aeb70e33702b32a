"""The quality history: every verdict of every batch, in two tables of the lake that anyone can read over time.

The journal is the truth; these tables are what it says of verdicts, caught up at the end of a run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import polars as pl

from dataflow.engine.replacing import MANY_SMALL, SMALL_BYTES
from dataflow.lake.commit import TableChange, publish_change
from dataflow.lake.lake import ActiveFile, Lake, Snapshot
from dataflow.lake.lease import HeldLease
from dataflow.lake.naming import unit_id_of
from dataflow.lake.seams import Seam, reach
from dataflow.lake.staging import Target, stage
from dataflow.lake.state import Judgement
from dataflow.model import RowCounts, Unit

RULES, BATCHES = "_quality_rules", "_quality_batches"
HISTORY = (RULES, BATCHES)
_ABOUT = {
    "pipeline": pl.String(),
    "stage": pl.String(),
    "batch_id": pl.String(),
    "run_id": pl.String(),
    "judged_at": pl.Datetime("us", "UTC"),
    "outcome": pl.String(),
    "published": pl.Boolean(),
}
_OF_A_RULE = {
    "rule": pl.String(),
    "statement": pl.String(),
    "severity": pl.String(),
    "route": pl.String(),
    "scope": pl.String(),
    "success": pl.Boolean(),
    "checked": pl.Int64(),
    "failed": pl.Int64(),
    "repaired": pl.Int64(),
    "evidence": pl.String(),
    "error": pl.String(),
}


def _count(name: str) -> str:
    """What a column of counts is called; of the batch itself, ``published`` says whether it was."""
    return f"{name}_rows"


SCHEMAS = {
    RULES: pl.Schema({**_ABOUT, **_OF_A_RULE, "observed": pl.String()}),
    BATCHES: pl.Schema({**_ABOUT, **{_count(name): pl.Int64() for name in RowCounts.model_fields}}),
}


def record_history(lake: Lake, lease: HeldLease) -> int:
    """Append what the journal tells of verdicts and the history does not have yet; says how many batches.

    Each table knows by its last transaction how far it has come, so an interrupted append is never done twice.
    Errors: LakeError.
    """
    told = lease.refresh().judgements
    for table in HISTORY if told else ():
        _append(lake, lease, table, told)
    lease.recorded = max((j.seq for j in told), default=0)
    return len(told)


def _append(lake: Lake, lease: HeldLease, table: str, told: Sequence[Judgement]) -> None:
    # Entries are numbered by their journal; one that was begun anew starts again from nothing.
    app = f"{table}@{lease.pipeline}@{lease.journal_id}"
    unit = Unit(stage=table, partition=(("pipeline", lease.pipeline),))
    with lake.newest(table) as handle:
        known = (handle.transaction_version(app) if handle is not None else None) or 0
        before = lake.loaded(handle, table) if handle is not None else None
    new = [j for j in told if j.seq > known]
    if not new:
        return
    frames = [pl.LazyFrame([r for j in new for r in _ROWS[table](lease.pipeline, j)], schema=SCHEMAS[table])]
    folded = _foldable(before, unit) if before is not None else ()
    if before is not None and folded:
        frames.insert(0, lake.scan(before, folded))
    sink = stage(lake, pl.concat(frames, how="diagonal"), Target(table, unit, lease.run_id))
    pl.collect_all([sink.plan])
    adds = sink.files()
    reach(Seam.HISTORY_STAGED, table)
    change = TableChange(
        table=table,
        app=app,
        seq=new[-1].seq,
        # A run that this one took over may wake up and tell the same.
        after=known,
        batch_id=f"{table}.{new[-1].seq}",
        pipeline=lease.pipeline,
        table_schema=sink.table_schema,
        adds=adds,
        removes=tuple(file.path for file in folded),
    )
    publish_change(lake, change, lease.lock)
    reach(Seam.HISTORY_PUBLISHED, table)


def _foldable(before: Snapshot, unit: Unit) -> Sequence[ActiveFile]:
    """The pipeline's small files where they are many: each run adds one, and each costs whoever reads the history."""
    small = [file for file in before.files if file.size_bytes <= SMALL_BYTES and unit_id_of(file.path) == unit.id]
    return small if len(small) >= MANY_SMALL else ()


def _about(pipeline: str, judgement: Judgement) -> dict[str, object]:
    about = judgement.model_dump(include={"stage", "batch_id", "run_id", "judged_at", "published"})
    return {"pipeline": pipeline, **about, "outcome": judgement.verdict.outcome}


def _rule_rows(pipeline: str, judgement: Judgement) -> list[dict[str, object]]:
    about = _about(pipeline, judgement)
    return [
        {**about, **result.model_dump(include=set(_OF_A_RULE)), "observed": _text(result.observed)}
        for result in judgement.verdict.results
    ]


def _batch_rows(pipeline: str, judgement: Judgement) -> list[dict[str, object]]:
    counts = {_count(name): number for name, number in judgement.counts}
    return [{**_about(pipeline, judgement), **counts}]


_ROWS = {RULES: _rule_rows, BATCHES: _batch_rows}


def _text(observed: object) -> str | None:
    """An observed value as JSON: a count here, a mean or a set of values there."""
    return None if observed is None else json.dumps(observed, default=str)
