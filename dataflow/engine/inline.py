"""Runs steps in threads of this very process: tests, notebooks, and anyone without Prefect."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random

from dataflow.engine.runner import Future as AnyFuture
from dataflow.engine.runner import RunContext, Step
from dataflow.errors import StageFailed
from dataflow.model import RunReport


class InlineRunner:
    """The runner that needs nothing."""

    name = "inline"

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def run(self, context: RunContext, body: Callable[[], RunReport]) -> RunReport:
        """Call ``body`` with a pool of ``context.threads`` threads."""
        self._pool = ThreadPoolExecutor(context.threads, thread_name_prefix="dataflow")
        try:
            return body()
        finally:
            # After Ctrl-C what is still queued must not begin; what runs cannot be stopped.
            self._pool.shutdown(wait=False, cancel_futures=True)

    def submit(
        self, step: Step, function: Callable[..., Any], *args: Any, after: Sequence[AnyFuture] = ()
    ) -> Future[Any]:
        """Start ``function(*args)``; the engine submits a step only when what it needs is done."""
        assert self._pool is not None, "submit is called from within run"
        return self._pool.submit(_attempt, step, function, args)


def _attempt(step: Step, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    delay = step.retry.delay_seconds
    retrying = Retrying(
        stop=stop_after_attempt(step.retry.attempts),
        wait=wait_random(delay, delay * 1.5),
        retry=retry_if_exception(lambda error: getattr(error, "retryable", False)),
        reraise=True,
    )
    if step.retry.timeout_minutes is None:
        return retrying(function, *args)
    return retrying(_limited, step, function, args)


def _limited(step: Step, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    minutes = step.retry.timeout_minutes
    assert minutes is not None
    outcome: Future[Any] = Future()

    def work() -> None:
        try:
            outcome.set_result(function(*args))
        except BaseException as error:
            outcome.set_exception(error)

    # A thread cannot be ended from outside; as a daemon it at least does not keep the process alive.
    threading.Thread(target=work, name=step.name, daemon=True).start()
    try:
        return outcome.result(timeout=minutes * 60)
    except TimeoutError:
        if outcome.done():
            raise
        raise StageFailed(
            f"stage {step.stage!r}: {step.name} ran out of its {minutes:g} minutes; raise `retry.timeout_minutes`, or cut the stage into smaller units with `partition_by`",
            stage=step.stage,
        ) from None
