"""Great Expectations' own results of every batch, kept in the lake, and the Data Docs made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dataflow.engine.job import StageJob
from dataflow.lake.errors import storage_errors
from dataflow.lake.filesystem import names_in
from dataflow.lake.lake import Lake
from dataflow.quality.data_docs import build_data_docs, newest, outdated

FOLDER = "_quality"
_SITE, _RESULTS = "data_docs", "results"
_STAMP, _MOMENT = "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%S.%f"


def keep_result(job: StageJob, result: Mapping[str, Any]) -> None:
    """Keep what Great Expectations found in a batch: counts, and no value of any row."""
    at = datetime.now(UTC)
    told = {"stage": job.stage.name, "batch_id": job.plan.batch_id, "judged_at": at.isoformat(), "result": result}
    folder = _folder(job.lake, job.pipeline, _RESULTS)
    with storage_errors(job.lake.uri):
        job.lake.fs.makedirs(folder, exist_ok=True)
        job.lake.fs.pipe_file(f"{folder}/{at:{_MOMENT}}-{job.plan.batch_id}.json", json.dumps(told).encode())


def update_docs(lake: Lake, pipeline: str) -> str:
    """Bring the pipeline's Data Docs up to its newest result; says where they are.

    Errors: LakeError.
    """
    site = _folder(lake, pipeline, _SITE)
    with storage_errors(lake.uri):
        names = _listed(lake, pipeline)
        build_data_docs(_results(lake, names, newest(site, lake.fs)), site, lake.fs)
        for name in outdated(names, _stage_of):
            lake.fs.rm_file(name)
    return f"{lake.uri}/{FOLDER}/{pipeline}/{_SITE}/index.html"


def _listed(lake: Lake, pipeline: str) -> list[str]:
    """Where results are kept, oldest first."""
    folder = _folder(lake, pipeline, _RESULTS)
    return [f"{folder}/{name}" for name in sorted(names_in(lake.fs, folder))] if lake.fs.exists(folder) else []


def _stage_of(name: str) -> str:
    """Whose result it is; of what somebody else has put there, nobody's."""
    return name.rsplit("/", 1)[-1].partition("-")[2].partition(".")[0]


def _results(
    lake: Lake, names: Sequence[str], since: datetime | None
) -> Iterator[tuple[str, str, datetime, Mapping[str, Any]]]:
    for name in names:
        # Those of the newest second again: more than one batch may be judged in it, and a page is written once.
        if since is None or name.rsplit("/", 1)[-1] >= f"{since:{_STAMP}}":
            try:
                told = json.loads(lake.fs.cat_file(name))
            except ValueError:
                # A run that was killed while it wrote leaves half a file, and its batch is judged once more.
                continue
            yield told["stage"], told["batch_id"], datetime.fromisoformat(told["judged_at"]), told["result"]


def _folder(lake: Lake, pipeline: str, what: str) -> str:
    return lake.path(FOLDER, pipeline, what)
