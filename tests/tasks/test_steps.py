from __future__ import annotations

import os
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from prefect.task_runners import ProcessPoolTaskRunner

from dataflow.config import RetryConfig
from dataflow.errors import DataFlowError, LakeUnavailable, SourceCorrupt, StageFailed
from dataflow.model import NotTaken
from tasks.runner import PrefectRunner
from tests.tasks.runs import context, end_of, flow_run_of, manifest, run_steps, step, task_runs_of

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


class Counter:
    """Fails so often, then answers; knows how often it was called."""

    def __init__(self, *errors: Exception, answer: Any = None) -> None:
        self.errors = list(errors)
        self.answer = answer
        self.calls = 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.answer


def test_steps_outside_of_a_run_and_runs_within_a_run_are_refused():
    runner = PrefectRunner()

    with pytest.raises(DataFlowError, match=r"flights\.stage was submitted outside of a run"):
        runner.submit(step(), lambda: 1)
    with pytest.raises(DataFlowError, match="in the middle of another run"):
        run_steps(context(), lambda busy: run_steps(context(), lambda _: None, busy))


def test_a_step_may_be_submitted_from_any_thread_and_tells_when_it_is_done():
    done: list[Any] = []

    def body(runner: PrefectRunner) -> Any:
        futures: list[Any] = []

        def elsewhere() -> None:
            futures.append(runner.submit(step(), threading.get_native_id))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        futures[0].add_done_callback(done.append)
        futures[0].result()
        return futures[0]

    run = context()
    future = run_steps(run, body)

    assert [future] == done
    assert ["flights.stage"] == list(task_runs_of(flow_run_of(run), 1))


class Untouchable(list[int]):
    """Stands for what Prefect must not walk through, copy or hash, such as a frame."""

    def __iter__(self) -> Any:
        raise AssertionError("Prefect walked through an argument")

    def __reduce__(self) -> Any:
        raise AssertionError("Prefect pickled an argument")


def test_arguments_reach_the_function_without_being_looked_at():
    given = Untouchable()

    answer = run_steps(
        context(), lambda runner: runner.submit(step(key=unique()), lambda x: x is given, given).result()
    )

    assert answer is True


def unique() -> str:
    return f"{time.time_ns():x}"


def test_names_with_braces_are_shown_as_they_are():
    run = context()
    run_steps(run, lambda runner: runner.submit(step(label="file={a}.csv"), lambda: 1).result())
    assert ["flights.stage [file={a}.csv]"] == list(task_runs_of(flow_run_of(run), 1))


def test_a_stage_that_does_not_run_ends_skipped_and_the_engine_is_told_why():
    run, answer = context(), NotTaken(reason="orders was not published: its gate branched to triage")

    taken = run_steps(run, lambda runner: runner.submit(step(label="not taken"), lambda: answer).result())

    assert answer == taken
    state = task_runs_of(flow_run_of(run), 1)["flights.stage [not taken]"].state
    assert state is not None
    assert ("COMPLETED", "Skipped", answer.reason) == (state.type.value, state.name, state.message)


AT_ONCE = RetryConfig(attempts=3, delay_seconds=0)


def test_only_errors_that_may_pass_are_retried_and_the_last_one_is_raised():
    away, gone = LakeUnavailable("away"), LakeUnavailable("gone")
    corrupt, full = SourceCorrupt("truncated"), OSError("disk full")
    counters = [Counter(*errors, answer="staged") for errors in ([away, away], [away, away, gone], [corrupt], [full])]

    def body(runner: PrefectRunner) -> list[Any]:
        return [outcome(runner.submit(step(retry=AT_ONCE), counter)) for counter in counters]

    assert ["staged", gone, corrupt, full] == run_steps(context(), body)
    assert [3, 3, 1, 1] == [counter.calls for counter in counters]


class Killed(BaseException):
    """Ends a run as a signal does."""


