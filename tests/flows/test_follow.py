"""Rounds of a pipeline that follows its source: quiet ones, runs, errors that pass, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from dataflow import Engine, Workflow
from dataflow.engine.run import new_run_id
from dataflow.engine.seams import Seam, watch
from dataflow.errors import ConfigError, LakeUnavailable, LeaseLost, PlanError
from dataflow.lake.lake import Lake
from dataflow.lake.lease import held
from flows import follow
from flows.command import PROJECT, main
from flows.follow import Follower

YAML = """\
pipeline: shop
lake: lake
sources:
  orders: {path: orders/*.csv, retry: {delay_seconds: 0}}
"""
Step = Callable[[], object]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "orders").mkdir()
    (tmp_path / "shop.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PIPELINE_CONFIG", raising=False)
    deliver(1)
    return tmp_path


def deliver(number: int) -> None:
    Path(f"orders/{number}.csv").write_text(f"item\n{number}\n")


def items() -> list[str]:
    return sorted(pl.read_delta("lake/orders")["item"])


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float]]:
    """``between(step, ...)``: what happens after each round, in the place of waiting; after the last one, Ctrl-C."""
    waits: list[float] = []

    def script(*steps: Step) -> list[float]:
        left = list(steps)

        def sleep(seconds: float) -> None:
            waits.append(round(seconds))
            if not left:
                raise KeyboardInterrupt
            left.pop(0)()

        monkeypatch.setattr(follow, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
        return waits

    return script


def etl(*arguments: str) -> int:
    return main(["--config", "shop.yaml", "--runner", "inline", "--follow", *arguments])


def nothing() -> None:
    """A round goes by."""


def test_it_runs_where_something_is_new_and_says_nothing_where_not(
    shop: Path, between: Callable[..., list[float]], capfd: pytest.CaptureFixture[str]
):
    waits = between(nothing, nothing, lambda: deliver(2), nothing, nothing)

    assert 130 == etl("--every", "7")

    out, err = capfd.readouterr()
    assert ["1", "2"] == items()
    assert ["shop completed", "shop completed"] == [line[:14] for line in out.splitlines() if line.startswith("shop ")]
    assert "interrupted; what is published stays, the next run finishes or sweeps the rest\n" == err
    assert 6 == len(waits)
    assert all(0 <= wait <= 7 for wait in waits)


def test_quiet_rounds_leave_no_trace(shop: Path, between: Callable[..., list[float]]):
    def files() -> dict[str, int]:
        return {str(p): p.stat().st_mtime_ns for p in (shop / "lake").rglob("*") if p.is_file()}

    seen: list[dict[str, int]] = []
    between(*[lambda: seen.append(files())] * 5)
    etl()
    assert 5 == len(seen)
    assert [seen[0]] * 5 == seen


def test_json_is_one_object_for_each_round_that_did_something(
    shop: Path, between: Callable[..., list[float]], capfd: pytest.CaptureFixture[str]
):
    between(nothing, lambda: deliver(2), nothing)

    assert 130 == etl("--json")

    out, _ = capfd.readouterr()
    *reports, failure = [json.loads(line) for line in out.splitlines()]
    assert [("completed", 1), ("completed", 1)] == [(r["state"], r["processed_records"]) for r in reports]
    assert (130, "interrupted") == (failure["exit_code"], failure["reason"].split(";")[0])


def test_a_round_goes_by_while_another_run_is_at_work(shop: Path, between: Callable[..., list[float]]):
    lease = held(Lake(shop / "lake"), "shop", new_run_id(), ttl_seconds=60)

    def take() -> None:
        lease.__enter__()
        deliver(2)

    def look() -> None:
        assert ["1"] == items()
        lease.__exit__(None, None, None)

    between(take, look)
    etl()
    assert ["1", "2"] == items()


def test_a_lease_that_is_lost_is_taken_again(shop: Path, between: Callable[..., list[float]]):
    unwatch = failing(Seam.STAGE_PLANNED, LeaseLost("another run took the lease over"))
    waits = between(nothing)
    try:
        assert 130 == etl("--every", "10")
    finally:
        unwatch()
    assert (["1"], 2) == (items(), len(waits))


def failing(seam: Seam, error: BaseException, times: int = 1) -> Callable[[], None]:
    """Let what reaches the seam fail, so many times."""
    left = times

    def visit(reached: Seam, _: str) -> None:
        nonlocal left
        if reached == seam and left:
            left -= 1
            raise error

    return watch(visit)


def test_an_error_that_may_pass_is_met_by_waiting_longer_and_longer(
    shop: Path, between: Callable[..., list[float]], capfd: pytest.CaptureFixture[str]
):
    unwatch = failing(Seam.UNIT_WRITTEN, LakeUnavailable("the storage did not answer"), times=9)
    between(nothing, nothing, nothing, nothing)
    try:
        assert 130 == etl("--every", "10")
    finally:
        unwatch()
    err = capfd.readouterr().err.splitlines()
    assert [
        "warning: stage 'orders' failed: the storage did not answer; the next round is in 20 s",
        "warning: stage 'orders' failed: the storage did not answer; the next round is in 40 s",
        "warning: stage 'orders' failed: the storage did not answer; the next round is in 80 s",
    ] == [line for line in err if line.startswith("warning")]
    assert ["1"] == items()


def test_rounds_that_fail_are_never_further_apart_than_five_minutes():
    follower = Follower(Workflow("w"), lambda engine: engine.execute(Workflow("w")), every_seconds=10)
    follower._in_vain = 40
    assert 300 == follower._wait()
    follower.every_seconds = 3600
    assert 3600 == follower._wait()


def test_an_error_that_will_not_pass_ends_it(
    shop: Path, between: Callable[..., list[float]], capfd: pytest.CaptureFixture[str]
):
    def break_it() -> None:
        Path("orders/2.csv").write_text("thing\n1\n")

    waits = between(break_it)

    assert 1 == etl()

    assert 1 == len(waits)
    assert "shop failed" in capfd.readouterr().out


def test_a_run_that_publishes_nothing_is_not_repeated_at_once(shop: Path, between: Callable[..., list[float]]):
    few = {"type": "expect_table_row_count_to_be_between", "max_value": 0}
    gate = [{"name": "few", "expectation": few, "on_fail": {"branch": "alarm"}}]
    workflow = Workflow("shop", lake=shop / "lake")
    workflow.add_source("orders", {"path": str(shop / "orders/*.csv"), "gate": gate})
    workflow.add_source("other", {"path": str(shop / "orders/*.csv")})
    workflow.add_task("alarm", lambda other: other, depends_on=["other"])
    follower = Follower(workflow, lambda engine: engine.execute(workflow), runner="inline", every_seconds=10)
    waits: list[float] = []
    between(*[lambda: waits.append(follower._wait())] * 3)
    with pytest.raises(KeyboardInterrupt):
        follower.follow()
    assert [10, 20, 40] == waits


@pytest.mark.parametrize("passes", [True, False])
def test_a_prefect_that_is_away_passes_once_it_was_there(
    shop: Path, between: Callable[..., list[float]], capfd: pytest.CaptureFixture[str], passes: bool
):
    workflow = Workflow("shop", lake=shop / "lake")
    workflow.add_source("orders", {"path": str(shop / "orders/*.csv")})
    calls: list[int] = []

    def execute(engine: Engine) -> Any:
        calls.append(1)
        if len(calls) == 1 + passes:
            raise ConfigError("Prefect did not start the run", key="PREFECT_API_URL")
        return engine.execute(workflow)

    between(lambda: deliver(2), nothing)
    follower = Follower(workflow, execute, runner="inline")
    with pytest.raises(KeyboardInterrupt if passes else ConfigError):
        follower.follow()
    assert passes == ("warning: Prefect did not start the run" in capfd.readouterr().err)
    assert passes == (Path("lake/orders").exists() and ["1", "2"] == items())


def test_what_cannot_be_planned_ends_it(shop: Path, between: Callable[..., list[float]]):
    between()

    def execute(engine: Engine) -> Any:
        raise PlanError("a cycle")

    workflow = Workflow("shop", lake=shop / "lake")
    workflow.add_source("orders", {"path": str(shop / "orders/*.csv")})
    with pytest.raises(PlanError):
        Follower(workflow, execute, runner="inline").follow()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--follow", "--full"), "--follow runs what is new, again and again, and --full once"),
        (("--follow", "--plan"), "and --plan once"),
        (("--every", "5"), "--every says how often --follow looks"),
        (("--follow", "--every", "0"), "should be greater than or equal to 0.1"),
    ],
)
def test_options_that_do_not_go_together(
    shop: Path, arguments: tuple[str, ...], says: str, capfd: pytest.CaptureFixture[str]
):
    assert 2 == main(["--config", "shop.yaml", "--runner", "inline", *arguments])
    assert says in capfd.readouterr().err
    assert not (shop / "lake").exists()


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_it_between_rounds(shop: Path, number: signal.Signals, code: int, word: str):
    process = subprocess.Popen(
        [sys.executable, str(PROJECT / "flows" / "etl.py"), "--config", "shop.yaml", "--runner", "inline", "--follow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=shop,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("lake:"):
            break
    time.sleep(0.5)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert code == process.returncode
    assert f"{word}; what is published stays, the next run finishes or sweeps the rest\n" == err
