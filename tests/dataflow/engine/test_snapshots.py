"""Dumps through the engine: deletes travel downstream, what changed is told, and broken dumps stop nobody but themselves."""

from __future__ import annotations

import json
import os
from typing import Any

import polars as pl
import pytest

from dataflow import Chosen, Engine, Workflow
from tests.dataflow.engine.made import Made, done, failed


def per_team(people: pl.LazyFrame) -> pl.LazyFrame:
    return people.group_by("team").agg(pl.len().cast(pl.Int64).alias("members"))


def workflow(made: Made, *, source: dict[str, Any] | None = None, **options: Any) -> Workflow:
    declared = made.workflow()
    made.source(declared, "dumps", **(source or {}))
    strategy = {"type": "snapshot", "key": ["id"], "min_share": 0.25, **options}
    declared.add_task("people", depends_on=["dumps"], strategy=strategy, retry={"attempts": 1})
    declared.add_task("teams", per_team, ["people"], rows="grouped", members="members")
    return declared


def dump(made: Made, name: str, *rows: str) -> None:
    made.csv(f"dumps/{name}.csv", "id,team", rows)


def people(made: Made) -> list[tuple[Any, ...]]:
    return made.rows("people", "id", "team")


def changes(made: Made) -> list[tuple[Any, ...]]:
    found = made.frame("people__changes").sort("_snapshot", "id", "_change")
    return found.select("_snapshot", "_change", "id", "team").rows()


EXPECTED = [
    (1, "insert", "1", "a"),
    (1, "insert", "2", "a"),
    (1, "insert", "3", "b"),
    (2, "delete", "3", "b"),
    (2, "update", "2", "b"),
    (2, "insert", "4", "b"),
]


def three(made: Made) -> None:
    dump(made, "1", "1,a", "2,a", "3,b")
    dump(made, "2", "1,a", "2,b", "4,b")
    dump(made, "3", "4,b", "1,a", "2,b")


def test_dumps_one_by_one(made: Made) -> None:
    declared = workflow(made)
    reports = []
    for name, rows in {"1": ("1,a", "2,a", "3,b"), "2": ("1,a", "2,b", "4,b"), "3": ("4,b", "1,a", "2,b")}.items():
        dump(made, name, *rows)
        reports.append(done(made.run(declared)).stage("people"))

    assert [("1", "a"), ("2", "b"), ("4", "b")] == people(made)
    assert [("a", 1), ("b", 2)] == made.rows("teams", "team", "members"), "deletes and updates travel downstream"
    assert sorted(EXPECTED) == sorted(changes(made))
    assert [("1 snapshot: 3 inserts, 0 updates, 0 deletes",), ("1 snapshot: 1 inserts, 1 updates, 1 deletes",)] == [
        report.notes[:1] for report in reports[:2]
    ]
    assert [3, 3, 3] == [report.counts.read for report in reports]
    assert [0, 1, 3] == [report.counts.deduplicated for report in reports]
    effects = [(c.inserted, c.updated, c.deleted, c.unchanged) for c in (report.counts for report in reports)]
    assert [(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 0, 2)] == effects, "of the last one row tells that it was seen"
    assert "skipped" == made.run(declared).state


def test_dumps_at_once_and_in_full_are_as_one_by_one(made: Made) -> None:
    three(made)
    declared = workflow(made)
    done(made.run(declared))
    at_once = made.rows("people", "id", "team", "_row_id", "_snapshot")

    assert [("1", "a", 1 << 40, 1), ("2", "b", (2 << 40) + 1, 2), ("4", "b", (2 << 40) + 2, 2)] == at_once
    assert sorted(EXPECTED) == sorted(changes(made))
    done(made.run(declared, incremental=False))
    assert at_once == made.rows("people", "id", "team", "_row_id", "_snapshot")
    assert sorted(EXPECTED) == sorted(changes(made)), "told again, and not twice"


def test_rows_without_a_key_are_set_aside_and_the_others_counted(made: Made) -> None:
    dump(made, "1", "1,a", ",b", "1,a")
    done(made.run(workflow(made)))

    assert [("1", "a")] == people(made)
    assert [("b",)] == made.rows("people__quarantine", "team")
    assert 1 == made.frame("people__duplicates").height


def test_a_mended_row_comes_into_the_dump_that_it_was_in(made: Made) -> None:
    declared = workflow(made)
    dump(made, "1", "1,a", ",b", ",c")
    done(made.run(declared))
    aside = made.frame("people__quarantine").filter(pl.col("team") == "b").select("_quarantine_id")
    aside.with_columns(id=pl.lit("2")).write_csv(made.root / "first.csv")
    done(Engine(runner="inline").replay(declared, "people", Chosen(edited=str(made.root / "first.csv"))))
    assert [("1", "a"), ("2", "b")] == people(made)
    assert [(1, "insert", "1", "a"), (1, "insert", "2", "b")] == changes(made)
    dump(made, "2", "1,a")
    done(made.run(declared))
    late = made.frame("people__quarantine").select("_quarantine_id").with_columns(id=pl.lit("3"))
    late.write_csv(made.root / "second.csv")
    done(Engine(runner="inline").replay(declared, "people", Chosen(edited=str(made.root / "second.csv"))))

    assert [("1", "a")] == people(made), "its dump is not the newest any more"
    assert 0 == made.frame("people__quarantine").height


