"""What ``import dataflow`` offers is chosen, not grown."""

import subprocess
import sys

import dataflow

PUBLIC = [
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


def test_the_public_names_are_these_in_order():
    assert PUBLIC == dataflow.__all__
    assert sorted(PUBLIC) == PUBLIC


def test_every_public_name_is_there():
    assert [] == [name for name in PUBLIC if getattr(dataflow, name, None) is None]


def test_the_import_brings_no_heavy_library_along():
    script = "import dataflow, sys; print(*sorted({'great_expectations', 'prefect', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "" == done.stdout.strip()
