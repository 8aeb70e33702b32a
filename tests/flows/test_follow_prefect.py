"""Following and backfilling under Prefect: each run is a flow run, a quiet round is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import BlockDocumentUpdate
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from dataflow import Engine, Workflow
from flows.edited import EditedBlocks
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


def edit(pipeline: str, **data: Any) -> None:
    """What a person does on the page of the block of the source."""
    with get_client(sync_client=True) as client:
        document = client.read_block_document_by_name(f"{pipeline}-orders", "watermark")
        client.update_block_document(document.id, BlockDocumentUpdate(data=data, merge_existing_data=True))


def test_an_edited_watermark_is_obeyed_by_the_next_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    workflow = shop(tmp_path, "edited")
    follower = Follower(workflow, lambda engine: engine.execute(workflow), every_seconds=0.01)
    Engine(runner="prefect").execute(workflow)
    steps: list[Callable[[], object]] = [
        lambda: edit("edited", position={"file_id": 1}),
        lambda: None,
        # None of these is a position of the source: it is told once, and what comes is to wait for the block.
        lambda: edit("edited", position={"file_id": 77}),
        lambda: None,
        lambda: None,
        lambda: edit("edited", batch_id="mine"),
        lambda: None,
        lambda: None,
    ]
    seen: list[int] = []

    def show() -> None:
        seen.append(Engine(runner="inline").watermarks(workflow)["orders"]["epoch"])
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    monkeypatch.setattr(follower, "_show", show)
    with pytest.raises(KeyboardInterrupt):
        follower.follow()

    assert [0, *[1] * 8] == seen
    assert 3 == pl.read_delta(str(tmp_path / "lake" / "orders")).height
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning")]
    assert 2 == len(told)
    assert "the Prefect block watermark/edited-orders was edited by hand: source 'orders': position" in told[0]
    assert "it lies ahead of what was read" in told[0]
    assert "cannot be obeyed: batch_id was edited by hand" in told[1]


def test_a_prefect_that_does_not_answer_is_told_once_and_the_sources_are_followed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    workflow = shop(tmp_path, "alone")
    Engine(runner="inline").execute(workflow)
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}),
        EditedBlocks(workflow) as blocks,
    ):
        assert [None, None] == [blocks.due(started=False) for _ in range(2)]
    with EditedBlocks(workflow) as blocks:
        assert blocks.due(started=False) is None
    (told,) = capfd.readouterr().err.splitlines()
    assert told.startswith("warning: the watermark blocks cannot be looked at: ")


def test_no_server_is_started_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    workflow = shop(tmp_path, "serverless")
    with temporary_settings(restore_defaults={PREFECT_API_URL}), EditedBlocks(workflow) as blocks:
        monkeypatch.setattr(blocks, "_connection", lambda: pytest.fail("a server is asked"))
        assert blocks.due(started=False) is None


def test_each_batch_of_a_backfill_is_a_flow_run(tmp_path: Path):
    workflow = shop(tmp_path, "backfilled")
    Engine(runner="inline").execute(workflow)

    report = Engine(runner="prefect").backfill(workflow, "orders", "1", "3", batch_units=2)

    assert ("completed", 3) == (report.state, len(report.done))
    assert {"Completed": 2} == flow_runs("backfilled")
