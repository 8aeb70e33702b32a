"""An asyncio event loop whose clock goes from one appointment to the next: at once, or when it is really time."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class SteppedLoop(asyncio.SelectorEventLoop):
    """Steps its clock, in whole microseconds, to the next timer when nothing else is to be done.

    With ``real`` it sleeps until then as well; the clock says the same in both, so that what runs on the loop cannot
    tell them apart, and comes to the same.
    """

    def __init__(self, start_us: int, *, real: bool) -> None:
        self.now_us = self._start_us = start_us
        self._real = real
        self._started = time.monotonic()
        super().__init__(_Steps(self))
        # Asyncio calls what is due within this; its own nanosecond is lost in the rounding of large numbers.
        self._clock_resolution = 0.5e-6

    def time(self) -> float:
        return (self.now_us - self._start_us) / 1e6

    def call_at_us(self, when_us: int, callback: Any, *args: Any) -> asyncio.TimerHandle:
        """Call when the clock says ``when_us``."""
        return self.call_at((when_us - self._start_us) / 1e6, callback, *args)

    def step(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.now_us += round(seconds * 1e6)
        if self._real:
            time.sleep(max(0.0, self._started + self.time() - time.monotonic()))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run until ``work`` is done, also where a loop runs already: in a notebook, or in an async flow."""
        outer = asyncio._get_running_loop()  # pyright: ignore[reportPrivateUsage]
        asyncio._set_running_loop(None)  # pyright: ignore[reportPrivateUsage]
        try:
            return self.run_until_complete(work)
        finally:
            asyncio._set_running_loop(outer)  # pyright: ignore[reportPrivateUsage]

    def finish(self) -> None:
        """Cancel what still runs, and close."""
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task.cancel()
        if tasks:
            self.run(_ended(tasks))
        self.close()


async def _ended(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


class _Steps(selectors.SelectSelector):
    """Waits for no file: the time in which a loop would wait for one is let pass."""

    def __init__(self, loop: SteppedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("the simulation waits for something that never comes")
        if timeout > 0:
            self._loop.step(timeout)
        return []
