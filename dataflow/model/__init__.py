"""The nouns that travel between stages: references and counts, never frames."""

from __future__ import annotations

from dataflow.model.books import RowCounts
from dataflow.model.manifests import FileRole, Manifest, NotTaken, Staged, StagedFile, manifest_digest
from dataflow.model.reports import How, IncrementKind, LineageEdge, RunReport, RunState, StageReport, StageState, Usage
from dataflow.model.values import (
    ROW_ID,
    ROWS_PER_FILE,
    SOURCE_FILE,
    Frozen,
    TableVersion,
    Unit,
    digest,
    is_row_id,
    reading_order,
)
from dataflow.model.vectors import Deletion, DeletionVector
from dataflow.model.verdicts import Route, RuleResult, Scope, Severity, Verdict

__all__ = [
    "ROWS_PER_FILE",
    "ROW_ID",
    "SOURCE_FILE",
    "Deletion",
    "DeletionVector",
    "FileRole",
    "Frozen",
    "How",
    "IncrementKind",
    "LineageEdge",
    "Manifest",
    "NotTaken",
    "Route",
    "RowCounts",
    "RuleResult",
    "RunReport",
    "RunState",
    "Scope",
    "Severity",
    "StageReport",
    "StageState",
    "Staged",
    "StagedFile",
    "TableVersion",
    "Unit",
    "Usage",
    "Verdict",
    "digest",
    "is_row_id",
    "manifest_digest",
    "reading_order",
]
