"""One stage of a workflow, as the planner and the engine see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from dataflow.config import (
    CacheConfig,
    DeduplicateConfig,
    Incremental,
    IncrementalConfig,
    RetryConfig,
    SlicesConfig,
    SourceConfig,
    StorageConfig,
    WindowConfig,
)
from dataflow.quality.routes import QuarantineLimit
from dataflow.quality.rules import SINGLE_ROWS, ValidationRule
from dataflow.quality.when import When
from dataflow.workflow.strategies import Settling


@dataclass(frozen=True)
class Stage:
    """A table and how it comes about."""

    name: str
    kind: Literal["source", "task"]
    source: SourceConfig | None = None
    """Type and options of a source; what sources and tasks share stands in the stage's own fields."""
    function: Callable[..., Any] | None = None
    """Takes the ``inputs`` as LazyFrames, by position, and returns one."""
    inputs: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    rows: Literal["any", "preserved", "grouped"] = "any"
    members: str | None = None
    gate: tuple[ValidationRule, ...] = ()
    quarantine_limit: QuarantineLimit | None = None
    """How much the gate may set aside before it refuses the batch."""
    pii: tuple[str, ...] = ()
    """Columns whose values nothing but the tables shows."""
    when: When | None = None
    """The stage runs only where this holds."""
    after: tuple[str, ...] = ()
    """What the stage waits for: its inputs, then tables that its rules refer to, stages that its condition reads,
    and those that may branch to it."""
    branch_of: tuple[str, ...] = ()
    """The stages whose rules may branch to this one."""
    deduplicate: DeduplicateConfig | None = None
    incremental: Incremental | None = None
    """How increments come to the table, where that is declared."""
    strategy: Settling | None = None
    """How new rows meet those of the table; of an incremental stage, what that is short for."""
    window: WindowConfig | None = None
    storage: StorageConfig = field(default_factory=StorageConfig)
    retry: RetryConfig = field(default_factory=RetryConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)


def contradictions(stage: Stage) -> Iterator[tuple[str, str]]:
    """Options that do not go together: the key to change, and why."""
    if stage.rows == "grouped" and stage.members is None:
        yield "members", "is missing: with rows: grouped it names the column that counts the rows of each group"
    if stage.members is not None and stage.rows != "grouped":
        yield "members", f"counts the rows of groups, but rows is {stage.rows}; say rows: grouped, or leave members out"
    sets_aside = stage.kind == "source" or any(rule.route in SINGLE_ROWS for rule in stage.gate)
    if stage.quarantine_limit is not None and not sets_aside:
        yield (
            "quarantine_limit",
            "limits what rules set aside, and no rule of this stage does; give one on_fail: quarantine, drop or a repair",
        )
    if stage.strategy is not None:
        yield from _strategy_contradictions(stage)
    yield from _incremental_contradictions(stage)
    stored = stage.storage.partition_by
    if personal := [column for column in (*stored, *stage.partition_by) if column in stage.pii]:
        # Paths, the Delta log, the journal and the names of units would tell its values.
        yield (
            "pii",
            f"keeps {personal[0]!r} to the tables, but partition_by makes folders of its values; take it out of one",
        )
    if stored[: len(stage.partition_by)] != stage.partition_by:
        must = ", ".join(stage.partition_by)
        yield "storage.partition_by", f"must begin with the stage's own partition_by, {must}; it is {', '.join(stored)}"
    if stage.deduplicate is not None:
        apart = [column for column in stage.partition_by if column not in stage.deduplicate.key]
        if apart:
            # Duplicates in different partitions would never meet.
            yield "deduplicate.key", f"must contain the columns of partition_by; add {', '.join(apart)}"


def _incremental_contradictions(stage: Stage) -> Iterator[tuple[str, str]]:
    how = stage.incremental
    if how == "append" and stage.deduplicate is not None:
        yield (
            "incremental",
            "append would let duplicates of rows in the table pass; leave deduplicate out, merge by key "
            "({key_columns, timestamp_column}), or recompute what is touched ({by: [...]})",
        )
    if how == "window" and stage.window is None:
        yield (
            "incremental",
            "window recomputes touched windows, but the stage has none; declare `window: {window_size: ...}`",
        )
    if how == "partition" and not (stage.partition_by or stage.storage.partition_by):
        yield (
            "incremental",
            "partition recomputes touched partitions, but the table has none; give it storage.partition_by, or name the "
            "columns whose values are recomputed: {by: [...]}",
        )
    if stage.partition_by and (how in ("append", "window") or isinstance(how, SlicesConfig)):
        yield (
            "incremental",
            "goes with a stage that runs whole, but this one runs by partition_by and recomputes touched partitions "
            "as it is; leave one of them out",
        )
    if stage.strategy is not None and how is not None and how != "full" and not isinstance(how, IncrementalConfig):
        yield (
            "incremental",
            "is for the strategy to say: it knows how new rows meet those of the table; leave it out, or say full",
        )


def _strategy_contradictions(stage: Stage) -> Iterator[tuple[str, str]]:
    key = "incremental" if isinstance(stage.incremental, IncrementalConfig) else "strategy"
    others = {
        "partition_by": bool(stage.partition_by),
        "window": stage.window is not None,
        "deduplicate": stage.deduplicate is not None,
        f"rows: {stage.rows}": stage.rows != "any",
    }
    for other in (name for name, given in others.items() if given):
        yield (
            key,
            f"settles new rows with the whole table, which does not go together with {other}; leave one of them out",
        )
