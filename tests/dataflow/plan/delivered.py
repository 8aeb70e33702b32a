"""A folder that is planned and landed without an engine: what the journal would say of it, and what would be in the table."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataflow import Workflow
from dataflow.lake.state import PipelineState, StageState, UnitState, file_key
from dataflow.plan import StagePlan, plan_source
from dataflow.sources import Source, source_types
from dataflow.workflow import Stage


@dataclass
class Delivered:
    """A folder of files, the state of its pipeline, and by name the content that is landed."""

    folder: Path
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    state: PipelineState = field(default_factory=lambda: PipelineState(pipeline="p"))
    landed: dict[str, str] = field(default_factory=dict[str, str])
    clock: float = 1_000_000_000.0

    def write(self, name: str, content: str, *, touch: bool = True) -> Path:
        """Write a file, at a time of its own; without ``touch`` at the time that it had."""
        path = self.folder / name
        before = path.stat().st_mtime if path.exists() else None
        path.write_text(content)
        self.clock += 1
        at = self.clock if touch or before is None else before
        os.utime(path, (at, at))
        return path

    @property
    def stage(self) -> Stage:
        workflow = Workflow("p", lake=self.folder / "lake")
        workflow.add_source("s", {"path": str(self.folder / "*.csv"), **self.options})
        return workflow.stages["s"]

    @property
    def source(self) -> Source:
        config = self.stage.source
        assert config is not None
        kind = source_types.find(config.type)
        return kind("s", kind.Config.model_validate(config.options))

    def plan(self, *, full: bool = False) -> StagePlan:
        return plan_source(self.stage, self.source, self.state, full=full)

    def run(self, *, full: bool = False) -> StagePlan:
        """Plan, and take note of what was landed as the journal does."""
        plan = self.plan(full=full)
        if plan.action != "run":
            return plan
        before = self.state.stage("s")
        units = {key: unit for key, unit in before.units.items() if key not in {unit.id for unit in plan.dropped}}
        for planned in plan.units:
            assert planned.item is not None
            units[planned.unit.id] = UnitState(unit=planned.unit, key=planned.key, batch_id=plan.batch_id)
            self.landed[Path(planned.item.name).name] = Path(planned.item.name).read_text()
        for unit in plan.dropped:
            del self.landed[Path(unit.partition[0][1] or "").name]
        files = {**self.state.files, **{file_key(r.source, r.name): r for r in plan.unrecorded}}
        following = max([self.state.next_file_id, *(r.file_id + 1 for r in plan.unrecorded)])
        stage = StageState(seq=plan.seq, fingerprint=plan.fingerprint, units=units)
        update = {"files": files, "next_file_id": following, "stages": {"s": stage}}
        self.state = self.state.model_copy(update=update)
        return plan

    def mark(self, *names: str, reason: str = "") -> None:
        """Say that the units of files are to be landed again."""
        before = self.state.stage("s")
        marked = {
            key: unit.model_copy(update={"key": "", "reason": reason})
            if Path(str(unit.unit.partition[0][1])).name in names
            else unit
            for key, unit in before.units.items()
        }
        self.state = self.state.model_copy(update={"stages": {"s": before.model_copy(update={"units": marked})}})

    def names(self, plan: StagePlan) -> list[str]:
        return [Path(u.item.name).name for u in plan.units if u.item is not None]
