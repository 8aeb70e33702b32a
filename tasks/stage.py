"""The task that stages."""

from __future__ import annotations

from typing import Any

from prefect import task

from tasks.call import Call


@task
def stage(call: Call) -> Any:
    """Write the files of some of a stage's units; nothing is committed."""
    return call()
