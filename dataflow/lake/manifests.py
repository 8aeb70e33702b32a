"""Manifests of staged units, kept until the batch is published: an interrupted run is resumed from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from dataflow.lake.deletion_vectors import vector_paths
from dataflow.lake.errors import storage_errors
from dataflow.lake.filesystem import sizes_of
from dataflow.lake.lake import Lake
from dataflow.lake.seams import Seam, reach
from dataflow.model import Manifest

FOLDER = "_staged"


def _place(lake: Lake, stage: str, key: str = "") -> str:
    return lake.path(FOLDER, stage, f"{key}.json" if key else "").rstrip("/")


def save(lake: Lake, manifest: Manifest) -> None:
    """Keep ``manifest``, under its unit's key, in one step that a crash cannot tear."""
    place = _place(lake, manifest.unit.stage, manifest.key)
    draft = f"{place}.{manifest.batch_id.replace('/', '-')}.tmp"
    with storage_errors(lake.uri):
        lake.fs.makedirs(place.rsplit("/", 1)[0], exist_ok=True)
        lake.fs.pipe_file(draft, manifest.model_dump_json().encode())
        reach(Seam.MANIFEST_DRAFTED, manifest.unit.stage)
        lake.fs.mv(draft, place)


def load(
    lake: Lake, stage: str, key: str, *, batch_id: str | None = None, expires_after: timedelta | None = None
) -> Manifest | None:
    """The manifest under ``key`` if it is of ``batch_id`` and all its files are still there; None otherwise."""
    place = _place(lake, stage, key)
    with storage_errors(lake.uri):
        if not lake.fs.exists(place):
            return None
        try:
            manifest = Manifest.model_validate_json(lake.fs.cat_file(place))
        except ValidationError:
            # Written by another release of the library: what it names is staged anew.
            return None
        if batch_id is not None and manifest.batch_id != batch_id:
            return None
        if expires_after is not None and datetime.now(UTC) - manifest.staged_at > expires_after:
            return None
        sizes = sizes_of(lake.fs, [lake.path(f.table, f.path) for f in manifest.files])
        vectors = sizes_of(lake.fs, [lake.path(table, path) for table, path in _vectors(manifest)])
        whole = sizes == [f.size_bytes for f in manifest.files] and None not in vectors
    return manifest if whole else None


def staged_paths(manifest: Manifest) -> set[tuple[str, str]]:
    """Table and path of everything that a unit staged: its files, and the lists of dead rows."""
    return {(file.table, file.path) for file in manifest.files} | _vectors(manifest)


def _vectors(manifest: Manifest) -> set[tuple[str, str]]:
    return {(table, path) for table, deletes in manifest.deletes.items() for path in vector_paths(deletes)}


def kept(lake: Lake, stages: Sequence[str]) -> list[Manifest]:
    """Every manifest of ``stages`` that can still be used."""
    found: list[Manifest] = []
    for stage in stages:
        with storage_errors(lake.uri):
            folder = _place(lake, stage)
            names: list[str] = lake.fs.ls(folder, detail=False) if lake.fs.exists(folder) else []
        keys = [name.rsplit("/", 1)[-1].removesuffix(".json") for name in names if name.endswith(".json")]
        found += [manifest for key in keys if (manifest := load(lake, stage, key)) is not None]
    return found


def remove(lake: Lake, manifest: Manifest) -> None:
    """Forget one manifest; its files stay."""
    with storage_errors(lake.uri):
        lake.fs.rm_file(_place(lake, manifest.unit.stage, manifest.key))


def clear(lake: Lake, stage: str) -> None:
    """Forget the manifests of ``stage``."""
    with storage_errors(lake.uri):
        folder = _place(lake, stage)
        if lake.fs.exists(folder):
            lake.fs.rm(folder, recursive=True)
