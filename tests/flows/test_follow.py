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
from dataflow.errors import ConfigError, LakeUnavailable, LeaseLost, PlanError
from dataflow.lake.lake import Lake
from dataflow.lake.lease import held
from dataflow.lake.seams import Seam, watch
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
            waits.append(seconds)
            if not left:
                raise KeyboardInterrupt
            left.pop(0)()

        # A clock that stands still but for the waiting.
        monkeypatch.setattr(follow, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: sum(waits)))
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
    assert [7] * 6 == waits


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
    waits = between(nothing, nothing)
    try:
        assert 130 == etl("--every", "10")
    finally:
        unwatch()
    assert (["1"], 3) == (items(), len(waits))


def failing(seam: Seam, error: BaseException, times: int = 1) -> Callable[[], None]:
    """Let what reaches the seam fail, so many times."""
    left = times

    def visit(reached: Seam, _: str) -> None:
        nonlocal left
        if reached == seam and left:
            left -= 1
            raise error

    return watch(visit)


def warnings(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith(("warning", "note"))]


def test_what_fails_is_told_once_and_tried_less_and_less_often(
    shop: Path, between: Callable[..., list[float]], capfd: pytest.CaptureFixture[str]
):
    unwatch = failing(Seam.UNIT_WRITTEN, LakeUnavailable("the storage did not answer"), times=9)
    seen: list[list[str]] = []
    # Three attempts a run: at 0, 20 and 60 seconds it fails, at 140 it goes well.
    waits = between(*[nothing] * 14, lambda: seen.append(items()), nothing)
    try:
        assert 130 == etl("--every", "10")
    finally:
        unwatch()
    out, err = capfd.readouterr()
    assert [
        "warning: stage 'orders' failed: the storage did not answer; the next try is in 20 s, or when something changes",
        "note: shop goes on",
    ] == warnings(err)
    assert ["shop failed", "shop completed"] == [
        line.split(":")[0][:14] for line in out.splitlines() if "shop " in line
    ]
    assert ([10] * 17, [["1"]]) == (waits, seen)


def test_rounds_that_fail_are_never_further_apart_than_five_minutes():
    follower = Follower(Workflow("w"), lambda engine: engine.execute(Workflow("w")), every_seconds=10)
    follower._in_vain = 40
    assert 300 == follower._wait()
    follower.every_seconds = 3600
    assert 3600 == follower._wait()


def test_a_file_that_is_wrong_is_told_once_and_what_else_comes_is_landed(
    shop: Path, between: Callable[..., list[float]], capfd: pytest.CaptureFixture[str]
):
    seen: list[list[str]] = []
    bad = Path("orders/2.csv")
    between(
        lambda: bad.write_text("thing\n1\n"),
        nothing,
        nothing,
        lambda: seen.append(items()),
        lambda: bad.write_text("thing\n22\n"),
        nothing,
        lambda: deliver(2),
        lambda: seen.append(items()),
    )
    assert 130 == etl("--every", "10")
    told = warnings(capfd.readouterr().err)
    assert [["1"], ["1", "2"]] == seen
    assert ("warning: source 'orders'", "note: shop goes on", 2) == (told[0][:24], told[1], len(told))
    assert "2.csv" in told[0]
    assert told[0].endswith("; the next try is in 20 s, or when something changes")


def counted(workflow: Workflow, runs: list[int]) -> Callable[[Engine], Any]:
    def execute(engine: Engine) -> Any:
        runs.append(1)
        return engine.execute(workflow)

    return execute


def test_another_source_is_followed_while_one_is_wrong(
    shop: Path, between: Callable[..., list[float]], capfd: pytest.CaptureFixture[str]
):
    (shop / "others").mkdir()
    (shop / "others" / "1.csv").write_text("thing\n1\n")
    workflow = Workflow("shop", lake=shop / "lake")
    for name in ("others", "orders"):
        retry = {"delay_seconds": 0}
        workflow.add_source(name, {"path": str(shop / name / "*.csv"), "columns": ["item"], "retry": retry})
    runs: list[int] = []
    seen: list[tuple[int, list[str]]] = []
    between(
        lambda: seen.append((len(runs), items())),
        lambda: deliver(2),
        lambda: seen.append((len(runs), items())),
        lambda: seen.append((len(runs), items())),
    )
    with pytest.raises(KeyboardInterrupt):
        Follower(workflow, counted(workflow, runs), runner="inline", every_seconds=5).follow()
    assert [(1, ["1"]), (2, ["1", "2"]), (2, ["1", "2"])] == seen
    out, err = capfd.readouterr()
    assert 1 == len(warnings(err))
    assert 2 == out.count("shop failed: ")


