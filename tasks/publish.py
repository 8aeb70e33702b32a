"""The task that publishs."""

from __future__ import annotations

from typing import Any

from prefect import task

from tasks.call import Call


@task
def publish(call: Call) -> Any:
    """Commit a stage's audited files, once, to all the tables that they belong to."""
    return call()
