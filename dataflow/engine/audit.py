"""Puts a staged batch before its gate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl

from dataflow.engine.changes import check_fits, dying, outgoing, staged_schema
from dataflow.engine.docs import keep_result
from dataflow.engine.job import StageJob, side_table
from dataflow.engine.verifying import verify
from dataflow.lake.schema import from_json
from dataflow.lake.seams import Seam, reach
from dataflow.lake.snapshot import of_the_living
from dataflow.model import Manifest, Verdict, manifest_digest
from dataflow.quality.alerts import tell
from dataflow.quality.batch import Batch, FileFacts, Files
from dataflow.quality.gate import audit
from dataflow.quality.rules import ValidationRule


def audit_batch(job: StageJob, manifests: Sequence[Manifest]) -> Verdict:
    """The gate's verdict about exactly the staged files.

    Rules about rows judge every row that the stage returned, those set aside among them; rules about the batch
    judge what is going to be published, rules about the table what the table is going to be.
    """
    verified = verify(job, _table(job, manifests)) if job.verify and manifests else ()
    stage, named, rules = job.stage, manifest_digest(manifests), _asked(job)
    limit = None if job.plan.replays else stage.quarantine_limit
    if not (rules or limit) or not manifests:
        # Without manifests the batch only drops units: there are no rows to judge.
        return Verdict(stage=stage.name, batch_id=job.plan.batch_id, digest=named, notes=verified)
    verdict = audit(
        _batch(job, manifests),
        rules,
        stage=stage.name,
        batch_id=job.plan.batch_id,
        digest=named,
        limit=limit,
        pii=stage.pii,
        on_result=partial(keep_result, job) if job.data_docs else None,
    )
    reach(Seam.AUDITED, stage.name)
    unsent = tell(job.alerts, verdict, pipeline=job.pipeline, lake=job.lake.uri)
    return verdict.model_copy(update={"notes": verdict.notes + unsent + verified})


def _table(job: StageJob, manifests: Sequence[Manifest]) -> pl.LazyFrame:
    """The rows of the stage's table as the batch is going to leave it."""
    sides = [side for side in (_kept(job, manifests), _staged(job, manifests, job.stage.name)) if side is not None]
    return pl.concat([side.scan([file.path for file in side.files]) for side in sides], how="diagonal")


def _asked(job: StageJob) -> tuple[ValidationRule, ...]:
    """The gate's rules; of a few rows that are sent again nobody asks what is true of a delivery, but for its keys."""
    if not job.plan.replays:
        return job.stage.gate
    return tuple(rule for rule in job.stage.gate if rule.scope != "batch" or rule.about_key)


def _batch(job: StageJob, manifests: Sequence[Manifest]) -> Batch:
    good = _staged(job, manifests, job.stage.name)
    assert good is not None, "every unit stages rows for the stage's own table, if only none of them"
    quarantined, dropped, repaired = (
        _staged(job, manifests, side_table(job.stage.name, what)) for what in ("quarantine", "dropped", "repaired")
    )
    return Batch(
        good,
        quarantined,
        dropped,
        repaired,
        distinct=_distinct(job),
        kept=_kept(job, manifests) if any(rule.scope == "table" for rule in job.stage.gate) else None,
        references=job.lookups(),
        broken=sum(f.rows for m in manifests for f in m.files if f.role == "broken"),
    )


def _staged(job: StageJob, manifests: Sequence[Manifest], table: str) -> Files | None:
    """The files that were staged for a table; None where there are none for a side table."""
    files = [f for m in manifests for f in m.files if f.table == table and f.role in ("new", "side")]
    schema = staged_schema(job, manifests, table)
    if schema is None or (not files and table != job.stage.name):
        return None
    scan = partial(job.lake.scan_files, table, schema=from_json(schema))
    by = job.stage.storage.partition_by if table == job.stage.name else ()
    return Files(tuple(FileFacts(f.path, f.rows, f.stats, f.partition) for f in files), scan, by)


def _distinct(job: StageJob) -> tuple[tuple[str, ...], ...]:
    """The key that the stage has just deduplicated by; what repairs have done to it since, the gate knows."""
    stage = job.stage
    if stage.strategy is not None:
        key = stage.strategy.strategy.unique_by
        return (key,) if key else ()
    return (stage.deduplicate.key,) if stage.deduplicate else ()


def _kept(job: StageJob, manifests: Sequence[Manifest]) -> Files | None:
    """The files of the stage's table that stay; None where there are none."""
    head = job.lake.head(job.stage.name)
    if head is None:
        return None
    snapshot = job.lake.snapshot(head)
    goes, staged = outgoing(job, manifests, snapshot), staged_schema(job, manifests, job.stage.name)
    if staged is not None:
        # What the table cannot take is told as such, before the new rows are laid beside its own.
        check_fits(snapshot, from_json(staged), job.stage.storage.partition_by, truncate=goes.truncate)
    gone = set(goes.removes)
    # What a merge rewrites stays, in another file.
    carried = [f for m in manifests for f in m.files if f.table == job.stage.name and f.role == "carried"]
    vectors = {d.path: d.vector for d in dying(manifests, snapshot, goes)[0]}
    stay = {f.path: f.without(vectors.get(f.path)) for f in snapshot.files if f.path not in gone}
    stats = job.lake.statistics(head)
    died = {f.path: f.rows - stay[f.path].rows for f in snapshot.files if f.path in vectors and f.path in stay}
    stats |= {path: of_the_living(stats[path], rows) for path, rows in died.items()}
    facts = [FileFacts(f.path, f.rows, stats[f.path], f.partition) for f in stay.values()]
    facts += [FileFacts(f.path, f.rows, f.stats, f.partition) for f in carried]

    def scan(paths: Sequence[str]) -> pl.LazyFrame:
        old, rewritten = [stay[p] for p in paths if p in stay], [p for p in paths if p not in stay]
        frames = [job.lake.scan(snapshot, old)] if old or not rewritten else []
        frames += [job.lake.scan_files(job.stage.name, rewritten, snapshot.schema)] if rewritten else []
        return pl.concat(frames)

    return Files(tuple(facts), scan, snapshot.partition_by)
