from __future__ import annotations

import threading
import time
from concurrent.futures import Future

import pytest

from tasks.threads import Threads


def test_an_interrupted_run_does_not_wait_for_a_thread_that_hangs():
    hangs, begun = threading.Event(), threading.Event()
    queued: list[Future[None]] = []

    def hang() -> None:
        begun.set()
        hangs.wait(60)

    def run() -> None:
        with Threads(max_workers=1) as threads:
            assert threads._executor is not None
            threads._executor.submit(hang)
            queued.append(threads._executor.submit(time.sleep, 60))
            assert begun.wait(10)
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run()
    assert time.monotonic() - began < 30
    assert queued[0].cancelled()
    hangs.set()


@pytest.mark.parametrize("error", [ValueError, None])
def test_a_run_that_ends_otherwise_waits_for_its_threads(error: type[Exception] | None):
    finished = threading.Event()

    def work() -> None:
        time.sleep(0.3)
        finished.set()

    def run() -> None:
        with Threads(max_workers=1) as threads:
            assert threads._executor is not None
            threads._executor.submit(work)
            if error is not None:
                raise error

    if error is None:
        run()
    else:
        with pytest.raises(error):
            run()
    assert finished.is_set()
