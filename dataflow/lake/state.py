"""What the journal says of a pipeline, and the bodies of the entries that say it."""

from __future__ import annotations

from datetime import datetime

from dataflow.lake.commit import TableChange
from dataflow.model import Frozen, RowCounts, TableVersion, Unit, Verdict


class Lease(Frozen):
    """Who runs the pipeline, or did last."""

    number: int
    run_id: str
    host: str
    process_id: int
    process_started_at: float
    """Seconds since the epoch, as the operating system counts: tells a reused process id."""
    ttl_seconds: float
    beat_at: datetime
    released: bool = False
    clean: bool = False


class FileRecord(Frozen):
    """A file that a source delivered, and the id under which its rows are known."""

    source: str
    name: str
    content_hash: str
    size_bytes: int
    modified_at: float
    file_id: int
    first_id: int
    """The id of the first content seen under this name: a corrected file is no late arrival."""
    etag: str | None = None
    """What the object store called the content."""


class UnitState(Frozen):
    """A published unit."""

    unit: Unit
    key: str
    """Names what was published; empty where it is to be run again and replaced, whatever it comes to."""
    batch_id: str
    reason: str = ""
    """Why it is to be run again, in words."""


class LateStep(Frozen):
    """The watermark in force for files numbered above ``file_id``."""

    file_id: int
    watermark: datetime


class Intent(Frozen):
    """Everything that finishing a batch needs, written before its first commit."""

    stage: str
    batch_id: str
    epoch: int
    seq: int
    changes: tuple[TableChange, ...]
    """In the order in which they are committed: side tables first, the stage's own last."""
    units: tuple[UnitState, ...]
    dropped: tuple[Unit, ...] = ()
    """Units that are no more."""
    left: tuple[str, ...] = ()
    """Ids of published units that the batch found stale too and leaves for later ones; not those marked before."""
    inputs: tuple[TableVersion, ...]
    fingerprint: str
    counts: RowCounts
    verdict: Verdict | None = None
    event_time_max: datetime | None = None
    late_steps: tuple[LateStep, ...] = ()
    """The last one; those before it stay as they are. None where the stage has no window."""
    replays: bool = False
    """The batch sends quarantined rows again: how far the stage has come with its inputs stays as it was."""
    full_seconds: float | None = None
    """How long it took, where it computed the stage in full."""


class Judgement(Frozen):
    """What a gate said of a batch, and whether the batch was published."""

    stage: str
    batch_id: str
    run_id: str
    judged_at: datetime
    counts: RowCounts
    verdict: Verdict
    published: bool
    seq: int = 0
    """Number of the journal entry that tells it."""


class StageState(Frozen):
    """What is published of a stage."""

    epoch: int = 0
    seq: int = 0
    batch_id: str | None = None
    fingerprint: str = ""
    published_at: datetime | None = None
    units: dict[str, UnitState] = {}
    inputs: tuple[TableVersion, ...] = ()
    outputs: tuple[TableVersion, ...] = ()
    counts: RowCounts = RowCounts()
    """Of the last batch, as is ``verdict``."""
    verdict: Verdict | None = None
    event_time_max: datetime | None = None
    late_steps: tuple[LateStep, ...] = ()
    wish: str = ""
    """Names the last wish of a person that was granted, so that it is granted once."""
    full_seconds: float | None = None
    """How long the last batch took that computed the stage in full."""

    @property
    def stale(self) -> tuple[UnitState, ...]:
        """Units that are to be run again."""
        return tuple(unit for unit in self.units.values() if not unit.key)


class PipelineState(Frozen):
    """What is known of a pipeline."""

    pipeline: str
    lease: Lease | None = None
    stages: dict[str, StageState] = {}
    files: dict[str, FileRecord] = {}
    """By source and name."""
    next_file_id: int = 1
    intents: dict[str, Intent] = {}
    """By batch id: begun and not finished."""
    unswept: tuple[str, ...] = ()
    """Runs that may have left staged files behind."""
    release: dict[str, int] = {}
    """The table versions that the last whole run published together."""
    judgements: tuple[Judgement, ...] = ()
    """Not known yet to be in the tables of the quality history."""

    def stage(self, name: str) -> StageState:
        return self.stages.get(name, StageState())

    @property
    def is_held(self) -> bool:
        """Whether the lease was not given back: its run is at work, or has died."""
        return self.lease is not None and not self.lease.released

    @property
    def tables(self) -> set[str]:
        """Every table that the pipeline has published or is about to."""
        published = {o.table for s in self.stages.values() for o in s.outputs}
        return published | {c.table for i in self.intents.values() for c in i.changes}


def file_key(source: str, name: str) -> str:
    """Under which a source's file is kept in ``PipelineState.files``."""
    return f"{source}\x1f{name}"


class Files(Frozen):
    """Body of a ``files`` entry."""

    files: tuple[FileRecord, ...]


class Stale(Frozen):
    """Body of a ``stale`` entry: published units that are to be run again, which replaces what they gave."""

    stage: str
    units: tuple[str, ...] | None = None
    """Their ids; None for all of the stage. Those that are not published are passed over."""
    epoch: int | None = None
    """The epoch that begins with it, where a person has moved the position of a source."""
    reason: str
    wish: str = ""


class Outputs(Frozen):
    """Body of a ``published`` entry: side tables and the stage's own."""

    outputs: tuple[TableVersion, ...]


class Release(Frozen):
    """Body of a ``release`` entry."""

    tables: dict[str, int]


class Released(Frozen):
    """Body of a ``released`` entry."""

    clean: bool
    recorded: int = 0
    """Judgements up to this entry are in the tables of the quality history."""
