"""What every benchmark has in common: interleaved rounds, medians, a table, and JSON with goals and musts."""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import typer
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    unit: str = "x"
    better: Literal["lower", "higher"] = "lower"
    goal: float | None = None
    must: float | None = None

    def meets(self, bound: float | None) -> bool:
        if bound is None:
            return True
        return self.value <= bound if self.better == "lower" else self.value >= bound


@dataclass(frozen=True)
class Timing:
    """One run of one side."""

    wall: float
    cpu: float


def interleaved(
    sides: Mapping[str, Callable[[], object]], repeat: int, *, between: Callable[[], object] | None = None
) -> dict[str, list[Timing]]:
    """Run the sides in turn, ``repeat`` times: what slows the machine down slows all of them.

    Every second round goes backwards, and what a side wrote is on the disk before the next one
    starts: no side always pays for the same neighbour. ``between`` clears up before each run, untimed.
    """
    timings: dict[str, list[Timing]] = {name: [] for name in sides}
    for number in range(repeat):
        for name, run in list(sides.items())[:: -1 if number % 2 else 1]:
            if between is not None:
                between()
            gc.collect()
            os.sync()
            wall, cpu = time.perf_counter(), _cpu()
            run()
            timings[name].append(Timing(time.perf_counter() - wall, _cpu() - cpu))
            typer.echo(f"{number + 1}/{repeat} {name}: {timings[name][-1].wall:.2f} s", err=True)
    return timings


def _cpu() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def ratio(timings: Mapping[str, list[Timing]], side: str, against: str, what: Literal["wall", "cpu"] = "wall") -> float:
    """Median of the ratios pair by pair."""
    pairs = zip(timings[side], timings[against], strict=True)
    return statistics.median(getattr(a, what) / getattr(b, what) for a, b in pairs)


def share(timings: Mapping[str, list[Timing]], side: str, without: str, what: Literal["wall", "cpu"] = "wall") -> float:
    """What ``side`` takes more than ``without``, in percent of ``side``: median of the shares pair by pair."""
    pairs = zip(timings[side], timings[without], strict=True)
    return statistics.median(100 * (1 - getattr(b, what) / getattr(a, what)) for a, b in pairs)


def show(title: str, timings: Mapping[str, list[Timing]], figures: list[Figure], *, as_json: bool) -> None:
    """Print the table, or one JSON object; ends the program with 1 where a must is missed."""
    if as_json:
        typer.echo(json.dumps({f.name: _as_json(f) for f in figures}))
    else:
        _print(title, timings, figures)
    if not all(figure.meets(figure.must) for figure in figures):
        raise typer.Exit(1)


def _as_json(figure: Figure) -> dict[str, Any]:
    names = ("value", "unit", "better", "goal", "must")
    return {name: getattr(figure, name) for name in names}


def _print(title: str, timings: Mapping[str, list[Timing]], figures: list[Figure]) -> None:
    console = Console()
    console.print(f"{title}; {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    sides = Table("side", "median wall s", "median cpu s", "runs")
    for name, runs in timings.items():
        wall, cpu = (statistics.median(getattr(run, what) for run in runs) for what in ("wall", "cpu"))
        sides.add_row(name, f"{wall:.2f}", f"{cpu:.2f}", " ".join(f"{run.wall:.2f}" for run in runs))
    console.print(sides)
    table = Table("figure", "value", "goal", "must", "")
    for figure in figures:
        bounds = [
            "" if bound is None else f"{'≤' if figure.better == 'lower' else '≥'} {bound:g}"
            for bound in (figure.goal, figure.must)
        ]
        met = (
            ""
            if figure.goal is None and figure.must is None
            else "met"
            if figure.meets(figure.goal) and figure.meets(figure.must)
            else "missed"
        )
        table.add_row(figure.name, f"{figure.value:.2f} {figure.unit}", *bounds, met)
    console.print(table)
