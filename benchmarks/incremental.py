"""What an increment costs beside a full run: TPC-H's order lines, delivered as CSV, a tenth of them new or changed.

The pipeline stands in benchmarks/incremental_pipeline.py. Every run is one of the whole engine, in a process of its own
that is warm, on a lake as it was before the change; a full run (``incremental=False``) finds the same lake and the same
files. After each pair of runs the tables are compared row by row.

    uv run --group bench python benchmarks/incremental.py --scale 1 --repeat 3
    uv run --group bench python benchmarks/incremental.py --scale 10 --repeat 1 --no-peers
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.apart import Run, apart
from benchmarks.figures import Figure, Timing, interleaved, ratio, show
from benchmarks.incremental_peers import PEERS, Peer, available
from benchmarks.incremental_pipeline import (
    CHANGES,
    Deliveries,
    copy_lake,
    fingerprints,
    generate,
    warm_up,
    workflow,
)
from dataflow import Engine

GOALS = {"appended": 9, "partitions": 8, "updated": 5, "nothing": 100}
MUST = 5


def execute(work: Path, *, incremental: bool) -> dict[str, Any]:
    """A run of the pipeline; tells how each stage was brought up to date, and what it took.

    Errors: RuntimeError where it does not end well.
    """
    report = Engine(runner="inline").execute(workflow(work), incremental=incremental)
    if report.exit_code:
        raise RuntimeError(report.reason)
    return {
        stage.stage: {
            "how": stage.how.kind if stage.how else stage.state,
            "reason": stage.reason,
            "rows_read": stage.counts.read,
            "bytes_read": stage.bytes_read,
            "seconds": round(stage.seconds, 3),
            "notes": stage.notes,
        }
        for stage in report.stages
    }


def full(work: Path) -> dict[str, Any]:
    """All of it, as if nothing were there."""
    return execute(work, incremental=False)


def increment(work: Path) -> dict[str, Any]:
    """What is stale."""
    return execute(work, incremental=True)


OURS: dict[str, Callable[[Path], dict[str, Any]]] = {"full": full, "increment": increment}


@dataclass
class Bench:
    """The folder that all happens in, and what was measured."""

    folder: Path
    deliveries: Deliveries
    runs: dict[str, list[Run]] = field(default_factory=dict[str, list[Run]])
    tables: dict[str, list[tuple[int, ...]]] = field(default_factory=dict[str, list[tuple[int, ...]]])
    """What a full run makes of each change."""

    def ours(self, change: str, name: str) -> Callable[[], None]:
        """One timed run after ``change``, and the proof that it came to the same tables as a full one."""

        def run() -> None:
            work = self.before("ours", lambda work: apart(increment, work, warm=warm_up))
            self.deliveries.change(change, work / "in")
            self._note(f"{change}, {name}", apart(OURS[name], work, warm=warm_up))
            found = fingerprints(work)
            if self.tables.setdefault(change, found) != found:
                raise RuntimeError(
                    f"{change}, {name}: {found} is not what the first run came to: {self.tables[change]}"
                )

        return run

    def peer(self, name: str, peer: Peer, change: str) -> Callable[[], None]:
        """One timed run of a peer, and the proof that its table holds as many rows as ours."""

        def run() -> None:
            def load(work: Path) -> None:
                files = sorted((work / "in" / "lineitem").iterdir())
                self._note(f"{name}, first load", peer.take(work, files, True))

            work = self.before(name, load)
            self.deliveries.change(change, work / "in")
            changed = [work / "in" / "lineitem" / path.name for path in self.deliveries.made(change)]
            self._note(f"{name}, {change}", peer.take(work, changed, False))
            rows, expected = peer.rows(work), self.tables[change][0][0]
            if rows != expected:
                raise RuntimeError(f"{name}, {change}: {rows} rows are in the table instead of {expected}")

        return run

    def before(self, side: str, load: Callable[[Path], object]) -> Path:
        """A side's folder as it was before any change, always at one path: what was landed is known by its path."""
        base, work = self.folder / "base" / side, self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        if not base.exists():
            self.deliveries.before(work / "in")
            load(work)
            base.parent.mkdir(exist_ok=True)
            shutil.move(work, base)
        copy_lake(base, work)
        os.sync()
        return work

    def _note(self, name: str, run: Run) -> None:
        self.runs.setdefault(name, []).append(run)
        typer.echo(f"{name}: {run.timing.wall:.2f} s, {run.peak_mb:,.0f} MB", err=True)
        for stage, told in (run.answer or {}).items():
            typer.echo(f"    {stage}: {told}", err=True)

    def timings(self) -> dict[str, list[Timing]]:
        return {name: [run.timing for run in runs] for name, runs in self.runs.items()}


def figures(bench: Bench) -> list[Figure]:
    """How many times faster each increment is than a full run; what both read, and the most memory that they held."""
    timings, found = bench.timings(), list[Figure]()
    for change in CHANGES:
        pair = f"{change}, full", f"{change}, increment"
        found.append(Figure(change, ratio(timings, *pair), better="higher", goal=GOALS[change], must=MUST))
        found.append(Figure(f"{change}: cpu", ratio(timings, *pair, "cpu"), better="higher"))
    for name, runs in bench.runs.items():
        if read := [run.read_mb for run in runs if run.read_mb is not None]:
            found.append(Figure(f"{name}: read", statistics.median(read), "MB"))
        found.append(Figure(f"{name}: peak memory", max(run.peak_mb for run in runs), "MB"))
    return found


def main(
    scale: Annotated[float, typer.Option(help="TPC-H's scale factor: 1 is a gigabyte of CSV.")] = 1,
    repeat: Annotated[int, typer.Option(help="Rounds; the figures are medians.")] = 3,
    peers: Annotated[bool, typer.Option(help="dlt, and SQLMesh on DuckDB.")] = True,
    data: Annotated[Path | None, typer.Option(help="Keep the generated input here, or take it from here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Measure increments against full runs."""
    with tempfile.TemporaryDirectory(prefix="incremental-", dir=data.parent if data else None) as name:
        folder = Path(name)
        made = data or folder / "data"
        if not made.exists():
            generate(scale, made)
        bench = Bench(folder, Deliveries(made))
        sides = {f"{change}, {name}": bench.ours(change, name) for change in CHANGES for name in OURS}
        for name in available() if peers else ():
            sides |= {f"{name}, {c}": bench.peer(name, PEERS[name], c) for c in CHANGES if c != "nothing"}
        interleaved(sides, repeat)
        show(f"TPC-H scale factor {scale:g}", bench.timings(), figures(bench), as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
