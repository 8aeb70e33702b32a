"""Whether a run is due: what a pipeline that follows its sources looks at, every few seconds, without leaving a trace."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from dataflow.engine.paths import not_taken
from dataflow.engine.planning import Planning
from dataflow.engine.pulling import pull
from dataflow.engine.repair import check_owner
from dataflow.engine.run import new_run_id
from dataflow.errors import DataFlowError
from dataflow.lake.lake import Lake
from dataflow.lake.lease import alive, read_state
from dataflow.lake.state import PipelineState
from dataflow.model import digest
from dataflow.plan import StagePlan
from dataflow.workflow import Stage, Workflow

LEFT = "left"
"""The key of what any run that failed leaves: files to sweep."""


@dataclass(frozen=True)
class Due:
    """A run would do something now."""

    reasons: Mapping[str, str]
    """Why, by keys that name what there is to do: as long as nothing changes, they are the same."""

    @property
    def why(self) -> str:
        return next(iter(self.reasons.values()))


def due(workflow: Workflow, lake: Lake, selected: Collection[str]) -> Due | None:
    """Why a run of the selected stages would do something now; None where it would not, or another run is at work.

    Sources that have to be asked are asked: what they answer waits in their spool for the run. Two that ask at once do
    no harm, as of their answers one counts. What is wrong with one stage is the run's to tell where another is due.
    Errors: PlanError, SourceError, LakeError.
    """
    state = read_state(lake, workflow.name)
    check_owner(lake, workflow, state)
    if state.lease is not None and alive(state.lease):
        return None
    planning = Planning(workflow, lake, state, new_run_id(), full=False)
    found: dict[str, tuple[str, str]] = {}
    errors: dict[str, DataFlowError] = {}
    for name, stage in workflow.stages.items():
        # What changes upstream tells what is to be done after it.
        if name not in selected or {*stage.inputs} & {*found, *errors} or not_taken(stage, {}, state) is not None:
            continue
        try:
            if (stale := _stale(planning, stage)) is not None:
                found[name] = stale
        except DataFlowError as error:
            errors[name] = error
    left = _left(state)
    if errors and not (left or found):
        raise next(iter(errors.values()))
    return Due({**left, **dict(found.values())}) if left or found else None


def _stale(planning: Planning, stage: Stage) -> tuple[str, str] | None:
    """The key of what is to be done, and why."""
    if planning.is_pulled(stage):
        pull(planning.asked(stage), stage, planning.lake, planning.workflow.name)
    plan = planning.plan(stage)
    if plan.action == "run":
        return _key(plan), f"{stage.name}: {plan.reason}"
    if plan.unrecorded:
        return _key(plan), f"{stage.name}: files were touched, their content is the same"
    return None


def _key(plan: StagePlan) -> str:
    gone = sorted(unit.id for unit in plan.dropped)
    return digest(plan.stage, plan.fingerprint, *(unit.key for unit in plan.units), *gone)


def _left(state: PipelineState) -> dict[str, str]:
    ended = state.lease is None or state.lease.clean
    if not state.intents and not state.unswept and ended:
        return {}
    return {" ".join([LEFT, *sorted(state.intents)]): "an interrupted run has left something to finish or sweep"}
