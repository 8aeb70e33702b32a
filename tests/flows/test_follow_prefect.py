"""Following and backfilling under Prefect: each run is a flow run, a quiet round is none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName

from dataflow import Engine, Workflow
from flows.follow import Follower
from tasks.naming import title

pytestmark = pytest.mark.usefixtures("prefect_server")


def flow_runs(pipeline: str) -> Counter[str]:
    """How many flow runs ended in each state."""
    with get_client(sync_client=True) as client:
        named = FlowFilter(name=FlowFilterName(any_=[title(pipeline)]))
        return Counter(run.state_name or "" for run in client.read_flow_runs(flow_filter=named))


def shop(folder: Path, name: str) -> Workflow:
    (folder / "orders").mkdir()
    for number in (1, 2, 3):
        (folder / "orders" / f"{number}.csv").write_text(f"item\n{number}\n")
    workflow = Workflow(name, lake=folder / "lake")
    workflow.add_source("orders", {"path": str(folder / "orders/*.csv")})
    return workflow


def test_a_quiet_round_is_no_flow_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    workflow = shop(tmp_path, "followed")
    follower = Follower(workflow, lambda engine: engine.execute(workflow), every_seconds=0.01)
    rounds = 0

    def show() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            (tmp_path / "orders" / "4.csv").write_text("item\n4\n")
        if rounds == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(follower, "_show", show)
    with pytest.raises(KeyboardInterrupt):
        follower.follow()

    assert {"Completed": 2} == flow_runs("followed")


def test_each_batch_of_a_backfill_is_a_flow_run(tmp_path: Path):
    workflow = shop(tmp_path, "backfilled")
    Engine(runner="inline").execute(workflow)

    report = Engine(runner="prefect").backfill(workflow, "orders", "1", "3", batch_units=2)

    assert ("completed", 3) == (report.state, len(report.done))
    assert {"Completed": 2} == flow_runs("backfilled")
