"""From what was declared to what can be planned: inputs found, defaults filled in, contradictions refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from dataflow.config import Place, as_error, collected, placed
from dataflow.errors import PlanError
from dataflow.workflow.graph import topological
from dataflow.workflow.inputs import resolve_inputs
from dataflow.workflow.stage import Stage, contradictions


def resolve(drafts: Mapping[str, Stage], placer: Callable[[str, str], Place]) -> dict[str, Stage]:
    """The stages, inputs first.

    Errors: one ConfigError that lists all problems; PlanError for a cycle.
    """
    problems: list[str] = []
    stages: dict[str, Stage] = {}
    for name, draft in drafts.items():
        with collected(problems):
            stages[name] = _resolve_stage(draft, drafts, placer(draft.kind, name))
    if problems:
        raise as_error(problems)
    try:
        return {name: stages[name] for name in topological({n: s.inputs for n, s in stages.items()})}
    except PlanError as error:
        raise PlanError(f"{placer('task', error.cycle[0])('depends_on')}: {error}", cycle=error.cycle) from None


def _resolve_stage(draft: Stage, drafts: Mapping[str, Stage], place: Place) -> Stage:
    inputs: tuple[str, ...] = ()
    if draft.function is not None:
        with placed(place):
            inputs = resolve_inputs(draft.function, draft.inputs, drafts)
    storage = draft.storage
    if not storage.partition_by:
        storage = storage.model_copy(update={"partition_by": draft.partition_by})
    stage = replace(draft, inputs=inputs, storage=storage)
    problems = [f"{place(*key.split('.'))}: {why}" for key, why in contradictions(stage)]
    if problems:
        raise as_error(problems)
    return stage