@pytest.mark.parametrize("deletes", ["mark", "keep"])
def test_rows_that_are_gone_may_stay(made: Made, deletes: str) -> None:
    declared = workflow(made, deletes=deletes)
    for name, rows in {"1": ("1,a", "2,a"), "2": ("1,a",), "3": ("1,a", "3,c")}.items():
        dump(made, name, *rows)
        done(made.run(declared))
    marks = made.frame("people").sort("id").get_column("_deleted_in", default=None)

    assert [("1", "a"), ("2", "a"), ("3", "c")] == people(made)
    assert (None if deletes == "keep" else [None, 2, None]) == (None if marks is None else marks.to_list())


def test_an_incomplete_dump_is_refused_until_it_comes_whole(made: Made) -> None:
    declared = workflow(made)
    dump(made, "1", *(f"{n},a" for n in range(8)))
    done(made.run(declared))
    dump(made, "2", "1,a")
    told = failed(made.run(declared), "people")

    assert "strategy 'snapshot': the snapshot of file number 2 has 1 rows, the one before it 8" in told
    assert 8 == len(people(made))
    dump(made, "2", *(f"{n},b" for n in range(7)))
    done(made.run(declared))
    assert [(str(n), "b") for n in range(7)] == people(made)
    assert [("b", 7)] == made.rows("teams", "team", "members")


def test_a_file_that_is_taken_back_is_as_if_it_had_never_come(made: Made) -> None:
    declared = workflow(made, source={"removed": "delete"})
    three(made)
    done(made.run(declared))
    (made.root / "in" / "dumps" / "2.csv").unlink()
    (made.root / "in" / "dumps" / "3.csv").unlink()
    report = done(made.run(declared))

    assert "no new or changed files; 2 files are gone, and so are their rows" == report.stage("dumps").reason
    assert [("1", "a"), ("2", "a"), ("3", "b")] == people(made)
    assert [("a", 2), ("b", 1)] == made.rows("teams", "team", "members")
    assert 3 == made.frame("dumps").height


def test_rows_of_files_that_are_gone_leave_every_table(made: Made) -> None:
    declared = made.workflow()
    made.source(declared, "dumps", removed="delete", detect="modified")
    declared.add_task("upper", lambda dumps: dumps.with_columns(pl.col("team").str.to_uppercase()), ["dumps"])
    declared.add_task("teams", per_upper, ["upper"], rows="grouped", members="members")
    dump(made, "1", "1,a", "2,b")
    dump(made, "2", "3,b")
    done(made.run(declared))
    dump(made, "1", "1,c", "5,b")
    (made.root / "in" / "dumps" / "2.csv").unlink()
    done(made.run(declared))

    assert [("1", "C"), ("5", "B")] == made.rows("upper", "id", "team")
    assert [("B", 1), ("C", 1)] == made.rows("teams", "team", "members")
    assert "skipped" == made.run(declared).state
    for path in (made.root / "in" / "dumps").iterdir():
        path.rename(path.with_name("renamed.csv"))
    told = failed(made.run(declared), "dumps")
    assert "source 'dumps': none of the 1 file landed so far is there any more" in told
    assert [("1", "C"), ("5", "B")] == made.rows("upper", "id", "team")
    done(made.run(declared, incremental=False))
    assert [("1", "C"), ("5", "B")] == made.rows("upper", "id", "team")


def per_upper(upper: pl.LazyFrame) -> pl.LazyFrame:
    return upper.group_by("team").agg(pl.len().cast(pl.Int64).alias("members"))


def test_a_file_that_is_still_written_is_landed_whole_by_a_later_run(made: Made) -> None:
    declared = made.workflow()
    made.source(declared, "dumps", settle_seconds=3600)
    dump(made, "1", "1,a")
    dump(made, "2", "2,b", "3,")
    os.utime(made.root / "in" / "dumps" / "1.csv", (1, 1))
    report = done(made.run(declared))
    assert [("1", "a")] == made.rows("dumps", "id", "team")
    assert "1 new file; 1 file waits until it is left alone for long enough" == report.stage("dumps").reason
    dump(made, "2", "2,b", "3,c")
    os.utime(made.root / "in" / "dumps" / "2.csv", (2, 2))
    done(made.run(declared))

    assert [("1", "a"), ("2", "b"), ("3", "c")] == made.rows("dumps", "id", "team")


def test_what_is_personal_is_not_told_of_a_dump(made: Made) -> None:
    declared = made.workflow()
    made.source(declared, "dumps")
    strategy = {"type": "snapshot", "key": ["id"], "snapshot_by": "team"}
    declared.add_task("people", depends_on=["dumps"], strategy=strategy, pii=["team"])
    dump(made, "1", "1,secret-a", "2,secret-a", "3,secret-a")
    done(made.run(declared))
    dump(made, "2", "1,secret-b")
    report = made.run(declared)

    assert "failed" == report.state
    assert "secret" not in json.dumps(report.model_dump(mode="json"))
