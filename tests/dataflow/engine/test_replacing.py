"""How replaced rows leave their files: whichever way is taken, the table, its books and its gate are the same."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow import Workflow
from dataflow.dedup import TABLE_ROW
from dataflow.engine import replacing
from dataflow.engine.job import StageJob
from dataflow.lake import manifests
from dataflow.lake.lake import Lake
from dataflow.lake.seams import Seam, watch
from dataflow.model import Manifest, StageReport
from tests.dataflow.engine.made import Made, done, nonzero

STRATEGIES: dict[str, dict[str, Any]] = {
    "polars_merge": {"type": "polars_merge", "dedup_key": ["key"], "sort_by": ["at"]},
    "scd2": {"type": "scd2", "key": ["key"], "effective_at": "day"},
    "eager_dedup": {"type": "eager_dedup", "hash_columns": ["key"]},
}
Row = tuple[str, int]


def workflow(made: Made, strategy: str = "polars_merge", updates: str = "merge_on_read", **more: Any) -> Workflow:
    declared = made.workflow()
    made.source(declared, "events")
    storage = {"updates": updates, **more.pop("storage", {})}
    declared.add_task("latest", None, ["events"], strategy=STRATEGIES[strategy], storage=storage, **more)
    return declared


def deliver(made: Made, number: int, rows: list[Row]) -> None:
    lines = [f"{key},{at},2026-01-{at + 1:02d},{key}{at}" for key, at in rows]
    made.csv(f"events/{number:03d}.csv", "key,at,day,value", lines)


def latest(made: Made) -> list[tuple[Any, ...]]:
    frame = made.frame("latest")
    return made.rows("latest", *sorted(c for c in frame.columns if c not in ("_batch_id", "_row_id")))


def dead(made: Made) -> int:
    lake = Lake(made.lake)
    head = lake.head("latest")
    assert head is not None
    return sum(file.dead for file in lake.snapshot(head).files)


# ---------------------------------------------------------------- the same table


deliveries = st.lists(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9)), min_size=1, max_size=6), min_size=2, max_size=3
)


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deliveries)
def test_tables_with_vectors_equal_those_without(strategy: str, batches: list[list[Row]]):
    folder = Path(tempfile.mkdtemp(prefix="replacing-"))
    try:
        marked, copied = Made(folder / "marked"), Made(folder / "copied")
        for number, rows in enumerate(batches):
            told: list[dict[str, int]] = []
            for made, updates in ((marked, "merge_on_read"), (copied, "copy_on_write")):
                deliver(made, number, rows)
                told.append(nonzero(done(made.run(workflow(made, strategy, updates))).stage("latest")))
            assert told[0] == told[1]
            assert latest(marked) == latest(copied)
            assert 0 == dead(copied)
    finally:
        shutil.rmtree(folder)


def merged(made: Made, *batches: list[Row], updates: str = "merge_on_read", **more: Any) -> StageReport:
    """The report of the last of some runs."""
    declared = workflow(made, updates=updates, **more)
    reports: list[StageReport] = []
    for number, rows in enumerate(batches, start=len(list((made.root / "in").rglob("*.csv")))):
        deliver(made, number, rows)
        reports.append(done(made.run(declared)).stage("latest"))
    return reports[-1]


FIRST: list[Row] = [("a", 1), ("b", 1), ("c", 1), ("d", 1)]


def test_replaced_rows_die_in_their_file_which_stays(made: Made):
    merged(made, FIRST)
    before = set(DeltaTable(str(made.lake / "latest")).file_uris())

    report = merged(made, [("b", 2), ("e", 1)])

    assert before < set(DeltaTable(str(made.lake / "latest")).file_uris())
    assert [("a", "1"), ("b", "2"), ("c", "1"), ("d", "1"), ("e", "1")] == made.rows("latest", "key", "at")
    assert {"inserted": 1, "updated": 1, "unchanged": 3} == {
        name: count for name, count in nonzero(report).items() if name in ("inserted", "updated", "unchanged")
    }
    assert ("updates: 1 file keeps 1 dead row in deletion vectors (storage.updates says so)",) == report.notes


def test_rows_die_one_batch_after_another_until_none_is_left(made: Made):
    merged(made, FIRST)
    found: list[int] = []
    for number, key in enumerate("abc"):
        merged(made, [(key, 2 + number)])
        found.append(dead(made))
    assert [1, 2, 3] == found

    report = merged(made, [("d", 9)])

    assert 0 == dead(made)
    assert 4 == len(DeltaTable(str(made.lake / "latest")).file_uris())
    assert (1, 3) == (report.counts.updated, report.counts.unchanged)
    assert [("a", "2"), ("b", "3"), ("c", "4"), ("d", "9")] == made.rows("latest", "key", "at")


def test_files_whose_paths_the_log_escapes_are_written_again(made: Made):
    # Polars' own reader of Delta tables does not find their vectors.
    declared = made.workflow()
    made.source(declared, "events")
    storage = {"updates": "merge_on_read", "partition_by": ["kind"]}
    strategy = {"type": "polars_merge", "dedup_key": ["key"], "sort_by": ["at"]}
    declared.add_task("latest", None, ["events"], strategy=strategy, storage=storage)
    made.csv("events/1.csv", "key,at,kind", ["a,1,x/y", "b,1,x/y", "c,1,plain", "d,1,plain"])
    done(made.run(declared))
    made.csv("events/2.csv", "key,at,kind", ["a,2,x/y", "c,2,plain"])
    done(made.run(declared))

    assert 1 == dead(made)
    assert [("a", "2"), ("b", "1"), ("c", "2"), ("d", "1")] == made.rows("latest", "key", "at")


def test_a_full_run_leaves_nothing_dead(made: Made):
    merged(made, FIRST, [("a", 2)])
    assert 1 == dead(made)

    done(made.run(workflow(made), incremental=False))

    assert 0 == dead(made)
    assert [("a", "2"), ("b", "1"), ("c", "1"), ("d", "1")] == made.rows("latest", "key", "at")


def test_how_rows_leave_is_no_change_of_the_stage(made: Made):
    merged(made, FIRST, updates="copy_on_write")

    assert "skipped" == made.run(workflow(made, updates="merge_on_read")).state


# ---------------------------------------------------------------- the choice


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as a large one."""
    monkeypatch.setattr(replacing, "SMALL_BYTES", 0)


