"""What units staged."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from dataflow.model.books import RowCounts
from dataflow.model.values import Frozen, TableVersion, Unit, digest
from dataflow.model.vectors import Deletion, DeletionVector

FileRole = Literal["new", "carried", "side", "broken"]
"""``new``: the stage's own rows, which the gate audits. ``carried``: published rows that a merge
had to rewrite. ``side``: quarantine, late and ledger. ``broken``: quarantined rows that could not be read, of which
no rule can be asked."""


class StagedFile(Frozen):
    """A Parquet file at its final name, in its table's folder but in no commit."""

    table: str
    path: str
    role: FileRole
    rows: int
    size_bytes: int
    partition: dict[str, str | None] = {}
    stats: str = "{}"


class Manifest(Frozen):
    """What one unit staged, and where its rows went."""

    unit: Unit
    key: str
    batch_id: str
    staged_at: datetime
    files: tuple[StagedFile, ...]
    counts: RowCounts
    schemas: dict[str, str] = {}
    """Delta schema (JSON) of every table that the unit staged for."""
    event_time_max: datetime | None = None
    removes: dict[str, tuple[str, ...]] = {}
    """By table: files that these replace, beyond the unit's own."""
    deletes: dict[str, tuple[Deletion, ...]] = {}
    """By table: files of which rows die."""
    seen: dict[str, dict[str, DeletionVector]] = {}
    """By table and path: the dead rows that these files had when the unit was staged."""
    references: dict[str, TableVersion] = {}
    """Versions of the tables that rules referred to when rows were set aside."""
    notes: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class Staged(Frozen):
    """What one step of a stage staged: the manifests of its units."""

    manifests: tuple[Manifest, ...]


class NotTaken(Frozen):
    """What came of a stage on a path that this run does not take."""

    reason: str


def manifest_digest(manifests: Iterable[Manifest]) -> str:
    """Names exactly the staged files and the rows that die; a verdict holds for this digest and no other."""
    units = list(manifests)
    files = sorted((f.table, f.path, f.rows, f.size_bytes) for m in units for f in m.files)
    dead = sorted(
        (t, d.path, d.vector.model_dump_json()) for m in units for t, found in m.deletes.items() for d in found
    )
    return digest(*(text for told in (*files, *dead) for text in told))
