"""Serve all deployments from this process, on their schedules: python deployments/serve.py

It needs a Prefect server that stays (`uv run prefect server start`): the one that a run starts
for itself schedules nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout that is not installed

from tasks import settings as settings  # before anything of Prefect

# isort: split
from prefect import serve

from dataflow.errors import DataFlowError
from deployments.deployment import ROOT, declared, described


def main() -> int:
    """Serve until interrupted; 2 where something cannot be served."""
    os.chdir(ROOT)  # entry points count from here
    try:
        deployments = declared(Path(__file__).resolve().parent)
    except DataFlowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in described(deployments):
        print(line)
    serve(*(deployment.in_prefect() for deployment in deployments), print_starting_message=False)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
