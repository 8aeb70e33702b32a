"""From what was declared to what can be planned: inputs found, defaults filled in, contradictions refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise

from dataflow.config import IncrementalConfig, Place, as_error, collected, placed
from dataflow.errors import PlanError
from dataflow.workflow.graph import topological
from dataflow.workflow.inputs import resolve_inputs
from dataflow.workflow.order import Order
from dataflow.workflow.stage import Stage, contradictions
from dataflow.workflow.strategies import merging


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
    order = Order(stages)
    for name, stage in stages.items():
        for mistake in order.mistakes(stage):
            problems.append(f"{placer(stage.kind, name)(*mistake.key)}: {mistake}")
    if problems:
        raise as_error(problems)
    linked = {name: order.linked(stage) for name, stage in stages.items()}
    waits = {(wait.stage, wait.after): wait for stage in stages.values() for wait in order.waits(stage)}
    # What is an input is so in the first place.
    apart = {pair: wait for pair, wait in waits.items() if pair[1] not in stages[pair[0]].inputs}
    try:
        ranked = topological({n: s.after for n, s in linked.items()}, {pair: wait.why for pair, wait in apart.items()})
    except PlanError as error:
        pairs = [(stage, before) for before, stage in pairwise(error.cycle)]
        by, key = next(
            ((apart[p].declared_by, apart[p].key) for p in pairs if p in apart), (error.cycle[0], ("depends_on",))
        )
        raise PlanError(f"{placer(stages[by].kind, by)(*key)}: {error}", cycle=error.cycle) from None
    return {name: linked[name] for name in ranked}


def _resolve_stage(draft: Stage, drafts: Mapping[str, Stage], place: Place) -> Stage:
    inputs: tuple[str, ...] = ()
    if draft.function is not None:
        with placed(place):
            inputs = resolve_inputs(draft.function, draft.inputs, drafts)
    storage = draft.storage
    own = draft.strategy.strategy.partition_by if draft.strategy else draft.partition_by
    if not storage.partition_by:
        storage = storage.model_copy(update={"partition_by": own})
    merge = draft.incremental if isinstance(draft.incremental, IncrementalConfig) else None
    if merge and draft.strategy:
        raise as_error([f"{place('incremental')}: is a strategy of its own; leave out it or `strategy`"])
    strategy = merging(merge) if merge else draft.strategy
    retold = strategy.strategy.retells.items() if strategy else ()
    personal = [column for column, told in retold if column not in draft.pii and set(told) & set(draft.pii)]
    stage = replace(draft, inputs=inputs, storage=storage, strategy=strategy, pii=(*draft.pii, *personal))
    problems = [f"{place(*key.split('.'))}: {why}" for key, why in contradictions(stage)]
    if problems:
        raise as_error(problems)
    return stage
