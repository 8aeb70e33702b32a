"""Sources and stages in a configuration: frozen models, every key documented.

The same models hold what the Python API declares, so that both spell one workflow.
"""

from __future__ import annotations

import difflib
import zoneinfo
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias, cast

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from dataflow.config.gates import GateEntry, Name, Names, QuarantineLimitConfig
from dataflow.model import Frozen
from dataflow.model.durations import Duration, PositiveDuration


class DeduplicateConfig(Frozen):
    """One row per key."""

    key: Names = Field(min_length=1)
    """Rows that are alike in these columns are one; a row with a null in one is no duplicate."""
    order_by: Names = ()
    """Columns that decide which row is first; by default the order of arrival."""
    keep: Literal["first", "last"] = "first"
    """Which row of a key stays."""


class IncrementalConfig(Frozen):
    """Process only new input rows and merge them into the table by key."""

    key_columns: Names = Field(min_length=1)
    """The table holds one row for each combination of these."""
    timestamp_column: Name
    """The row with the greatest value wins; ties go to the row that arrived last."""


class SlicesConfig(Frozen):
    """Recompute the rows of the touched values of some columns, and no others."""

    by: Names = Field(min_length=1)
    """Columns of the table that come unchanged from the input; rows with different values never meet."""


IncrementalWord: TypeAlias = Literal["append", "partition", "window", "full"]
"""``append``: what the first input gained is computed and added. ``partition``, ``window``: touched partitions of the
table, or touched windows, are computed again. ``full``: all of it, always."""


def _spelling(value: Any) -> str:
    if isinstance(value, Mapping):
        return "<slices>" if "by" in value else "<merge>"
    return "<slices>" if isinstance(value, SlicesConfig) else "<word>" if isinstance(value, str) else "<merge>"


Incremental: TypeAlias = Annotated[
    Annotated[IncrementalConfig, Tag("<merge>")]
    | Annotated[SlicesConfig, Tag("<slices>")]
    | Annotated[IncrementalWord, Tag("<word>")],
    Discriminator(_spelling),
]


class WindowConfig(Frozen):
    """Tumbling windows in event time. The engine adds ``window_start`` and ``window_end``."""

    window_size: PositiveDuration
    """How long a window lasts: ``1 day``, ``6 hours``."""
    late_arrival_tolerance: Duration = timedelta(0)
    """How far behind the newest event time seen a row may arrive; later rows go to the late table."""
    trigger_interval: Duration = timedelta(0)
    """The stage is not run again sooner than this after its last publication."""
    time_column: str | None = None
    """By default the incremental ``timestamp_column``, else the input's only temporal column."""
    time_zone: str | None = None
    """Windows are cut in this zone's local time; by default in UTC."""

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, value: str | None) -> str | None:
        known = zoneinfo.available_timezones()
        # A machine without a zone database cannot judge; Polars brings its own.
        if value is not None and known and value not in known:
            near = difflib.get_close_matches(value, known, n=1) or ["Europe/Rome"]
            raise ValueError(f"unknown time zone; did you mean {near[0]!r}?")
        return value


class StorageConfig(Frozen):
    """How a stage's table is stored. Tables are Delta tables of Parquet files."""

    format: Literal["parquet", "delta"] = "parquet"
    """Both say the same here: Parquet files under a Delta log."""
    partition_by: Names = ()
    """Columns with a folder for each of their values; by default as the stage runs."""
    compression: Literal["zstd", "snappy", "lz4", "gzip", "uncompressed"] = "zstd"
    """Codec of the Parquet files."""
    compression_level: int | None = None
    """From 1 to 22 for zstd, 0 to 9 for gzip; the other codecs have none."""
    updates: Literal["auto", "copy_on_write", "merge_on_read"] = "auto"
    """How replaced rows leave their files. ``copy_on_write``: the file is written again without them.
    ``merge_on_read``: a deletion vector says that they are dead. ``auto``: what is less work, file by file."""

    _LEVELS: ClassVar[dict[str, tuple[int, int]]] = {"zstd": (1, 22), "gzip": (0, 9)}

    @model_validator(mode="after")
    def _level_fits(self) -> Self:
        if self.compression_level is None:
            return self
        if self.compression not in self._LEVELS:
            raise ValueError(f"compression_level has no meaning for {self.compression}; leave it out")
        low, high = self._LEVELS[self.compression]
        if not low <= self.compression_level <= high:
            raise ValueError(f"compression_level of {self.compression} goes from {low} to {high}")
        return self


