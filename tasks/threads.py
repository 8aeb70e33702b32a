"""Threads that an interrupted run does not wait for."""

from __future__ import annotations

from typing import Any

from prefect.task_runners import ThreadPoolTaskRunner


class Threads(ThreadPoolTaskRunner[Any]):
    """Prefect's threads, but for Ctrl-C and SIGTERM: one that asks a source which does not answer may never end."""

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        if exc_type is not None and not issubclass(exc_type, Exception) and self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
        super().__exit__(exc_type, exc_value, traceback)
