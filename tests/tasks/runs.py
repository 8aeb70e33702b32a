"""Made runs: what the engine would hand to a runner, and what Prefect then knows of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName, TaskRunFilter, TaskRunFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, TaskRun

from dataflow.engine.runner import RunContext, Step
from dataflow.model import Manifest, RowCounts, RuleResult, RunReport, StagedFile, StageReport, Unit, Verdict
from tasks.runner import PrefectRunner

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def context(pipeline: str = "flights", threads: int = 2, **marks: dict[str, Any]) -> RunContext:
    return RunContext(pipeline, uuid.uuid4().hex[:12], "/lake", threads, watermarks=lambda: marks)


def step(stage: str = "flights", verb: Any = "stage", label: str = "", **more: Any) -> Step:
    return Step(stage, verb, label, **more)


def manifest(stage: str = "flights") -> Manifest:
    return Manifest(
        unit=Unit(stage=stage, partition=(("month", "3"), ("origin", None))),
        key="k",
        batch_id="b",
        staged_at=NOON,
        files=(StagedFile(table=stage, path="p.parquet", role="new", rows=10, size_bytes=300, partition={"m": "3"}),),
        counts=RowCounts(read=10, produced=10, published=10),
        event_time_max=NOON,
    )


RULES = (
    RuleResult(
        rule="delay_in_range",
        severity="critical",
        route="quarantine",
        success=False,
        checked=100,
        failed=2,
        statement="dep_delay BETWEEN -120 AND 2000 | null",
    ),
    RuleResult(rule="rows", severity="warning", route="warn", success=True, checked=100, observed=100),
)
REFUSAL = RuleResult(rule="keys_unique", severity="critical", route="fail", success=False, checked=1000, failed=3)


def stage_report(stage: str = "flights", state: Any = "published", **more: Any) -> StageReport:
    values: dict[str, Any] = {
        "kind": "task",
        "counts": RowCounts(read=12345, produced=12345, quarantined=2, published=12343),
        "units": 3,
        "units_fresh": 9,
        "rows_fresh": 1000,
        "bytes_read": 8192,
        "bytes_written": 4096,
        "cpu_seconds": 2.5,
        "peak_memory_bytes": 812_000_000,
        "bytes_fresh": 2048,
        "seconds": 1.25,
        "verdict": Verdict(stage=stage, batch_id="b", digest="d", results=RULES),
        "notes": ("2 rows broke delay_in_range",),
    }
    return StageReport(stage=stage, state=state, **(values | more))


def report(run: RunContext, state: Any = "completed", stages: tuple[StageReport, ...] = (), **more: Any) -> RunReport:
    values: dict[str, Any] = {"lake": run.lake_uri, "started_at": NOON, "seconds": 3.2}
    return RunReport(
        pipeline=run.pipeline, run_id=run.run_id, state=state, stages=stages or (stage_report(),), **(values | more)
    )


def run_steps(run: RunContext, body: Callable[[PrefectRunner], Any], runner: PrefectRunner | None = None) -> Any:
    """Run ``body`` with a runner as the engine would, and answer what it answered."""
    runner = runner or PrefectRunner()
    answers: list[Any] = []

    def engine() -> RunReport:
        answers.append(body(runner))
        return report(run, "skipped")

    runner.run(run, engine)
    return answers[0]


def flow_run_of(run: RunContext) -> FlowRun:
    """The flow run as the server knows it."""
    with get_client(sync_client=True) as client:
        name = FlowRunFilterName(any_=[f"{run.pipeline}-{run.run_id}"])
        (found,) = client.read_flow_runs(flow_run_filter=FlowRunFilter(name=name))
        return found


def end_of(run: RunContext) -> tuple[str, str, str | None]:
    """Type, name and message of the flow run's state."""
    state = flow_run_of(run).state
    assert state is not None
    return state.type.value, str(state.name), state.message


def task_runs_of(flow_run: FlowRun, count: int, seconds: float = 30) -> dict[str, TaskRun]:
    """The task runs of a flow run by name, once ``count`` of them are recorded as final."""
    until = time.monotonic() + seconds
    with get_client(sync_client=True) as client:
        while True:
            runs = client.read_task_runs(
                task_run_filter=TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[flow_run.id]))
            )
            final = {run.name: run for run in runs if run.state and run.state.is_final()}
            if len(final) >= count or time.monotonic() > until:
                return final
            time.sleep(0.2)
