"""The task that stages."""

from __future__ import annotations

from typing import Any

from prefect import task

from tasks.call import Call
from tasks.states import step_state


@task
def stage(call: Call) -> Any:
    """Write the files of some of a stage's units; nothing is committed. A stage on a path not taken ends Skipped."""
    return step_state(call())
