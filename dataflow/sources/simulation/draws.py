"""Everything that chance decides about a message, from the seed and the message's number alone.

Philox is a counter-based generator: any word of a stream is had without those before it, and is the same on every
platform and in every version of numpy, as its raw words are taken and all that follows is integer arithmetic, or
sums and products of floats, which IEEE 754 settles.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal, localcontext
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.sources.generation import Chaos, GenerationConfig

Words = NDArray[np.uint64]
Integers = NDArray[np.int64]
START_US = 1_767_225_600_000_000
"""The event time of the first message: 2026-01-01 in UTC."""
_WORD = 4  # words that Philox makes of one value of its counter
_QUANTILES = 1 << 12
_LOW = np.uint64(0xFFFF_FFFF)
_HALF = np.uint64(32)


class _Stream(IntEnum):
    """The streams of words; of each, word n is message n's, or its upper and its lower half are."""

    VALUE = 0
    PLACE = 1
    """Event time in its interval; partition."""
    FIRST = 2
    """Of the first delivery: jitter; whether it is slow."""
    FIRST_SLOW = 3
    """How slow; whether the message is delivered twice."""
    SECOND = 4
    SECOND_SLOW = 5
    """How slow; whether the second delivery comes a batch late."""
    SETTINGS = 6
    """Not of messages: what ``chaos.mode: random`` draws."""
    IDS = 7


