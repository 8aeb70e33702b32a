"""What deduplication costs: our strategies beside bare Polars, deltalake, DuckDB and dlt, and native hashing beside Python.

A first delivery of a million messages, a tenth of them copies of others, and a second one a tenth as large, a tenth of
it copies of messages in the table. All sides begin with the same Parquet files, ours with the landed source table, and
end with a table on disk whose rows are counted. Each run is a process of its own, so that its peak memory is told.

    uv run --group bench python benchmarks/dedup.py --scale 1 --repeat 3
    uv run python benchmarks/dedup.py --scale 10 --no-peers
"""

from __future__ import annotations

import gc
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from benchmarks.dedup_peers import OTHERS, POLARS
from benchmarks.figures import Figure, Timing, interleaved, ratio, show
from benchmarks.hashing import HASHED, hash_figures, hash_sides
from dataflow import Engine, Workflow
from dataflow.dedup.hashing import row_hash
from dataflow.quality.gate import prewarm

ROWS = 1_000_000
OURS: dict[str, dict[str, Any]] = {
    "bronze_append": {"type": "bronze_append"},
    "polars_merge": {"type": "polars_merge", "dedup_key": ["id"], "sort_by": ["at"]},
    "eager_dedup": {"type": "eager_dedup"},
    "eager_dedup, overwriting": {"type": "eager_dedup", "write_mode": "overwrite"},
}
PEERS = {**POLARS, **OTHERS}
KEEPING = {"bronze_append", "bare Polars, bronze"}
"""Sides whose table holds copies too."""


def messages(numbers: pl.Series) -> pl.DataFrame:
    """One message for each number, the same every time."""
    n = pl.col("n")
    return pl.DataFrame({"n": numbers}).select(
        id=pl.format("evt-{}", n * 48_271 % 1_000_000_007),
        user=n * 7 % 100_003,
        kind=pl.format("kind {}", n % 17),
        at=(1_700_000_000_000_000 + n * 1000).cast(pl.Datetime("us", "UTC")),
        value=n % 10_007 / 7.0,
    )


def deliver(folder: Path, rows: int, *, changed: bool = False) -> dict[str, int]:
    """``first.parquet`` and ``second.parquet``; returns how many different messages there are after each."""
    copies, second = rows // 10, rows // 10
    fresh, later = rows - copies, second - second // 10
    first = pl.concat([pl.int_range(fresh, eager=True), pl.int_range(fresh, eager=True).sample(copies, seed=1)])
    known = pl.int_range(fresh, eager=True).sample(second - later, seed=2)
    messages(first.shuffle(seed=3)).write_parquet(folder / "first.parquet")
    again = messages(known)
    if changed:
        again = again.with_columns(pl.col("at") + pl.duration(days=1), pl.col("value") + 1)
    both = pl.concat([messages(pl.int_range(fresh, fresh + later, eager=True)), again])
    both.sample(fraction=1, shuffle=True, seed=4).write_parquet(folder / "second.parquet")
    return {"first": fresh, "second": fresh + later}


def ours(name: str) -> Callable[[Path, Path], None]:
    """The strategy stage of a run that finds its input landed already."""

    def run(work: Path, delivery: Path) -> None:
        Engine(runner="inline").execute(workflow(work, name))

    return run


def workflow(work: Path, name: str | None) -> Workflow:
    """Messages, landed, and where it is asked for the table that a strategy makes of them."""
    declared = Workflow("messages", lake=work / "lake")
    declared.add_source("messages", {"path": str(work / "in")})
    if name is not None:
        declared.add_task("table", depends_on=["messages"], strategy=OURS[name])
    return declared


def land(work: Path, delivery: Path) -> None:
    """What comes before our sides and is not timed: every strategy has the same landed batch."""
    (work / "in").mkdir(parents=True, exist_ok=True)
    shutil.copy(delivery, work / "in")
    Engine(runner="inline").execute(workflow(work, None))