class RetryConfig(Frozen):
    """How often a step is tried when it fails for a reason that may pass."""

    attempts: int = Field(default=3, ge=1)
    """How often in all."""
    delay_seconds: float = Field(default=60, ge=0)
    """Wait between attempts, jittered by up to a half."""
    timeout_minutes: float | None = Field(default=None, gt=0)
    """Time limit of one attempt."""


class CacheConfig(Frozen):
    """Reuse of what an interrupted or rejected run had already staged."""

    expires_after: PositiveDuration | None = None
    """What was staged longer ago than this is staged again; by default it never expires."""


class StageOptions(Frozen):
    """What sources and tasks have in common."""

    gate: tuple[GateEntry, ...] = ()
    """Rules, and suites of rules."""
    quarantine_limit: QuarantineLimitConfig | None = None
    """The batch is refused where more rows than this are set aside."""
    pii: Names = ()
    """Columns with personal data: no sample, artifact, log or report shows their values."""
    storage: StorageConfig = StorageConfig()
    """How the table is stored."""
    retry: RetryConfig = RetryConfig()
    """How often a step is tried."""
    cache: CacheConfig = CacheConfig()
    """How long what an interrupted run staged may be used."""


class Typed(Frozen):
    """What has a ``type``; keys that the model does not list belong to that."""

    options: dict[str, Any] = Field(default={})
    """Written flat, beside ``type``: ``{type: file, path: flights/*.csv.gz}``."""

    @classmethod
    def split_options(cls, data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The keys that every type has, and those of the type that ``data`` is of."""
        known = {key: value for key, value in data.items() if key in cls.model_fields and key != "options"}
        own = {key: value for key, value in data.items() if key not in cls.model_fields}
        return known, {**data.get("options", {}), **own}

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        given = cast(Mapping[str, Any], data)
        if not isinstance(given.get("options", {}), Mapping):
            return given
        known, own = cls.split_options(given)
        return {**known, "options": own}


class SourceConfig(StageOptions, Typed):
    """A source and how it is landed; keys that are not listed here belong to its type."""

    type: Name = "file"
    """What kind of source: ``file``, ``pubsub``, or what a package registers."""


class StrategyConfig(Typed):
    """How the rows of a batch meet those of the table; keys that are not listed here belong to the strategy."""

    type: Name
    """Which strategy: ``polars_merge``, or what a package registers."""


class TaskConfig(StageOptions):
    """A stage that computes a table from other tables."""

    function: str | None = None
    """``package.module:function``; takes and returns LazyFrames. A stage with a strategy may do without."""
    depends_on: Names = ()
    """Inputs in the order of the function's parameters; by default the parameters' names."""
    partition_by: Names = ()
    """Run one unit per value of these columns; every row of a unit stays in its partition."""
    rows: Literal["any", "preserved", "grouped"] = "any"
    """``preserved``: one row out for each row of the first input.
    ``grouped``: ``members`` counts the rows in each group."""
    members: Name | None = None
    """With ``rows: grouped``: the column that says how many rows each row sums up."""
    deduplicate: DeduplicateConfig | None = None
    """Keep one row per key."""
    incremental: Incremental | None = None
    """How what changed in the inputs comes to the table, where the engine is not to prove by itself what is safe:
    ``key_columns`` and ``timestamp_column`` merge by key, ``by`` names columns whose touched values are recomputed."""
    strategy: StrategyConfig | None = None
    """How new rows meet those of the table."""
    window: WindowConfig | None = None
    """Cut event time into windows, and set late rows aside."""
    when: Name | None = None
    """The stage runs only where this is true of what the gates of earlier stages found."""
