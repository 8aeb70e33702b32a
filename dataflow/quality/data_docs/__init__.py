"""Data Docs of Great Expectations in the lake: a page a batch and an index by stage, complete without a network."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import resources
from typing import Any, TypeVar

import fsspec  # pyright: ignore[reportMissingTypeStubs]

from dataflow.model import digest
from dataflow.quality.data_docs.results import summary

T = TypeVar("T")
_INDEX = "index.json"
_BATCHES = "batches"
MOST = 200
"""Batches of each stage that have a page. With all there ever were, the list of them alone would soon take longest of a run."""


def build_data_docs(
    results: Iterable[tuple[str, str, datetime, Mapping[str, Any]]], folder: str, fs: Any = None
) -> int:
    """Add the pages of batches that the site in ``folder`` does not have yet; answers how many.

    Each batch is its stage, its id, when it was judged, and what Great Expectations'
    ``ExpectationSuiteValidationResult.to_json_dict()`` said. ``fs`` is a file system of fsspec that
    ``folder`` lies on, by default this machine's. Pages are never written twice: what is
    handed over again costs nothing, and a site that was deleted comes back with all its results. Of each stage the
    newest ``MOST`` are kept.

    Errors: OSError where the folder cannot be written.
    """
    if fs is None:
        fs = fsspec.filesystem("file")  # pyright: ignore[reportUnknownMemberType]
    folder = folder.rstrip("/")
    known = _known(fs, folder)
    new: dict[str, bytes] = {}
    for stage, batch_id, judged_at, result in results:
        at = judged_at.astimezone(UTC).isoformat(timespec="seconds")
        page = _page(stage, batch_id, at)
        if page in known or page in new:
            continue
        from dataflow.quality.data_docs.pages import batch_page

        new[page] = batch_page(stage, batch_id, at, result).encode()
        known[page] = {"stage": stage, "batch_id": batch_id, "judged_at": at, "page": page, **summary(result)}
    if new:
        # Of one second, those come later that were added later.
        in_order = sorted(known.values(), key=lambda batch: str(batch["judged_at"]))
        old = {batch["page"] for batch in outdated(in_order, lambda batch: str(batch["stage"]))}
        listed = {batch["page"]: batch for batch in in_order if batch["page"] not in old}
        _write(fs, folder, {**_assets(), **new, **_index(listed)})
        for page in old:
            with suppress(FileNotFoundError):
                fs.rm_file(f"{folder}/{page}")
    return len(new)


def outdated(batches: Sequence[T], stage_of: Callable[[T], str]) -> list[T]:
    """Of batches in the order in which they were judged, those that came before the newest ``MOST`` of their stage."""
    told, found = Counter[str](), list[T]()
    for batch in reversed(batches):
        told[stage_of(batch)] += 1
        if told[stage_of(batch)] > MOST:
            found.append(batch)
    return found


def newest(folder: str, fs: Any = None) -> datetime | None:
    """When the newest batch of the site in ``folder`` was judged; None where there is no site."""
    known = _known(fs or fsspec.filesystem("file"), folder.rstrip("/"))  # pyright: ignore[reportUnknownMemberType]
    return max((datetime.fromisoformat(batch["judged_at"]) for batch in known.values()), default=None)


def _known(fs: Any, folder: str) -> dict[str, dict[str, Any]]:
    """The batches that the index lists; none where there is no index, or one that is broken."""
    place = f"{folder}/{_INDEX}"
    if not fs.exists(place):
        return {}
    try:
        return {each["page"]: each for each in json.loads(fs.cat_file(place))}
    except (ValueError, TypeError, KeyError):
        return {}


def _page(stage: str, batch_id: str, judged_at: str) -> str:
    """Where a batch's page lies: a name that any file system takes, and that no other batch has."""
    readable, at = re.sub(r"[^A-Za-z0-9_-]+", "-", batch_id)[:80], re.sub(r"\D", "", judged_at)[:14]
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", stage)
    return f"{_BATCHES}/{plain}/{at}-{readable}-{digest(stage, batch_id, judged_at)[:6]}.html"


def _index(known: Mapping[str, dict[str, Any]]) -> dict[str, bytes]:
    from dataflow.quality.data_docs.pages import index_page

    stages: dict[str, list[dict[str, Any]]] = {stage: [] for stage in sorted({b["stage"] for b in known.values()})}
    for batch in sorted(known.values(), key=lambda b: (b["judged_at"], b["batch_id"]), reverse=True):
        stages[batch["stage"]].append(batch)
    return {"index.html": index_page(stages).encode(), _INDEX: json.dumps(list(known.values())).encode()}


def _assets() -> dict[str, bytes]:
    folder = resources.files(__name__) / "assets"
    return {f"static/{file.name}": file.read_bytes() for file in folder.iterdir()}


def _write(fs: Any, folder: str, files: Mapping[str, bytes]) -> None:
    """Write pages first and the index last, so that it lists nothing that is not there."""
    for parent in sorted({f"{folder}/{name}".rsplit("/", 1)[0] for name in files}):
        fs.makedirs(parent, exist_ok=True)
    for name, content in files.items():
        fs.pipe_file(f"{folder}/{name}", content)
