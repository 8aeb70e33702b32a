"""Which paths of a workflow a run takes: by a gate that branches, or by a condition on what gates found."""

from __future__ import annotations

from collections.abc import Mapping

from dataflow.engine.call import said
from dataflow.errors import DataFlowError, StageFailed
from dataflow.lake.state import PipelineState
from dataflow.model import NotTaken, StageReport
from dataflow.quality.when import StageMetrics
from dataflow.workflow import Stage


def not_taken(stage: Stage, reports: Mapping[str, StageReport], state: PipelineState) -> str | None:
    """Why the run's path does not lead through ``stage``; None where it does.

    ``reports`` are those of the run so far; of a stage that it leaves as it is, the journal knows the last batch.
    Errors: StageFailed where the stage's condition cannot be evaluated.
    """
    branches = {
        name: report.verdict.branches
        for name, report in reports.items()
        if report.state == "branched" and report.verdict
    }
    if stage.branch_of and not any(stage.name in targets for targets in branches.values()):
        if absent := [name for name in stage.branch_of if name not in reports]:
            return f"it runs where the gate of {' or '.join(absent)} branches to it, which this run leaves out: select both"
        return f"the gate of {' or '.join(stage.branch_of)} did not branch to it"
    for name in stage.inputs:
        if name in branches:
            return f"{name} was not published: its gate branched to {', '.join(branches[name])}"
    if stage.when is not None and not _holds(stage, reports, state):
        return f"its condition does not hold: {stage.when.text}"
    return None


def conditions(stage: Stage) -> list[str]:
    """What must be true for a run's path to lead through ``stage``, in words."""
    told = [f"if {' or '.join(stage.branch_of)} branches to it"] if stage.branch_of else []
    return told + ([f"if {stage.when.text}"] if stage.when is not None else [])


def _holds(stage: Stage, reports: Mapping[str, StageReport], state: PipelineState) -> bool:
    assert stage.when is not None
    metrics: dict[str, StageMetrics] = {}
    for name in stage.after:
        report, known = reports.get(name), state.stage(name)
        if report is not None and report.batch_id is not None:
            metrics[name] = StageMetrics(report.counts, report.verdict)
        elif known.seq:
            metrics[name] = StageMetrics(known.counts, known.verdict)
    try:
        return stage.when.holds(metrics)
    except DataFlowError:
        raise
    except Exception as error:
        raise StageFailed(
            f"stage {stage.name!r}: its condition {stage.when.text} cannot be told: {said(error)}", stage=stage.name
        ) from error


def pass_by(reason: str) -> NotTaken:
    """The step of a stage on a path that is not taken."""
    return NotTaken(reason=reason)
