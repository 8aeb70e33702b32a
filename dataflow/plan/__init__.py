"""Which units of a stage are stale, and why: reads the journal and the tables' logs, touches nothing."""

from __future__ import annotations

from dataflow.plan.fingerprint import stage_fingerprint
from dataflow.plan.increments import Proof
from dataflow.plan.source import plan_source
from dataflow.plan.task import plan_task, sliced_inputs
from dataflow.plan.units import Increment, Plan, PlannedUnit, StagePlan, batch_id, count

__all__ = [
    "Increment",
    "Plan",
    "PlannedUnit",
    "Proof",
    "StagePlan",
    "batch_id",
    "count",
    "plan_source",
    "plan_task",
    "sliced_inputs",
    "stage_fingerprint",
]
