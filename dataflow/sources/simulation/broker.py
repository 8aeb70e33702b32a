"""A partitioned pub/sub: a producer, a network on which deliveries take their time, bounded buffers, a consumer."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dataflow.sources.simulation.stepped_loop import SteppedLoop


class Message(NamedTuple):
    """One delivery, before it is on its way. Instants and times are in microseconds."""

    number: int
    event: int
    value: int
    partition: int
    sent: int
    takes: int


class Received(NamedTuple):
    """One delivery as the consumer got it."""

    number: int
    event: int
    value: int
    partition: int
    offset: int
    received: int


@dataclass
class Buffer:
    """What arrived in a partition and was not taken yet."""

    size: int
    next_offset: int
    held: deque[Message] = field(default_factory=deque[Message])
    """Arrivals for which there is no room; while there are any, the producer waits."""
    filled: int = 0
    most: int = 0
    """How full it ever was."""


class Broker:
    """Delivers ``messages``, which are in the order of ``sent``, through bounded buffers to a consumer.

    Memory: the buffers, and what is on its way, which grows no more while the producer waits.
    """

    def __init__(
        self, loop: SteppedLoop, messages: Iterable[Message], buffers: list[Buffer], *, consume_us: int = 0
    ) -> None:
        self.buffers = buffers
        self.waits = 0
        """Deliveries with which the producer waited for room."""
        self._loop = loop
        self._consume_us = consume_us
        self._flying: list[tuple[int, int, Message]] = []
        self._landing: asyncio.TimerHandle | None = None
        self._ready: deque[tuple[Message, int]] = deque()
        self._full = 0
        """Partitions of which an arrival is held."""
        self._capacity = sum(buffer.size for buffer in buffers)
        self._room = asyncio.Event()
        self._news = asyncio.Event()
        self._failure: BaseException | None = None
        loop.set_exception_handler(self._on_failure)
        self._producer = loop.create_task(self._produce(messages))
        self._producer.add_done_callback(self._on_produced)

    async def take(self, most: int, *, patience_us: int | None = None) -> list[Received]:
        """The next deliveries; fewer than ``most`` at the end, or where ``patience_us`` is over; none at the end only.

        Errors: whatever went wrong in the simulation.
        """
        taken: list[Received] = []
        over = None if patience_us is None else self._loop.now_us + patience_us
        if over is not None:
            self._loop.call_at_us(over, self._news.set)
        while len(taken) < most and not self.over and (over is None or self._loop.now_us < over):
            self._news.clear()
            if self._failure is not None:
                raise self._failure
            if not self._ready:
                await self._news.wait()
                continue
            taken.append(self._receive())
            if self._consume_us:
                await self._sleep(self._loop.now_us + self._consume_us)
        return taken

    @property
    def over(self) -> bool:
        """Whether every message was taken."""
        done = self._producer.done() and self._failure is None
        return done and not self._flying and not self._ready and not self._full

    async def _produce(self, messages: Iterable[Message]) -> None:
        for order, message in enumerate(messages):
            if message.sent > self._loop.now_us:
                await self._sleep(message.sent)
            if self._is_full(message):
                self.waits += 1
            while self._is_full(message):
                self._room.clear()
                await self._room.wait()
            self._send(order, message)

    def _is_full(self, message: Message) -> bool:
        """Whether an arrival found no room, or the producer catches up with so many that some will find none."""
        return self._full > 0 or (message.sent < self._loop.now_us and len(self._flying) >= self._capacity)

    def _send(self, order: int, message: Message) -> None:
        arrival = self._loop.now_us + message.takes
        heapq.heappush(self._flying, (arrival, order, message))
        if self._flying[0][1] == order:
            self._await_landing(arrival)

    def _await_landing(self, arrival: int) -> None:
        if self._landing is not None:
            self._landing.cancel()
        self._landing = self._loop.call_at_us(arrival, self._land)

    def _land(self) -> None:
        self._landing = None
        while self._flying and self._flying[0][0] <= self._loop.now_us:
            _, _, message = heapq.heappop(self._flying)
            buffer = self.buffers[message.partition]
            if buffer.filled < buffer.size:
                self._store(buffer, message)
            else:
                self._full += not buffer.held
                buffer.held.append(message)
        self._room.set()
        if self._flying:
            self._await_landing(self._flying[0][0])

    def _store(self, buffer: Buffer, message: Message) -> None:
        self._ready.append((message, buffer.next_offset))
        buffer.next_offset += 1
        buffer.filled += 1
        buffer.most = max(buffer.most, buffer.filled)
        self._news.set()

    def _receive(self) -> Received:
        message, offset = self._ready.popleft()
        buffer = self.buffers[message.partition]
        buffer.filled -= 1
        if buffer.held:
            self._store(buffer, buffer.held.popleft())
            self._full -= not buffer.held
            self._room.set()
        return Received(*message[:4], offset, self._loop.now_us)

    async def _sleep(self, until_us: int) -> None:
        woken = self._loop.create_future()
        timer = self._loop.call_at_us(until_us, _wake, woken)
        try:
            await woken
        finally:
            timer.cancel()

    def _on_produced(self, producer: asyncio.Task[None]) -> None:
        if not producer.cancelled():
            self._failure = self._failure or producer.exception()
        self._news.set()

    def _on_failure(self, _: Any, context: dict[str, Any]) -> None:
        self._failure = context.get("exception") or RuntimeError(context["message"])
        self._news.set()


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
