"""The seam between the engine and whatever runs its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Protocol, TypeVar

from dataflow.config import RetryConfig
from dataflow.engine.positions import Wish
from dataflow.model import RunReport

T = TypeVar("T")
Verb = Literal["stage", "audit", "publish"]


@dataclass(frozen=True)
class Step:
    """One step of a stage, as a runner sees it."""

    stage: str
    verb: Verb
    label: str = ""
    """Which units: ``month=1 … month=3 (3 units)``; empty where the step concerns them all."""
    retry: RetryConfig = field(default_factory=RetryConfig)
    key: str | None = None
    """Names the step's result: same key, same result. None where it may not be reused."""
    reusable: Callable[[], bool] = lambda: False
    """Whether the result named by ``key`` is still there, manifest and files."""
    expires_after: timedelta | None = None

    @property
    def name(self) -> str:
        return f"{self.stage}.{self.verb}" + (f" [{self.label}]" if self.label else "")


class Future(Protocol):
    """What ``submit`` returns: Prefect's and concurrent.futures' own futures fit."""

    def result(self) -> Any: ...

    def add_done_callback(self, fn: Callable[[Any], None], /) -> None: ...


class Runner(Protocol):
    """Runs the steps of one run. The engine calls ``run`` once and ``submit`` from within it."""

    name: str

    def run(self, run: RunContext, body: Callable[[], RunReport]) -> RunReport:
        """Open what a run lives in, call ``body`` in it, show its report, return it."""
        ...

    def submit(self, step: Step, function: Callable[..., Any], *args: Any, after: Sequence[Future] = ()) -> Future:
        """Start ``function(*args)``; it is retried as ``step.retry`` says when its error is retryable."""
        ...


@dataclass(frozen=True)
class RunContext:
    """What a runner may know of a run before it begins."""

    pipeline: str
    run_id: str
    lake_uri: str
    threads: int
    storage_options: dict[str, str] = field(default_factory=dict[str, str])
    watermarks: Callable[[], dict[str, dict[str, Any]]] = dict
    """The journal's watermark of every source: position, batch_id, event_time, epoch; and the wish granted last."""
    wish: Callable[[Wish], None] = lambda _: None
    """Takes, before the run's body is called, what a person has asked of a source: granted when the run begins."""
