"""Puts a staged batch before its gate."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dataflow.engine.job import StageJob, side_table
from dataflow.engine.seams import Seam, reach
from dataflow.errors import SchemaConflict
from dataflow.lake.schema import from_json
from dataflow.model import Manifest, Verdict, manifest_digest
from dataflow.quality.gate import audit


def audit_batch(job: StageJob, manifests: Sequence[Manifest]) -> Verdict:
    """The gate's verdict about exactly the staged files.

    Rules about rows judge every row that the stage returned, quarantined ones among them; rules about
    the batch judge what is going to be published.
    """
    named = manifest_digest(manifests)
    rules = job.stage.gate
    if not rules or not manifests:
        # Without manifests the batch only drops units: there are no rows to judge.
        return Verdict(stage=job.stage.name, batch_id=job.plan.batch_id, digest=named)
    good = _staged(job, manifests, job.stage.name)
    aside = _staged(job, manifests, side_table(job.stage.name, "quarantine"))
    assert good is not None, "every unit stages rows for the stage's own table, if only none of them"
    about = {"stage": job.stage.name, "batch_id": job.plan.batch_id, "digest": named}
    if aside is None:
        verdict = audit(good, rules, **about)
    else:
        columns = good.collect_schema().names()
        rows = audit(pl.concat([good, aside.select(columns)]), [r for r in rules if r.scope == "row"], **about)
        batch = audit(good, [r for r in rules if r.scope == "batch"], **about)
        found = {r.rule: r for r in (*rows.results, *batch.results)}
        verdict = rows.model_copy(update={"results": tuple(found[r.name] for r in rules)})
    reach(Seam.AUDITED, job.stage.name)
    return verdict


def _staged(job: StageJob, manifests: Sequence[Manifest], table: str) -> pl.LazyFrame | None:
    """The rows that were staged for a table; None where there are none for a side table."""
    paths = [f.path for m in manifests for f in m.files if f.table == table and f.role != "carried"]
    schema = staged_schema(job, manifests, table)
    if schema is None or (not paths and table != job.stage.name):
        return None
    return job.lake.scan_files(table, paths, from_json(schema))


def staged_schema(job: StageJob, manifests: Sequence[Manifest], table: str) -> str | None:
    """The schema (JSON) that all units staged for ``table``; None where none did.

    Errors: SchemaConflict where units differ.
    """
    schemas = {m.schemas[table] for m in manifests if table in m.schemas}
    if len(schemas) > 1:
        one, other = (from_json(schema) for schema in sorted(schemas)[:2])
        differ = [c for c in (*one, *other) if one.get(c) != other.get(c)]
        types = [f"{one.get(c, 'missing')} in one and {other.get(c, 'missing')} in another" for c in differ]
        what = f"{differ[0]!r} is {types[0]}" if differ else "they come in another order"
        raise SchemaConflict(
            f"stage {job.stage.name!r}: its units return different columns or types: {what}; return the same from every call",
            stage=job.stage.name,
        )
    return next(iter(schemas), None)