@pytest.mark.usefixtures("tiny")
def test_a_file_is_written_again_once_too_much_of_it_is_dead(made: Made):
    first = [(f"k{number}", 1) for number in range(10)]
    merged(made, first, updates="auto")
    notes: list[tuple[str, ...]] = []
    found: list[int] = []
    for number in range(4):
        notes.append(merged(made, [(f"k{number}", 2)], updates="auto").notes)
        found.append(dead(made))

    assert [1, 2, 3, 0] == found
    assert ("updates: 1 file was rewritten (small, or more than 30 % of their rows are dead)",) == notes[-1]
    assert ("updates: 1 file keeps 3 dead rows in deletion vectors (at most 30 % of their rows)",) == notes[2]
    assert [*(("2",),) * 4, *(("1",),) * 6] == made.rows("latest", "at")[::-1]


def test_small_files_are_written_again(made: Made):
    report = merged(made, FIRST, [("a", 2)], updates="auto")

    assert 0 == dead(made)
    assert () == report.notes


@pytest.mark.usefixtures("tiny")
def test_what_the_storage_says_is_done(made: Made):
    report = merged(made, FIRST, [("a", 2)], updates="copy_on_write")

    assert ("updates: 1 file was rewritten (storage.updates says so)",) == report.notes
    assert 0 == dead(made)


def test_many_small_files_are_folded_into_one_that_still_comes_last(made: Made, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replacing, "MANY_SMALL", 4)
    report = merged(made, *([(f"k{number}", 1)] for number in range(6)), updates="auto")

    assert ("updates: 5 files were folded into one, as they are small",) == report.notes
    assert 2 == len(DeltaTable(str(made.lake / "latest")).file_uris())
    assert [(f"k{number}", "1") for number in range(6)] == made.rows("latest", "key", "at")
    assert (1, 0, 5) == (report.counts.inserted, report.counts.updated, report.counts.unchanged)
    order = Lake(made.lake).read("latest").select("_row_id").collect()["_row_id"]
    assert 6 == order.n_unique()


def test_small_files_before_a_large_one_stay_where_they_are(made: Made, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replacing, "MANY_SMALL", 2)
    merged(made, [("a", 1)], [("b", 1)])
    monkeypatch.setattr(replacing, "SMALL_BYTES", 4000)
    merged(made, [(f"c{number:04d}", 1) for number in range(2000)])
    report = merged(made, [("d", 1)], [("e", 1)], updates="auto")

    assert () == report.notes
    assert 5 == len(DeltaTable(str(made.lake / "latest")).file_uris())


# ---------------------------------------------------------------- gates and readers


FEW = {
    "name": "few",
    "expectation": {"type": "expect_table_row_count_to_be_between", "max_value": 4},
    "scope": "table",
    "severity": "critical",
}