def test_what_ends_a_step_without_being_an_error_ends_the_run():
    run = context()

    def die() -> None:
        raise Killed

    with pytest.raises(Killed):
        run_steps(run, lambda runner: runner.submit(step(retry=AT_ONCE), die).result())

    assert "CRASHED" == end_of(run)[0]


def test_a_step_after_a_failed_one_is_not_run_and_says_so():
    counter = Counter()

    def body(runner: PrefectRunner) -> Any:
        failed = runner.submit(step(), Counter(SourceCorrupt("truncated")))
        with pytest.raises(StageFailed, match=r"flights\.audit was not run: a step that it comes after failed"):
            runner.submit(step(verb="audit"), counter, after=[failed]).result()

    run_steps(context(), body)

    assert 0 == counter.calls


def test_a_step_that_takes_too_long_fails_with_what_to_do():
    def busy() -> None:
        while True:
            time.sleep(0.01)

    def body(runner: PrefectRunner) -> Any:
        limit = RetryConfig(timeout_minutes=0.005)
        with pytest.raises(StageFailed, match=r"flights\.stage took longer than 0\.005 minutes; raise retry\.timeout"):
            runner.submit(step(retry=limit), busy).result()

    run_steps(context(), body)


# ---------------------------------------------------------------- caching


def present() -> bool:
    return True


def staged(cases: dict[str, tuple[Counter, dict[str, Any]]]) -> dict[str, Any]:
    """Stage all cases in a run of their own."""

    def body(runner: PrefectRunner) -> dict[str, Any]:
        futures = {name: runner.submit(step(**caching), counter) for name, (counter, caching) in cases.items()}
        return {name: outcome(future) for name, future in futures.items()}

    return run_steps(context(), body)


def outcome(future: Any) -> Any:
    try:
        return future.result()
    except Exception as error:
        return error


def test_a_result_is_reused_by_key_while_its_files_are_there_and_it_has_not_expired():
    cases: dict[str, tuple[Counter, dict[str, Any]]] = {
        name: (Counter(answer=(manifest(),)), {"key": f"{unique()}-{name}", **caching})
        for name, caching in {
            "there": {"reusable": present},
            "gone": {"reusable": lambda: False},
            "young": {"reusable": present, "expires_after": timedelta(days=1)},
            "old": {"reusable": present, "expires_after": timedelta(microseconds=1)},
            "nameless": {"reusable": present, "key": None},
        }.items()
    }

    first, second = staged(cases), staged(cases)

    assert {"there": 1, "gone": 2, "young": 1, "old": 2, "nameless": 2} == {n: c.calls for n, (c, _) in cases.items()}
    assert first == second == dict.fromkeys(cases, (manifest(),))


def test_an_error_is_not_a_result():
    case = {"x": (Counter(SourceCorrupt("truncated"), answer=manifest()), {"key": unique(), "reusable": present})}

    assert ["SourceCorrupt", "Manifest", "Manifest"] == [type(staged(case)["x"]).__name__ for _ in range(3)]
    assert 2 == case["x"][0].calls


# ---------------------------------------------------------------- where steps run


def test_units_are_staged_where_the_task_runner_says_and_committed_here():
    def body(runner: PrefectRunner) -> list[Any]:
        part = runner.submit(step(key=unique()), os.getpid)
        audit = runner.submit(step(verb="audit"), os.getpid, after=[part])
        publish = runner.submit(step(verb="publish"), os.getpid, after=[audit])
        return [future.result() for future in (part, audit, publish)]

    pids = run_steps(context(), body, PrefectRunner(ProcessPoolTaskRunner(max_workers=1)))

    assert [False, True, True] == [pid == os.getpid() for pid in pids]


def test_no_more_steps_at_a_time_than_the_run_has_threads():
    lock, busy, most = threading.Lock(), [0], [0]

    def work() -> None:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        time.sleep(0.05)
        with lock:
            busy[0] -= 1

    def body(runner: PrefectRunner) -> None:
        for future in [runner.submit(step(label=str(n)), work) for n in range(8)]:
            future.result()

    run_steps(context(threads=3), body)

    assert 3 == most[0]
