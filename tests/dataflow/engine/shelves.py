"""A pipeline with every kind of increment, deliveries for it, and its tables as a clean full run gives them."""

from __future__ import annotations

import shutil
from typing import Any

import polars as pl
from deltalake import DeltaTable

from dataflow import RunReport, Workflow
from tests.dataflow.engine.made import Made, done

HEADER = "id,key,shelf,at,amount"
TABLES = ("read", "labelled", "shelves", "days", "latest", "latest_shelves", "ranked")


def typed(sales: pl.LazyFrame) -> pl.LazyFrame:
    return sales.with_columns(
        pl.col("id", "amount").cast(pl.Int64),
        (pl.col("at") + ":00").str.to_datetime("%Y-%m-%dT%H:%M"),
        pl.col("shelf", "key"),
    ).filter(pl.col("amount") != 0)


def label(read: pl.LazyFrame, labels: pl.LazyFrame) -> pl.LazyFrame:
    return read.join(labels, on="shelf", how="left")


def by_shelf(read: pl.LazyFrame) -> pl.LazyFrame:
    return read.group_by("shelf").agg(pl.col("amount").sum(), members=pl.len())


def by_day(read: pl.LazyFrame) -> pl.LazyFrame:
    return read.group_by("window_start").agg(pl.col("amount").sum(), members=pl.len())


def ranked(labelled: pl.LazyFrame) -> pl.LazyFrame:
    return labelled.with_columns(rank=pl.col("amount").rank("dense").over("shelf"))


class Shelves(Made):
    """Deliveries of sales."""

    def deliver(self, number: int, rows: list[str]) -> None:
        self.csv(f"sales/{number:03d}.csv", HEADER, rows)

    def labels(self, rows: list[str]) -> None:
        self.csv("labels/all.csv", "shelf,label", rows)

    def pipeline(self, **latest: Any) -> Workflow:
        workflow = self.workflow()
        self.source(workflow, "sales")
        self.source(workflow, "labels")
        workflow.add_task("read", typed, ["sales"])
        good = {"name": "not_negative", "predicate": "amount > 0"}
        workflow.add_task("labelled", label, ["read", "labels"], gate=[good])
        workflow.add_task("shelves", by_shelf, ["read"], rows="grouped", members="members")
        workflow.add_task(
            "days", by_day, ["read"], window={"window_size": "1 day", "late_arrival_tolerance": "300 days"}
        )
        workflow.add_task("latest", None, ["read"], strategy={**MERGE, **latest}, gate=[good])
        workflow.add_task("latest_shelves", by_shelf_of, ["latest"], rows="grouped", members="members")
        workflow.add_task("ranked", ranked, ["labelled"])
        return workflow

    def clean(self) -> Shelves:
        """The same deliveries in a lake of their own, in one full run."""
        other = Shelves(self.root, folder="clean")
        shutil.rmtree(other.lake, ignore_errors=True)
        done(other.run(other.pipeline()))
        return other

    def told(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every table and the tables beside them, by the columns that functions gave."""
        found = {name: self.values(name) for name in TABLES}
        beside = ("labelled__quarantine", "latest__quarantine")
        return {**found, **{name: self.values(name) for name in beside}}

    def values(self, table: str) -> list[tuple[Any, ...]]:
        if not DeltaTable.is_deltatable(str(self.lake / table)):
            return []
        frame = self.frame(table)
        kept = sorted(c for c in frame.columns if not c.startswith("_"))
        return sorted(frame.select(kept).rows(), key=repr)


MERGE = {"type": "polars_merge", "dedup_key": ["key"], "sort_by": ["at"], "ties": "content"}


def by_shelf_of(latest: pl.LazyFrame) -> pl.LazyFrame:
    return latest.group_by("shelf").agg(pl.col("amount").sum(), members=pl.len())


def kinds(report: RunReport) -> dict[str, str]:
    """How each stage that was published was brought up to date."""
    return {s.stage: s.how.kind for s in report.stages if s.state == "published" and s.how is not None}
