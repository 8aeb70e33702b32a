from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL, temporary_settings

from dataflow.errors import ConfigError
from tasks.patience import lose_patience
from tasks.runner import PrefectRunner
from tests.tasks.runs import (
    REFUSAL,
    context,
    end_of,
    flow_run_of,
    manifest,
    report,
    run_steps,
    stage_report,
    step,
    task_runs_of,
)

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


def test_a_run_is_a_flow_run_that_reads_like_the_pipeline():
    run = context("daily_delays")
    runner = PrefectRunner()

    def body():
        parts = [runner.submit(step(label=f"month={n}"), lambda: manifest()) for n in (1, 2)]
        audit = runner.submit(step(verb="audit"), lambda: "verdict", after=parts)
        publish = runner.submit(step(verb="publish"), lambda: "version", after=[audit])
        assert "version" == publish.result()
        return report(run)

    answer = runner.run(run, body)

    assert report(run) == answer
    found = flow_run_of(run)
    assert ("COMPLETED", "Completed", "1 stage: 1 published; 0 rows read from sources.") == end_of(run)
    assert {"pipeline": "daily_delays", "run_id": run.run_id, "lake": "/lake"} == found.parameters
    with get_client(sync_client=True) as client:
        assert "Daily Delays" == client.read_flow(found.flow_id).name
    runs = task_runs_of(found, 4)
    assert {
        "flights.stage [month=1]": [],
        "flights.stage [month=2]": [],
        "flights.audit": ["flights.stage [month=1]", "flights.stage [month=2]"],
        "flights.publish": ["flights.audit"],
    } == {name: upstream(run, runs) for name, run in runs.items()}


def upstream(run: Any, runs: dict[str, Any]) -> list[str]:
    names = {found.id: name for name, found in runs.items()}
    return sorted(names[link.id] for link in run.task_inputs.get("wait_for", []))


@pytest.mark.parametrize(
    ("state", "stage", "expected"),
    [
        ("skipped", stage_report(state="skipped"), ("COMPLETED", "Skipped", "nothing new")),
        (
            "rejected",
            stage_report(
                state="rejected",
                verdict=stage_report().verdict.model_copy(update={"results": (REFUSAL,)}),  # type: ignore[union-attr]
            ),
            ("FAILED", "Rejected", "flights was rejected by its gate: keys_unique (3 of 1,000 rows)."),
        ),
        (
            "failed",
            stage_report(state="failed", error="no such column"),
            ("FAILED", "Failed", "flights: no such column"),
        ),
    ],
)
def test_the_report_decides_the_final_state_and_is_returned(state: Any, stage: Any, expected: tuple[str, ...]):
    run = context()
    wanted = report(run, state, (stage,), reason="nothing new")

    assert wanted == PrefectRunner().run(run, lambda: wanted)

    assert expected == end_of(run)


def test_an_error_of_the_body_arrives_unchanged_and_fails_the_flow_run():
    run = context()
    error = ConfigError("no such column: 'tailnumber'", key="select")

    with pytest.raises(ConfigError) as caught:
        PrefectRunner().run(run, lambda: raise_(error))

    assert error is caught.value
    assert ("FAILED", "Failed", "no such column: 'tailnumber'") == end_of(run)


def raise_(error: Exception) -> Any:
    raise error


def test_within_a_flow_run_the_steps_join_it_and_its_run_is_the_only_one():
    run = context("joined")

    @flow(name="Outer")
    def outer() -> tuple[Any, str]:
        flow_run = FlowRunContext.get().flow_run  # type: ignore[union-attr]
        return flow_run, run_steps(run, lambda runner: runner.submit(step(), lambda: "staged").result())

    flow_run, answer = outer()

    assert "staged" == answer
    assert ["flights.stage"] == list(task_runs_of(flow_run, 1))
    with pytest.raises(ValueError, match="not enough values"):
        flow_run_of(run)


def test_a_server_that_does_not_answer_is_a_config_error_that_says_what_to_do():
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(
            ConfigError, match=r"Prefect at http://127\.0\.0\.1:9/api did not start the run .*: start a server"
        ),
    ):
        PrefectRunner().run(context(), lambda: pytest.fail("the body must not run"))


WITHOUT_SERVER = """
from tasks.runner import PrefectRunner
from tests.tasks.runs import context, report, run_steps, step

print(run_steps(context(), lambda runner: runner.submit(step(), lambda: "staged").result()))
"""


@pytest.mark.slow
def test_without_a_server_a_run_starts_its_own_and_an_empty_address_means_without(tmp_path: Path):
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": ""}

    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_SERVER], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200
    )

    assert (0, "staged\n", "") == (ended.returncode, ended.stdout, ended.stderr)


def test_a_lost_server_does_not_lose_the_report(caplog: pytest.LogCaptureFixture):
    run = context()
    runner = PrefectRunner()

    def body():
        # What a server that dies does to the flow run's last request: its client knows no way to it.
        FlowRunContext.get().client._client.base_url = "http://127.0.0.1:9/api/"  # type: ignore[union-attr]
        lose_patience()
        return report(run, "skipped")

    assert report(run, "skipped") == runner.run(run, body)
    assert f"The end of run {run.run_id} could not be told to Prefect" in caplog.text


INTERRUPTED = """
import os, signal, sys, time
from tasks.runner import PrefectRunner
from tests.tasks.runs import context, step
from dataclasses import replace

run = replace(context("interrupted"), run_id=sys.argv[1])
runner = PrefectRunner()

def body():
    future = runner.submit(step(), time.sleep, 0.5)
    os.kill(os.getpid(), signal.SIGINT)
    future.result()
    sys.exit("the interrupt did not arrive")

try:
    runner.run(run, body)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_reaches_the_caller_and_leaves_no_run_running():
    run = context("interrupted")

    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, run.run_id], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert (130, "") == (ended.returncode, ended.stdout), ended.stderr
    assert "Traceback" not in ended.stderr
    assert "CRASHED" == end_of(run)[0]
