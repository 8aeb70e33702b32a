from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint

from dataflow.errors import ConfigError
from deployments.deployment import declared
from tasks.deployable import deployable, opened
from tasks.naming import title

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deployments"
BROKEN = {
    "import_error": ("import no_such_module", "import_error.py: ModuleNotFoundError: No module named 'no_such_module'"),
    "syntax_error": ("def", "syntax_error.py: SyntaxError"),
    "nothing_declared": ("", "nothing_declared.py: ConfigError: declare `deployment = Deployment(nothing_declared"),
    "another_name": (
        "from deployments.flights import deployment",
        "another_name.py: ConfigError: its flow is named 'flights': a flow's file and deployment share one name",
    ),
}


def test_every_deployment_can_be_imported_and_loads_from_its_entry_point():
    found = declared()

    assert ["events", "flights", "runways"] == [deployment.name for deployment in found]
    for deployment in found:
        flow: Any = load_flow_from_entrypoint(str(ROOT / deployment.entrypoint))
        assert (title(deployment.name), {"config", "lake", "full", "select"}) == (
            flow.name,
            set(flow.parameters.properties),
        )
        assert all("description" in form for form in flow.parameters.properties.values())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(FOLDER, tmp_path / "deployments", ignore=shutil.ignore_patterns("__pycache__"))


def test_all_that_cannot_be_deployed_is_listed_at_once(copy: Path):
    for name, (text, _) in BROKEN.items():
        (copy / f"{name}.py").write_text(text)

    with pytest.raises(ConfigError) as caught:
        declared(copy)

    for _, said in BROKEN.values():
        assert said in caught.value.message


def test_a_folder_without_deployments_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="no module declares a deployment"):
        declared(tmp_path)


@pytest.mark.parametrize("script", ["apply.py", "serve.py"])
def test_a_module_that_cannot_be_imported_fails_the_deployment_loudly(script: str, copy: Path):
    (copy / "broken.py").write_text("import no_such_module")

    ended = subprocess.run(
        [sys.executable, str(copy / script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert (2, "") == (ended.returncode, ended.stdout)
    assert "error: nothing was deployed, for these cannot be: broken.py: ModuleNotFoundError" in ended.stderr


def test_a_configuration_that_is_not_there_is_known_before_it_is_due():
    with pytest.raises(ConfigError, match=r"there is no configuration 'config/no_such\.yaml'"):
        deployable("config/no_such.yaml")


@pytest.mark.parametrize("lake", [None, "/srv/lake", "s3://bucket/lake"])
def test_a_place_is_taken_as_it_is(lake: str | None):
    assert lake == opened(lake)


def known_as(name: str) -> DeploymentResponse | None:
    with get_client(sync_client=True) as client:
        try:
            return client.read_deployment_by_name(name)
        except ObjectNotFound:
            return None


def forget(name: str) -> None:
    if (found := known_as(name)) is not None:
        with get_client(sync_client=True) as client:
            client.delete_deployment(found.id)


@pytest.mark.prefect
@pytest.mark.usefixtures("prefect_server")
class TestWithServer:
    def test_a_block_stands_for_a_lake_with_its_credentials(self):
        from blocks import Lake
        from blocks.storing import store

        store(Lake.of("s3://bucket/lake", AWS_REGION="eu-south-1"), "here")

        found: Any = opened("lake/here")

        assert ("s3://bucket/lake", {"AWS_REGION": "eu-south-1"}) == (found.uri, found.storage_options)
        with pytest.raises(ConfigError, match="Prefect has no block 'lake/there': make one"):
            opened("lake/there")

    def test_applying_deploys_to_a_pool_of_processes_where_the_code_is(self, tmp_path: Path):
        forget("Flights/flights")

        for _ in range(2):  # again, and it is the same deployment
            ended = subprocess.run(
                [sys.executable, str(FOLDER / "apply.py"), "--pool", "own-machines", "--code", "/app"],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
            )
            told = (
                "Events/events: */15 * * * * (UTC)\nFlights/flights: 15 6 * * * (America/New_York)\n"
                "Runways/runways: 0 7 2 * * (UTC)\n"
            )
            assert (0, told) == (ended.returncode, ended.stdout)

        found: Any = known_as("Flights/flights")
        assert ("own-machines", "deployments/flights.py:flights") == (found.work_pool_name, found.entrypoint)
        assert [{"prefect.deployments.steps.set_working_directory": {"directory": "/app"}}] == found.pull_steps
        assert ["15 6 * * *"] == [schedule.schedule.cron for schedule in found.schedules]

    def test_serving_puts_the_flow_on_its_schedule(self, tmp_path: Path):
        forget("Flights/flights")
        process = subprocess.Popen(
            [sys.executable, str(FOLDER / "serve.py")],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            until = time.monotonic() + 60
            while (found := known_as("Flights/flights")) is None and time.monotonic() < until:
                assert None is process.poll(), process.communicate()
                time.sleep(0.2)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)

        assert ["15 6 * * *"] == [schedule.schedule.cron for schedule in found.schedules]  # type: ignore[union-attr]
