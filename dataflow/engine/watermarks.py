"""How far each source has come: what the watermark blocks mirror."""

from __future__ import annotations

from typing import Any

from dataflow.lake.state import PipelineState
from dataflow.workflow import Workflow


def watermarks(workflow: Workflow, state: PipelineState) -> dict[str, dict[str, Any]]:
    """Per source: position (files and last file id), last batch, event-time watermark, epoch."""
    found: dict[str, dict[str, Any]] = {}
    for name, stage in workflow.stages.items():
        published = state.stage(name)
        if stage.kind != "source" or not published.seq:
            continue
        files = [f for f in state.files.values() if f.source == name]
        downstream = workflow.select(f"{name}+") - {name}
        steps = [state.stage(s).late_steps[-1].watermark for s in downstream if state.stage(s).late_steps]
        found[name] = {
            "position": {"files": len(files), "file_id": max((f.file_id for f in files), default=0)},
            "batch_id": published.batch_id,
            "event_time": min(steps).isoformat() if steps else None,
            "epoch": published.epoch,
        }
    return found
