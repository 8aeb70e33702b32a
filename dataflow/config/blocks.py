"""The short form of a pipeline with one source and its strategies: ``source``, ``generation``, ``strategies``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import Field, model_validator

from dataflow.config.gates import Name, Names
from dataflow.config.models import StageOptions, Typed
from dataflow.model import Frozen

TableName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Blocks(Frozen):
    """What has blocks beside its own keys, each called after what it belongs to."""

    @model_validator(mode="before")
    @classmethod
    def _gather_blocks(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        given = cast(Mapping[str, Any], data)
        apart: dict[str, Any] = {key: value for key, value in given.items() if key not in cls.model_fields}
        if not apart:
            return given
        known = {key: value for key, value in given.items() if key in cls.model_fields}
        # An empty block is written as a key alone.
        named: dict[str, Any] = {key: {} if value is None else value for key, value in apart.items()}
        return {**known, "blocks": {**known.get("blocks", {}), **named}}


class SourceBlock(StageOptions, Blocks):
    """One source, chosen by ``type`` among the blocks that stand beside it, each called after its type."""

    name: TableName | None = None
    """The table that it is landed as; by default called as the pipeline."""
    type: Name = "file"
    """Which block counts; the others are checked, and that is all."""
    blocks: dict[str, Any] = Field(default={})
    """Written flat, by type: ``{type: pubsub, pubsub: {buffer_size: 100}, file: {path: landing/*.jsonl}}``."""


class StrategyBlock(StageOptions, Typed):
    """A strategy's own options, and how its table is checked and stored."""

    table: TableName | None = None
    """What its table is called; by default ``<source>_<strategy>``."""
    pii: Names = ()
    """Columns with personal data; by default those of ``source``."""


class StrategiesConfig(Blocks):
    """How the landed rows meet tables; each strategy has one, all of them read what was landed once."""

    enabled: Names = ("bronze_append",)
    """Strategies that run, side by side; blocks of others are checked, and that is all."""
    blocks: dict[str, StrategyBlock] = Field(default={})
    """Written flat, by strategy: ``{enabled: [polars_merge], polars_merge: {dedup_key: [id]}}``."""
