"""Whether a run is due: what a pipeline that follows its sources looks at, every few seconds, without leaving a trace."""

from __future__ import annotations

from collections.abc import Collection

from dataflow.engine.paths import not_taken
from dataflow.engine.planning import Planning
from dataflow.engine.pulling import pull
from dataflow.engine.repair import check_owner
from dataflow.engine.run import new_run_id
from dataflow.lake.lake import Lake
from dataflow.lake.lease import alive, read_state
from dataflow.lake.state import PipelineState
from dataflow.workflow import Workflow


def due(workflow: Workflow, lake: Lake, selected: Collection[str]) -> str | None:
    """Why a run of the selected stages would do something now; None where it would not, or another run is at work.

    Sources that have to be asked are asked: what they answer waits in their spool for the run. Two that ask at once do
    no harm, as of their answers one counts.
    Errors: PlanError, SourceError, LakeError.
    """
    state = read_state(lake, workflow.name)
    check_owner(lake, workflow, state)
    if state.lease is not None and alive(state.lease):
        return None
    if _is_left(state):
        return "an interrupted run has left something to finish or sweep"
    planning = Planning(workflow, lake, state, new_run_id(), full=False)
    for name, stage in workflow.stages.items():
        if name not in selected or not_taken(stage, {}, state) is not None:
            continue
        if planning.is_pulled(stage):
            pull(planning.asked(stage), stage, lake, workflow.name)
        plan = planning.plan(stage)
        if plan.action == "run":
            return f"{name}: {plan.reason}"
        if plan.unrecorded:
            return f"{name}: files were touched, their content is the same"
    return None


def _is_left(state: PipelineState) -> bool:
    ended = state.lease is None or state.lease.clean
    return bool(state.intents or state.unswept or not ended)
