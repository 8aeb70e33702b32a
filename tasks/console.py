"""What of Prefect's talk reaches the terminal, where the command line has a display of its own."""

from __future__ import annotations

import logging
import os

from prefect.logging.handlers import PrefectConsoleHandler

RUNS = ("prefect.flow_runs", "prefect.task_runs")
SENDERS = ("EventsWorker", "APILogWorker")
"""They warn that they are still sending when a process ends: it is what they are there for."""


def _worth_saying(record: logging.LogRecord) -> bool:
    """Warnings from Prefect itself; what its engine says about runs is on the page of the run."""
    if record.name.startswith(SENDERS):
        return record.levelno >= logging.ERROR
    if not record.name.startswith("prefect"):
        return True
    return record.levelno >= logging.WARNING and not record.name.startswith(RUNS)


def hush() -> None:
    """Keep Prefect's console to warnings about Prefect itself, unless the user set a log level."""
    if os.environ.get("PREFECT_LOGGING_LEVEL"):
        return
    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrefectConsoleHandler) and _worth_saying not in handler.filters:
            handler.addFilter(_worth_saying)
