"""What a plan is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dataflow.incremental.tables import TableDiff
from dataflow.lake.lake import Snapshot
from dataflow.lake.state import FileRecord
from dataflow.lineage.locality import Cut
from dataflow.model import How, Unit
from dataflow.sources import Item

Action = Literal["run", "skip", "wait", "depends"]


@dataclass(frozen=True)
class Increment:
    """What a unit works off in the place of all its input, and what of the table goes for it."""

    diffs: Mapping[str, TableDiff]
    """By input: what came and what left since the last batch, of the inputs that changed."""
    cuts: tuple[Cut, ...] = ()
    """Columns whose touched values are computed again; none where rows that came are added, and those that left are
    found by their row ids."""
    note: str = ""
    """What a reader of the report should know."""


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
    increment: Increment | None = None
    """What changed in its inputs since the last batch, where not all of them is read."""
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
    left: tuple[str, ...] = ()
    """Ids of units that are stale as well, and are left for later batches."""
    inputs: Mapping[str, Snapshot] | None = None
    fingerprint: str = ""
    seq: int = 0
    epoch: int = 0
    unrecorded: tuple[FileRecord, ...] = ()
    """Files that the journal must learn of before they are landed."""
    size_bytes_fresh: int = 0
    """Of the files of a source that need not be landed again."""
    full_seconds: float | None = None
    """How long the stage took when it was last computed in full."""
    how: How | None = None
    """How a computed stage is brought up to date."""

    @property
    def batch_id(self) -> str:
        return batch_id(self.stage, self.epoch, self.seq)

    @property
    def told(self) -> str:
        """Why it runs, and how, in a few words."""
        return f"{self.reason}; {self.how.kind}" if self.how else self.reason

    @property
    def merges(self) -> bool:
        """Whether the batch adds to what is published, rather than replacing its units."""
        return any(u.increment is not None or u.replays for u in self.units)

    @property
    def in_full(self) -> bool:
        """Whether the batch computes all that the stage has."""
        return not (self.merges or self.replays or self.units_fresh or self.left)

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
