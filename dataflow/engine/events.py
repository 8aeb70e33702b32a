"""What the engine tells an observer while it works: displays and logs live on these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dataflow.model import StageReport

EventKind = Literal[
    "run_started",
    "waiting",
    "repaired",
    "stage_planned",
    "stage_started",
    "unit_staged",
    "stage_audited",
    "stage_finished",
    "run_finished",
]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    kind: EventKind
    stage: str | None = None
    done: int = 0
    total: int = 0
    text: str = ""
    report: StageReport | None = None


Observer = Callable[[Event], None]
