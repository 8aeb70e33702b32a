"""Whatever the history of a table whose rows carry no ids: functions that look at its order come to what a clean run does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow import Workflow
from tests.dataflow.engine.made import Made, done
from tests.dataflow.engine.shelves import kinds

c = pl.col
HEADER = "key,part,value"
PARTS = ["p", "q", ""]


def grouped(events: pl.LazyFrame) -> pl.LazyFrame:
    """Groups, with values of every kind that has an order of its own."""
    value = c.value.cast(pl.Float64)
    return events.group_by("key", "part").agg(
        value.max(),
        number=pl.len(),
        values=c.value.sort(),
        pair=pl.struct(low=value.min(), part=c.part.first()),
        raw=c.value.max().cast(pl.Binary),
    )


def stacked(events: pl.LazyFrame, others: pl.LazyFrame) -> pl.LazyFrame:
    groups = events.group_by("key", "part").agg(c.value.max(), n=pl.len().cast(pl.Int64))
    return pl.concat([groups, others.select("key", "part", "value", n=pl.lit(0, pl.Int64))])


def joined(events: pl.LazyFrame, others: pl.LazyFrame) -> pl.LazyFrame:
    """Rows with the ids of one side, of the other, and of both."""
    return events.join(others, on=["key", "part"], how="full", coalesce=True, maintain_order="left_right")


def beside(events: pl.LazyFrame, grouped: pl.LazyFrame) -> pl.LazyFrame:
    """Rows with ids, and rows of groups that met none of them."""
    return events.join(grouped, on="part", how="full", coalesce=True, maintain_order="left_right")


def firsts(kept: pl.LazyFrame) -> pl.LazyFrame:
    values = c.value
    return kept.group_by("key").agg(
        first=values.first(),
        last=values.last(),
        head=values.head(2),
        all=values,
        text=values.cast(pl.String).str.join("-"),
    )


def running(kept: pl.LazyFrame) -> pl.LazyFrame:
    return kept.with_columns(before=c.value.shift().over("key"), n=c.value.cum_count().over("key"))


def opaque(kept: pl.LazyFrame) -> pl.LazyFrame:
    return kept.map_batches(lambda rows: rows.unique("key", keep="first", maintain_order=True))


KEPT: dict[str, tuple[Callable[..., pl.LazyFrame], list[str]]] = {
    "grouped": (grouped, ["events"]),
    "stacked": (stacked, ["events", "others"]),
    "joined": (joined, ["events", "others"]),
    "beside": (beside, ["events", "grouped"]),
}
NAMELESS = ("grouped", "stacked")
WAYS: dict[str, Callable[..., pl.LazyFrame]] = {
    "unique": lambda kept: kept.unique("key", keep="first", maintain_order=True),
    "firsts": firsts,
    "running": running,
    "top": lambda kept: kept.head(2),
    "opaque": opaque,
}


class Groups(Made):
    """Events, tables that are made of them without row ids, and functions that look at the order of these."""

    def pipeline(self, updates: str) -> Workflow:
        workflow = self.workflow()
        self.source(workflow, "events")
        self.source(workflow, "others")
        for kept, (function, inputs) in KEPT.items():
            workflow.add_task(kept, function, inputs, storage={"updates": updates})
            for way, reader in WAYS.items():
                workflow.add_task(f"{kept}_{way}", reader, [kept])
        return workflow

    def told(self, kept: Iterable[str] = KEPT) -> dict[str, list[str]]:
        tables = [f"{name}_{way}" for name in kept for way in WAYS]
        frames = {table: self.frame(table).drop("_batch_id", "_row_id", strict=False) for table in tables}
        return {table: sorted(map(repr, frame.rows())) for table, frame in frames.items()}


ROW = st.builds(
    "{},{},{}".format, st.sampled_from("ab"), st.sampled_from(PARTS), st.sampled_from(["", "1", "2", "NaN"])
)
DELIVERY = st.tuples(st.sampled_from(["events", "others"]), st.integers(1, 2), st.lists(ROW, min_size=1, max_size=4))
"""A folder, the number of a file in it, new or corrected, and its rows."""


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    batches=st.lists(st.lists(DELIVERY, min_size=1, max_size=2), min_size=2, max_size=3),
    updates=st.sampled_from(["copy_on_write", "merge_on_read"]),
    compacted=st.booleans(),
)
def test_any_history_of_rows_without_ids_comes_to_the_whole(
    batches: list[list[tuple[str, int, list[str]]]], updates: str, compacted: bool
):
    folder = Path(tempfile.mkdtemp(prefix="order-"))
    try:
        groups = Groups(folder)
        for name in ("events", "others"):
            groups.csv(f"{name}/1.csv", HEADER, ["a,q,2", "b,p,1", "a,p,2"])
        done(groups.run(groups.pipeline(updates)))
        for batch in batches:
            for name, file, rows in batch:
                groups.csv(f"{name}/{file}.csv", HEADER, rows)
            for kept in KEPT if compacted else ():
                DeltaTable(str(groups.lake / kept)).optimize.compact()
            assert groups.run(groups.pipeline(updates)).state in ("completed", "skipped")
        clean, told = Groups(folder, folder="clean"), groups.told()
        done(clean.run(clean.pipeline(updates)))
        # Row ids tell when a corrected file came, which to another lake is the only one that ever did.
        assert clean.told(NAMELESS) == groups.told(NAMELESS)
        done(groups.run(groups.pipeline(updates), incremental=False))
        assert told == groups.told()
    finally:
        shutil.rmtree(folder)


def test_such_functions_are_computed_by_increments(made: Made):
    groups = Groups(made.root)
    for name in ("events", "others"):
        groups.csv(f"{name}/1.csv", HEADER, ["a,q,2", "b,p,1", "a,p,2"])
    done(groups.run(groups.pipeline("auto")))
    groups.csv("events/2.csv", HEADER, ["a,r,0"])

    found = kinds(done(groups.run(groups.pipeline("auto"))))

    proven = {f"{kept}_{way}": "partition" for kept in NAMELESS for way in ("unique", "firsts", "running")}
    assert proven == {name: kind for name, kind in found.items() if name in proven}
