"""A table that began again is another one: its versions are numbered as those of the table that was read before."""

from __future__ import annotations

import shutil
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from dataflow import Engine, Workflow
from dataflow.engine.status import Status
from dataflow.errors import LakeCorrupt
from dataflow.lake.lake import Lake
from dataflow.lake.lease import read_state
from dataflow.lake.seams import Seam, watch
from tests.dataflow.engine.made import Made, done, states
from tests.dataflow.engine.shelves import kinds

HEADER = "key,value"
c = pl.col


def doubled(events: pl.LazyFrame) -> pl.LazyFrame:
    return events.with_columns(c.value.cast(pl.Int64) * 2)


def totals(events: pl.LazyFrame) -> pl.LazyFrame:
    return events.group_by("key").agg(c.value.cast(pl.Int64).sum())


def pipeline(made: Made) -> Workflow:
    workflow = made.workflow()
    made.source(workflow, "events", storage={"partition_by": ["key"]})
    workflow.add_task("doubled", doubled, ["events"])
    workflow.add_task("totals", totals, ["events"], partition_by=["key"])
    return workflow


def deliver(made: Made, number: int, *rows: str) -> None:
    made.csv(f"events/{number}.csv", HEADER, rows)


def begin_again(made: Made) -> None:
    """Somebody removes the table by hand, and has it made anew, and nothing that follows from it."""
    shutil.rmtree(made.lake / "events")
    done(made.run(pipeline(made), select="events", incremental=False))


def truth(made: Made) -> tuple[list[Any], list[Any]]:
    """What one run over what is delivered would come to."""
    events = pl.concat(pl.read_csv(path, infer_schema=False) for path in (made.root / "in" / "events").iterdir())
    return sorted(doubled(events.lazy()).collect().rows(), key=repr), sorted(
        totals(events.lazy()).collect().rows(), key=repr
    )


def found(made: Made) -> tuple[list[Any], list[Any]]:
    return made.rows("doubled", "key", "value"), made.rows("totals", "key", "value")


def replace(made: Made, table: str) -> None:
    """Another program puts a table of its own where ours was, with more versions than ours had."""
    shutil.rmtree(made.lake / table)
    for number in range(9):
        write_deltalake(str(made.lake / table), pl.DataFrame({"key": ["z"], "value": [str(number)]}), mode="append")


def as_older_releases_wrote(made: Made) -> None:
    """Take out of the journal which tables were read and published."""
    for path in (made.lake / "_journal").rglob("*.parquet"):
        entries = pl.read_parquet(path, hive_partitioning=False)
        entries.with_columns(c.body.str.replace_all(r',"table_id":"[^"]*"', "")).write_parquet(path)
    state = read_state(Lake(made.lake), "made")
    assert {""} == {v.table_id for s in state.stages.values() for v in (*s.inputs, *s.outputs)}


def look(made: Made) -> Status:
    return Engine(runner="inline").status(pipeline(made))


ANOTHER = "events is another table than the one that was read: it began again, or was replaced"


@pytest.mark.parametrize("more", [0, 1, 2])
@pytest.mark.parametrize("older", [False, True])
def test_what_reads_a_table_that_began_again_is_computed_in_full(made: Made, more: int, older: bool):
    for number in (1, 2):
        deliver(made, number, f"a,{number}")
        done(made.run(pipeline(made)))
    read = made.version("events")
    if older:
        as_older_releases_wrote(made)
    deliver(made, 1, "a,10")
    begin_again(made)
    for number in range(3, 3 + more):
        deliver(made, number, f"b,{number}")
        done(made.run(pipeline(made), select="events"))
    assert read - 1 + more == made.version("events")
    assert {"events": "fresh", "doubled": "stale", "totals": "stale"} == {t.table: t.state for t in look(made).tables}

    report = done(made.run(pipeline(made)))

    assert truth(made) == found(made)
    assert {"events": "skipped", "doubled": "published", "totals": "published"} == states(report)
    assert {("full", ANOTHER)} == {(how.kind, how.why) for s in report.stages if (how := s.how) is not None}
    assert "skipped" == made.run(pipeline(made)).state


