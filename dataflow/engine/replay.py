"""Sends quarantined rows through their stage once more: deduplication, gate, publication.

A batch like any other: rows leave the quarantine in the very intent that publishes them, so that they are sent
once, whatever happens; the ledger beside the stage keeps them as they were. They are filed under the unit that
they came from: when that is computed anew from its input, what it gives replaces them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import polars as pl

from dataflow.engine.chosen import ABOUT, Chosen, edit
from dataflow.engine.job import BATCH_ID, QUARANTINE_ID, READABLE, StageJob, side_table
from dataflow.engine.planning import Planning
from dataflow.engine.produced import stage_produced
from dataflow.engine.reading import as_produced, every_row
from dataflow.engine.settling import settle
from dataflow.engine.writing import Writing
from dataflow.errors import LakeCorrupt
from dataflow.lake.errors import storage_errors
from dataflow.lake.lake import Lake
from dataflow.lake.naming import unit_id_of
from dataflow.lake.state import PipelineState
from dataflow.model import Manifest, RowCounts, StageReport, digest
from dataflow.plan import PlannedUnit, StagePlan, count
from dataflow.workflow import Stage, Workflow

_PATH = "_replay_path"


class Replaying(Planning):
    """Plans one stage: not what its inputs gained, but what of its quarantine is sent again."""

    def __init__(self, workflow: Workflow, lake: Lake, state: PipelineState, run_id: str, *, chosen: Chosen) -> None:
        super().__init__(workflow, lake, state, run_id, full=False)
        self.chosen = chosen

    def plan(self, stage: Stage) -> StagePlan:
        """One unit for each that set some of the chosen rows aside.

        Errors: ConfigError, LakeError.
        """
        self.check_there(stage.name)
        table, before = side_table(stage.name, "quarantine"), self.state.stage(stage.name)
        head = self.lake.head(table)
        assert head is not None, "the engine has looked before the run began"
        snapshot = self.lake.snapshot(head)
        with storage_errors(head.uri):
            found = self.chosen.rows(self.lake.scan(snapshot, path_column=_PATH), stage.name)
            # What could not be read has no values until somebody fills them in.
            blank = pl.lit(value=False) if self.chosen.edited else pl.col("_rules").list.contains(READABLE)
            named = found.select(QUARANTINE_ID, _PATH, blank.alias(READABLE)).collect().sort(QUARANTINE_ID)
        rows = named.filter(~pl.col(READABLE)).select(QUARANTINE_ID, _PATH)
        by_unit: dict[str, list[str]] = {}
        for name, path in rows.iter_rows():
            by_unit.setdefault(unit_id_of(path) or "", []).append(name)
        epoch, seq, again = before.epoch, before.seq + 1, digest(self.chosen, self.run_id)
        if lost := sorted(by_unit.keys() - before.units.keys()):
            raise LakeCorrupt(
                f"table {table!r}: the units that set {sum(len(by_unit[id]) for id in lost)} of the chosen rows aside "
                f"can no more be told ({by_unit[lost[0]][0]} is one of these rows): another program rearranged its files. "
                f"Nothing is sent; restore it to a version from before: deltalake.DeltaTable({head.uri!r}).restore(version)",
                table=table,
            )
        units = tuple(
            PlannedUnit(before.units[id].unit, digest(id, epoch, seq, again), rows=len(names), replays=tuple(names))
            for id, names in sorted(by_unit.items())
        )
        return StagePlan(
            stage=stage.name,
            action="run" if units else "skip",
            reason=_reason(rows.height, named.height - rows.height),
            units=units,
            units_fresh=len(before.units) - len(units),
            inputs={table: snapshot},
            fingerprint=before.fingerprint,
            seq=seq,
            epoch=epoch,
        )

    def job(self, stage: Stage, plan: StagePlan) -> StageJob:
        """What the units need; of the stage's inputs and its function only what a strategy may ask for."""
        bare = self.bare_job(stage, plan, edited=self.chosen.edited)
        return bare if stage.strategy is None else replace(bare, **self.reads(stage, self.inputs(stage)))

    def is_pulled(self, stage: Stage) -> bool:
        """Nobody is asked for anything new."""
        return False

    def not_taken(self, stage: Stage, reports: Mapping[str, StageReport]) -> str | None:
        """Whoever sends rows again has chosen the path."""
        return None


def _reason(sent: int, blank: int) -> str:
    left = f"; {count(blank, 'row')} could not be read: export, fill in what _raw tells, and send with --edited"
    return f"{count(sent, 'quarantined row')} sent again{left if blank else ''}"


def replay_unit(job: StageJob, planned: PlannedUnit, writing: Writing) -> Manifest:
    """Stage the chosen rows of one unit, and its quarantine without them."""
    stage, table = job.stage, side_table(job.stage.name, "quarantine")
    assert job.plan.inputs is not None
    snapshot = job.plan.inputs[table]
    files = [f for f in snapshot.files if unit_id_of(f.path) == planned.unit.id]
    root = f"{job.lake.table_uri(table)}/"
    held = job.lake.scan(snapshot, files, path_column=_PATH).with_columns(pl.col(_PATH).str.strip_prefix(root))
    among = pl.col(QUARANTINE_ID).is_in(list(planned.replays))
    touched = set(held.filter(among).select(_PATH).unique().collect().to_series())
    rewritten = [f for f in files if f.path in touched]
    chosen = job.lake.scan(snapshot, rewritten).filter(among)
    writing.sink(job.lake.scan(snapshot, rewritten).filter(~among), table, "carried")
    writing.sink_ledger("replayed", chosen)
    rows = edit(chosen, job.edited) if job.edited else chosen
    rows = rows.drop(ABOUT, strict=False).with_columns(pl.lit(job.plan.batch_id).alias(BATCH_ID))
    removes, counts = {table: tuple(sorted(touched))}, RowCounts(read=planned.rows, produced=planned.rows)
    if stage.strategy is not None:
        effect = settle(writing, as_produced(job, rows), partial(every_row, job), anew=False)
        return writing.manifest(effect.told(writing.outcome(counts)), {**removes, stage.name: effect.removes})
    if stage.deduplicate is not None:
        rows = _without_known(writing, rows, stage.deduplicate.key)
    stage_produced(writing, rows)
    return writing.manifest(writing.outcome(counts), removes)


def _without_known(writing: Writing, rows: pl.LazyFrame, key: Sequence[str]) -> pl.LazyFrame:
    """``rows`` whose key the table does not have; the others, whose place was taken meanwhile, go to the duplicates."""
    job = writing.job
    head = job.lake.head(job.stage.name)
    if head is None:
        return rows
    snapshot = job.lake.snapshot(head)
    # A key never crosses units; of files that another program rearranged nobody knows whose rows they hold.
    files = [f for f in snapshot.files if unit_id_of(f.path) in (writing.planned.unit.id, None)]
    known = job.lake.scan(snapshot, files).select(key)
    writing.sink_aside("duplicates", rows.join(known, on=list(key), how="semi", maintain_order="left"))
    return rows.join(known, on=list(key), how="anti", maintain_order="left")
