"""A whole pipeline, as one YAML file describes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from dataflow.config.alerts import Alerts
from dataflow.config.blocks import SourceBlock, StrategiesConfig
from dataflow.config.gates import Name
from dataflow.config.models import SourceConfig, TaskConfig
from dataflow.model import Frozen
from dataflow.sources.generation import GenerationConfig


class RunConfig(Frozen):
    """How runs behave."""

    threads: int = Field(default=2, ge=1)
    """Steps at the same time."""
    task_groups: int = Field(default=64, ge=1, le=64)
    """Units of a stage are coalesced by bytes into at most this many tasks."""
    lease_seconds: float = Field(default=120, gt=0)
    """A run that has not been heard of for this long is taken for dead."""


def _capitals(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_capitals)]


class LoggingConfig(Frozen):
    """What a command line logs, and where to."""

    level: Level | None = None
    """The least level that is written; by default only warnings that the display does not show."""
    format: Literal["text", "json"] = "text"
    """``text``: a line for people; ``json``: an object a line, for what collects logs."""
    file: Name | None = None
    """A file that gets all from level INFO on, appended; a relative path counts from the configuration file."""


class PipelineConfig(Alerts):
    """A whole pipeline."""

    pipeline: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Its name: small letters, digits, underscores."""
    lake: Name | None = None
    """Folder or object-store URI; a relative path counts from the configuration file."""
    source: SourceBlock | None = None
    """One source, chosen by its ``type``, whose rows the ``strategies`` take."""
    sources: dict[str, SourceConfig] = Field(default={}, validate_default=True)
    """Sources by name; each is landed as the table of this name."""
    generation: GenerationConfig | None = None
    """Options of ``source`` where it makes its messages itself."""
    strategies: StrategiesConfig | None = None
    """How the rows of ``source`` meet tables."""
    stages: dict[str, TaskConfig] = Field(default={})
    """Stages by name; each computes the table of this name."""
    data_docs: bool = True
    """Whether each gate leaves pages that show what it found, in the lake."""
    run: RunConfig = RunConfig()
    """How runs behave."""
    logging: LoggingConfig = LoggingConfig()
    """What the command lines log."""

    @field_validator("sources")
    @classmethod
    def _has_a_source(cls, value: dict[str, SourceConfig], info: ValidationInfo) -> dict[str, SourceConfig]:
        if not value and info.data.get("source", ...) is None:
            raise PydanticCustomError(
                "sources",
                "may not be empty; a pipeline needs `source: {type: ...}`, or `sources` with a name for each",
            )
        return value