def test_rules_about_the_table_do_not_see_the_dead(made: Made):
    declared = workflow(made, gate=[FEW])
    deliver(made, 1, FIRST)
    done(made.run(declared))
    deliver(made, 2, [("a", 2), ("b", 2)])
    done(made.run(declared))
    deliver(made, 3, [("e", 2)])

    assert "rejected" == made.run(declared).stage("latest").state
    assert 2 == dead(made)


def test_what_dies_in_this_very_batch_is_not_judged_with_the_table(made: Made):
    unique = {"type": "expect_column_values_to_be_unique", "column": "value"}
    rule = {"name": "once", "expectation": unique, "scope": "table", "severity": "critical"}
    declared = workflow(made, gate=[rule])
    made.csv("events/1.csv", "key,at,day,value", ["a,1,2026-01-01,x", "b,1,2026-01-01,y"])
    done(made.run(declared))
    made.csv("events/2.csv", "key,at,day,value", ["a,2,2026-01-01,x"])
    done(made.run(declared))
    made.csv("events/3.csv", "key,at,day,value", ["c,2,2026-01-01,y"])

    assert "rejected" == made.run(declared).stage("latest").state
    assert [("a", "x"), ("b", "y")] == made.rows("latest", "key", "value")
    assert 1 == dead(made)


def test_stages_downstream_do_not_read_the_dead(made: Made):
    declared = workflow(made)
    declared.add_task("count", lambda latest: latest.select(n=pl.len()), ["latest"])
    for number, rows in enumerate((FIRST, [("a", 2)], [("b", 3), ("z", 1)])):
        deliver(made, number, rows)
        done(made.run(declared))

    assert 2 == dead(made)
    assert [(5,)] == made.rows("count", "n")


# ---------------------------------------------------------------- kills


class Killed(BaseException):
    pass


@pytest.mark.parametrize("seam", [Seam.UNIT_WRITTEN, Seam.UNIT_STAGED, Seam.INTENT_RECORDED, Seam.TABLE_PUBLISHED])
def test_a_killed_batch_lets_each_row_die_once(made: Made, seam: Seam):
    merged(made, FIRST)
    deliver(made, 5, [("a", 2), ("e", 1)])

    def kill(reached: Seam, about: str) -> None:
        if reached is seam and about.startswith("latest"):
            raise Killed

    unwatch = watch(kill)
    try:
        with pytest.raises(Killed):
            made.run(workflow(made))
    finally:
        unwatch()
    made.run(workflow(made))

    assert [("a", "2"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1")] == made.rows("latest", "key", "at")
    assert 1 == dead(made)
    lake = Lake(made.lake)
    there = {str(place.relative_to(made.lake / "latest")) for place in (made.lake / "latest").rglob("*.bin")}
    assert there <= lake.logged("latest")
    assert 1 == len(there)


def test_a_failed_unit_leaves_no_vectors_behind(made: Made, monkeypatch: pytest.MonkeyPatch):
    merged(made, FIRST)
    deliver(made, 5, [("a", 2)])

    def fail(lake: Lake, manifest: Manifest) -> None:
        if manifest.deletes:
            raise OSError("disk pulled out")
        save(lake, manifest)

    save = manifests.save
    monkeypatch.setattr(manifests, "save", fail)
    assert "failed" == made.run(workflow(made, retry={"attempts": 1})).stage("latest").state

    assert [] == list((made.lake / "latest").rglob("*.bin"))


def test_a_file_that_holds_other_rows_than_the_log_says_is_not_written_again(made: Made):
    merged(made, FIRST)
    file = next((made.lake / "latest").glob("*.parquet"))
    pl.read_parquet(file).head(3).write_parquet(file)
    deliver(made, 5, [("a", 3)])
    report = made.run(workflow(made, updates="copy_on_write", retry={"attempts": 1}))

    error = report.stage("latest").error
    assert error is not None
    assert "3 rows of 1 of its files were to be written again, but 2 are there; nothing is published" in error


def test_a_job_scans_its_table_with_the_number_of_each_row(made: Made):
    merged(made, FIRST, [("e", 1)])
    lake = Lake(made.lake)
    head = lake.head("latest")
    assert head is not None
    job = StageJob.__new__(StageJob)
    object.__setattr__(job, "lake", lake)
    object.__setattr__(job, "stage", type("Stage", (), {"name": "latest"}))
    object.__setattr__(job, "arrivals", {})

    found = replacing.scan_table(job, lake.snapshot(head)).collect()

    assert ["a", "b", "c", "d", "e"] == found.sort(TABLE_ROW)["key"].to_list()
    assert [0, 1, 2, 3, 4] == sorted(found[TABLE_ROW])
