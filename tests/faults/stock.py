"""A stock of articles, of which a few are replaced in a file too large to be written again: their rows are marked dead."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import dataflow
from tests.faults.shop import LEASE_SECONDS, NOW, leased

ARTICLES = 40_000


def stock(inputs: Path, lake: Path, deliveries: int, lease_seconds: float = LEASE_SECONDS) -> dataflow.Workflow:
    """Deliveries of articles, and the table that holds each once."""
    workflow = dataflow.Workflow("stock", lake=lake, run=leased(lease_seconds))
    names = [str(inputs / f"stock-{number}.csv") for number in range(1, deliveries + 1)]
    workflow.add_source("delivered", {"path": names, **NOW})
    newest = {"type": "polars_merge", "dedup_key": ["article"], "sort_by": ["delivery"]}
    workflow.add_task("stock", None, ["delivered"], strategy=newest, **NOW)
    return workflow


def write_stock(inputs: Path) -> None:
    """All articles; then every hundredth once more, and some that are new."""
    inputs.mkdir(parents=True, exist_ok=True)
    chance = random.Random(5)

    def write(number: int, articles: Iterable[int]) -> None:
        rows = [f"a{n},{number},{chance.getrandbits(160):040x}" for n in articles]
        (inputs / f"stock-{number}.csv").write_text("\n".join(["article,delivery,what", *rows]) + "\n")

    write(1, range(ARTICLES))
    write(2, [*range(0, ARTICLES, 100), *range(ARTICLES, ARTICLES + 50)])
