"""What it costs to make messages: in memory, to Parquet, to JSONL, and how much memory many of them take.

Each amount is one batch, the hardest case for memory. The side "bare" of a format writes rows that are in memory
already: what it takes is Polars' own. Peak memory is that of a process of its own which makes messages with chaos and
writes them as Parquet (Linux).

    uv run python benchmarks/generate.py --scale 1 --repeat 3
    uv run python benchmarks/generate.py --no-memory
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from benchmarks.figures import Figure, Timing, interleaved, ratio, show
from dataflow.sources.synthetic import SyntheticConfig, SyntheticSource

ROWS = (1_000_000, 10_000_000)
MEMORY_ROWS = (10_000_000, 100_000_000)
MODES = ("speed", "chaos")
FORMATS = ("parquet", "jsonl")
Sides = dict[str, Callable[[], object]]


def messages(rows: int, mode: str) -> pl.LazyFrame:
    """One batch of messages, as the engine scans it."""
    source = SyntheticSource(
        "events", SyntheticConfig.model_validate({"scale": rows, "batch_size": rows, "mode": mode})
    )
    (item,) = source.items()
    return source.scan(item, source.contract([item], None), row_index="number").drop("number")


def write(frame: Callable[[], pl.LazyFrame], format: str, folder: Path) -> None:
    """Stream ``frame`` to a file."""
    path = folder / f"messages.{format}"
    if format == "parquet":
        frame().sink_parquet(path)
    else:
        frame().sink_ndjson(path)


def prove(rows: int, folder: Path) -> None:
    """What is timed makes the rows that it should, and writes all of them; it also imports what the first run would."""
    for mode in MODES:
        frame = messages(rows, mode).collect()
        for format, read in (("parquet", pl.scan_parquet), ("jsonl", pl.scan_ndjson)):
            write(partial(messages, rows, mode), format, folder)
            written = read(folder / f"messages.{format}").select(pl.len()).collect().item()
            assert frame.height == written >= rows == frame["message_id"].n_unique(), (mode, format, written)


def make_sides(rows: int, folder: Path) -> Sides:
    """Making messages, making and writing them, and writing alone, with the modes next to each other."""
    sides: Sides = {f"{rows:,} {mode}": lambda mode=mode: messages(rows, mode).collect() for mode in MODES}
    for format in FORMATS:
        sides |= {
            f"{rows:,} {mode} {format}": partial(write, partial(messages, rows, mode), format, folder) for mode in MODES
        }
        sides[f"{rows:,} bare {format}"] = partial(write, messages(rows, "speed").collect().lazy, format, folder)
    return sides


def figures_of(rows: int, timings: Mapping[str, list[Timing]], *, goal: float | None) -> list[Figure]:
    """Seconds in memory, and how much more a file takes for being made while it is written.

    In CPU: the wall time of files of gigabytes is the disk's.
    """
    figures = [
        Figure(
            f"{mode}_{rows}_in_memory",
            statistics.median(run.wall for run in timings[f"{rows:,} {mode}"]),
            unit="s",
            goal=goal,
        )
        for mode in MODES
    ]
    return figures + [
        Figure(
            f"{mode}_{rows}_{format}_over_bare_cpu",
            ratio(timings, f"{rows:,} {mode} {format}", f"{rows:,} bare {format}", "cpu"),
        )
        for format in FORMATS
        for mode in MODES
    ]


def peak_mb(rows: int, folder: Path) -> float:
    """Peak memory of a process that makes ``rows`` messages and writes them."""
    command = [sys.executable, "-m", "benchmarks.generate", "--measure", str(rows), "--folder", str(folder)]
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    typer.echo(f"{rows:,} rows: {float(found.stdout):.0f} MB", err=True)
    return float(found.stdout)


def _own_peak_mb() -> float:
    """What the kernel says of this process: ``ru_maxrss`` would begin with the peak of the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def memory_figures(scale: float, folder: Path) -> list[Figure]:
    """The peaks, and what ten times as many rows take more."""
    few, many = (peak_mb(int(rows * scale), folder) for rows in MEMORY_ROWS)
    return [
        Figure(f"peak_{int(MEMORY_ROWS[0] * scale)}", few, unit="MB"),
        Figure(f"peak_{int(MEMORY_ROWS[1] * scale)}", many, unit="MB"),
        Figure("peak_of_ten_times_the_rows", many / few, goal=1.25),
    ]


def main(
    scale: Annotated[float, typer.Option(help="How many times one, ten and a hundred million rows.")] = 1,
    repeat: Annotated[int, typer.Option(help="Rounds; the figures are medians.")] = 3,
    memory: Annotated[bool, typer.Option(help="Peak memory of ten and of a hundred million rows.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    measure: Annotated[int, typer.Option(hidden=True)] = 0,
    folder: Annotated[Path, typer.Option(hidden=True)] = Path(),
) -> None:
    """Measure what it costs to make messages."""
    if measure:
        write(partial(messages, measure, "chaos"), "parquet", folder)
        typer.echo(_own_peak_mb())
        return
    timings: dict[str, list[Timing]] = {}
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="generate-") as made:
        prove(10_000, Path(made))
        for number, rows in enumerate(int(rows * scale) for rows in ROWS):
            timings |= interleaved(make_sides(rows, Path(made)), repeat)
            figures += figures_of(rows, timings, goal=0.3 if number == 0 and scale == 1 else None)
        if memory:
            figures += memory_figures(scale, Path(made))
    show("messages", timings, figures, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
