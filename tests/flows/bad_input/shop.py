"""A small shop that is run the way a person does, by its command line, and what must be true of whatever it says."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable

from flows.command import PROJECT, main

FUNCTIONS = """\
import os
import polars as pl


def typed(orders):
    price = pl.col("price").cast(getattr(pl, os.environ.get("SHOP_PRICE", "Int64")), strict=False)
    bad = price.is_null() & pl.col("price").is_not_null()
    return orders.select("order_id", "month", "item", price.alias("price"), pl.when(bad).then(pl.lit("price")).alias("unparsed"))


def totals(typed):
    return typed.group_by("item").agg(pl.len().alias("members"), pl.col("price").sum())


def names(items):
    return items.with_columns(pl.col("name").str.to_uppercase())
"""
YAML = """\
pipeline: shop
lake: lake
sources:
  orders:
    path: orders
    storage: {partition_by: [month]}
  items: {path: items.csv}
stages:
  typed:
    function: shop_stages:typed
    rows: preserved
    partition_by: [month]
    storage: {partition_by: [month]}
    gate:
      - {name: text_parses, predicate: unparsed IS NULL}
      - {name: order_is_unique, expectation: {type: expect_column_values_to_be_unique, column: order_id}}
  totals: {function: "shop_stages:totals", rows: grouped, members: members}
  names: {function: "shop_stages:names", rows: preserved}
"""
UNGATED = ("--set", "stages.typed.gate=[]")
"""For runs in a process of their own: without a gate, Great Expectations need not be imported."""
HEADER = "order_id,month,item,price\n"
GOOD = HEADER + "".join(f"4-{n},4,{'abc'[n % 3]},{n}\n" for n in range(6))
"""A delivery as it should be."""
_OF_THE_RUN = (
    "_batch_id",
    "_ingested_at",
    "_quarantine_id",
    "_row_id",
    "_quarantined_at",
    "_dropped_at",
    "_repaired_at",
)
"""Columns that say which run wrote a row, and which of a file's contents it is from."""


@dataclass(frozen=True)
class Said:
    """What a run came to."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """The last word: the error line, or the run's own last line about its state."""
        if self.err:
            return self.err.splitlines()[-1]
        return next(line for line in reversed(self.out.splitlines()) if not line.startswith(("lake:", "data docs:")))

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self.out)


@dataclass(frozen=True)
class Shop:
    """The shop's folder."""

    folder: Path

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    def run(self, *arguments: str, config: Path | None = None) -> Said:
        """Run it in this process."""
        sys.modules.pop("shop_stages", None)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["--config", str(config or self.folder / "shop.yaml"), "--runner", "inline", *arguments])
        return _sane(Said(code, out.getvalue(), err.getvalue()))

    def start(self, *arguments: str, cwd: Path | None = None, **options: Any) -> subprocess.Popen[str]:
        """Run it in a process of its own."""
        script = [sys.executable, str(PROJECT / "flows" / "etl.py"), "--runner", "inline", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        config = ["--config", str(self.folder / "shop.yaml")]
        return subprocess.Popen([*script, *config], cwd=cwd, env=_environment(self.folder), text=True, **pipes)

    def deliver(self, content: str | bytes = GOOD, name: str = "4.csv") -> Path:
        """Put a file among the orders."""
        place = self.folder / "orders" / name
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
        return place

    def declare(self, old: str, new: str) -> None:
        """Change the pipeline's file."""
        _replace(self.folder / "shop.yaml", old, new)

    def program(self, old: str, new: str) -> None:
        """Change the pipeline's functions."""
        _replace(self.folder / "shop_stages.py", old, new)

    def assert_as_clean(self, lake: Path | None = None) -> None:
        """A run with nothing before it comes to the same tables."""
        assert 0 == self.run("--lake", str(self.folder / "clean")).code
        assert_equal(contents(self.folder / "clean"), contents(lake or self.lake))


def finish(process: subprocess.Popen[str]) -> Said:
    """Wait for the end of a process; nothing may hang."""
    out, err = process.communicate(timeout=60)
    return _sane(Said(process.returncode, out or "", err or ""))


def _environment(folder: Path) -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert 1 == text.count(old), f"{old!r} is not once in {file.name}"
    file.write_text(text.replace(old, new))


def _sane(said: Said) -> Said:
    """Whatever went wrong: no traceback, no dump of a query plan, no line without end, no control characters."""
    for line in (said.out + said.err).splitlines():
        assert "Traceback" not in line
        assert not line.lstrip().startswith(("File ", "FROM", "SELECT", "FILTER", "WITH_COLUMNS", "Csv SCAN", "DF ["))
        assert len(line) < 2000 or line.startswith("{")
        assert line.replace("\t", "").isprintable()
    # Only of a configuration several things are told at once, a line each.
    assert 2 == said.code or 1 >= sum(line.startswith("error: ") for line in said.err.splitlines()), said.err
    return said


def contents(lake: Path) -> dict[str, pl.DataFrame]:
    """The rows of every table, read past our code."""
    names = sorted(p.name for p in lake.iterdir() if (p / "_delta_log").is_dir() and not p.name.startswith("_"))
    found = {name: _rows(lake / name) for name in names}
    return {name: frame for name, frame in found.items() if frame.height}


def _rows(table: Path) -> pl.DataFrame:
    uris = [unquote(uri) for uri in DeltaTable(str(table)).file_uris()]
    if not uris:
        return pl.DataFrame()
    frame = pl.read_parquet(uris, hive_partitioning=False, missing_columns="insert", glob=False)
    frame = frame.select(sorted(set(frame.columns) - {*_OF_THE_RUN}))
    return frame.sort([c for c, t in frame.schema.items() if not t.is_nested()], nulls_last=True)


def assert_equal(expected: Mapping[str, pl.DataFrame], got: Mapping[str, pl.DataFrame]) -> None:
    assert [*expected] == [*got]
    for table, frame in expected.items():
        assert frame.equals(got[table]), table


def prepare(folder: Path) -> None:
    """Write the shop as it was before anything went wrong, and run it once."""
    (folder / "orders").mkdir(parents=True)
    for month in (1, 2, 3):
        rows = (f"{month}-{n},{month},{'abc'[n % 3]},{n * month}\n" for n in range(6))
        (folder / "orders" / f"{month}.csv").write_text(HEADER + "".join(rows))
    (folder / "items.csv").write_text("item,name\na,anna\nb,bert\nc,carl\n")
    (folder / "shop_stages.py").write_text(FUNCTIONS)
    (folder / "shop.yaml").write_text(YAML)
    assert 0 == Shop(folder).run().code


def restore(before: Path, folder: Path) -> Shop:
    """The shop at its place, as it was before."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(before, folder)
    return Shop(folder)
