"""The order of a run, what runs at the same time, what a run says of itself."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import polars as pl
import pytest

from dataflow import ConfigError, Engine, LakeUnavailable, RunReport
from dataflow.engine.inline import InlineRunner
from dataflow.engine.run import new_run_id
from dataflow.engine.runner import RunContext, Step
from dataflow.lake.lake import Lake
from dataflow.lake.lease import acquire, read_state
from tests.dataflow.engine.made import Made, done, failed, nonzero, same, states


def diamond(made: Made, **functions: object):
    """a -> b, c -> d"""
    workflow = made.workflow()
    made.source(workflow, "a")
    workflow.add_task("b", functions.get("b", same), ["a"])  # pyright: ignore[reportArgumentType]
    workflow.add_task("c", functions.get("c", same), ["a"])  # pyright: ignore[reportArgumentType]
    workflow.add_task("d", lambda b, c: pl.concat([b, c]), ["b", "c"])
    return workflow


def test_a_first_run_publishes_every_stage_and_a_second_has_nothing_to_do(made: Made):
    made.csv("a/1.csv", "x", "12")

    report = done(made.run(diamond(made)))

    assert {"a": "published", "b": "published", "c": "published", "d": "published"} == states(report)
    assert 2 == report.processed_records
    assert {"read": 2, "fan_out": 2, "produced": 4, "published": 4} == nonzero(report.stage("d"))
    assert [("1",), ("1",), ("2",), ("2",)] == made.rows("d", "x")
    assert [made.version(t) for t in "abcd"] == [report.stage(t).output.version for t in "abcd"]  # pyright: ignore
    before = {t: made.version(t) for t in "abcd"}

    again = made.run(diamond(made))

    assert ("skipped", "nothing new", 0) == (again.state, again.reason, again.exit_code)
    assert {"skipped"} == set(states(again).values())
    assert before == {t: made.version(t) for t in "abcd"}
    assert (2, 2) == (again.stage("a").rows_fresh, again.stage("b").rows_fresh)


def test_ids_of_runs_sort_as_the_runs_began():
    ids: list[str] = []
    for _ in range(12):
        ids.append(new_run_id())
        time.sleep(0.002)
    assert sorted(ids) == ids


def test_events_come_in_order_and_inputs_before_what_reads_them(made: Made):
    made.csv("a/1.csv", "x", "12")

    done(made.run(diamond(made)))

    kinds = [event.kind for event in made.events]
    assert ("run_started", "run_finished") == (kinds[0], kinds[-1])
    for stage in "abcd":
        own = [event.kind for event in made.events if event.stage == stage]
        assert ["stage_planned", "stage_started", "unit_staged", "stage_audited", "stage_finished"] == own
    when = {(e.kind, e.stage): n for n, e in enumerate(made.events)}
    for above, below in (("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")):
        assert when["stage_finished", above] < when["stage_planned", below]


def test_independent_stages_run_at_the_same_time(made: Made):
    made.csv("a/1.csv", "x", "12")
    meet = threading.Barrier(2, timeout=20)
    order: list[str] = []

    def waits(name: str):
        def function(a: pl.LazyFrame) -> pl.LazyFrame:
            def wait(frame: pl.DataFrame) -> pl.DataFrame:
                meet.wait()
                order.append(name)
                return frame

            return a.map_batches(wait, schema={"x": pl.String()})

        return function

    report = done(made.run(diamond(made, b=waits("b"), c=waits("c"))))

    assert ["b", "c"] == sorted(order)
    assert "published" == report.stage("d").state


def test_a_failed_branch_stops_what_needs_it_and_nothing_else(made: Made):
    made.csv("a/1.csv", "x", "12")

    def breaks(a: pl.LazyFrame) -> pl.LazyFrame:
        raise ZeroDivisionError("of course")

    report = made.run(diamond(made, b=breaks))

    assert {"a": "published", "b": "failed", "c": "published", "d": "not_run"} == states(report)
    assert "b failed" == report.stage("d").reason
    assert "stage 'b': its function raised ZeroDivisionError: of course" in failed(report, "b")
    assert report.stage("b").error == report.reason
    assert 1 == report.exit_code

    mended = done(made.run(diamond(made)))

    assert {"a": "skipped", "b": "published", "c": "skipped", "d": "published"} == states(mended)


def test_select_runs_what_is_named(made: Made):
    made.csv("a/1.csv", "x", "12")

    first = done(made.run(diamond(made), select="+c"))
    alone = made.run(diamond(made), select=["d"])
    rest = done(made.run(diamond(made), select="b+"))

    assert {"a": "published", "c": "published"} == states(first)
    assert {"d": "skipped"} == states(alone)
    assert "b has no rows yet" == alone.stage("d").reason
    assert {"b": "published", "d": "published"} == states(rest)


def test_the_report_is_json_at_both_ends(made: Made):
    made.csv("a/1.csv", "x", "12")
    workflow = diamond(made)
    workflow.add_quality_gate("b", [{"name": "small", "predicate": "x < '2'", "severity": "warning"}])

    report = done(made.run(workflow))

    assert report == RunReport.model_validate_json(report.model_dump_json())
    small = report.quality_metrics["b"]["small"]
    expected = {"severity": "warning", "route": "warn", "scope": "row", "success": False, "checked": 2, "failed": 1}
    assert expected == {name: small[name] for name in expected}
    assert {"observed", "repaired", "rows", "evidence", "branch"} == small.keys() - expected.keys()
    assert "warned" == report.stage("b").verdict.outcome  # pyright: ignore[reportOptionalMemberAccess]


def test_lineage_says_which_versions_went_in_and_came_out(made: Made):
    made.csv("a/1.csv", "x", "12")
    done(made.run(diamond(made)))
    made.csv("a/2.csv", "x", "3")

    report = done(made.run(diamond(made)))

    edges = {
        e.stage: ([(v.table, v.version) for v in e.inputs], [(v.table, v.version) for v in e.outputs])
        for e in report.lineage
    }
    assert {
        "a": ([], [("a", 1)]),
        "b": ([("a", 1)], [("b", 1)]),
        "c": ([("a", 1)], [("c", 1)]),
        "d": ([("b", 1), ("c", 1)], [("d", 1)]),
    } == edges
    assert {"b": 1, "c": 1} == report.stage("d").inputs


def test_the_release_names_the_versions_that_belong_together(made: Made):
    made.csv("a/1.csv", "x", "12")
    done(made.run(diamond(made)))
    released = read_state(Lake(made.lake), "made").release
    assert {t: made.version(t) for t in "abcd"} == released
    made.csv("a/2.csv", "x", "3")

    def breaks(a: pl.LazyFrame) -> None:
        return None

    assert "failed" == made.run(diamond(made, c=breaks)).state

    assert released == read_state(Lake(made.lake), "made").release, "half of a run is no release"


def test_a_run_that_finds_another_one_is_skipped(made: Made):
    made.csv("a/1.csv", "x", "12")
    lease = acquire(Lake(made.lake), "made", "20260101T000000xother1", ttl_seconds=60)

    held = made.run(diamond(made))
    lease.release(clean=True)

    assert ("skipped", 0, ()) == (held.state, held.exit_code, held.stages)
    assert "run 20260101T000000xother1" in held.reason
    done(made.run(diamond(made)))


def test_pipelines_of_one_lake_do_not_wait_for_each_other(made: Made):
    made.csv("a/1.csv", "x", "12")
    made.csv("other/1.csv", "y", "1")
    lease = acquire(Lake(made.lake), "made", "20260101T000000xother1", ttl_seconds=60)
    workflow = made.workflow("neighbour")
    made.source(workflow, "other")

    done(made.run(workflow))

    lease.release(clean=True)
    done(made.run(diamond(made)))


class Flaky:
    """Raises a number of times, counted in a file that no fingerprint sees."""

    def __init__(self, place: Path, times: int, error: Exception) -> None:
        self.place, self.times, self.error = place, times, error

    def calls(self) -> int:
        return len(self.place.read_text()) if self.place.exists() else 0

    def function(self):
        place, times, error = str(self.place), self.times, self.error

        def flaky(a: pl.LazyFrame) -> pl.LazyFrame:
            def work(frame: pl.DataFrame) -> pl.DataFrame:
                with open(place, "a") as file:
                    file.write("x")
                if Path(place).stat().st_size <= times:
                    raise error
                return frame

            return work(a.collect()).lazy()

        return flaky


def flaky_workflow(made: Made, flaky: Flaky, **retry: float):
    workflow = made.workflow()
    made.source(workflow, "a")
    workflow.add_task("b", flaky.function(), ["a"], retry={"delay_seconds": 0, **retry})
    return workflow


def test_an_error_that_may_pass_is_tried_again(made: Made, tmp_path: Path):
    made.csv("a/1.csv", "x", "12")
    flaky = Flaky(tmp_path / "calls", 2, LakeUnavailable("the storage did not answer"))

    report = done(made.run(flaky_workflow(made, flaky)))

    # Planning looks at the function on placeholders: that call cannot collect, and so is not counted.
    assert 3 == flaky.calls()
    assert 2 == report.stage("b").counts.published


def test_attempts_end(made: Made, tmp_path: Path):
    made.csv("a/1.csv", "x", "12")
    flaky = Flaky(tmp_path / "calls", 9, LakeUnavailable("the storage did not answer"))

    report = made.run(flaky_workflow(made, flaky, attempts=2))

    assert "the storage did not answer" == failed(report, "b")
    assert 2 == flaky.calls()


def test_an_error_that_does_not_pass_is_not_tried_again(made: Made, tmp_path: Path):
    made.csv("a/1.csv", "x", "12")
    flaky = Flaky(tmp_path / "calls", 1, ValueError("no"))

    report = made.run(flaky_workflow(made, flaky))

    assert "stage 'b': its function raised ValueError: no" in failed(report, "b")
    assert 1 == flaky.calls()


def test_a_step_may_run_out_of_time(made: Made):
    made.csv("a/1.csv", "x", "12")
    workflow = made.workflow()
    made.source(workflow, "a")

    def sleeps(a: pl.LazyFrame) -> pl.LazyFrame:
        a.collect()
        time.sleep(1)
        return a

    workflow.add_task("b", sleeps, ["a"], retry={"delay_seconds": 0, "timeout_minutes": 0.005})

    said = failed(made.run(workflow), "b")

    assert "b.stage [all] ran out of its 0.005 minutes; raise `retry.timeout_minutes`" in said


def test_an_unknown_runner_is_named_with_those_that_there_are():
    with pytest.raises(ConfigError, match=r"unknown runner 'inlin'; did you mean 'inline'\? accepted: inline, prefect"):
        Engine(runner="inlin")


def test_what_a_step_raises_comes_out_of_its_future():
    runner = InlineRunner()
    found: list[BaseException | None] = []

    def body() -> RunReport:
        future = runner.submit(Step("b", "stage"), lambda: 1 // 0)
        found.append(future.exception())
        raise InterruptedError("the body's own error comes through")

    with pytest.raises(InterruptedError, match="comes through"):
        runner.run(RunContext("made", "r", "/lake", 1), body)
    assert isinstance(found[0], ZeroDivisionError)


def test_an_observer_that_raises_ends_the_run_and_not_the_lake(made: Made):
    made.csv("a/1.csv", "x", "12")

    def observe(event: object) -> None:
        raise BrokenPipeError("the terminal is gone")

    with pytest.raises(BrokenPipeError):
        Engine(runner="inline", observer=observe).execute(diamond(made))

    done(made.run(diamond(made)))
