"""What a gate checks and what failing does, as the configuration spells it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal, Self, TypeAlias, cast

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from dataflow.model import Frozen, Scope, Severity
from dataflow.quality.routes import QuarantineLimit

Name = Annotated[str, Field(min_length=1)]
Names = tuple[Name, ...]


class RepairConfig(Frozen):
    """A new value for failing rows; they are checked once more."""

    column: Name
    """The column that gets it."""
    function: Name
    """``package.module:function`` that makes the new value from the column's expression."""


class RouteConfig(Frozen):
    """What failing does, where it takes an argument: one of the two."""

    repair: RepairConfig | None = None
    """Make a new value for failing rows."""
    branch: Name | None = None
    """The batch is not published, and this stage runs instead."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.repair is None) == (self.branch is None):
            raise ValueError("write {repair: {column: …, function: …}} or {branch: stage}")
        return self


def _has_keys(value: Any) -> str:
    return "<keys>" if isinstance(value, Mapping | Frozen) else "<word>"


OnFailConfig: TypeAlias = Annotated[
    Annotated[Literal["fail", "quarantine", "drop", "warn"], Tag("<word>")] | Annotated[RouteConfig, Tag("<keys>")],
    Discriminator(_has_keys),
]


class RuleConfig(Frozen):
    """One validation rule: a SQL predicate over a row, or a Great Expectations expectation."""

    name: Name
    """How its results are found."""
    predicate: str | None = None
    """SQL that is true of a good row; a row whose answer is unknown (null) passes."""
    expectation: dict[str, Any] | None = None
    """``type`` (``expect_...``) and its arguments."""
    severity: Severity = "critical"
    """How bad it is to fail."""
    mostly: float = Field(default=1.0, gt=0, le=1)
    """Share of rows that must pass."""
    on_fail: OnFailConfig | None = None
    """What failing does; by default critical quarantines rows (or fails, for rules about the
    batch or the table), warning warns and info only measures."""
    scope: Scope | None = None
    """Each row, the batch, or the table as it will be; by default what the rule is about by itself."""


class SuiteConfig(Frozen):
    """The rules of a Great Expectations suite, kept as JSON."""

    suite: Name
    """A relative path counts from the configuration file."""


def _is_suite(value: Any) -> str:
    suite = "suite" in value if isinstance(value, Mapping) else isinstance(value, SuiteConfig)
    return "<suite>" if suite else "<rule>"


GateEntry: TypeAlias = Annotated[
    Annotated[RuleConfig, Tag("<rule>")] | Annotated[SuiteConfig, Tag("<suite>")], Discriminator(_is_suite)
]

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def _share(value: Any) -> Any:
    if isinstance(value, str) and (percent := _PERCENT.fullmatch(value.strip())):
        value = float(percent[1]) / 100
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise PydanticCustomError(
            "share", "a share of the rows is expected, from 0 to 1 or as a percentage: 0.01 or '1 %'"
        )
    return cast(float, value)


class QuarantineLimitConfig(Frozen):
    """A batch is refused when more rows than this are set aside; both limits may be given."""

    rows: int | None = Field(default=None, ge=0)
    """So many."""
    share: Annotated[float, BeforeValidator(_share), WithJsonSchema({"type": ["number", "string"]})] | None = None
    """Of the rows that the stage produced."""

    @model_validator(mode="before")
    @classmethod
    def _as_keys(cls, data: Any) -> Any:
        return asdict(data) if isinstance(data, QuarantineLimit) else data

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.rows is None and self.share is None:
            raise ValueError("needs rows, share or both, as in {rows: 100, share: 1 %}")
        return self