def height(work: Path, name: str) -> int:
    """How many rows the table has that a side left."""
    if name in OURS:
        from deltalake import DeltaTable

        return DeltaTable(work / "lake" / "table").count()
    return PEERS[name].height(work)


@dataclass(frozen=True)
class Run:
    """One run of one side in a process of its own."""

    timing: Timing
    peak_mb: float


def _child(name: str, work: Path, delivery: Path, told: Any) -> None:
    side = ours(name) if name in OURS else PEERS[name].run
    with tempfile.TemporaryDirectory() as folder:
        # The first run of a process imports and compiles what the timed one finds done.
        warm, few = Path(folder, "warm"), Path(folder, "few.parquet")
        messages(pl.int_range(1000, eager=True)).write_parquet(few)
        if name in OURS:
            prewarm()
            land(warm, few)
        side(warm, few)
    gc.collect()
    before, began = os.times(), time.perf_counter()
    side(work, delivery)
    wall, after = time.perf_counter() - began, os.times()
    cpu = after.user + after.system - before.user - before.system
    told.send(Run(Timing(wall, cpu), _peak_mb()))


def _peak_mb() -> float:
    # Not ru_maxrss: that is inherited from the process which started this one.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def alone(name: str, work: Path, delivery: Path) -> Run:
    """Run a side in a fresh process.

    Errors: RuntimeError where it fails.
    """
    context = get_context("spawn")
    heard, told = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(name, work, delivery, told))
    child.start()
    told.close()
    try:
        return heard.recv()
    except EOFError:
        raise RuntimeError(f"{name} failed; what it said stands above") from None
    finally:
        child.join()


