"""Processes that take leases, for the tests of the journal. Imports are few: they are spawned."""

from __future__ import annotations

import os
import time
from typing import Any

from dataflow.errors import DataFlowError
from dataflow.lake.lake import Lake
from dataflow.lake.lease import acquire
from dataflow.lake.state import Released


def take_and_keep(uri: str, pipeline: str, run_id: str, answers: Any, ttl_seconds: float, seconds: float) -> None:
    """Take the lease, say how that went, keep it for a while and vanish without giving it back."""
    try:
        held = acquire(Lake(uri), pipeline, run_id, ttl_seconds=ttl_seconds)
        answers.put((run_id, held.lock.number))
    except DataFlowError as error:
        answers.put((run_id, type(error).__name__))
        return
    time.sleep(seconds)
    answers.close()
    answers.join_thread()  # else the answer might vanish with us
    os._exit(9)


def record_many(uri: str, pipeline: str, entries: int, answers: Any) -> None:
    """Take a lease, write entries, give it back: as often as it takes for the journal to be archived meanwhile."""
    try:
        for run in range(3):
            held = acquire(Lake(uri), pipeline, f"{pipeline}{run}", ttl_seconds=60)
            for _ in range(entries):
                held.record("swept", Released(clean=True))
            held.release(clean=True)
        answers.put((pipeline, "done"))
    except BaseException as error:
        answers.put((pipeline, repr(error)))
