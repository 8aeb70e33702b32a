"""What chance decides about messages: by the seed and the message's number, and in the shares that were asked for."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats as scipy_stats

from dataflow.sources.file import FileConfig
from dataflow.sources.generation import Chaos, GenerationConfig
from dataflow.sources.pubsub import PubSubConfig
from dataflow.sources.simulation import arrivals
from dataflow.sources.simulation.draws import Draws, settled
from dataflow.sources.synthetic import SyntheticConfig

stats: Any = scipy_stats  # its types do not tell what its tests return
MANY = 200_000
UNLIKELY = 1e-6
"""Seeds are fixed, so that a test passes always or never; a right generator fails one seed in a million."""


GOLDEN = {
    "ids": ["eec2566523fc975eaee6d3f1", "cf510cf839ab128a58cab3ed", "b5dca79cdfe0d3c80a428129"],
    "values": [565760, 165074, 427190],
    "times": [1767325600017516, 1767325600144627, 1767325600271276],
    "partitions": [0, 2, 2],
    "first": [56265, 52824, 64225],
    "second": [63403, 58015, 101663],
    "twice": [32, 33, 36],
    "late": [15, 45, 130, 262, 363],
}


def draws(**options: Any) -> Draws:
    return Draws(GenerationConfig(**options))


def ids(made: Draws, first: int, stop: int) -> list[str]:
    return [bytes(row).decode() for row in made.ids(np.arange(first, stop, dtype=np.uint64))]


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"chaos": {"slow_delay": (1, 2)}}, "slow_delay is a range, which chaos.mode: random draws from"),
        ({"chaos": {"mode": "random", "jitter": (2, 1)}}, "jitter goes from the lower to the higher number"),
        ({"chaos": {"duplicate_rate": -0.1}}, "greater than or equal to 0"),
        ({"chaos": {"slow_rate": 1.1}}, "less than or equal to 1"),
        ({"chaos": {"mode": "random", "slow_rate": (0.5, 1.5)}}, "less than or equal to 1"),
        ({"chaos": {"base_delay": -1}}, "greater than or equal to 0"),
        ({"chaos": {"slow_delay": float("inf")}}, "less than or equal to"),
        ({"chaos": {"jitter": float("nan")}}, "chaos.jitter"),
        ({"chaos": {"duplicate_rate": 0.9}}, "late_duplicate_rate may be 0.1 at most where duplicate_rate is 0.9"),
        ({"chaos": {"mode": "random", "duplicate_rate": (0.1, 0.9)}}, "may be 0.1 at most"),
        ({"chaos": {"mode": "wild"}}, "'fixed' or 'random'"),
        ({"value_range": (2, 1)}, "value_range goes from the lower to the higher number"),
        ({"value_range": (0, 1 << 63)}, "integers of 64 bits"),
        (
            {"id_length": 8, "scale": 1 << 33},
            "ids of 8 characters tell 4,294,967,296 messages apart, not 8,589,934,592",
        ),
        ({"scale": 1 << 40, "messages_per_second": 1}, "for more than 1000 years; raise messages_per_second"),
        ({"scale": -1}, "greater than or equal to 0"),
        ({"batch_size": 0}, "greater than or equal to 1"),
        ({"partitions": 0}, "greater than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        GenerationConfig(**options)

    assert says in str(caught.value)


def test_only_sources_that_make_messages_take_the_block_generation() -> None:
    assert GenerationConfig.generates(SyntheticConfig)
    assert GenerationConfig.generates(PubSubConfig)
    assert not GenerationConfig.generates(FileConfig)
    assert not GenerationConfig.generates(None)


def test_random_chaos_draws_each_range_by_the_seed_and_leaves_numbers_alone() -> None:
    ranges: dict[str, Any] = {"duplicate_rate": (0.1, 0.3), "slow_delay": (10, 20), "jitter": 0.5}
    wild = Chaos(mode="random", **ranges)
    found = [settled(wild, seed) for seed in range(200)]

    assert found == [settled(wild, seed) for seed in range(200)]
    assert {("fixed", 0.5, 0.05)} == {(one.mode, one.jitter, one.base_delay) for one in found}
    for name, (low, high) in {"duplicate_rate": (0.1, 0.3), "slow_delay": (10, 20)}.items():
        drawn = [getattr(one, name) for one in found]
        assert low <= min(drawn) <= low + (high - low) / 20
        assert high - (high - low) / 20 <= max(drawn) <= high
    narrower = Chaos(mode="random", **(ranges | {"duplicate_rate": 0.2}))
    assert found[7].slow_delay == settled(narrower, 7).slow_delay


# ---------------------------------------------------------------- by seed and number


def test_the_draws_of_seed_7_are_these_for_ever() -> None:
    """A lake holds messages that were made by an earlier version: they must not become others."""
    made = draws(id_length=24)
    times, partitions = made.places(1_000_000, 1_000_003)

    assert GOLDEN == {
        "ids": ids(made, 0, 3),
        "values": made.values(0, 3).tolist(),
        "times": times.tolist(),
        "partitions": partitions.tolist(),
        "first": made.first_delays(0, 3).tolist(),
        "second": made.second_delays(1 << 39, (1 << 39) + 3).tolist(),
        "twice": np.flatnonzero(made.twice(0, 40)).tolist(),
        "late": np.flatnonzero(made.late(1_000_000, 1_000_400)).tolist(),
    }


def philox(key: int, counter: int) -> list[int]:
    """Philox4x64 of ten rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), in whole numbers."""
    mask = (1 << 64) - 1
    a, b, c, d = (counter >> (64 * n) & mask for n in range(4))
    low, high = key & mask, key >> 64
    for _ in range(10):
        left, right = a * 0xD2E7470EE14C6C93, c * 0xCA5A826395121157
        a, b, c, d = (right >> 64) ^ b ^ low, right & mask, (left >> 64) ^ d ^ high, left & mask
        low, high = (low + 0x9E3779B97F4A7C15) & mask, (high + 0xBB67AE8584CAA73B) & mask
    return [a, b, c, d]


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 70))
@settings(max_examples=30, deadline=None)
def test_a_message_is_worked_out_from_seed_and_number_alone(number: int, seed: int) -> None:
    """Without numpy, from the published algorithm."""
    made = draws(seed=seed, value_range=(10, 99), partitions=3, messages_per_second=10)
    words: list[int] = []
    for stream in range(2):
        text = f"dataflow messages 1: seed {seed}, stream {stream}"
        key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
        # Numpy counts up before it draws.
        words.append(philox(key, number // 4 + 1)[number % 4])
    value, place = words
    times, partitions = made.places(number, number + 1)

    assert [10 + value % 90] == made.values(number, number + 1).tolist()
    assert [(place & 0xFFFFFFFF) * 3 >> 32] == partitions.tolist()
    exact = Fraction(place >> 32, 1 << 32) + number
    assert abs(exact * 100_000 + 1_767_225_600_000_000 - times.item()) <= 100


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 300), st.integers(1, 700), st.integers(0, 5))
def test_any_part_of_the_draws_is_that_part_of_all(first: int, length: int, batch_size: int, seed: int) -> None:
    # Draws of a batch do not look further back than one batch.
    stop = min(first + length, (first // batch_size + 1) * batch_size)
    made = draws(seed=seed, batch_size=batch_size, chaos={"duplicate_rate": 0.3, "slow_rate": 0.3})
    part, start = slice(first, stop), first // batch_size * batch_size

    for name in ("values", "first_delays", "second_delays", "twice"):
        draw = getattr(made, name)
        assert draw(0, 4000)[part].tolist() == draw(first, stop).tolist()
    assert [each[part].tolist() for each in made.places(0, 4000)] == [e.tolist() for e in made.places(first, stop)]
    assert ids(made, 0, 4000)[part] == ids(made, first, stop)
    whole = made.late(start, start + batch_size)
    assert whole[first - start : stop - start].tolist() == made.late(first, stop).tolist()


@pytest.mark.parametrize("length", [8, 9, 15, 16, 17, 33, 64])
def test_ids_have_their_length_and_are_never_equal(length: int) -> None:
    found = ids(draws(id_length=length, seed=3), 0, MANY)

    assert MANY == len(set(found))
    assert {length} == set(map(len, found))
    assert set("0123456789abcdef") == set("".join(found[:1000]))
    assert not set(found) & set(ids(draws(id_length=length, seed=4), 0, 1000)) or length == 8


def test_every_id_of_eight_digits_is_that_of_one_message() -> None:
    """The shuffle is undone for numbers from all over the range: what can be undone has no two equal results."""
    made, last = draws(id_length=8), 1 << 32
    spread = np.unique(np.concatenate([np.arange(1000), np.arange(last - 1000, last), np.arange(0, last, 65_521)]))
    found = made.ids(spread.astype(np.uint64)).tobytes()

    assert len(spread) == len({found[n : n + 8] for n in range(0, len(found), 8)})


# ---------------------------------------------------------------- the shares that were asked for


def test_values_and_partitions_are_even() -> None:
    made = draws(value_range=(-5, 4), partitions=7)
    values = np.unique(made.values(0, MANY), return_counts=True)

    assert list(range(-5, 5)) == values[0].tolist()
    assert stats.chisquare(values[1]).pvalue > UNLIKELY
    assert stats.chisquare(np.bincount(made.places(0, MANY)[1], minlength=7)).pvalue > UNLIKELY


@pytest.mark.parametrize(
    "span", [(0, 0), (-(1 << 63), (1 << 63) - 1), (-(1 << 63), -(1 << 63) + 1), (1 << 62, 1 << 63 - 1)]
)
def test_values_stay_in_their_range_however_wide(span: tuple[int, int]) -> None:
    low, high = sorted(span)
    found = draws(value_range=(low, high)).values(0, 10_000).tolist()

    assert low <= min(found) <= max(found) <= high
    assert min(10_000, high - low + 1) * 0.99 < len(set(found))


def test_event_times_are_one_an_interval_and_in_order() -> None:
    times, _ = draws(messages_per_second=8).places(0, MANY)
    places, noise = np.divmod(times - 1_767_225_600_000_000, 125_000)

    assert list(range(MANY)) == places.tolist()
    assert stats.kstest(noise / 125_000, "uniform").pvalue > UNLIKELY


def test_delays_are_exponential_above_the_least() -> None:
    made = draws(chaos={"base_delay": 2, "jitter": 3, "slow_rate": 0})
    found = made.first_delays(0, MANY) / 1e6

    assert 2 <= found.min() <= found.max() <= 2 + 3 * 10.4
    assert stats.kstest((found - 2) / 3, "expon").pvalue > UNLIKELY
    assert (abs(found.mean() - 5), abs(found.std() - 3)) < (0.05, 0.05)
    assert stats.pearsonr(found, made.second_delays(0, MANY)).pvalue > UNLIKELY


def test_slow_deliveries_take_longer_by_their_mean() -> None:
    made = draws(chaos={"base_delay": 0, "jitter": 0, "slow_rate": 0.2, "slow_delay": 40})
    for found in (made.first_delays(0, MANY) / 1e6, made.second_delays(0, MANY) / 1e6):
        slow = found[found > 0]

        assert stats.binomtest(len(slow), MANY, 0.2).pvalue > UNLIKELY
        assert stats.kstest(slow / 40, "expon").pvalue > UNLIKELY


@pytest.mark.parametrize(("twice", "late"), [(0.1, 0.2), (0.5, 0.5), (0.3, 0), (1, 0), (0, 1)])
def test_duplicates_and_late_ones_have_their_shares(twice: float, late: float) -> None:
    made = draws(batch_size=MANY, chaos={"duplicate_rate": twice, "late_duplicate_rate": late})
    drawn, held = made.twice(MANY, 2 * MANY), made.late(MANY, 2 * MANY)

    assert stats.binomtest(int(drawn.sum()), MANY, twice).pvalue > UNLIKELY
    assert not (held & ~drawn).any()
    assert not (held & made.twice(0, MANY)).any()
    assert not made.late(0, MANY).any()
    if twice:
        assert stats.binomtest(int(held.sum()), int(drawn.sum()), late).pvalue > UNLIKELY


def test_speed_knows_no_chaos() -> None:
    made = draws(mode="speed", chaos={"duplicate_rate": 0.5})

    assert not made.twice(0, 1000).any()
    assert not made.first_delays(0, 1000).any()


def test_deliveries_are_sent_with_the_message_in_whose_place_they_come() -> None:
    made = draws(batch_size=1000, chaos={"duplicate_rate": 0.4, "late_duplicate_rate": 0.5})
    found = arrivals.sent(made, 1000, 2000)
    late = found.number < 1000

    assert int(made.twice(1000, 2000).sum()) + 1000 == len(found)
    assert int(made.late(1000, 2000).sum()) == int(late.sum())
    assert np.diff(found.sent).min() >= 0
    assert (found.sent - found.event)[~late].max() == 0
    assert made.values(0, 2000)[found.number].tolist() == found.value.tolist()
    assert made.places(0, 2000)[0][found.number].tolist() == found.event.tolist()
    assert made.places(0, 2000)[1][found.number].tolist() == found.partition.tolist()
