"""How far each source has come: what the watermark blocks mirror."""

from __future__ import annotations

from typing import Any

from dataflow.engine.positions import position_of
from dataflow.engine.pulling import open_source
from dataflow.lake.lake import Lake
from dataflow.lake.state import PipelineState
from dataflow.sources.spooled import SpooledSource
from dataflow.workflow import Workflow


def watermarks(workflow: Workflow, state: PipelineState, lake: Lake) -> dict[str, dict[str, Any]]:
    """Per published source: position, last batch, event-time watermark, epoch, and which wish was granted last."""
    found: dict[str, dict[str, Any]] = {}
    for name, stage in workflow.stages.items():
        published = state.stage(name)
        if stage.kind != "source" or not published.seq:
            continue
        downstream = workflow.select(f"{name}+") - {name}
        steps = [state.stage(s).late_steps[-1].watermark for s in downstream if state.stage(s).late_steps]
        found[name] = {
            "position": position_now(workflow, lake, state, name),
            "batch_id": published.batch_id,
            "event_time": min(steps).isoformat() if steps else None,
            "epoch": published.epoch,
            "wish": published.wish,
        }
    return found


def position_now(workflow: Workflow, lake: Lake, state: PipelineState, source: str) -> dict[str, Any]:
    """Up to where a source is read; of one that is asked, with the cursor that it is asked by next."""
    found = position_of(state, source)
    opened = open_source(workflow.stages[source], lake, workflow.name)
    return {**found, "cursor": opened.position()} if isinstance(opened, SpooledSource) else {**found}
