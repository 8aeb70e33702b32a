"""Deploy to a work pool of processes on machines of your own: python deployments/apply.py

Then start a worker where the code is: `uv run prefect worker start --pool lake`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout that is not installed

from tasks import settings as settings  # before anything of Prefect

# isort: split
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.runner.storage import LocalStorage
from prefect.workers.process import ProcessWorker

from dataflow.errors import DataFlowError
from deployments.deployment import ROOT, Deployment, declared, described


def main(arguments: list[str] | None = None) -> int:
    """Deploy all or nothing; 2 where something cannot be deployed."""
    parser = argparse.ArgumentParser(description="Deploy all flows to a work pool of processes.")
    parser.add_argument("--pool", default="lake", help="work pool, made where there is none (default: %(default)s)")
    parser.add_argument("--code", default=str(ROOT), help="folder of the checkout on the workers' machines")
    options = parser.parse_args(arguments)
    try:
        deployments = declared(Path(__file__).resolve().parent)
    except DataFlowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    make_pool(options.pool)
    for deployment, line in zip(deployments, described(deployments), strict=True):
        apply(deployment, options.pool, options.code)
        print(line)
    return 0


def make_pool(name: str) -> None:
    """Make the work pool of processes, unless there is one."""
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(name)
        except ObjectNotFound:
            template = ProcessWorker.get_default_base_job_template()
            client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))


def apply(deployment: Deployment, pool: str, code: str) -> None:
    """Deploy one flow; its runs start in the folder ``code`` of the worker's machine."""
    wanted = deployment.in_prefect()
    wanted.storage = LocalStorage(path=code)
    wanted.apply(work_pool_name=pool, _sync=True)  # type: ignore[call-arg]


if __name__ == "__main__":
    raise SystemExit(main())
