"""Runways: full dumps without a mark of what changed, of which each delivery brings one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

import dataflow
from dataflow.dedup import strategy_types
from tests.faults.shop import LEASE_SECONDS, NOW, leased

DUMPS = 4
STEADY = 100
"""How many of the runways that never change are dumped with those that do."""


def count_surfaces(runways: pl.LazyFrame) -> pl.LazyFrame:
    return runways.group_by("surface").agg(pl.len().alias("runways"), pl.col("length_ft").cast(pl.Int64).sum())


def runways(inputs: Path, lake: Path, deliveries: int, lease_seconds: float = LEASE_SECONDS) -> dataflow.Workflow:
    """As many dumps as there are deliveries, the state that they leave, and what follows from it."""
    workflow = dataflow.Workflow("runways", lake=lake, run=leased(lease_seconds))
    names = [str(inputs / f"runways-{number}.csv") for number in range(1, deliveries + 1)]
    identified = [{"name": "runway_is_identified", "predicate": "id IS NOT NULL", "on_fail": "quarantine"}]
    workflow.add_source("dumps", {"path": names, "gate": identified, **NOW})
    workflow.add_task("runways", None, ["dumps"], strategy=_strategy(), **NOW)
    workflow.add_task("surfaces", count_surfaces, ["runways"], rows="grouped", members="runways", **NOW)
    return workflow


def _strategy() -> dict[str, object]:
    if "snapshot" in strategy_types.names:
        return {"type": "snapshot", "key": ["id"]}
    return {"type": "polars_merge", "dedup_key": ["id"]}


def write_runways(inputs: Path, dumps: Path) -> None:
    """The first dumps of ``dumps``, cut to what changes in them and a little more; made ones where there are none."""
    inputs.mkdir(parents=True, exist_ok=True)
    found = sorted(dumps.glob("runways-*.csv.gz"))[:DUMPS]
    frames = _cut([pl.read_csv(path, infer_schema=False) for path in found]) if found else _made()
    for number, frame in enumerate(frames, 1):
        frame.write_csv(inputs / f"runways-{number}.csv")


def _cut(dumps: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """What changes: rows that are not in every dump."""
    columns = ["id", "airport_ident", "length_ft", "surface", "lighted", "closed"]
    narrow = [dump.select(columns) for dump in dumps]
    seen = pl.concat(narrow).group_by(columns).len()
    chosen = pl.concat(
        [
            seen.filter(pl.col("len") < len(dumps)).select("id").unique().sort("id").head(200),
            seen.filter(pl.col("len") == len(dumps)).select("id").sort("id").head(STEADY),
        ]
    ).unique()
    return [dump.join(chosen, on="id", how="semi", maintain_order="left") for dump in narrow]


def _made() -> list[pl.DataFrame]:
    """Each dump lacks a tenth of the runways of the one before, has longer ones, and as many new ones."""

    def runway(id: int, dump: int) -> dict[str, str]:
        length = 1000 + id + (100 * dump if id % 7 == dump else 0)
        surface = ("asphalt", "gravel", "grass")[id % 3]
        return {
            "id": str(id),
            "airport_ident": f"A{id // 2}",
            "length_ft": str(length),
            "surface": surface,
            "lighted": str(id % 2),
            "closed": "0",
        }

    there = [[id for id in range(200 + 20 * dump) if id % 10 != dump] for dump in range(DUMPS)]
    return [pl.DataFrame([runway(id, dump) for id in ids]) for dump, ids in enumerate(there)]
