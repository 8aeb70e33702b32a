"""What a plan comes to: how much would run, and in words what is stale, why, and what follows from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column

from dataflow.plan import count
from flows.summary import plain_table

if TYPE_CHECKING:
    from dataflow.plan import Plan, StagePlan


def print_plan(console: Console, plan: Plan) -> None:
    """A table of what would run and how much of it, then why, stage by stage."""
    figures = [Column(name, justify="right", no_wrap=True) for name in ("units", "fresh", "rows", "MB")]
    words = [Column(name, no_wrap=True) for name in ("stage", "action", "how")]
    table = plain_table(*words, *figures)
    for stage in plan.stages:
        how = stage.how.kind if stage.how and stage.action in ("run", "depends") else "–"
        table.add_row(stage.stage, stage.action, how, *_figures(stage))
    console.print(table)
    for stage in plan.stages:
        console.print(f"  {in_words(stage)}", soft_wrap=True)
    console.print(_in_all(plan), soft_wrap=True)
    console.print(f"lake: {plan.lake}", soft_wrap=True)
    console.print("nothing was run and nothing was written", soft_wrap=True)


def _figures(stage: StagePlan) -> tuple[str, ...]:
    if stage.action != "run":
        return "–", f"{stage.units_fresh:,}", "–", "–"
    # How many rows a file holds is known once it is landed.
    rows = f"{stage.rows:,}" if stage.rows or not stage.size_bytes else "–"
    return f"{len(stage.units):,}", f"{stage.units_fresh:,}", rows, f"{stage.size_bytes / 1e6:,.1f}"


def in_words(stage: StagePlan) -> str:
    """Why a stage runs or does not, and how and why so it is brought up to date."""
    return f"{stage.stage}: {'; '.join(_told(stage))}"


def _told(stage: StagePlan) -> Iterator[str]:
    yield stage.reason
    if stage.action not in ("run", "depends"):
        return
    if stage.how is not None:
        yield f"{stage.how.kind}: {stage.how.why}" if stage.how.why else stage.how.kind
    if stage.full_seconds is not None:
        yield f"in full it took {stage.full_seconds:,.1f} s"


def _in_all(plan: Plan) -> str:
    runs = [stage for stage in plan.stages if stage.action == "run"]
    depends = [stage.stage for stage in plan.stages if stage.action == "depends"]
    if not runs:
        return "nothing is stale"
    size = sum(stage.size_bytes for stage in runs) / 1e6
    known = (
        f"to read: {count(sum(stage.rows for stage in runs), 'row')} of tables and " if _tables(runs) else "to read: "
    )
    follows = f"; {', '.join(depends)} {'follows' if len(depends) == 1 else 'follow'}" if depends else ""
    return f"{known}{size:,.1f} MB in {count(len(runs), 'stage')}{follows}"


def _tables(runs: list[StagePlan]) -> bool:
    return any(stage.rows for stage in runs)


def plan_json(plan: Plan) -> str:
    """The plan as one JSON object."""
    stages = [
        {
            "stage": stage.stage,
            "action": stage.action,
            "reason": stage.reason,
            "how": stage.how.model_dump() if stage.how else None,
            "units": [planned.unit.label for planned in stage.units],
            "units_fresh": stage.units_fresh,
            "rows": stage.rows,
            "size_bytes": stage.size_bytes,
            "full_seconds": stage.full_seconds,
        }
        for stage in plan.stages
    ]
    return json.dumps({"pipeline": plan.pipeline, "lake": plan.lake, "stages": stages})