def test_what_a_gate_refuses_waits_for_something_new(
    shop: Path, between: Callable[..., list[float]], capfd: pytest.CaptureFixture[str]
):
    few = {"type": "expect_table_row_count_to_be_between", "min_value": 2}
    workflow = Workflow("shop", lake=shop / "lake")
    workflow.add_source(
        "orders", {"path": str(shop / "orders/*.csv"), "gate": [{"name": "enough", "expectation": few}]}
    )
    runs: list[int] = []
    seen: list[int] = []
    between(*[nothing] * 99, lambda: seen.append(len(runs)), lambda: deliver(2), lambda: seen.append(len(runs)))
    with pytest.raises(KeyboardInterrupt):
        Follower(workflow, counted(workflow, runs), runner="inline", every_seconds=600).follow()
    assert [1, 2] == seen
    assert ["1", "2"] == items()
    refused, well = warnings(capfd.readouterr().err)
    assert refused.startswith("warning: stage 'orders': its gate refused the batch: enough (")
    assert refused.endswith("; the next try is when something changes")
    assert "note: shop goes on" == well


@pytest.mark.parametrize("well", [False, True])
def test_how_the_pipeline_is_declared_ends_it_unless_it_went_well_before(
    shop: Path, between: Callable[..., list[float]], capfd: pytest.CaptureFixture[str], well: bool
):
    def total(orders: pl.LazyFrame) -> pl.LazyFrame:
        return orders.rename({"item": "thing"}) if not well or Path("orders/2.csv").exists() else orders

    workflow = Workflow("shop", lake=shop / "lake")
    workflow.add_source("orders", {"path": str(shop / "orders/*.csv")})
    workflow.add_task(
        "once", total, depends_on=["orders"], deduplicate={"key": ["item"]}, incremental="full", retry={"attempts": 1}
    )
    between(lambda: deliver(2), nothing, nothing)
    follower = Follower(workflow, lambda engine: engine.execute(workflow), runner="inline")
    if well:
        with pytest.raises(KeyboardInterrupt):
            follower.follow()
    else:
        assert 1 == follower.follow()
    out, err = capfd.readouterr()
    assert "deduplicate.key names 'item', which its function does not return" in out
    assert well == bool(warnings(err))


def test_a_run_that_publishes_nothing_is_not_repeated_at_once(shop: Path, between: Callable[..., list[float]]):
    few = {"type": "expect_table_row_count_to_be_between", "max_value": 0}
    gate = [{"name": "few", "expectation": few, "on_fail": {"branch": "alarm"}}]
    workflow = Workflow("shop", lake=shop / "lake")
    workflow.add_source("orders", {"path": str(shop / "orders/*.csv"), "gate": gate})
    workflow.add_source("other", {"path": str(shop / "orders/*.csv")})
    workflow.add_task("alarm", lambda other: other, depends_on=["other"])
    runs: list[int] = []
    seen: list[int] = []
    between(*[lambda: seen.append(len(runs))] * 9)
    with pytest.raises(KeyboardInterrupt):
        Follower(workflow, counted(workflow, runs), runner="inline", every_seconds=10).follow()
    # The first run publishes the other source; then at 10, 30, 70 seconds.
    assert [1, 2, 2, 3, 3, 3, 3, 4, 4] == seen


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

    between(lambda: deliver(2), nothing, nothing, nothing)
    follower = Follower(workflow, execute, runner="inline")
    with pytest.raises(KeyboardInterrupt if passes else ConfigError):
        follower.follow()
    assert passes == ("warning: Prefect did not start the run" in capfd.readouterr().err)
    assert passes == (Path("lake/orders").exists() and ["1", "2"] == items())


def test_a_source_that_cannot_be_looked_at_is_told_once_and_looked_at_again(
    shop: Path, between: Callable[..., list[float]], capfd: pytest.CaptureFixture[str]
):
    hidden = shop / "hidden"
    waits = between(
        lambda: (shop / "orders").rename(hidden), nothing, nothing, lambda: hidden.rename(shop / "orders"), nothing
    )
    assert 130 == etl("--every", "10")
    first, *rest = warnings(capfd.readouterr().err)
    assert "orders" in first
    assert ["note: shop goes on"] == rest
    assert 6 == len(waits)


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
