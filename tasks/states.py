"""How a run and its steps end in Prefect: a report as a final state."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from dataflow.model import NotTaken, RunReport, StageReport
from dataflow.quality.findings import found


def final_state(report: RunReport) -> State[None]:
    """The state in which a run with this report ends: Completed, Skipped, Rejected or Failed."""
    match report.state:
        case "completed":
            return Completed(message=summary(report))
        case "skipped":
            return Completed(name="Skipped", message=report.reason or "Nothing was new.")
        case "rejected":
            return Failed(name="Rejected", message=_trouble(report, "rejected"))
        case "failed":
            return Failed(message=_trouble(report, "failed"))


def step_state(answer: Any) -> Any:
    """What the task run of a step answers: a stage that does not run ends in a state named Skipped, with its reason."""
    if isinstance(answer, NotTaken):
        return Completed(name="Skipped", message=answer.reason, data=answer)
    return answer


def summary(report: RunReport) -> str:
    """The run in one line."""
    states = [stage.state for stage in report.stages]
    parts = [f"{states.count(state)} {state.replace('_', ' ')}" for state in dict.fromkeys(states)]
    return (
        f"{len(states)} stage{'' if len(states) == 1 else 's'}: {', '.join(parts) or 'none'}; "
        f"{report.processed_records:,} rows read from sources."
    )


def _trouble(report: RunReport, state: str) -> str:
    """What was refused or went wrong, by stage; the reason of the run where no stage says it."""
    told = [why(stage) for stage in report.stages if stage.state == state]
    return " ".join(told) or report.reason or {"failed": "The run failed.", "rejected": "The run was rejected."}[state]


def why(stage: StageReport) -> str:
    """Why a stage was rejected or failed."""
    refusals = stage.verdict.rejected_by if stage.verdict else ()
    if not refusals:
        return f"{stage.stage}: {stage.error or stage.reason or stage.state}"
    why = "; ".join(f"{rule.rule} ({rule.error or found(rule)})" for rule in refusals)
    return f"{stage.stage} was rejected by its gate: {why}."
