from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import Log

from tests.tasks.runs import flow_run_of

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]

SCRIPT = """
import sys
import polars as pl
from dataflow import Engine, Workflow
from flows.logs import start_logging

lake, source = sys.argv[1:]
start_logging("INFO", "json")
workflow = Workflow("shop", lake=lake)
workflow.add_source("orders", {"path": source})
workflow.add_task("copied", lambda orders: orders, depends_on=["orders"])
print(Engine(runner="prefect").execute(workflow).model_dump_json())
"""


def logs_of(flow_run: Any, count: int, seconds: float = 30) -> list[Log]:
    """What the server has of the library's logs of a flow run, once there are ``count``."""
    until = time.monotonic() + seconds
    with get_client(sync_client=True) as client:
        while True:
            known = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run.id])))
            ours = [log for log in known if log.name == "dataflow"]
            if len(ours) >= count or time.monotonic() > until:
                return ours
            time.sleep(0.2)


def test_a_run_in_prefect_logs_and_measures_its_steps_and_its_page_shows_them(tmp_path: Path, prefect_server: str):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("id\n1\n2\n")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "lake"), f"{tmp_path}/*.csv"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PREFECT_API_URL": prefect_server},
    )
    report = json.loads(done.stdout)
    records = [json.loads(line) for line in done.stderr.splitlines()]

    assert {report["run_id"]} == {record["run"] for record in records}
    assert {"dataflow"} == {record["logger"] for record in records}
    units = {(r["stage"], r["unit"]) for r in records if ": staged" in r["message"]}
    assert {("orders", "a.csv"), ("orders", "b.csv"), ("copied", "all")} == units
    for stage in report["stages"]:
        assert 0 < stage["cpu_seconds"]
        assert 0 < stage["peak_memory_bytes"]

    class Run:
        pipeline, run_id = "shop", report["run_id"]

    shown = logs_of(flow_run_of(Run), len(records))  # type: ignore[arg-type]
    assert sorted(record["message"] for record in records) == sorted(log.message for log in shown)
    staged = [log for log in shown if ": staged" in log.message]
    assert all(log.task_run_id is not None for log in staged)
