from __future__ import annotations

import multiprocessing
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import polars as pl
import psutil
import pytest

from dataflow.engine.usage import Meter, Work, meter, perform, usage_of
from dataflow.model import Usage
from tests.dataflow.engine.made import Made, done, same

MB = 1_000_000
SIZE = 300 * MB
WORK = Work("r1", "orders", "orders.stage", "all")


def busy(seconds: float) -> int:
    """CPU of this thread, however busy the machine is."""
    until, turns = time.thread_time() + seconds, 0
    while time.thread_time() < until:
        turns += 1
    return turns


def allocate() -> int:
    """Hold ``SIZE`` bytes, each page of them touched, for some looks of the meter."""
    block = bytearray(SIZE)
    block[::4096] = b"x" * len(range(0, SIZE, 4096))
    time.sleep(0.5)
    return len(block)


def rss() -> int:
    return psutil.Process().memory_info().rss


def test_a_step_answers_what_it_answers_and_what_it_took():
    answer, used = perform(WORK, busy, 0.3)
    assert answer > 0
    assert "r1" == used.run_id
    assert 0.3 <= used.cpu_seconds
    assert abs(used.peak_memory_bytes - rss()) < SIZE


def test_an_idle_step_takes_less_cpu_than_a_busy_one():
    _, idle = perform(WORK, time.sleep, 0.3)
    _, worked = perform(WORK, busy, 0.3)
    assert idle.cpu_seconds < 0.3 <= worked.cpu_seconds


def test_the_peak_is_seen_though_it_is_over_when_the_step_ends():
    before = rss()
    _, used = perform(WORK, allocate)
    assert used.peak_memory_bytes >= before + SIZE * 0.9
    assert rss() < before + SIZE / 2


def test_cpu_of_steps_at_the_same_time_is_shared_and_counted_once():
    gate, began = threading.Barrier(2), time.process_time()

    def work() -> int:
        gate.wait()
        return busy(0.2)

    with ThreadPoolExecutor(2) as pool:
        steps = [future.result()[1] for future in [pool.submit(perform, WORK, work) for _ in range(2)]]
    spent = time.process_time() - began
    assert 0.4 <= sum(step.cpu_seconds for step in steps) <= spent


def test_cpu_between_steps_is_nobodys():
    perform(WORK, busy, 0.01)
    busy(0.3)
    _, used = perform(WORK, time.sleep, 0)
    assert used.cpu_seconds < 0.3


def test_nobody_looks_while_nothing_runs():
    for earlier in [t for t in threading.enumerate() if t.name == "dataflow-usage"]:
        earlier.join(10)
    ours = Meter()
    with ours.measured(), ours.measured():
        assert 1 == len([t for t in threading.enumerate() if t.name == "dataflow-usage"])
    (watching,) = [t for t in threading.enumerate() if t.name == "dataflow-usage"] or [threading.Thread()]
    if watching.is_alive():
        watching.join(10)
    assert [] == [t for t in threading.enumerate() if t.name == "dataflow-usage"]


def test_a_step_is_measured_in_the_process_that_it_runs_in():
    before = rss()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        _, used = pool.submit(perform, WORK, allocate).result()
    assert used.peak_memory_bytes >= SIZE
    assert rss() < before + SIZE / 2


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_was_forked_measures_itself():
    here, (answers, told) = meter(), multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(
        target=lambda: told.send((meter() is here, meter()._process.pid, os.getpid()))
    )
    child.start()
    assert answers.poll(30)
    is_here, measured, own = answers.recv()
    child.join()
    assert (False, own) == (is_here, measured)


def test_an_attempt_that_fails_says_what_it_took():
    def fail() -> None:
        busy(0.05)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        perform(WORK, fail)
    used = usage_of(caught.value)
    assert used is not None
    assert 0.05 <= used.cpu_seconds
    assert 0 < used.peak_memory_bytes
    assert usage_of(ValueError()) is None


def numbers(made: Made, rows: int = 10) -> Any:
    made.csv("numbers/a.csv", "n", [str(n) for n in range(rows)])
    workflow = made.workflow(threads=1)
    made.source(workflow, "numbers")
    return workflow


def test_the_report_of_a_stage_says_what_it_took(made: Made):
    workflow = numbers(made)

    def heavy(numbers: pl.LazyFrame) -> pl.LazyFrame:
        allocate()
        busy(0.3)
        return numbers

    def light(numbers: pl.LazyFrame) -> pl.LazyFrame:
        return numbers

    workflow.add_task("light", light)
    workflow.add_task("heavy", heavy, depends_on=["light"])
    before = rss()
    report = done(made.run(workflow))

    source, light_one, heavy_one = report.stages
    assert (made.root / "in" / "numbers" / "a.csv").stat().st_size == source.bytes_read
    assert source.bytes_written == light_one.bytes_read
    assert light_one.cpu_seconds < 0.3 <= heavy_one.cpu_seconds
    assert heavy_one.peak_memory_bytes >= before + SIZE * 0.9
    assert heavy_one.peak_memory_bytes >= light_one.peak_memory_bytes + SIZE / 2
    assert report.heaviest == heavy_one
    assert sum(s.cpu_seconds for s in report.stages) == report.cpu_seconds
    assert 10 / heavy_one.seconds == heavy_one.rows_per_second


def test_a_stage_that_fails_says_what_it_took(made: Made):
    workflow = numbers(made)

    def fail(numbers: pl.LazyFrame) -> pl.LazyFrame:
        busy(0.1)
        raise ValueError("no")

    workflow.add_task("failing", fail)
    found = made.run(workflow).stage("failing")
    assert "failed" == found.state
    assert 0.1 <= found.cpu_seconds
    assert 0 < found.peak_memory_bytes


def test_a_stage_that_has_nothing_to_do_takes_nothing(made: Made):
    workflow = numbers(made)
    workflow.add_task("same", same, depends_on=["numbers"])
    done(made.run(workflow))
    again = made.run(workflow)
    assert [(0.0, 0, 0)] * 2 == [(s.cpu_seconds, s.peak_memory_bytes, s.bytes_read) for s in again.stages]
    assert again.heaviest is None


def test_usage_survives_json():
    used = Usage(run_id="r", cpu_seconds=1.5, peak_memory_bytes=SIZE)
    assert used == Usage.model_validate_json(used.model_dump_json())