@dataclass
class Bench:
    """The folder that all happens in, and what was measured."""

    folder: Path
    rows: int
    different: Mapping[str, int]
    runs: dict[str, list[Run]]

    def side(self, name: str, phase: str) -> Callable[[], None]:
        """One timed run on a table as it stands before ``phase``, and the proof that it did its work."""

        def run() -> None:
            work = self.before(name, phase)
            done = alone(name, work, self.folder / f"{phase}.parquet")
            rows = height(work, name)
            expected = (
                self.rows + (self.rows // 10 if phase == "second" else 0) if name in KEEPING else self.different[phase]
            )
            if rows != expected:
                raise RuntimeError(f"{name}, {phase}: {rows} rows are in the table instead of {expected}")
            self.runs.setdefault(f"{name}, {phase}", []).append(done)

        return run

    def before(self, name: str, phase: str) -> Path:
        """A copy of what the side has before ``phase``, always at one path: what was landed is known by its path."""
        base, work = self.folder / "base" / name / phase, self.folder / "work" / name
        if not base.exists():
            start = self.before(name, "first") if phase == "second" else work
            start.mkdir(parents=True, exist_ok=True)
            if phase == "second":
                alone(name, start, self.folder / "first.parquet")
            if name in OURS:
                land(start, self.folder / f"{phase}.parquet")
            shutil.copytree(start, base)
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(base, work)
        return work

    def timings(self) -> dict[str, list[Timing]]:
        return {name: [run.timing for run in runs] for name, runs in self.runs.items()}


def side_figures(bench: Bench) -> list[Figure]:
    """Ratios between the sides, rates and peaks."""
    timings, figures = bench.timings(), list[Figure]()
    for name, side, against, goal, better in [
        ("bronze_over_bare_first", "bronze_append, first", "bare Polars, bronze, first", 1.15, "lower"),
        ("bronze_over_bare_second", "bronze_append, second", "bare Polars, bronze, second", 1.15, "lower"),
        ("merge_over_bare_first", "polars_merge, first", "bare Polars, merge, first", None, "lower"),
        ("merge_over_bare_second", "polars_merge, second", "bare Polars, merge, second", None, "lower"),
        ("deltalake_merge_over_ours_second", "deltalake merge, second", "polars_merge, second", 3, "higher"),
        ("duckdb_over_ours_second", "DuckDB, second", "polars_merge, second", None, "higher"),
        ("dlt_merge_over_ours_second", "dlt merge, second", "polars_merge, second", 10, "higher"),
        ("eager_over_merge_second", "eager_dedup, second", "polars_merge, second", None, "higher"),
        ("eager_overwriting_over_merge_second", "eager_dedup, overwriting, second", "polars_merge, second", None, "higher"),
        ("eager_over_bronze_first", "eager_dedup, first", "bronze_append, first", None, "higher"),
        ("eager_over_bronze_second", "eager_dedup, second", "bronze_append, second", None, "higher"),
    ]:  # fmt: skip
        if side in timings and against in timings:
            figures.append(Figure(name, ratio(timings, side, against), better=better, goal=goal))  # pyright: ignore[reportArgumentType]
    for name, runs in bench.runs.items():
        rows = bench.rows if name.endswith("first") else bench.rows // 10
        wall = statistics.median(run.timing.wall for run in runs)
        figures.append(Figure(f"{name}: rate", rows / wall / 1e6, "M rows/s", "higher"))
        figures.append(Figure(f"{name}: peak memory", max(run.peak_mb for run in runs), "MB"))
    return figures


def storage_figure(folder: Path) -> Figure:
    """What the copies of the first delivery cost on disk, beside the same table without them."""
    rows = pl.scan_parquet(folder / "first.parquet")
    hashed = rows.with_columns(row_hash(HASHED, rows.collect_schema()).alias("composite_hash"))
    hashed.sink_parquet(folder / "kept.parquet")
    hashed.unique("composite_hash", keep="first", maintain_order=True).sink_parquet(folder / "once.parquet")
    kept, once = (os.path.getsize(folder / f"{name}.parquet") for name in ("kept", "once"))
    return Figure("storage_of_kept_copies", 100 * (kept / once - 1), "%")


def chosen(*, peers: bool, changed: bool) -> list[str]:
    """Ours, bare Polars and the peers that are here; of the others a line on stderr."""
    names = ["polars_merge", "bare Polars, merge"] if changed else [*OURS, *POLARS]
    for name, peer in OTHERS.items() if peers else ():
        if find_spec(peer.module) is None:
            typer.echo(f"{peer.module} is not installed and skipped; uv sync --group bench brings it", err=True)
        else:
            names.append(name)
    return names


def main(
    scale: Annotated[float, typer.Option(help="How many times one million rows.")] = 1,
    repeat: Annotated[int, typer.Option(help="Rounds; the figures are medians.")] = 3,
    hashing: Annotated[bool, typer.Option(help="Native hashing beside a Python function.")] = True,
    peers: Annotated[bool, typer.Option(help="deltalake merge, DuckDB and dlt.")] = True,
    changed: Annotated[
        bool,
        typer.Option("--changed", help="The second delivery brings newer rows of known keys; only sides that merge."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Measure what deduplication costs."""
    rows = int(ROWS * scale)
    with tempfile.TemporaryDirectory(prefix="dedup-") as name:
        folder = Path(name)
        bench = Bench(folder, rows, deliver(folder, rows, changed=changed), {})
        sides = {
            f"{name}, {phase}": bench.side(name, phase)
            for name in chosen(peers=peers, changed=changed)
            for phase in bench.different
        }
        interleaved(sides, repeat)
        figures, hashes = side_figures(bench), dict[str, list[Timing]]()
        if hashing:
            frame = pl.read_parquet(folder / "first.parquet")
            hashes = interleaved(hash_sides(frame), repeat)
            figures += hash_figures(hashes, frame.height)
        figures.append(storage_figure(folder))
    show(f"{rows:,} messages, then {rows // 10:,}", {**bench.timings(), **hashes}, figures, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
