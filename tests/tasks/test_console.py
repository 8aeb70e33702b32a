from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from prefect.logging.handlers import PrefectConsoleHandler

from tasks.console import hush


@pytest.fixture
def terminal() -> Iterator[io.StringIO]:
    """What Prefect's handler on the root logger writes."""
    stream = io.StringIO()
    handler = PrefectConsoleHandler(stream)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


SAID = [
    ("prefect.flow_runs", logging.ERROR, "Finished in state Failed"),
    ("prefect.task_runs.engine", logging.ERROR, "Crash detected"),
    ("prefect.engine", logging.INFO, "Starting temporary server"),
    ("EventsWorker", logging.WARNING, "Still processing items"),
    ("prefect.dataflow", logging.WARNING, "block not written"),
    ("elsewhere", logging.WARNING, "from elsewhere"),
]


def talk() -> None:
    """Straight to the handlers: Prefect's loggers of runs want a run to log from."""
    for name, level, message in SAID:
        for handler in logging.getLogger().handlers:
            handler.handle(logging.LogRecord(name, level, __file__, 1, message, None, None))


def test_of_prefect_only_warnings_about_itself_reach_the_terminal(
    terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("PREFECT_LOGGING_LEVEL", raising=False)

    hush()
    hush()
    talk()

    assert ["block not written", "from elsewhere"] == terminal.getvalue().split("\n")[:-1]


def test_who_asks_for_a_log_level_gets_it_all(terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "ERROR")

    hush()
    talk()

    assert [message for _, _, message in SAID] == terminal.getvalue().split("\n")[:-1]
