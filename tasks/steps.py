"""A step of the engine as a task run: its name, retries, time limit and cache; and its future."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import UnfinishedRun
from prefect.futures import PrefectFuture
from prefect.task_engine import TaskRunTimeoutError

from dataflow.engine.runner import Step
from dataflow.errors import StageFailed
from tasks.audit import audit
from tasks.caching import StepKey
from tasks.publish import publish
from tasks.results import ModelSerializer
from tasks.stage import stage

VERBS: dict[str, Task[..., Any]] = {"stage": stage, "audit": audit, "publish": publish}
JITTER = 0.5


def task_for(step: Step) -> Task[..., Any]:
    """The task of the step's verb, with what the step asks for."""
    return VERBS[step.verb].with_options(
        name=f"{step.stage}.{step.verb}",
        task_run_name=lambda: step.name,  # not the name itself: Prefect would fill in its braces
        retries=step.retry.attempts - 1,
        retry_delay_seconds=step.retry.delay_seconds,
        retry_jitter_factor=JITTER,
        retry_condition_fn=may_pass,
        timeout_seconds=step.retry.timeout_minutes and step.retry.timeout_minutes * 60,
        **_caching(step),
    )


def _caching(step: Step) -> dict[str, Any]:
    if step.key is None:
        return {"cache_policy": NO_CACHE, "persist_result": False}
    return {
        "cache_policy": StepKey(key=step.key),
        "persist_result": True,
        "result_serializer": ModelSerializer(),
        "cache_expiration": step.expires_after,
        "refresh_cache": not step.reusable(),
    }


def may_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether the error of a failed attempt says of itself that trying again may help."""
    return bool(getattr(state.data, "retryable", False))


class StepFuture:
    """The future of a step: raises what its function raised, and runs callbacks once it is done."""

    def __init__(self, step: Step, future: PrefectFuture[Any]) -> None:
        self.step = step
        self.future = future

    def result(self) -> Any:
        try:
            return self.future.result()
        except TaskRunTimeoutError as error:
            raise StageFailed(
                f"{self.step.name} took longer than {self.step.retry.timeout_minutes:g} minutes; raise "
                f"retry.timeout_minutes of stage {self.step.stage!r}, or partition it into smaller units",
                stage=self.step.stage,
            ) from error
        except UnfinishedRun as error:
            raise StageFailed(
                f"{self.step.name} was not run: a step that it comes after failed", stage=self.step.stage
            ) from error

    def add_done_callback(self, fn: Callable[[Any], None], /) -> None:
        self.future.add_done_callback(lambda _: fn(self))