def test_a_lake_of_an_older_release_goes_on_by_increments(made: Made):
    deliver(made, 1, "a,1")
    done(made.run(pipeline(made)))
    as_older_releases_wrote(made)
    assert "skipped" == made.run(pipeline(made)).state
    deliver(made, 2, "b,2")

    report = done(made.run(pipeline(made)))

    assert {"doubled": "append", "totals": "partition"} == kinds(report)
    assert truth(made) == found(made)


def test_a_table_that_another_program_put_in_its_place_is_damage_and_computed_again(made: Made):
    for number in (1, 2):
        deliver(made, number, f"a,{number}")
        done(made.run(pipeline(made)))
    replace(made, "events")
    said = "table 'events' is not what was published, but another table in its place"

    assert [said] == [damage.said for damage in Engine(runner="inline").damage(pipeline(made))]
    status = look(made)
    assert (1, (said,)) == (status.exit_code, status.damage)
    assert {"events": "damaged", "doubled": "unknown", "totals": "unknown"} == {t.table: t.state for t in status.tables}
    for options in ({}, {"select": "doubled"}, {"incremental": False}):
        error = made.run(pipeline(made), **options).reason
        assert error is not None
        assert "another one in its place" in error
        assert "table.py rebuild" in error

    done(Engine(runner="inline").rebuild(pipeline(made), "events"))

    assert truth(made) == found(made)
    assert () == Engine(runner="inline").damage(pipeline(made))
    assert "skipped" == made.run(pipeline(made)).state


def test_no_version_of_another_table_is_restored(made: Made):
    deliver(made, 1, "a,1")
    done(made.run(pipeline(made)))
    replace(made, "events")
    before = made.files()

    with pytest.raises(LakeCorrupt, match=r"another table in its place.*rebuild"):
        Engine(runner="inline").restore(pipeline(made), "events", version=0)

    assert (
        before["events/_delta_log/00000000000000000008.json"]
        == made.files()["events/_delta_log/00000000000000000008.json"]
    )
    assert made.files().keys() - before.keys() <= {path for path in made.files() if path.startswith("_journal/")}


def test_what_a_dead_run_had_staged_from_the_table_before_is_not_taken_up(made: Made):
    deliver(made, 1, "a,1")
    done(made.run(pipeline(made)))
    made.events.clear()

    def stop(seam: Seam, what: str) -> None:
        if (seam, what) == (Seam.STAGE_STAGED, "totals"):
            raise KeyboardInterrupt

    deliver(made, 2, "a,2")
    unwatch = watch(stop)
    with pytest.raises(KeyboardInterrupt):
        made.run(pipeline(made))
    unwatch()
    version = made.version("events")
    deliver(made, 1, "a,10")
    begin_again(made)
    deliver(made, 2, "a,20")
    done(made.run(pipeline(made), select="events"))
    assert version == made.version("events")

    done(made.run(pipeline(made)))

    assert truth(made) == found(made)


def test_what_the_pipeline_does_to_a_table_leaves_it_the_table_that_it_is(made: Made):
    for number in (1, 2):
        deliver(made, number, f"a,{number}")
        done(made.run(pipeline(made)))
    tables = ("events", "doubled", "totals")
    ids = {table: DeltaTable(str(made.lake / table)).metadata().id for table in tables}

    done(made.run(pipeline(made), incremental=False))
    Engine(runner="inline").backfill(pipeline(made), "totals", "a", "a")
    for table in tables:
        Engine(runner="inline").restore(pipeline(made), table, version=0)
        DeltaTable(str(made.lake / table)).optimize.compact()
    done(made.run(pipeline(made)))

    assert ids == {table: DeltaTable(str(made.lake / table)).metadata().id for table in tables}
    assert () == Engine(runner="inline").damage(pipeline(made))
    assert truth(made) == found(made)
