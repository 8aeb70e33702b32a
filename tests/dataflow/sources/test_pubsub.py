"""The simulated pub/sub: what it delivers, when, through buffers that never hold more than they may; and how it ends."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError
from scipy import stats as scipy_stats

from dataflow.sources import source_types
from dataflow.sources.pubsub import PubSubConfig, PubSubSource
from dataflow.sources.simulation.arrivals import SCHEMA
from dataflow.sources.simulation.broker import Broker, Buffer, Message, Received
from dataflow.sources.simulation.stepped_loop import SteppedLoop
from dataflow.sources.synthetic import SyntheticConfig, SyntheticSource

stats: Any = scipy_stats  # its types do not tell what its tests return
UNLIKELY = 1e-6
"""Seeds are fixed, so that a test passes always or never; a right simulator fails one seed in a million."""


def source(**options: Any) -> PubSubSource:
    return PubSubSource("events", PubSubConfig(**options))


def read(made: PubSubSource | SyntheticSource) -> pl.DataFrame:
    scans = [made.scan(item, SCHEMA, row_index="_row_id") for item in made.items()]
    return pl.concat([pl.DataFrame(schema={**SCHEMA, "_row_id": pl.UInt32()}).lazy(), *scans]).collect()


@pytest.fixture
def loop() -> Generator[SteppedLoop]:
    made = SteppedLoop(0, real=False)
    yield made
    made.finish()


def open_loops() -> list[SteppedLoop]:
    gc.collect()
    return [o for o in gc.get_objects() if isinstance(o, SteppedLoop) and not o.is_closed()]


# ---------------------------------------------------------------- the same messages as polars_synthetic


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 700, "partitions": 1},
        {"batch_size": 3000, "partitions": 64, "messages_per_second": 5000},
        # Many arrivals in one microsecond: their order is that of sending.
        {"messages_per_second": 1_000_000, "chaos": {"jitter": 0, "base_delay": 0, "slow_rate": 0}},
        {"messages_per_second": 1_000_000, "chaos": {"jitter": 0.000002, "slow_delay": 0.001, "duplicate_rate": 0.7}},
        {"chaos": {"mode": "random", "duplicate_rate": (0.1, 0.5), "slow_delay": (1, 100)}, "seed": 4},
    ],
)
def test_where_nothing_waits_the_simulator_delivers_what_the_generator_makes(options: dict[str, Any]) -> None:
    chaos = {"late_duplicate_rate": 0.2} | options.pop("chaos", {})
    options |= {"scale": 6000, "chaos": chaos}
    simulated = source(**options, buffer_size=100_000)
    made = SyntheticSource("events", SyntheticConfig(**options))

    assert read(made).equals(read(simulated))
    assert list(made.notes(made.items())) == list(simulated.notes(simulated.items()))
    drawn = simulated.drawn(simulated.items())
    assert 6000 + drawn.duplicates == read(simulated).height


def test_simulator_and_generator_agree_in_distribution_for_other_seeds() -> None:
    """Two-sample Kolmogorov-Smirnov on delays; chi-square on partitions, slow deliveries and duplicates by batch."""
    options: dict[str, Any] = {"scale": 20_000, "batch_size": 5000, "chaos": {"duplicate_rate": 0.2, "slow_rate": 0.1}}
    simulated = read(source(seed=1, **options))
    made = read(SyntheticSource("events", SyntheticConfig(seed=2, **options)))
    tables: dict[str, list[list[int]]] = {"partition": [], "slow": [], "copies": []}
    delays: list[pl.Series] = []
    for rows in (simulated, made):
        # A duplicate of the batch before comes 5000 messages later, 500 s: no delay of the others is as long.
        delay = (rows["received_at"] - rows["event_time"]).dt.total_microseconds() / 1e6
        delays.append(delay.filter(delay < 400))
        tables["partition"].append(rows["partition"].value_counts().sort("partition")["count"].to_list())
        tables["slow"].append((delays[-1] > 1).value_counts(name="n").sort(pl.first())["n"].to_list())
        copies = rows.group_by("message_id").agg(
            pl.len(), late=(pl.col("event_time") < pl.col("received_at").dt.offset_by("-400s")).any()
        )
        tables["copies"].append(copies.group_by("len", "late").agg(n=pl.len()).sort("len", "late")["n"].to_list())

    assert not simulated["value"].equals(made["value"])
    assert stats.ks_2samp(*delays).pvalue > UNLIKELY
    for name, table in tables.items():
        assert stats.chi2_contingency(table).pvalue > UNLIKELY, name
    # What the same tests say of chaos that is a little different.
    other_chaos: dict[str, Any] = options | {"chaos": {"slow_rate": 0.15, "jitter": 0.03}}
    other = read(SyntheticSource("events", SyntheticConfig(seed=2, **other_chaos)))
    delay = (other["received_at"] - other["event_time"]).dt.total_microseconds() / 1e6
    assert stats.ks_2samp(delays[0], delay.filter(delay < 400)).pvalue < UNLIKELY


def test_the_same_seed_delivers_the_same_rows_also_in_real_time_and_when_it_waits() -> None:
    options: dict[str, Any] = {
        "scale": 60, "messages_per_second": 100, "buffer_size": 1, "consume_seconds": 0.012,
        "chaos": {"slow_delay": 0.1, "slow_rate": 0.3},
    }  # fmt: skip
    began = time.monotonic()
    real = read(source(**options, time="real"))
    took = time.monotonic() - began
    virtual = read(source(**options))

    assert real.equals(virtual)
    assert real.equals(read(source(**options)))
    assert not real.equals(read(source(**options | {"seed": 8})))
    received = real["received_at"]
    assert took >= (received[-1] - received[0]).total_seconds()


def test_real_time_or_not_is_the_same_content() -> None:
    virtual, real, fuller = (source(scale=10, **o) for o in ({}, {"time": "real"}, {"buffer_size": 5}))
    (item,) = virtual.items()

    assert virtual.content_hash(item) == real.content_hash(item) != fuller.content_hash(item)
    assert virtual.fingerprint == real.fingerprint != fuller.fingerprint
    assert "pubsub://events?seed=7&batch=000000" == item.name


def test_an_hour_takes_about_a_second() -> None:
    began = time.monotonic()
    rows = read(source(scale=36_000))

    assert rows["received_at"][-1].timestamp() - rows["received_at"][0].timestamp() > 3590
    assert time.monotonic() - began < 60


# ---------------------------------------------------------------- buffers


@pytest.mark.parametrize("size", [1, 3, 50])
def test_a_full_buffer_makes_the_producer_wait_and_never_holds_more(loop: SteppedLoop, size: int) -> None:
    """Twice as many messages as the consumer can take: all come in the end, and none twice that was not drawn."""
    made = source(scale=3000, buffer_size=size, messages_per_second=100, consume_seconds=0.02, chaos={"slow_delay": 1})
    loop.now_us = made.draws.begins(0)
    broker = made.broker(loop, 0, 3000)
    taken: list[Received] = []
    most_held = 0
    while not broker.over:
        taken += loop.run(broker.take(1))
        assert all(buffer.filled <= size for buffer in broker.buffers)
        most_held = max(most_held, sum(len(buffer.held) for buffer in broker.buffers))

    assert [size] * 4 == [buffer.most for buffer in broker.buffers]
    assert broker.waits > 0
    # Held is what was on its way when the producer stopped: some 15 at its own pace, as many as fit where it catches up.
    assert 0 < most_held < 60 + 4 * size
    free = read(source(scale=3000, messages_per_second=100, chaos={"slow_delay": 1}))
    assert len(taken) == free.height
    expected = free.group_by("value", "event_time").len().sort(pl.all())
    columns = pl.DataFrame({"value": [t.value for t in taken], "event_time": [t.event for t in taken]})
    found = (
        columns.with_columns(pl.col("event_time").cast(SCHEMA["event_time"])).group_by(pl.all()).len().sort(pl.all())
    )
    assert expected.equals(found)
    assert min(b.received - a.received for a, b in itertools.pairwise(taken)) == 20_000


def test_what_waits_arrives_later_and_keeps_its_place_in_the_partition() -> None:
    slow = read(source(scale=2000, buffer_size=10, messages_per_second=100, consume_seconds=0.02))
    delay = (slow["received_at"] - slow["event_time"]).dt.total_seconds()

    assert slow["received_at"].is_sorted()
    assert {1} == set(slow.select(pl.col("offset").diff().over("partition").drop_nulls())["offset"])
    # 2,200 deliveries in 44 s, of which 20 s of messages.
    assert delay[-1] > 20


def test_a_buffer_larger_than_what_comes_makes_nobody_wait(loop: SteppedLoop) -> None:
    made = source(scale=1000)
    loop.now_us = made.draws.begins(0)
    broker = made.broker(loop, 0, 1000)

    assert 1000 + made.drawn(made.items()).duplicates == len(loop.run(broker.take(10_000)))
    assert (0, True) == (broker.waits, broker.over)


# ---------------------------------------------------------------- how it ends


def test_speed_is_not_for_a_simulation() -> None:
    with pytest.raises(ValidationError, match="Input should be 'chaos'"):
        PubSubConfig(mode="speed")  # type: ignore[arg-type]
    assert source_types.find("pubsub") is PubSubSource


def test_a_reader_that_has_enough_ends_the_simulation() -> None:
    made = source(scale=100_000)
    lazy = made.scan(made.items()[0], SCHEMA, row_index="n")
    threads = {t for t in threading.enumerate() if not t.daemon}

    assert 10 == lazy.head(10).collect().height
    rows = made.rows(0, 100_000, None)
    next(rows)
    assert 1 == len(open_loops())
    rows.close()

    assert [] == open_loops()
    assert threads == {t for t in threading.enumerate() if not t.daemon}


def test_it_runs_where_a_loop_runs_already() -> None:
    made = source(scale=1000)
    lazy = made.scan(made.items()[0], SCHEMA, row_index="n")

    async def inside() -> pl.DataFrame:
        frame = lazy.collect(engine="in-memory")
        await asyncio.sleep(0)
        return frame

    assert asyncio.run(inside()).equals(lazy.collect())


def test_real_time_hands_over_what_there_is() -> None:
    """Ten messages in a second come a few at a time, so that who reads them can stop in between."""
    made = source(scale=10, time="real", chaos={"slow_rate": 0, "duplicate_rate": 0})
    heights = [frame.height for frame in made.rows(0, 10, None)]

    assert 10 == sum(heights)
    assert max(heights) < 10


class Broken(Exception):
    pass


def test_an_error_of_the_producer_surfaces(loop: SteppedLoop) -> None:
    def messages() -> Generator[Message]:
        yield Message(0, 0, 0, 0, sent=5, takes=5)
        raise Broken

    broker = Broker(loop, messages(), [Buffer(1, 0)])

    with pytest.raises(Broken):
        loop.run(broker.take(10))
    assert not broker.over


def test_an_error_on_the_way_surfaces(loop: SteppedLoop) -> None:
    broker = Broker(loop, [Message(0, 0, 0, partition=3, sent=5, takes=5)], [Buffer(1, 0)])

    with pytest.raises(IndexError):
        loop.run(broker.take(10))


def test_an_error_reaches_who_reads_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    made = source(scale=1000)
    broker = made.broker

    def broken(loop: SteppedLoop, first: int, stop: int) -> Broker:
        found = broker(loop, first, stop)
        found.buffers.pop()
        return found

    monkeypatch.setattr(made, "broker", broken)
    with pytest.raises(IndexError):
        made.scan(made.items()[0], SCHEMA, row_index="n").collect()
    assert [] == open_loops()


INTERRUPTED = """
import os, threading
from dataflow.sources.pubsub import PubSubConfig, PubSubSource
from dataflow.sources.simulation.arrivals import SCHEMA
made = PubSubSource("events", PubSubConfig(scale=5_000_000, batch_size=5_000_000, time="{time}"))
print("ready", flush=True)
made.scan(made.items()[0], SCHEMA, row_index="n").sink_parquet(os.devnull)
"""


@pytest.mark.parametrize("how", ["real", "virtual"])
def test_an_interrupt_ends_the_process(how: str) -> None:
    """Five million messages are 5 days in real time, and minutes in virtual."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.format(time=how)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert b"ready\n" == process.stdout.readline()
        time.sleep(1)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()

    assert b"KeyboardInterrupt" in said
    assert process.returncode != 0


