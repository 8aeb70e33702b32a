"""How others take the changes of benchmarks/incremental.py: dlt merging into Delta, and SQLMesh on DuckDB.

dlt finds new and changed files by their time of modification and merges their rows by key; it loads, and computes
nothing: ``lines`` is all that it makes. SQLMesh computes all three tables from what was delivered since, by key; that
there are new files, and which, it is told.
"""
# pyright: basic
# The peers are optional, and most of them are not typed.

# pyright: reportMissingImports=false

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import typer

from benchmarks.apart import Run, apart
from benchmarks.figures import Timing
from benchmarks.incremental_pipeline import KEY, LINES, by_month

SQLMESH = "sqlmesh==0.236.4", "duckdb==1.5.6"
FIRST, SECOND = "2026-01-01", "2026-01-02"
_TYPES = {"int64": pl.Int64, "float64": pl.Float64, "string": pl.String, "date": pl.Date}


@dataclass(frozen=True)
class Peer:
    """One way to take deliveries."""

    missing: Callable[[], str]
    """Why it cannot be run here; empty where it can."""
    take: Callable[[Path, Sequence[Path], bool], Run]
    """Takes the folder, the files that are new there, and whether they are the first."""
    rows: Callable[[Path], int]
    """Rows of its ``lines``."""


def dlt_merge(work: Path) -> None:
    """``upsert``, the strategy for merging that dlt has for Delta, of files that were modified since."""
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
    import dlt
    from dlt.sources.filesystem import filesystem

    disposition: Any = {"disposition": "merge", "strategy": "upsert"}

    @dlt.transformer(name="lines", primary_key=KEY, write_disposition=disposition, table_format="delta")
    def lines(items: Any):
        schema = {name: _TYPES[kind] for name, kind in LINES.items()}
        paths = [Path(item["file_url"].removeprefix("file://")) for item in items]
        yield by_month(pl.scan_csv(paths, schema=schema)).collect().to_arrow()

    files = filesystem(bucket_url=(work / "in" / "lineitem").as_uri(), file_glob="*.csv", files_per_page=1000)
    files.apply_hints(incremental=dlt.sources.incremental("modification_date"))
    pipeline = dlt.pipeline(
        "tpch",
        destination=dlt.destinations.filesystem(bucket_url=(work / "dlt").as_uri()),
        dataset_name="tpch",
        pipelines_dir=str(work / "state"),
    )
    pipeline.run(files | lines)


def _dlt_take(work: Path, files: Sequence[Path], first: bool) -> Run:
    return apart(dlt_merge, work, warm=_import_dlt)


def _import_dlt() -> None:
    import dlt.destinations
    import dlt.sources.filesystem  # noqa: F401


def _dlt_missing() -> str:
    return "" if find_spec("dlt") else "dlt is not installed; uv sync --group bench brings it"


def _dlt_rows(work: Path) -> int:
    from deltalake import DeltaTable

    return DeltaTable(work / "dlt" / "tpch" / "lines").count()


@cache
def _environment() -> tuple[tempfile.TemporaryDirectory[str], str]:
    """An environment with SQLMesh, as long as this program runs; and why there is none."""
    folder = tempfile.TemporaryDirectory(prefix="sqlmesh-")
    if shutil.which("uv") is None:
        return folder, "SQLMesh needs an environment of its own, and there is no uv to make it"
    for command in (["venv", folder.name], ["pip", "install", "--python", f"{folder.name}/bin/python", *SQLMESH]):
        done = subprocess.run(["uv", *command, "--quiet"], capture_output=True, text=True)
        if done.returncode:
            return folder, f"SQLMesh cannot be installed: {done.stderr.strip()[-300:]}"
    return folder, ""


def _in_environment(*command: str) -> str:
    folder, _ = _environment()
    python = Path(folder.name, "bin", "python")
    done = subprocess.run([python, *command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"SQLMesh failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def _sqlmesh_take(work: Path, files: Sequence[Path], first: bool) -> Run:
    script = Path(__file__).with_name("incremental_sqlmesh.py")
    said = _in_environment(str(script), str(work), FIRST if first else SECOND, *map(str, files))
    told = json.loads(said.strip().splitlines()[-1])
    return Run(Timing(told["wall"], told["cpu"]), told["peak_mb"])


def _sqlmesh_missing() -> str:
    return _environment()[1]


def _sqlmesh_rows(work: Path) -> int:
    asked = "import duckdb, sys; print(duckdb.connect(sys.argv[1]).sql('FROM tpch.lines').count('*').fetchone()[0])"
    return int(_in_environment("-c", asked, str(work / "bench.duckdb")))


PEERS = {
    "dlt merge": Peer(_dlt_missing, _dlt_take, _dlt_rows),
    "SQLMesh": Peer(_sqlmesh_missing, _sqlmesh_take, _sqlmesh_rows),
}


def available() -> list[str]:
    """The peers that can be run here; of the others a line on stderr."""
    found: list[str] = []
    for name, peer in PEERS.items():
        if why := peer.missing():
            typer.echo(f"{name} is skipped: {why}", err=True)
        else:
            found.append(name)
    return found
