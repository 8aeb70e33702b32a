"""Made messages: the same by seed, whatever the scale; as many and as late as was drawn; in any amount of memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from dataflow.errors import SourceUnavailable
from dataflow.sources import Item, source_types
from dataflow.sources.simulation import arrivals
from dataflow.sources.simulation.arrivals import SCHEMA
from dataflow.sources.synthetic import SyntheticConfig, SyntheticSource


def source(**options: Any) -> SyntheticSource:
    return SyntheticSource("events", SyntheticConfig(**options))


def read(made: SyntheticSource, item: Item) -> pl.DataFrame:
    """The rows of an item, as the engine reads them."""
    frame = made.scan(item, made.contract([item], None), row_index="_row_id").collect()
    assert [*SCHEMA, "_row_id"] == frame.columns
    assert list(range(frame.height)) == frame["_row_id"].to_list()
    return frame.drop("_row_id")


def batches(made: SyntheticSource) -> list[pl.DataFrame]:
    return [read(made, item) for item in made.items()]


def whole(made: SyntheticSource) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=SCHEMA), *batches(made)])


def hashes(made: SyntheticSource, items: Sequence[Item] | None = None) -> list[str]:
    return [made.content_hash(item) for item in items or made.items()]


# ---------------------------------------------------------------- the same messages


def test_the_registry_knows_it() -> None:
    assert source_types.find("polars_synthetic") is SyntheticSource


def test_the_same_seed_makes_the_same_rows_and_another_seed_others() -> None:
    one, again, other = (source(scale=5000, seed=seed) for seed in (1, 1, 2))

    assert whole(one).equals(whole(again))
    assert hashes(one) == hashes(again)
    assert not set(whole(one)["message_id"]) & set(whole(other)["message_id"])
    assert not set(hashes(one)) & set(hashes(other))
    assert not {item.name for item in one.items()} & {item.name for item in other.items()}


def test_the_frame_has_the_types_that_are_promised() -> None:
    made = source(scale=100, id_length=12, value_range=(5, 9))
    frame = whole(made)

    assert SCHEMA == frame.schema == made.contract(made.items(), None)
    assert {12} == set(frame["message_id"].str.len_chars())
    assert {5, 6, 7, 8, 9} == set(frame["value"])
    assert {0, 1, 2, 3} == set(frame["partition"])
    assert frame.null_count().sum_horizontal().item() == 0


@pytest.mark.parametrize("mode", ["speed", "chaos"])
def test_a_larger_scale_leaves_earlier_batches_as_they_were(mode: str) -> None:
    chaos = {"duplicate_rate": 0.4, "late_duplicate_rate": 0.5}
    small, large = (source(scale=scale, batch_size=300, mode=mode, chaos=chaos) for scale in (900, 1500))

    assert list(small.items()) == list(large.items())[:3]
    assert hashes(small) == hashes(large)[:3]
    assert small.fingerprint == large.fingerprint
    assert all(a.equals(b) for a, b in zip(batches(small), batches(large)[:3], strict=True))


def test_a_short_last_batch_changes_when_it_grows_and_says_so() -> None:
    small, large = source(scale=1000, batch_size=300), source(scale=1100, batch_size=300)

    assert [item.name for item in small.items()] == [item.name for item in large.items()]
    assert [True, True, True, False] == [a == b for a, b in zip(small.items(), large.items(), strict=True)]
    assert [True, True, True, False] == [a == b for a, b in zip(hashes(small), hashes(large), strict=True)]
    before, after = batches(small)[3], batches(large)[3]
    assert before["message_id"].is_in(after["message_id"].implode()).all()


@pytest.mark.parametrize(
    "changed",
    [{"seed": 8}, {"mode": "speed"}, {"batch_size": 50}, {"id_length": 20}, {"value_range": (0, 5)}, {"partitions": 5},
     {"messages_per_second": 11}, {"chaos": {"slow_rate": 0.06}}],
)  # fmt: skip
def test_every_setting_that_decides_the_content_is_in_the_hash(changed: dict[str, Any]) -> None:
    one, other = source(scale=100), source(scale=100, **changed)

    assert one.fingerprint != other.fingerprint
    assert not set(hashes(one)) & set(hashes(other))


def test_items_are_batches() -> None:
    assert [] == source(scale=0).items()
    assert ["polars_synthetic://events?seed=7&batch=000000", "polars_synthetic://events?seed=7&batch=000001"] == [
        item.name for item in source(scale=101, batch_size=100).items()
    ]
    assert [1] == [frame.height for frame in batches(source(scale=1, mode="speed"))]


def test_an_item_of_other_settings_is_refused() -> None:
    made = source(scale=100)
    strangers = [
        *source(scale=100, seed=8).items(),
        *source(scale=99).items(),
        *source(scale=200, batch_size=100).items()[1:],
    ]
    strangers.append(Item(name="landing/a.csv", size_bytes=1, modified_at=0))

    for item in strangers:
        with pytest.raises(
            SourceUnavailable, match=r"is not of these settings \(seed 7, scale 100, batch_size 1,000,000"
        ):
            made.scan(item, SCHEMA, row_index="n")


# ---------------------------------------------------------------- what was drawn is what is found


@pytest.mark.parametrize("batch_size", [1_000_000, 10_000, 1234])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_duplicates_found_are_those_drawn(batch_size: int, rate: float) -> None:
    made = source(scale=20_000, batch_size=batch_size, chaos={"duplicate_rate": rate, "late_duplicate_rate": 0.4})
    drawn = made.drawn(made.items())
    rows = pl.concat([frame.with_columns(batch=pl.lit(n)) for n, frame in enumerate(batches(made))])
    found = rows.group_by("message_id").agg(
        times=pl.len(), batches=pl.col("batch").n_unique(), apart=pl.col("batch").max() - pl.col("batch").min(),
        contents=pl.struct("value", "event_time", "partition").n_unique(),
        places=pl.struct("partition", "offset").n_unique(),
    )  # fmt: skip
    twice = found.filter(pl.col("times") == 2)

    assert 20_000 == drawn.messages == found.height
    assert 20_000 + drawn.duplicates == rows.height
    assert {1, 2} == set(found["times"])
    assert drawn.duplicates == twice.height
    assert drawn.late == twice.filter(pl.col("batches") == 2).height
    assert {0, 1} >= set(twice["apart"])
    assert {1} == set(found["contents"])
    assert found["times"].equals(found["places"])
    assert (drawn.late > 0) == (batch_size < 20_000)


def test_notes_say_what_was_drawn() -> None:
    plain = source(scale=1000)
    drawn = plain.drawn(plain.items())
    wild = source(scale=1000, chaos={"mode": "random", "slow_rate": (0.1, 0.2), "base_delay": (1, 2)})
    slow, base = wild.draws.chaos.slow_rate, wild.draws.chaos.base_delay

    assert [
        f"1,000 messages made, {drawn.duplicates:,} of the deliveries are duplicates, {drawn.late:,} of them a batch late"
    ] == list(plain.notes(plain.items()))
    assert (f"chaos.mode random drew, by seed 7: slow_rate {slow:g}, base_delay {base:g}") == wild.notes(wild.items())[
        0
    ]
    fixed = source(scale=1000, chaos={"slow_rate": float(f"{slow:g}"), "base_delay": float(f"{base:g}")})
    assert whole(fixed).equals(whole(wild))
    assert () == source(scale=1000, mode="speed").notes(source(scale=1000, mode="speed").items())


def test_speed_is_in_order_once_and_without_delay() -> None:
    made = source(scale=200_000, batch_size=150_000, mode="speed")
    frame = whole(made)

    assert (200_000, 0) == (frame["message_id"].n_unique(), made.drawn(made.items()).duplicates)
    assert frame["event_time"].is_sorted()
    assert frame["event_time"].equals(frame["received_at"], check_names=False)


# ---------------------------------------------------------------- order


def test_chunks_are_put_in_order_as_the_whole_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"scale": 3000, "batch_size": 1000, "messages_per_second": 100}
    chaos = {"duplicate_rate": 0.4, "late_duplicate_rate": 0.5, "slow_rate": 0.5, "slow_delay": 3}
    at_once = whole(source(**options, chaos=chaos))
    for chunk in (1, 7, 64, 999):
        monkeypatch.setattr(arrivals, "CHUNK", chunk)
        assert at_once.equals(whole(source(**options, chaos=chaos)))


def test_rows_are_in_the_order_in_which_they_arrive() -> None:
    """Against a stable sort of everything that was sent, over more than one chunk."""
    made = source(scale=150_000, batch_size=80_000, messages_per_second=1000)
    for number, found in enumerate(batches(made)):
        first, stop = number * 80_000, min((number + 1) * 80_000, 150_000)
        everything = arrivals.sent(made.draws, first, stop)
        sent = pl.DataFrame(
            {"number": everything.number, "received_at": everything.received, "value": everything.value}
        )
        expected = sent.sort("received_at", maintain_order=True)

        assert expected["received_at"].to_list() == found["received_at"].dt.epoch("us").to_list()
        assert expected["value"].equals(found["value"])
        assert not found["event_time"].is_sorted()


def test_offsets_count_up_in_their_partition_and_never_come_twice() -> None:
    frames = batches(
        source(scale=30_000, batch_size=10_000, partitions=3, chaos={"duplicate_rate": 0.9, "late_duplicate_rate": 0})
    )
    for frame in frames:
        steps = frame.select(pl.col("offset").diff().over("partition").drop_nulls())["offset"]
        assert {1} == set(steps)
    rows = pl.concat(frames)
    assert rows.height == rows.select(pl.struct("partition", "offset").n_unique()).item()
    assert rows.select(pl.col("offset").diff().over("partition").min()).item() == 1


@pytest.mark.parametrize("slow_rate", [0.0, 0.05, 0.3])
def test_the_share_out_of_order_is_that_of_slow_deliveries(slow_rate: float) -> None:
    """Out of order: behind a later event. A slow delivery is so unless it takes less than about an interval longer."""
    chaos = {"duplicate_rate": 0, "slow_rate": slow_rate, "slow_delay": 30, "jitter": 0}
    frame = whole(source(scale=100_000, chaos=chaos))
    share = frame.select((pl.col("event_time") < pl.col("event_time").cum_max()).mean()).item()

    # Five standard deviations of a share among 100,000, and the deliveries that are slow by less than 0.3 s.
    assert slow_rate * 0.99 - 5 * (slow_rate / 100_000) ** 0.5 <= share <= slow_rate + 5 * (slow_rate / 100_000) ** 0.5


# ---------------------------------------------------------------- as Polars reads it


def test_columns_filters_and_limits_are_those_of_the_whole() -> None:
    made = source(scale=150_000)
    (item,) = made.items()
    lazy = made.scan(item, SCHEMA, row_index="n")
    full = lazy.collect()

    for pick in (
        lambda f: f.head(70_000),
        lambda f: f.select("value", "n"),
        lambda f: f.select(pl.len()),
        lambda f: f.filter(pl.col("partition") == 1).select("message_id"),
        lambda f: f.filter(pl.col("partition") == 1).head(5),
        lambda f: f.slice(100_000, 10),
        lambda f: f.select("received_at").head(3),
    ):
        for engine in ("streaming", "in-memory"):
            assert pick(full).equals(pick(lazy).collect(engine=engine))
    without = made.scan(item, SCHEMA, row_index="n").drop("n")
    assert (
        full.drop("n")
        .filter(pl.col("value") < 500)
        .head(9)
        .equals(without.filter(pl.col("value") < 500).head(9).collect())
    )
    assert full.drop("n").head(9).equals(without.head(9).collect())


def test_several_plans_over_one_scan_make_its_messages_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = source(scale=1000)
    calls: list[tuple[int, int]] = []
    rows = made.rows

    def counted(first: int, stop: int, columns: list[str] | None) -> Any:
        calls.append((first, stop))
        return rows(first, stop, columns)

    monkeypatch.setattr(made, "rows", counted)
    lazy = made.scan(made.items()[0], SCHEMA, row_index="n")
    pl.collect_all([lazy, lazy.select(pl.len()), lazy.select(pl.col("event_time").max())])

    assert [(0, 1000)] == calls


SINK = """
import sys
from pathlib import Path
from dataflow.sources.synthetic import SyntheticConfig, SyntheticSource
rows, folder = int(sys.argv[1]), sys.argv[2]
made = SyntheticSource("events", SyntheticConfig(scale=rows, batch_size=rows, messages_per_second=1000))
(item,) = made.items()
made.scan(item, made.contract([item], None), row_index="n").sink_parquet(f"{folder}/rows.parquet")
# Of getrusage, the peak begins with that of the process that started this one.
print(next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("VmHWM")) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_scale(tmp_path: Any) -> None:
    """Eight million rows more are 500 MB as a frame; peaks of two processes differ by far less."""
    peaks = [
        float(subprocess.run([sys.executable, "-c", SINK, rows, tmp_path], check=True, capture_output=True).stdout)
        for rows in ("2000000", "10000000")
    ]

    assert peaks[1] - peaks[0] < 200
