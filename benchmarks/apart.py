"""Work in a process of its own, so that its time, its reading and its peak memory are told by themselves."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.figures import Timing


@dataclass(frozen=True)
class Run:
    """One run of one side in a process of its own."""

    timing: Timing
    peak_mb: float
    """The most that was resident: anonymous memory, and 170 MB of libraries. Inputs are read, not mapped."""
    read_mb: float | None = None
    """What it asked the operating system for, from files or from what is kept of them in memory; None where nobody looked."""
    answer: Any = None
    """What the work answered."""


def apart(work: Callable[..., Any], *args: Any, warm: Callable[[], object] | None = None) -> Run:
    """Do ``work`` in a fresh process, after ``warm``, which imports and compiles what the timed run finds done.

    Errors: RuntimeError where it fails.
    """
    context = get_context("spawn")
    heard, told = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(told, warm, work, args))
    child.start()
    told.close()
    try:
        return heard.recv()
    except EOFError:
        raise RuntimeError(f"{work.__name__} failed; what it said stands above") from None
    finally:
        child.join()


def _child(told: Any, warm: Callable[[], object] | None, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if warm is not None:
        warm()
    gc.collect()
    _forget_peak()
    read, used, began = _read_bytes(), os.times(), time.perf_counter()
    answer = work(*args)
    wall, after = time.perf_counter() - began, os.times()
    spent = [
        getattr(after, name) - getattr(used, name) for name in ("user", "system", "children_user", "children_system")
    ]
    told.send(Run(Timing(wall, sum(spent)), _peak_mb(), (_read_bytes() - read) / 1e6, answer))


def _read_bytes() -> int:
    (line,) = (line for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("rchar"))
    return int(line.split()[1])


def _forget_peak() -> None:
    """From here on ``VmHWM`` counts anew."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    # Not ru_maxrss: that is inherited from the process which started this one.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
