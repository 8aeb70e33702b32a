"""Flows for data lakes that can be trusted: declare a workflow, hand it to an engine, read the report."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataflow.config import PipelineConfig, SourceConfig
    from dataflow.dedup import Settled, Strategy, register_strategy
    from dataflow.engine import Chosen, Engine
    from dataflow.errors import (
        BooksUnbalanced,
        CommitConflict,
        ConfigError,
        DataFlowError,
        GateRejected,
        LakeCorrupt,
        LakeError,
        LakeUnavailable,
        LeaseHeld,
        LeaseLost,
        LineageError,
        PlanError,
        QualityError,
        SchemaConflict,
        SchemaDrift,
        SourceCorrupt,
        SourceError,
        SourceUnavailable,
        StageFailed,
        TableMissing,
    )
    from dataflow.model import RunReport, StageReport, TableVersion
    from dataflow.quality.routes import Branch, QuarantineLimit, Repair
    from dataflow.quality.rules import ValidationRule
    from dataflow.sources import Item, Source, register_source
    from dataflow.workflow import Stage, Workflow

__all__ = [
    "BooksUnbalanced",
    "Branch",
    "Chosen",
    "CommitConflict",
    "ConfigError",
    "DataFlowError",
    "Engine",
    "GateRejected",
    "Item",
    "LakeCorrupt",
    "LakeError",
    "LakeUnavailable",
    "LeaseHeld",
    "LeaseLost",
    "LineageError",
    "PipelineConfig",
    "PlanError",
    "QualityError",
    "QuarantineLimit",
    "Repair",
    "RunReport",
    "SchemaConflict",
    "SchemaDrift",
    "Settled",
    "Source",
    "SourceConfig",
    "SourceCorrupt",
    "SourceError",
    "SourceUnavailable",
    "Stage",
    "StageFailed",
    "StageReport",
    "Strategy",
    "TableMissing",
    "TableVersion",
    "ValidationRule",
    "Workflow",
    "register_source",
    "register_strategy",
]

_ELSEWHERE = {
    "Branch": "dataflow.quality.routes",
    "Chosen": "dataflow.engine",
    "Engine": "dataflow.engine",
    "Item": "dataflow.sources",
    "PipelineConfig": "dataflow.config",
    "QuarantineLimit": "dataflow.quality.routes",
    "Repair": "dataflow.quality.routes",
    "RunReport": "dataflow.model",
    "Settled": "dataflow.dedup",
    "Source": "dataflow.sources",
    "SourceConfig": "dataflow.config",
    "Stage": "dataflow.workflow",
    "StageReport": "dataflow.model",
    "Strategy": "dataflow.dedup",
    "TableVersion": "dataflow.model",
    "ValidationRule": "dataflow.quality.rules",
    "Workflow": "dataflow.workflow",
    "register_source": "dataflow.sources",
    "register_strategy": "dataflow.dedup",
}
"""Names that are not errors, and the modules that have them."""


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: a program pays for what it uses.
    if name not in __all__:
        raise AttributeError(f"module 'dataflow' has no attribute {name!r}")
    found = getattr(import_module(_ELSEWHERE.get(name, "dataflow.errors")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
