from __future__ import annotations

import os
import signal
import threading

import pytest

from flows.signals import Terminated, sigterm_raised


def test_sigterm_is_raised_and_what_was_there_before_is_there_again():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), sigterm_raised():
        os.kill(os.getpid(), signal.SIGTERM)
    assert before == signal.getsignal(signal.SIGTERM)


def test_a_second_one_does_what_it_did_before():
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        with sigterm_raised():
            with pytest.raises(Terminated):
                os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [signal.SIGTERM] == seen


def test_other_threads_leave_signals_alone():
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with sigterm_raised():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [before] == seen