# ---------------------------------------------------------------- the loop


@pytest.mark.parametrize("start_us", [0, 1_767_225_600_000_000])
def test_the_clock_steps_to_each_timer_exactly(start_us: int) -> None:
    """Also where seconds as floats are too coarse for asyncio's own nanosecond."""
    loop = SteppedLoop(start_us, real=False)
    called: list[int] = []
    times = [start_us + n for n in (1, 2, 333_333, 1_000_000, 86_400_000_001, 3_000_000_000_000_001)]
    for when in reversed(times):
        loop.call_at_us(when, lambda: called.append(loop.now_us))

    async def long() -> str:
        await asyncio.sleep(4_000_000_000)
        return "done"

    began = time.monotonic()
    assert "done" == loop.run(long())
    assert times == called
    assert time.monotonic() - began < 30
    loop.finish()
    assert loop.is_closed()


def test_what_never_comes_is_an_error_and_no_waiting_for_ever(loop: SteppedLoop) -> None:
    with pytest.raises(RuntimeError, match="waits for something that never comes"):
        loop.run(asyncio.Event().wait())


def test_finishing_cancels_what_still_runs() -> None:
    loop = SteppedLoop(0, real=False)
    ended: list[str] = []

    async def endless() -> None:
        try:
            while True:
                await asyncio.sleep(1)
        finally:
            ended.append("ended")

    task = loop.create_task(endless())
    loop.run(asyncio.sleep(10))
    loop.finish()

    assert task.cancelled()
    assert (["ended"], True) == (ended, loop.is_closed())
