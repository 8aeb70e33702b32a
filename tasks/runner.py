"""The runner that makes a run a Prefect flow run, and each step of it a task run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.logging import get_logger
from prefect.settings import PREFECT_API_URL
from prefect.states import Failed
from prefect.task_runners import TaskRunner

from dataflow.engine.runner import Future, RunContext, Step
from dataflow.errors import ConfigError, DataFlowError
from dataflow.model import RunReport
from tasks.artifacts import show
from tasks.call import Call
from tasks.console import hush
from tasks.naming import title
from tasks.patience import lose_patience, patience
from tasks.states import final_state
from tasks.steps import StepFuture, task_for
from tasks.threads import Threads
from tasks.watermarks import mirror

logger = get_logger("prefect.dataflow")


@dataclass
class _Outcome:
    """How the engine's part of a run went, whatever becomes of Prefect's."""

    report: RunReport | None = None
    error: BaseException | None = None

    def take(self, live: Callable[[], RunReport]) -> State[None]:
        try:
            self.report = live()
        except Exception as error:
            self.error = error
            return Failed(message=str(error))
        except BaseException as error:
            # Somebody wants it to end: Prefect is told so, where it listens.
            self.error = error
            lose_patience()
            raise
        return final_state(self.report)


@dataclass(frozen=True)
class _Session:
    """What a run under way submits its steps to."""

    here: TaskRunner[Any]
    """Threads of this process: one coordinator judges and commits."""
    there: TaskRunner[Any]
    """Wherever units are staged."""
    context: Context
    """The flow run's: steps may be submitted from threads that know nothing of it."""


class PrefectRunner:
    """Runs each pipeline as a flow run, or within the flow run that already surrounds it.

    ``task_runner`` says where units are staged: in threads of this process by default, as many
    as the run's configuration says; in Dask, Ray or LSF by giving theirs. Audits and commits stay
    in this process.
    """

    name = "prefect"

    def __init__(self, task_runner: TaskRunner[Any] | None = None) -> None:
        self._task_runner = task_runner
        self._session: _Session | None = None

    def run(self, run: RunContext, body: Callable[[], RunReport]) -> RunReport:
        """Call ``body`` in a flow run, show its report there, and return it.

        Errors: what ``body`` raises, unchanged; ConfigError where Prefect cannot be reached, or
        where a watermark block was edited.
        """
        with patience():
            return self._live(run, body) if FlowRunContext.get() is not None else self._as_flow(run, body)

    def _as_flow(self, run: RunContext, body: Callable[[], RunReport]) -> RunReport:
        hush()
        outcome = _Outcome()
        token = _under_way.set(lambda: outcome.take(lambda: self._live(run, body)))
        try:
            _flow(run)(run.pipeline, run.run_id, run.lake_uri, return_state=True)
        except Exception as error:
            if outcome.report is None and outcome.error is None:
                raise _unreachable(error) from error
            logger.warning("The end of run %s could not be told to Prefect: %s", run.run_id, error)
        finally:
            _under_way.reset(token)
        if outcome.error is not None:
            raise outcome.error
        assert outcome.report is not None
        return outcome.report

    def submit(self, step: Step, function: Callable[..., Any], *args: Any, after: Sequence[Future] = ()) -> StepFuture:
        """Start ``function(*args)`` as a task run, once the steps in ``after`` are done."""
        if self._session is None:
            raise DataFlowError(f"{step.name} was submitted outside of a run; submit from the body given to run()")
        call = Call(step.name, function, args)
        upstream = [future.future for future in after if isinstance(future, StepFuture)]
        return StepFuture(step, self._session.context.copy().run(self._submit, step, call, upstream))

    def _submit(self, step: Step, call: Call, upstream: list[PrefectFuture[Any]]) -> PrefectFuture[Any]:
        assert self._session is not None
        # No tags: Prefect asks its server for the concurrency limits of each, at 200-500 ms a task.
        task_runner = self._session.there if step.verb == "stage" else self._session.here
        return task_runner.submit(task_for(step), {"call": call}, wait_for=upstream or None)

    def _live(self, run: RunContext, body: Callable[[], RunReport]) -> RunReport:
        known = mirror(run)
        with self._steps(run):
            report = body()
        show(report)
        if report.state != "skipped" or report.repaired or report.notes:
            mirror(run, known)
        return report

    @contextmanager
    def _steps(self, run: RunContext) -> Iterator[None]:
        if self._session is not None:
            raise DataFlowError("this runner is in the middle of another run; give each engine a runner of its own")
        with ExitStack() as stack:
            here = stack.enter_context(Threads(max_workers=run.threads))
            there = stack.enter_context(self._task_runner.duplicate()) if self._task_runner else here
            self._session = _Session(here, there, copy_context())
            stack.callback(self._close)
            yield

    def _close(self) -> None:
        self._session = None


_under_way: ContextVar[Callable[[], State[None]]] = ContextVar("under_way")


def pipeline_run(pipeline: str, run_id: str, lake: str) -> State[None]:
    """The body of every flow run; its parameters are what the page of the run shows.

    What it calls is not in its closure: task runners send the flow to other processes.
    """
    return _under_way.get()()


def _flow(run: RunContext) -> Flow[..., Any]:
    return Flow(
        pipeline_run,
        name=title(run.pipeline),
        flow_run_name=f"{run.pipeline}-{run.run_id}",
        description=f"A run of the pipeline {run.pipeline}.",
        validate_parameters=False,
        persist_result=False,
    )


def _unreachable(error: Exception) -> ConfigError:
    url = PREFECT_API_URL.value()
    place = f"Prefect at {url} did not start the run" if url else "Prefect did not start a server of its own"
    return ConfigError(
        f"{place} ({error}): start a server (`uv run prefect server start`) and let PREFECT_API_URL name it, "
        "unset PREFECT_API_URL so that the run starts its own, or run without Prefect (runner 'inline')",
        key="PREFECT_API_URL",
    )
