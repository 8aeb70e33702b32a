"""What a command line logs, and where to: lines of text or of JSON, on stderr and in a file.

The terminal has a display of its own, so that without a level only warnings that the display does not show are
written there. A file gets all from INFO on, whatever the terminal shows. Of Prefect, its server and of clients of the
network only warnings are written. A log file is appended to and never renamed: several runs may share one, and where
``logrotate`` moves it away, the next line begins a new one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any, Literal

from pythonjsonlogger.json import JsonFormatter

from dataflow.engine.logs import about, fields
from dataflow.errors import ConfigError
from dataflow.model.secrets import hide_named, redacted
from flows.display import Output

Format = Literal["text", "json"]
NOISE = (
    "prefect",
    "uvicorn",
    "fastapi",
    "httpx",
    "httpcore",
    "hpack",
    "websockets",
    "asyncio",
    "aiosqlite",
    "alembic",
    "docket",
    "urllib3",
    "botocore",
    "aiobotocore",
    "s3fs",
    "fsspec",
    "great_expectations",
    "matplotlib",
    "EventsWorker",
    "APILogWorker",
)
"""Loggers of which only warnings are worth a line."""
RUNS = ("prefect.flow_runs", "prefect.task_runs")
"""They repeat at level ERROR what the run reports itself."""
SENDERS = ("EventsWorker", "APILogWorker")
"""They warn that they are still sending when a process ends: it is what they are there for."""


def start_logging(level: str | None = None, format: Format = "text", file: Path | None = None) -> None:
    """Write what is logged to stderr, and to ``file`` if there is one; a second call replaces the first.

    Errors: ConfigError for a file that cannot be written.
    """
    handlers: list[logging.Handler] = [Terminal(level)]
    if file is not None:
        handlers.append(_opened(file, level))
    debug = level == "DEBUG"
    for handler in handlers:
        handler.addFilter(_placed)
        handler.addFilter(_worth_a_line)
        handler.setFormatter(JsonLines(debug=debug) if format == "json" else TextLines(debug=debug))
    hide_named(os.environ)
    # Else what a handler cannot write goes to stderr, in words of its own: Prefect's, where its server is away.
    logging.raiseExceptions = False
    root = logging.getLogger()
    for old in list(root.handlers):
        # Prefect, imported before us, has one that says the same in its own words.
        if isinstance(old, Terminal | LogFile) or type(old).__name__ == "PrefectConsoleHandler":
            root.removeHandler(old)
            old.close()
    for handler in handlers:
        handler.addFilter(_NotAgain())
        root.addHandler(handler)
    root.setLevel(min(handler.level for handler in handlers))
    # On the page of a run in Prefect, the steps of the run are told whatever the terminal shows.
    logging.getLogger("dataflow").setLevel(min(logging.INFO, root.level))
    if debug:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "DEBUG")


class Terminal(logging.StreamHandler[Any]):
    """Writes to whatever stderr is at the time: a display that moves it keeps its lines whole."""

    def __init__(self, level: str | None) -> None:
        logging.Handler.__init__(self, level or "WARNING")
        if level is None:
            self.addFilter(_not_displayed)

    @property
    def stream(self) -> Any:
        """Stderr, which may end before the run does."""
        return Output(sys.stderr)


class LogFile(WatchedFileHandler):
    """Appends to a file; a disk that is full costs the lines and not the run."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Say once what is wrong; the next line begins with a file that is opened anew."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError) and self.stream is not None:
            with contextlib.suppress(OSError):
                self.stream.close()  # what is buffered would be written with every line again
            self.stream = None
        if not self._told:
            self._told = True
            reason = getattr(error, "strerror", None) or error
            print(f"warning: {self.baseFilename} cannot be written ({reason}); the run goes on", file=sys.stderr)


def _opened(file: Path, level: str | None) -> LogFile:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = LogFile(file, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the log file {file} cannot be written ({error.strerror or error}); name another with --log-file",
            key="logging.file",
        ) from error
    handler.setLevel(min(logging.INFO, logging.getLevelNamesMapping()[level or "INFO"]))
    return handler


def _placed(record: logging.LogRecord) -> bool:
    """Give records of other libraries, made inside a stage, the place of it."""
    for name, value in fields().items():
        record.__dict__.setdefault(name, value)
    return True


def _worth_a_line(record: logging.LogRecord) -> bool:
    if record.name.startswith(SENDERS):
        return record.levelno >= logging.ERROR
    if record.name.startswith(RUNS):
        return False
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] not in NOISE


class _NotAgain(logging.Filter):
    """What a library says over and over is one line in ten minutes: Prefect's client does while its server is away."""

    SECONDS = 600.0

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it was not said lately."""
        if record.name.partition(".")[0] not in NOISE:
            return True
        self._said = {said: at for said, at in self._said.items() if record.created - at < self.SECONDS}
        first = self._said.setdefault((record.name, record.getMessage()), record.created)
        return first == record.created


def _not_displayed(record: logging.LogRecord) -> bool:
    """Whether the display has not said it already: it shows the steps of a run, the report how it ended."""
    return not hasattr(record, "event")


def _exception(record: logging.LogRecord) -> dict[str, Any] | None:
    """What a record says of an error."""
    error = record.exc_info[1] if record.exc_info else None
    told: dict[str, Any] | None = getattr(record, "exception", None)
    return told or (about(error, private=getattr(record, "_private", False)) if error is not None else None)


def _traceback(record: logging.LogRecord, *, debug: bool) -> str:
    """Where an error came from, at level DEBUG and where it cannot quote personal data."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None or not debug or getattr(record, "_private", False):
        return ""
    return "".join(traceback.format_exception(error)).rstrip()


class TextLines(logging.Formatter):
    """``2026-01-17 21:21:00,508 - dataflow - INFO - message [run=… stage=… unit=…]``, in local time."""

    def __init__(self, *, debug: bool) -> None:
        super().__init__()
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        """One line, but for a traceback."""
        message, error = record.getMessage(), _exception(record)
        if error is not None and error.get("message", "") not in message:
            message += f": {error['type']}: {error['message']}"
        elif error is not None and error["type"] not in message:
            message += f" ({error['type']})"
        at = " ".join(f"{name}={value}" for name in ("run", "stage", "unit") if (value := getattr(record, name, None)))
        # A message of several lines would look like several records.
        line = " ".join(message.split("\n"))
        line = f"{self.formatTime(record)} - {record.name} - {record.levelname} - {line}{f' [{at}]' if at else ''}"
        trace = _traceback(record, debug=self._debug)
        return redacted(f"{line}\n{trace}" if trace else line)


class JsonLines(JsonFormatter):
    """One object a line: timestamp (UTC), logger, level, message, run, stage, unit, then what else is known."""

    def __init__(self, *, debug: bool) -> None:
        names = {"name": "logger", "levelname": "level"}
        super().__init__(
            ["timestamp", "name", "levelname", "message", "run", "stage", "unit"],
            rename_fields=names,
            json_default=str,
            json_ensure_ascii=False,
        )
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        """One line, without what is secret."""
        return redacted(super().format(record))

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Tell errors by kind, message and names in place of their traceback."""
        message_dict.pop("exc_info", None)
        super().add_fields(log_data, record, message_dict)
        log_data["timestamp"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        if (error := _exception(record)) is not None:
            trace = _traceback(record, debug=self._debug)
            log_data["exception"] = {**error, "traceback": trace} if trace else error
