"""What a person or a machine asks a command line by a signal: to end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Generator
from typing import NoReturn

INTERRUPTED = 130
"""The exit code after Ctrl-C."""
TERMINATED = 143
"""The exit code after SIGTERM."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: somebody asks the process to end."""


@contextlib.contextmanager
def sigterm_raised() -> Generator[None]:
    """SIGTERM ends what goes on as Ctrl-C does, by an exception; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        # Signals are for the main thread alone.
        yield
        return
    before = signal.getsignal(signal.SIGTERM)

    def terminate(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, before)
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
