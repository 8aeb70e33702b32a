"""Which files of a source are landed, which are dropped, which wait, and what a plan says of it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dataflow.errors import SourceUnavailable
from tests.dataflow.plan.delivered import Delivered


@pytest.fixture
def folder(tmp_path: Path) -> Delivered:
    made = Delivered(tmp_path)
    for name in ("a.csv", "b.csv"):
        made.write(name, f"v\n{name}\n")
    return made


def test_new_and_changed_files(folder: Delivered) -> None:
    assert "2 new files" == folder.run().reason
    folder.write("a.csv", "v\n2\n")
    folder.write("c.csv", "v\n3\n")
    plan = folder.run()

    assert ("1 new file, 1 changed file", ["a.csv", "c.csv"], 1) == (plan.reason, folder.names(plan), plan.units_fresh)
    assert ("skip", "no new or changed files") == (folder.run().action, folder.run().reason)


def test_a_unit_without_a_key_is_landed_again_and_the_reason_told(folder: Delivered) -> None:
    first = folder.run()
    folder.mark("a.csv", reason="backfill of May")
    plan = folder.run()

    assert ["a.csv"] == folder.names(plan)
    assert "1 file to land again (backfill of May)" == plan.reason
    assert first.units[0].record == plan.units[0].record, "its rows keep their ids"
    assert "skip" == folder.run().action


def test_marked_files_are_told_apart_from_new_and_changed_ones(folder: Delivered) -> None:
    folder.run()
    folder.mark("a.csv", "b.csv")
    folder.write("b.csv", "v\n2\n")
    folder.write("c.csv", "v\n3\n")

    assert "1 new file, 1 changed file, 1 file to land again" == folder.run().reason


def test_a_marked_file_that_is_gone_stays_as_landed(folder: Delivered) -> None:
    folder.run()
    folder.mark("a.csv", "b.csv")
    (folder.folder / "a.csv").unlink()
    plan = folder.run()

    assert "1 file to land again; 1 file is not there any more and stays as landed" == plan.reason
    assert {"a.csv", "b.csv"} == set(folder.landed)


def test_files_that_are_gone_stay_unless_they_are_to_be_deleted(folder: Delivered) -> None:
    folder.run()
    (folder.folder / "a.csv").unlink()
    assert ("skip", ()) == (folder.run().action, folder.run().dropped)
    folder.options = {"removed": "delete"}
    plan = folder.run()

    assert ("run", "no new or changed files; 1 file is gone, and so are its rows") == (plan.action, plan.reason)
    assert ((), 1, 1) == (plan.units, plan.units_fresh, len(plan.dropped))
    assert {"b.csv"} == set(folder.landed)
    assert "skip" == folder.run().action


def test_a_file_that_comes_back_is_landed_again_under_its_id(folder: Delivered) -> None:
    folder.options = {"removed": "delete"}
    first = folder.run()
    content = (folder.folder / "a.csv").read_text()
    (folder.folder / "a.csv").unlink()
    folder.run()
    folder.write("a.csv", content)
    plan = folder.run()

    assert ["a.csv"] == folder.names(plan)
    (was, *_), (now,) = first.units, plan.units
    assert was.record is not None
    assert now.record is not None
    assert was.record.file_id == now.record.file_id


def test_that_all_files_are_gone_is_not_believed(folder: Delivered) -> None:
    folder.options = {"removed": "delete"}
    folder.run()
    for name in ("a.csv", "b.csv"):
        (folder.folder / name).unlink()
    with pytest.raises(SourceUnavailable, match="nothing matches"):
        folder.plan()
    folder.write("other.csv", "v\n1\n")

    with pytest.raises(
        SourceUnavailable,
        match=r"source 's': none of the 2 files landed so far is there any more, and `removed: delete` would delete all their "
        r"rows; nothing is changed. See that the disk is mounted and `path` is right; .* run once with --full",
    ) as caught:
        folder.plan()
    assert caught.value.retryable
    plan = folder.run(full=True)
    assert "asked for in full: 1 file; 2 files are gone, and so are their rows" == plan.reason
    assert {"other.csv"} == set(folder.landed)


def test_a_file_waits_until_it_is_left_alone(folder: Delivered) -> None:
    folder.options = {"settle_seconds": 3600, "removed": "delete"}
    now = time.time()
    os.utime(folder.folder / "b.csv", (now - 1800, now - 1800))
    plan = folder.run()
    assert ["a.csv"] == folder.names(plan)
    assert "1 new file; 1 file waits until it is left alone for long enough" == plan.reason
    os.utime(folder.folder / "b.csv", (now - 7200, now - 7200))
    assert ["b.csv"] == folder.names(folder.run())
    landed = dict(folder.landed)
    for name in ("a.csv", "b.csv"):
        folder.write(name, "v\nhalf")
        os.utime(folder.folder / name, (now, now))
    plan = folder.run()

    assert ("skip", ()) == (plan.action, plan.dropped), "what is being written anew is not gone"
    assert "no new or changed files; 2 files wait until they are left alone for long enough" == plan.reason
    assert landed == folder.landed


def test_a_landed_file_does_not_wait_when_the_option_comes_later(folder: Delivered) -> None:
    now = time.time()
    os.utime(folder.folder / "a.csv", (now, now))
    folder.run()
    folder.options = {"settle_seconds": 3600}
    folder.mark("a.csv")

    assert ["a.csv"] == folder.names(folder.run())


def test_nobody_waits_for_a_clock_that_is_years_ahead(folder: Delivered) -> None:
    folder.options = {"settle_seconds": 3600}
    ahead = time.time() + 1e8
    os.utime(folder.folder / "a.csv", (ahead, ahead))
    os.utime(folder.folder / "b.csv", (time.time() + 60, time.time() + 60))

    assert ["a.csv"] == folder.names(folder.run())


def test_other_ways_of_looking_land_nothing_again(folder: Delivered) -> None:
    for detect in ("auto", "modified", "auto"):
        folder.options = {"detect": detect}
        plan = folder.run()
        assert plan.action == ("skip" if folder.landed and plan.seq > 1 else "run")


def test_content_is_looked_at_where_size_and_time_are_as_before(folder: Delivered) -> None:
    folder.run()
    folder.write("a.csv", "v\nA.csv\n", touch=False)
    assert "skip" == folder.run().action
    folder.options = {"detect": "content"}

    assert ["a.csv"] == folder.names(folder.run())