class Draws:
    """What chance decides about the messages ``first`` to ``stop`` (not included), whatever the scale."""

    def __init__(self, config: GenerationConfig) -> None:
        self.config = config
        self.chaos = settled(config.chaos, config.seed) if config.mode == "chaos" else _QUIET
        self._interval_us = 1e6 / config.messages_per_second
        twice, late = (_number(share) for share in (self.chaos.duplicate_rate, self.chaos.late_duplicate_rate))
        # A late duplicate is only of a message that is not delivered twice anyhow.
        self._late = min(1.0, late / (1 - twice)) if twice < 1 else 0.0

    def ids(self, numbers: Words) -> NDArray[np.uint8]:
        """The letters of the ids, a row each: the number, shuffled by the seed, so that no two are equal."""
        length = self.config.id_length
        keys = _words(self.config.seed, _Stream.IDS, 0, 4)
        bits = 4 * min(length, 16)
        words = [_shuffled(numbers, keys[0], bits) << np.uint64(64 - bits)]
        words += [_shuffled(words[0] ^ keys[n], keys[n], 64) for n in range(1, -(-length // 16))]
        letters = _letters()[np.stack(words, axis=1).astype(">u8").view(">u2")]
        return letters.view(np.uint8).reshape(len(numbers), 16 * len(words))[:, :length]

    def values(self, first: int, stop: int) -> Integers:
        low, high = self.config.value_range
        words = self._draw(_Stream.VALUE, first, stop)
        if (span := high - low + 1) < 1 << 64:
            words = words - words // np.uint64(span) * np.uint64(span)
        return (words + np.uint64(low % (1 << 64))).view(np.int64)

    def places(self, first: int, stop: int) -> tuple[Integers, NDArray[np.int32]]:
        """Event times in microseconds since the epoch, and partitions."""
        upper, lower = _halves(self._draw(_Stream.PLACE, first, stop))
        partitions = (lower * np.uint64(self.config.partitions)) >> _HALF
        times = (np.arange(first, stop) + upper.astype(np.float64) * 2.0**-32) * self._interval_us
        return times.astype(np.int64) + START_US, partitions.astype(np.int32)

    def first_delays(self, first: int, stop: int) -> Integers:
        """What the first delivery takes, in microseconds."""
        return self._delays(_Stream.FIRST, _Stream.FIRST_SLOW, first, stop)

    def second_delays(self, first: int, stop: int) -> Integers:
        """What the second delivery would take, had the message one."""
        return self._delays(_Stream.SECOND, _Stream.SECOND_SLOW, first, stop)

    def twice(self, first: int, stop: int) -> NDArray[np.bool_]:
        """Where a duplicate is delivered."""
        return self._happens(_Stream.FIRST_SLOW, self.chaos.duplicate_rate, first, stop)

    def late(self, first: int, stop: int) -> NDArray[np.bool_]:
        """Where it is one of the message in the same place of the batch before, and not of the message itself.

        So that a batch has all its duplicates within itself and the one before, whatever comes after.
        """
        before = first - self.config.batch_size
        if before < 0 or not self._late:
            return np.zeros(stop - first, np.bool_)
        drawn = self._happens(_Stream.SECOND_SLOW, self._late, first, stop) & self.twice(first, stop)
        return drawn & ~self.twice(before, stop - self.config.batch_size)

    def begins(self, number: int) -> int:
        """An instant before which no message from ``number`` on is sent."""
        return START_US + int(number * self._interval_us)

    def earliest(self, number: int) -> int:
        """An instant before which no message from ``number`` on arrives."""
        return self.begins(number) + _microseconds(self.chaos.base_delay)

    def _delays(self, delay: _Stream, slow: _Stream, first: int, stop: int) -> Integers:
        chaos = self.chaos
        upper, lower = _halves(self._draw(delay, first, stop))
        taken = _exponential(upper) * _microseconds(chaos.jitter)
        is_slow = np.flatnonzero(_below(lower, chaos.slow_rate))
        if len(is_slow):
            longer, _ = _halves(self._draw(slow, first, stop)[is_slow])
            taken[is_slow] += _exponential(longer) * _microseconds(chaos.slow_delay)
        return taken.astype(np.int64) + _microseconds(chaos.base_delay)

    def _happens(self, stream: _Stream, share: object, first: int, stop: int) -> NDArray[np.bool_]:
        return _below(_halves(self._draw(stream, first, stop))[1], share)

    def _draw(self, stream: _Stream, first: int, stop: int) -> Words:
        return _words(self.config.seed, stream, first, stop)


_QUIET = Chaos(duplicate_rate=0, late_duplicate_rate=0, slow_rate=0, slow_delay=0, base_delay=0, jitter=0)


def settled(chaos: Chaos, seed: int) -> Chaos:
    """``chaos`` with one number for each of its ranges, drawn evenly from it by the seed."""
    shares = _words(seed, _Stream.SETTINGS, 0, len(Chaos.model_fields)).astype(np.float64) * 2.0**-64
    drawn: dict[str, Any] = {}
    ranges: dict[str, tuple[float, float]] = {name: value for name, value in chaos if isinstance(value, tuple)}
    for share, name in zip(shares.tolist(), Chaos.model_fields, strict=True):
        if name in ranges:
            low, high = ranges[name]
            # Six digits, so that what is reported is what was drawn.
            drawn[name] = min(high, max(low, float(f"{low + (high - low) * share:.6g}")))
    return chaos.model_copy(update={"mode": "fixed", **drawn})


def _words(seed: int, stream: _Stream, first: int, stop: int) -> Words:
    key = int.from_bytes(hashlib.sha256(f"dataflow messages 1: seed {seed}, stream {stream}".encode()).digest()[:16])
    counter, skipped = divmod(first, _WORD)
    return np.random.Philox(key=key, counter=counter).random_raw(stop - first + skipped)[skipped:]


def _halves(words: Words) -> tuple[Words, Words]:
    return words >> _HALF, words & _LOW


def _number(value: Any) -> float:
    """A setting that is no range any more."""
    return float(value)


def _microseconds(value: Any) -> int:
    return round(_number(value) * 1e6)


def _below(halves: Words, share: object) -> NDArray[np.bool_]:
    return halves < np.uint64(round(_number(share) * 2**32))


def _exponential(halves: Words) -> NDArray[np.float64]:
    """Exponential with mean 1, by its quantiles and straight lines between them; 10.4 at most.

    A logarithm's last digit differs between platforms; and what has no bound cannot be put in order chunk by chunk.
    """
    quantiles = _quantiles()
    place = (halves >> np.uint64(20)).astype(np.intp)
    between = (halves & np.uint64(0xF_FFFF)).astype(np.float64) * 2.0**-20
    low = quantiles[place]
    return low + (quantiles[place + 1] - low) * between


@cache
def _quantiles() -> NDArray[np.float64]:
    with localcontext() as context:
        context.prec = 30
        whole = Decimal(_QUANTILES).ln()
        exact = [float(whole - Decimal(_QUANTILES - n).ln()) for n in range(_QUANTILES)]
        # The tail as a line that has the tail's mean.
        return np.array([*exact, float(whole + 2)])


@cache
def _letters() -> NDArray[np.uint32]:
    """Four hexadecimal digits for each number of 16 bits, as their bytes lie in memory."""
    return np.frombuffer(b"".join(b"%04x" % n for n in range(1 << 16)), np.uint32)


def _shuffled(numbers: Words, key: np.uint64, bits: int) -> Words:
    """Numbers below 2 ** ``bits``, each to another one: every step can be undone."""
    mask = np.uint64((1 << bits) - 1)
    shift = np.uint64((bits + 1) // 2)
    mixed = (numbers + key) & mask
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93):
        mixed = ((mixed ^ (mixed >> shift)) * np.uint64(factor)) & mask
    return mixed ^ (mixed >> shift)
