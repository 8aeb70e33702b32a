import io
import threading

import pytest
from rich.console import Console

from dataflow.engine.events import Event
from dataflow.model import RowCounts, StageReport, Verdict
from flows.display import Bars, Lines, display_on

PUBLISHED = StageReport(
    stage="orders",
    kind="source",
    state="published",
    counts=RowCounts(published=1234),
    verdict=Verdict(stage="orders", batch_id="b", digest="d"),
)
FAILED = StageReport(stage="totals", kind="task", state="failed", reason="an error", error="[x] is not a column")
NOT_RUN = StageReport(stage="report", kind="task", state="not_run", reason="totals was failed")
EVENTS = [
    Event("run_started", total=3),
    Event("repaired", text="swept 2 files"),
    Event("stage_planned", "orders", total=2, text="2 new files"),
    Event("stage_started", "orders", total=2, text="2 new files"),
    Event("unit_staged", "orders", 1, 2),
    Event("unit_staged", "orders", 2, 2),
    Event("stage_audited", "orders", text="passed"),
    Event("stage_finished", "orders", 1, 3, "published", PUBLISHED),
    Event("stage_planned", "totals", total=1, text="no earlier version"),
    Event("stage_finished", "totals", 2, 3, "failed", FAILED),
    Event("waiting", text="report waits"),
    Event("stage_finished", "report", 3, 3, "not_run", NOT_RUN),
    Event("run_finished", text="failed"),
]


def shown(*events: Event, terminal: bool) -> str:
    console = Console(
        file=io.StringIO(), force_terminal=terminal, width=160, markup=False, highlight=False, color_system=None
    )
    with display_on(console, "shop: starting") as display:
        assert isinstance(display, Bars if terminal else Lines)
        for event in events:
            display(event)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_lines_tell_the_run_without_control_characters():
    lines = [line[10:] for line in shown(*EVENTS, terminal=False).splitlines()]
    assert [
        "shop: starting",
        "3 stages",
        "repaired: swept 2 files",
        "orders: 2 to do (2 new files)",
        "orders: 1 of 2 staged",
        "orders: 2 of 2 staged",
        "orders: judged, passed",
        "orders: published 1,234 rows, passed (1 of 3 stages)",
        "totals: failed: [x] is not a column (2 of 3 stages)",
        "waiting: report waits",
        "report: not run: totals was failed (3 of 3 stages)",
    ] == lines


def test_lines_begin_with_the_seconds():
    assert shown(terminal=False).startswith("   0.0 s  shop: starting")


@pytest.mark.parametrize(("total", "expected"), [(1, 1), (3, 3), (10, 10), (1000, 10), (1009, 10)])
def test_a_stage_of_many_units_says_every_tenth_and_the_last(total: int, expected: int):
    lines = shown(
        *(Event("unit_staged", "s", done, total) for done in range(1, total + 1)), terminal=False
    ).splitlines()
    assert expected == len(lines) - 1
    assert lines[-1].endswith(f"s: {total} of {total} staged")


def test_bars_follow_the_run_and_vanish():
    console = Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)
    with Bars(console, "shop: starting") as bars:
        for event in EVENTS:
            bars(event)
        tasks = {task.description: task for task in bars._progress.tasks}
    assert {"run": (3, 3), "orders": (2, 2), "totals": (0, 1), "report": (0, 1)} == {
        name: (task.completed, task.total) for name, task in tasks.items()
    }
    assert "published 1,234 rows, passed" == tasks["orders"].fields["text"]
    assert "failed: [x] is not a column" == tasks["totals"].fields["text"]
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().endswith("\x1b[1A\x1b[2K")  # the last thing it does is to take its lines away


def test_the_bar_of_a_branch_is_full():
    branched = StageReport(stage="orders", kind="task", state="branched", reason="its gate branched to triage")
    console = Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)
    with Bars(console, "shop: starting") as bars:
        bars(Event("stage_started", "orders", total=4))
        bars(Event("stage_finished", "orders", 1, 1, "branched", branched))
        _, bar = bars._progress.tasks
    assert (4, "branched: its gate branched to triage") == (bar.completed, bar.fields["text"])


def test_bars_are_moved_from_several_threads():
    console = Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)
    with Bars(console, "shop: starting") as bars:
        threads = [
            threading.Thread(target=lambda name=name: [bars(Event("unit_staged", name, n, 50)) for n in range(1, 51)])
            for name in "abcd"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {"run": 0, "a": 50, "b": 50, "c": 50, "d": 50} == {
            t.description: t.completed for t in bars._progress.tasks
        }
