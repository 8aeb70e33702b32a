"""The task that audits."""

from __future__ import annotations

from typing import Any

from prefect import task

from tasks.call import Call


@task
def audit(call: Call) -> Any:
    """Judge exactly the files that a stage has staged."""
    return call()
