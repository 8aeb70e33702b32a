"""What a plan is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dataflow.lake.lake import Snapshot
from dataflow.lake.state import FileRecord
from dataflow.model import Unit
from dataflow.sources import Item

Action = Literal["run", "skip", "wait", "depends"]


@dataclass(frozen=True)
class PlannedUnit:
    """A unit that is to be run."""

    unit: Unit
    key: str
    """Names the unit's result: same key, same rows."""
    rows: int = 0
    size_bytes: int = 0
    item: Item | None = None
    """The file that a source unit lands, and its record."""
    record: FileRecord | None = None
    added: tuple[str, ...] | None = None
    """Files that the first input gained since the last batch, where only these are read."""
    replays: tuple[str, ...] = ()
    """Quarantined rows of the unit that are sent again, in the place of its input."""


@dataclass(frozen=True)
class StagePlan:
    """What a run would do with a stage, and why."""

    stage: str
    action: Action
    reason: str
    units: tuple[PlannedUnit, ...] = ()
    units_fresh: int = 0
    dropped: tuple[Unit, ...] = ()
    inputs: Mapping[str, Snapshot] | None = None
    fingerprint: str = ""
    seq: int = 0
    epoch: int = 0
    unrecorded: tuple[FileRecord, ...] = ()
    """Files that the journal must learn of before they are landed."""

    @property
    def batch_id(self) -> str:
        return batch_id(self.stage, self.epoch, self.seq)

    @property
    def merges(self) -> bool:
        """Whether the batch adds to what is published, rather than replacing its units."""
        return any(u.added is not None for u in self.units)

    @property
    def replays(self) -> bool:
        """Whether the batch sends quarantined rows again."""
        return any(u.replays for u in self.units)

    @property
    def rows(self) -> int:
        return sum(u.rows for u in self.units)

    @property
    def size_bytes(self) -> int:
        return sum(u.size_bytes for u in self.units)


@dataclass(frozen=True)
class Plan:
    """What ``--plan`` prints."""

    pipeline: str
    lake: str
    stages: tuple[StagePlan, ...]


def batch_id(stage: str, epoch: int, seq: int) -> str:
    """What a stage's ``seq``-th batch is called."""
    return f"{stage}.{epoch}.{seq}"


def count(number: int, noun: str) -> str:
    """A number of things, in words."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
