"""Increments come to what a clean full run comes to, and do no more than what changed asks for."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dataflow import Workflow
from tests.dataflow.engine.made import Function, Made, done, nonzero, same
from tests.dataflow.engine.shelves import Shelves, kinds
from tests.prepared import Prepared


def two_deliveries(place: Path) -> None:
    made = Shelves(place)
    made.labels(["a,Apples", "b,Books"])
    made.deliver(
        1, ["1,x,a,2026-01-01T10,5", "2,y,a,2026-01-01T11,7", "3,z,b,2026-01-02T09,-2", "4,w,,2026-01-03T09,4"]
    )
    made.deliver(2, ["5,x,b,2026-01-02T10,6", "6,v,c,2026-01-04T00,9", "7,u,c,2026-01-04T01,0"])
    done(made.run(made.pipeline()))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("shelves") / "made", two_deliveries)


@pytest.fixture
def shelves(prepared: Prepared) -> Shelves:
    return Shelves(prepared.restore())


def test_a_first_run_is_in_full(shelves: Shelves):
    assert shelves.told() == shelves.clean().told()


def test_new_rows_are_added_or_touch_their_slices(shelves: Shelves):
    shelves.deliver(3, ["8,y,b,2026-01-02T12,3", "9,t,,2026-01-05T12,8", "10,s,b,2026-01-02T13,-1"])

    report = done(shelves.run(shelves.pipeline()))

    assert {
        "read": "append",
        "labelled": "append",
        "shelves": "partition",
        "days": "window",
        "latest": "merge",
        "latest_shelves": "partition",
        "ranked": "partition",
    } == kinds(report)
    assert shelves.clean().told() == shelves.told()
    assert {"read": 3, "produced": 3, "published": 3, "inserted": 3, "unchanged": 6} == nonzero(report.stage("read"))
    found = nonzero(report.stage("labelled"))
    assert {"read": 3, "produced": 3, "quarantined": 1, "published": 2, "inserted": 2, "unchanged": 5} == found
    # Shelves b and the nameless one: all of their rows are read again, those of the others are not.
    assert {"read": 6, "aggregated": 6, "produced": 2, "published": 2, "updated": 2, "unchanged": 2} == nonzero(
        report.stage("shelves")
    )


def test_many_touched_values_are_looked_for_between_their_bounds(shelves: Shelves, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dataflow.engine.pieces._FEW", 0)
    shelves.deliver(3, ["8,y,b,2026-01-02T12,3", "9,t,,2026-01-05T12,8", "10,s,c,2026-01-02T13,-1"])

    assert "partition" == kinds(done(shelves.run(shelves.pipeline())))["shelves"]

    assert shelves.clean().told() == shelves.told()


def test_a_corrected_file_takes_its_old_rows_out_everywhere(shelves: Shelves):
    shelves.deliver(1, ["1,x,a,2026-01-01T10,5", "3,z,b,2026-01-02T09,2", "4,w,d,2026-01-09T09,-4"])

    report = done(shelves.run(shelves.pipeline()))

    assert shelves.clean().told() == shelves.told()
    assert "full" not in kinds(report).values()
    assert {"read": 3, "produced": 3, "published": 3, "updated": 3, "deleted": 1, "unchanged": 2} == nonzero(
        report.stage("read")
    )


def test_where_most_rows_were_written_anew_nothing_is_compared(shelves: Shelves, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dataflow.plan.increments._FEW_ROWS", 3)
    shelves.deliver(1, ["1,x,a,2026-01-01T10,5", "3,z,b,2026-01-02T09,2", "4,w,d,2026-01-09T09,-4"])

    report = done(shelves.run(shelves.pipeline()))

    how = report.stage("read").how
    assert how is not None
    assert ("full", "most rows of sales were written anew, and to compare them takes longer") == (how.kind, how.why)
    assert shelves.clean().told() == shelves.told()


def test_where_another_input_changed_everything_is_computed_anew(shelves: Shelves):
    shelves.labels(["a,Apricots", "c,Cherries"])

    report = done(shelves.run(shelves.pipeline()))

    how = report.stage("labelled").how
    assert how is not None
    # Rows that differ in their shelf never meet: the labels that changed touch the shelves of theirs alone.
    assert ("partition", {"labelled": "partition", "ranked": "partition"}) == (how.kind, kinds(report))
    assert shelves.clean().told() == shelves.told()


def test_nothing_new_is_nothing_done(shelves: Shelves):
    before = shelves.files()

    assert "skipped" == shelves.run(shelves.pipeline()).state

    journal = {name for name in before if name.startswith("_journal")}
    assert {k: v for k, v in before.items() if k not in journal} == {
        k: v for k, v in shelves.files().items() if not k.startswith("_journal")
    }


def test_a_row_that_comes_back_as_it_was_touches_nothing_downstream(shelves: Shelves):
    # The label of a shelf changes and changes back: the rows between are written anew, and say what they said.
    shelves.labels(["a,Apricots", "b,Books"])
    done(shelves.run(shelves.pipeline(), select=["labels", "labelled"]))
    shelves.labels(["a,Apples", "b,Books"])
    done(shelves.run(shelves.pipeline(), select=["labels", "labelled"]))

    report = done(shelves.run(shelves.pipeline()))

    assert {"produced": 0, "published": 0, "unchanged": 5} == {
        name: getattr(report.stage("ranked").counts, name) for name in ("produced", "published", "unchanged")
    }
    assert shelves.clean().told() == shelves.told()


def test_merged_rows_are_read_by_key_where_others_left(shelves: Shelves):
    shelves.deliver(2, ["6,v,c,2026-01-04T00,9", "7,u,c,2026-01-04T01,1"])

    report = done(shelves.run(shelves.pipeline()))

    latest = report.stage("latest")
    assert latest.how is not None
    assert ("merge", "rows left: touched values of key are merged anew") == (latest.how.kind, latest.how.why)
    assert shelves.clean().told() == shelves.told()
    # x falls back to its row of the first file.
    assert [("x", 5)] == shelves.frame("latest").filter(pl.col("key") == "x").select("key", "amount").rows()


def fanned(sales: pl.LazyFrame) -> pl.LazyFrame:
    return sales.with_columns(part=pl.lit([1, 2])).explode("part")


def keyed(fan: pl.LazyFrame) -> pl.LazyFrame:
    return fan.with_columns(name=pl.format("{}{}", "key", "part")).filter((pl.col("part") == 1) | (pl.col("at") < "2"))


def doubled(newest: pl.LazyFrame) -> pl.LazyFrame:
    return newest.with_columns(twice=pl.col("amount").cast(pl.Int64) * 2)


@pytest.mark.parametrize("updates", ["copy_on_write", "merge_on_read"])
def test_of_a_row_that_became_many_some_may_leave(made: Made, updates: str):
    workflow = made.workflow()
    made.source(workflow, "sales")
    workflow.add_task("fan", fanned, ["sales"])
    merge = {"key_columns": ["name"], "timestamp_column": "at"}
    workflow.add_task("newest", keyed, ["fan"], incremental=merge, storage={"updates": updates})
    workflow.add_task("doubled", doubled, ["newest"], storage={"updates": updates})
    made.csv("sales/1.csv", "key,at,amount", ["a,1,10", "b,1,20"])
    done(made.run(workflow))
    # Of the first row's two parts the second is not in what comes: it stays.
    made.csv("sales/2.csv", "key,at,amount", ["a,2,30"])

    report = done(made.run(workflow, verify=True)).stage("doubled")

    assert report.how is not None
    assert "append" == report.how.kind
    assert [("a1", 60), ("a2", 20), ("b1", 40), ("b2", 40)] == made.rows("doubled", "name", "twice")
    # What is left of the row is computed again, since rows are found by the row that they come of.
    assert {"read": 2, "produced": 2, "published": 2, "updated": 2, "unchanged": 2} == nonzero(report)


def named(sales: pl.LazyFrame) -> pl.LazyFrame:
    return sales.with_columns(name=pl.col("key") + "1")


def test_a_stage_that_has_not_read_its_input_yet_may_hold_many_rows_of_one(made: Made):
    def workflow(function: Function) -> Workflow:
        declared = made.workflow()
        made.source(declared, "sales")
        declared.add_task("fan", function, ["sales"])
        merge = {"key_columns": ["name"], "timestamp_column": "at"}
        # Rows that stay are not written again.
        declared.add_task("newest", same, ["fan"], incremental=merge, storage={"updates": "merge_on_read"})
        declared.add_task("doubled", doubled, ["newest"])
        return declared

    many = workflow(lambda sales: keyed(fanned(sales)).drop("part"))
    made.csv("sales/1.csv", "key,at,amount", ["a,1,10", "b,1,20"])
    done(made.run(many))
    made.csv("sales/2.csv", "key,at,amount", ["a,2,30"])
    done(made.run(many, select=["sales", "fan", "newest"]))
    one = workflow(named)
    done(made.run(one, select=["fan"]))

    done(made.run(one, select=["doubled"]))

    assert [("a1", 60), ("a2", 20), ("b1", 40), ("b2", 40)] == made.rows("doubled", "name", "twice")


def hourly(events: pl.LazyFrame) -> pl.LazyFrame:
    return events.group_by("window_start").agg(n=pl.len())


def timed(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw.select(at=pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M"))


def test_late_rows_leave_with_the_rows_that_they_came_as(made: Made):
    workflow = made.workflow()
    made.source(workflow, "raw")
    workflow.add_task("events", timed, ["raw"])
    workflow.add_task("hourly", hourly, ["events"], window={"window_size": "1 hour"}, rows="grouped", members="n")
    made.csv("raw/1.csv", "at", ["2026-01-01T10:10", "2026-01-01T12:00"])
    done(made.run(workflow))
    made.csv("raw/2.csv", "at", ["2026-01-01T10:20", "2026-01-01T11:30", "2026-01-01T12:30"])
    report = done(made.run(workflow)).stage("hourly")
    assert ("window", 2) == (report.how and report.how.kind, report.counts.late)
    assert 2 == made.frame("hourly__late").height
    made.csv("raw/3.csv", "at", ["2026-01-01T10:25", "2026-01-01T13:00"])

    done(made.run(workflow))

    told = {table: made.rows(table, *columns) for table, columns in OF_HOURS.items()}
    assert [10, 10, 11] == sorted(at.hour for (at,) in told["hourly__late"])
    done(made.run(workflow, incremental=False))
    assert told == {table: made.rows(table, *columns) for table, columns in OF_HOURS.items()}


OF_HOURS = {"hourly": ("window_start", "n"), "hourly__late": ("at",)}


def positive(amount: pl.Expr) -> pl.Expr:
    return amount.abs()


def test_what_was_repaired_or_dropped_is_told_once(made: Made):
    rules = [
        {
            "name": "positive",
            "predicate": "amount >= 0",
            "on_fail": {"repair": {"column": "amount", "function": f"{__name__}:positive"}},
        },
        {"name": "kept", "predicate": "amount < 90", "on_fail": "drop"},
    ]
    workflow = made.workflow()
    made.source(workflow, "sales")
    workflow.add_task("totals", totalled, ["sales"], gate=rules)
    beside = ("totals", "totals__repaired", "totals__dropped")
    made.csv("sales/1.csv", "key,amount", ["a,-5", "b,95", "c,1", "d,99"])
    done(made.run(workflow))
    made.csv("sales/2.csv", "key,amount", ["a,-1", "b,1"])

    report = done(made.run(workflow)).stage("totals")

    assert "partition" == (report.how and report.how.kind)
    told = {table: made.rows(table, "key", "amount") for table in beside}
    assert {
        "totals": [("a", 6), ("c", 1)],
        "totals__repaired": [("a", -6)],
        "totals__dropped": [("b", 96), ("d", 99)],
    } == told
    made.csv("sales/1.csv", "key,amount", ["c,1"])
    done(made.run(workflow))
    assert {
        "totals": [("a", 1), ("b", 1), ("c", 1)],
        "totals__repaired": [("a", -1)],
        "totals__dropped": [],
    } == {table: made.rows(table, "key", "amount") for table in beside}


def totalled(sales: pl.LazyFrame) -> pl.LazyFrame:
    return sales.group_by("key").agg(pl.col("amount").cast(pl.Int64).sum())
