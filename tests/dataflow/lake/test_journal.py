"""The journal forgets nothing: not when it is archived, not when several pipelines write at once."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from dataflow.errors import LakeCorrupt, LakeError, LeaseLost
from dataflow.lake import journal as journal_module
from dataflow.lake.commit import TableChange
from dataflow.lake.fold import Told, fold
from dataflow.lake.journal import TABLE, Entry, Journal, Kind
from dataflow.lake.lake import Lake
from dataflow.lake.lease import HeldLease, acquire, read_state
from dataflow.lake.lock import Lock
from dataflow.lake.state import (
    FileRecord,
    Files,
    Intent,
    LateStep,
    Lease,
    Outputs,
    PipelineState,
    Release,
    Released,
    UnitState,
    file_key,
)
from dataflow.model import Frozen, RowCounts, TableVersion, Unit, Verdict
from tests.dataflow.lake.journals import record_many

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = Lease(number=1, run_id="r1", host="h", process_id=1, process_started_at=1.25, ttl_seconds=60, beat_at=NOW)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def intent(stage: str = "t", seq: int = 1, **changes: Any) -> Intent:
    batch_id = f"{stage}.0.{seq}"
    table_change = TableChange(
        table=stage, app=f"{stage}@0", seq=seq, batch_id=batch_id, pipeline="p", table_schema="{}"
    )
    unit = UnitState(unit=Unit(stage=stage, partition=(("month", None),)), key=f"k{seq}", batch_id=batch_id)
    base: dict[str, Any] = {
        "stage": stage,
        "batch_id": batch_id,
        "epoch": 0,
        "seq": seq,
        "changes": (table_change,),
        "units": (unit,),
        "inputs": (TableVersion(table="in", uri="u", version=seq),),
        "fingerprint": "f",
        "counts": RowCounts(read=3),
        "verdict": Verdict(stage=stage, batch_id=batch_id, digest="d"),
        "event_time_max": NOW,
        "late_steps": (LateStep(file_id=1, watermark=NOW),),
    }
    return Intent(**{**base, **changes})


def record(n: int, name: str = "a.csv") -> FileRecord:
    return FileRecord(
        source="s", name=name, content_hash=f"h{n}", size_bytes=1, modified_at=n + 0.1, file_id=n, first_id=n
    )


def entry(kind: Kind, body: Frozen, *, run_id: str = "r1", pipeline: str = "p", **about: Any) -> Entry:
    return Entry(kind=kind, pipeline=pipeline, run_id=run_id, body=body.model_dump_json(), at=NOW, **about)


def outputs(stage: str = "t", version: int = 0) -> Outputs:
    return Outputs(outputs=(TableVersion(table=stage, uri="u", version=version),))


def begun(made: Intent) -> Entry:
    return entry("intent", made, stage=made.stage, batch_id=made.batch_id)


def done(made: Intent, version: int = 0) -> Entry:
    return entry("published", outputs(made.stage, version), stage=made.stage, batch_id=made.batch_id)


# ---------------------------------------------------------------- the fold


def test_a_published_batch_is_the_state_of_its_stage() -> None:
    made = intent()
    state = fold([begun(made), done(made, 7)])["p"]

    published = state.stage("t")
    assert ({}, 1, "t.0.1", 7) == (state.intents, published.seq, published.batch_id, published.outputs[0].version)
    assert {made.units[0].unit.id: made.units[0]} == published.units
    assert (made.inputs, made.event_time_max, made.late_steps, NOW) == (
        published.inputs,
        published.event_time_max,
        published.late_steps,
        published.published_at,
    )
    assert {"t"} == state.tables


def test_an_intent_without_its_end_stays_and_counts_its_tables() -> None:
    state = fold([begun(intent())])["p"]

    assert {"t.0.1": intent()} == state.intents
    assert {"t"} == state.tables
    assert 0 == state.stage("t").seq


def test_units_add_up_and_dropped_ones_go() -> None:
    other = UnitState(unit=Unit(stage="t", partition=(("month", "2"),)), key="k", batch_id="t.0.2")
    first, second = intent(seq=1), intent(seq=2, units=(other,), event_time_max=None)
    third = intent(seq=3, units=(), dropped=(first.units[0].unit,))
    state = fold([begun(first), done(first), begun(second), done(second, 1)])["p"].stage("t")
    assert {first.units[0].unit.id, other.unit.id} == set(state.units)
    assert NOW == state.event_time_max

    state = fold([begun(first), done(first), begun(second), done(second, 1), begun(third), done(third, 2)])["p"].stage(
        "t"
    )
    assert {other.unit.id} == set(state.units)


def test_side_tables_stay_among_the_outputs() -> None:
    first, second = intent(seq=1), intent(seq=2)
    aside = Outputs(
        outputs=(TableVersion(table="t__late", uri="u", version=0), TableVersion(table="t", uri="u", version=0))
    )
    entries = [
        begun(first),
        entry("published", aside, stage="t", batch_id=first.batch_id),
        begun(second),
        done(second, 1),
    ]

    assert {"t__late": 0, "t": 1} == {o.table: o.version for o in fold(entries)["p"].stage("t").outputs}


def test_the_number_of_an_abandoned_batch_is_not_used_again() -> None:
    made = intent(seq=4)
    state = fold([begun(made), entry("abandoned", outputs(), stage="t", batch_id=made.batch_id)])["p"]

    assert ({}, 4, None) == (state.intents, state.stage("t").seq, state.stage("t").batch_id)


@pytest.mark.parametrize("kind", ["published", "abandoned"])
def test_the_end_of_a_batch_that_nobody_began_changes_nothing(kind: Kind) -> None:
    assert PipelineState(pipeline="p") == fold([entry(kind, outputs(), stage="t", batch_id="t.0.9")])["p"]


def test_file_ids_are_never_given_twice() -> None:
    state = fold(
        [entry("files", Files(files=(record(1), record(2, "b.csv")))), entry("files", Files(files=(record(3),)))]
    )["p"]

    assert 4 == state.next_file_id
    assert {file_key("s", "a.csv"): record(3), file_key("s", "b.csv"): record(2, "b.csv")} == state.files


def test_a_lease_begins_beats_and_ends() -> None:
    later = datetime(2026, 1, 2, tzinfo=UTC)
    beat = entry("beat", Released(clean=True)).model_copy(update={"at": later})
    end = entry("released", Released(clean=False))

    held = fold([entry("lease", LEASE), beat, end])["p"].lease
    assert LEASE.model_copy(update={"beat_at": later, "released": True, "clean": False}) == held
    others = fold(
        [entry("lease", LEASE), beat.model_copy(update={"run_id": "r0"}), end.model_copy(update={"run_id": "r0"})]
    )["p"]
    assert others.lease == LEASE


def test_runs_that_left_files_behind_are_remembered_until_swept() -> None:
    def lease(number: int) -> Entry:
        return entry("lease", LEASE.model_copy(update={"number": number, "run_id": f"r{number}"}), run_id=f"r{number}")

    entries = [lease(1), lease(2), entry("released", Released(clean=True), run_id="r2"), lease(3), lease(4), lease(4)]
    assert ("r1", "r3", "r4") == fold(entries)["p"].unswept
    assert () == fold([*entries, entry("swept", outputs(), run_id="r4")])["p"].unswept


def test_pipelines_are_kept_apart() -> None:
    mine, theirs = intent(), intent("u")
    states = fold([begun(mine), begun(theirs).model_copy(update={"pipeline": "q"}), done(mine)])

    assert ({"t"}, {"u"}) == (states["p"].tables, states["q"].tables)
    assert {"u.0.1"} == set(states["q"].intents)


def test_the_last_release_counts() -> None:
    assert {"t": 2} == fold([entry("release", Release(tables={"t": 1})), entry("release", Release(tables={"t": 2}))])[
        "p"
    ].release


def test_an_entry_that_cannot_be_understood_is_named() -> None:
    broken = Entry(kind="intent", pipeline="p", run_id="r", body='{"stage": 1}', seq=12)

    with pytest.raises(
        LakeCorrupt,
        match=r"journal entry 12 \(intent of pipeline 'p'\) cannot be understood.*newer dataflow.*version 11",
    ):
        fold([broken])


# ---------------------------------------------------------------- archiving


def some_entries(held: HeldLease, kinds: list[str]) -> None:
    """Record a plausible story, one chapter a letter."""
    for n, what in enumerate(kinds, start=1):
        made = intent(
            seq=n,
            units=(
                UnitState(unit=Unit(stage="t", partition=(("month", str(n % 3)),)), key=f"k{n}", batch_id=f"t.0.{n}"),
            ),
        )
        held.record("intent", made, stage="t", batch_id=made.batch_id)
        if what == "published":
            held.record("published", outputs("t", n), stage="t", batch_id=made.batch_id)
        elif what == "abandoned":
            held.record("abandoned", outputs(), stage="t", batch_id=made.batch_id)
        elif what == "files":
            held.record("files", Files(files=(record(n, f"{n % 4}.csv"),)))
        elif what == "swept":
            held.record("swept", outputs())
        else:
            held.record("release", Release(tables={"t": n}))


stories = st.lists(st.sampled_from(["published", "abandoned", "files", "swept", "release"]), max_size=12)


@given(stories, st.integers(0, 12), st.sampled_from(["p", "q"]))
def test_a_checkpoint_anywhere_changes_nothing(kinds: list[str], at: int, pipeline: str) -> None:
    told: list[Entry] = []

    class Kept(HeldLease):
        def record(self, kind: Kind, body: Frozen, *, stage: str | None = None, batch_id: str | None = None) -> None:
            told.append(entry(kind, body, stage=stage, batch_id=batch_id))

    lake = Lake("/nowhere")
    some_entries(Kept(lake, "p", "r1", Lock("a", 1), Told(Journal(lake), "p"), took_over=False), kinds)
    story = [
        entry("lease", LEASE),
        entry("lease", LEASE, pipeline="q", run_id="q1"),
        begun(intent("u")).model_copy(update={"pipeline": "q"}),
        *told,
    ]
    states = fold(story[:at])
    checkpoints = [
        Entry(kind="checkpoint", pipeline=name, run_id="r1", body=state.model_dump_json())
        for name, state in states.items()
    ]

    assert fold(story) == fold([*checkpoints, *story[at:]])
    assert fold(story) == fold([*story[:at], *checkpoints, *story[at:]]), (
        "nor does it where the archived entries are read too"
    )


def test_archiving_keeps_state_intents_and_history(lake: Lake) -> None:
    other = acquire(lake, "q", "q1", ttl_seconds=60)
    other.record("intent", intent("u"), stage="u", batch_id="u.0.1")
    held = acquire(lake, "p", "r1", ttl_seconds=60)
    some_entries(held, ["published", "files", "abandoned", "release"] * 9)
    held.record("intent", intent(seq=99), stage="t", batch_id="t.0.99")
    before = {"p": held.refresh(), "q": other.refresh()}
    everything = Journal(lake).entries()
    assert len(everything) > 64
    held.release(clean=True)

    journal = Journal(lake)
    assert ["checkpoint", "checkpoint"] == [e.kind for e in journal.entries()]
    after = {name: read_state(lake, name) for name in "pq"}
    assert before["q"] == after["q"]
    assert before["p"].model_copy(update={"lease": None}) == after["p"].model_copy(update={"lease": None})
    assert {"u.0.1"} == set(after["q"].intents)
    assert "t.0.99" in after["p"].intents
    assert everything == journal.entries(archived=True)[: len(everything)]
    assert fold(journal.entries()) == fold(journal.entries(archived=True))

    other.record("swept", outputs())
    assert other.refresh().lease == before["q"].lease, "the other pipeline goes on"
    assert acquire(lake, "p", "r2", ttl_seconds=60).lock.number == 2


def test_checkpoints_are_not_archived(lake: Lake) -> None:
    for number in range(1, 4):
        held = acquire(lake, "p", f"r{number}", ttl_seconds=60)
        some_entries(held, ["swept"] * 33)
        held.release(clean=True)

    journal = Journal(lake)
    # Each holds every unit and file of the pipeline: kept, they would grow with the square of its batches.
    assert ["checkpoint"] == [e.kind for e in journal.entries(archived=True) if e.kind == "checkpoint"]
    assert fold(journal.entries()) == fold(journal.entries(archived=True))


@pytest.mark.parametrize(("kept", "left"), [("interval 0 seconds", False), ("interval 1 hours", True)])
def test_files_that_left_long_ago_are_deleted(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, kept: str, left: bool
) -> None:
    monkeypatch.setattr(journal_module, "KEPT", {"delta.deletedFileRetentionDuration": kept})
    for number in range(1, 4):
        held = acquire(lake, "p", f"r{number}", ttl_seconds=60)
        some_entries(held, ["swept"] * 70)
        held.release(clean=True)

    there = {str(path) for path in Path(lake.path(TABLE)).glob("archived=*/*")}
    active = set(DeltaTable(lake.table_uri(TABLE)).file_uris())
    assert active <= there
    assert left == bool(there - active)
    assert 3 * 70 == sum(entry.kind == "intent" for entry in Journal(lake).entries(archived=True))


def test_many_archived_files_become_one(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_ARCHIVE_AFTER", 4)
    told = list[int]()
    for number in range(1, 13):
        held = acquire(lake, "p", f"r{number}", ttl_seconds=60)
        some_entries(held, ["swept"] * 4)
        held.release(clean=True)
        told.append(sum("archived=true" in path for path in DeltaTable(lake.table_uri(TABLE)).file_uris()))

    assert [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2] == told
    everything = Journal(lake).entries(archived=True)
    assert [f"r{number}" for number in range(1, 13)] == [e.run_id for e in everything if e.kind == "lease"]
    assert sorted(e.seq for e in everything) == [e.seq for e in everything]
    assert fold(Journal(lake).entries()) == fold(everything)


def test_a_batch_tells_its_own_late_step_and_those_before_stay() -> None:
    steps = [LateStep(file_id=n, watermark=NOW) for n in (1, 2, 2, 5)]
    told = [intent(seq=n, late_steps=(step,)) for n, step in enumerate(steps, start=1)]
    story = [made_entry for made in told for made_entry in (begun(made), done(made, made.seq))]
    whole = intent(seq=5, late_steps=(steps[0], steps[3]))
    ended = intent(seq=6, late_steps=())

    assert (steps[0], steps[2], steps[3]) == fold(story)["p"].stage("t").late_steps
    story += [begun(whole), done(whole, 5)]
    assert (steps[0], steps[3]) == fold(story)["p"].stage("t").late_steps, "as older journals tell them"
    assert () == fold([*story, begun(ended), done(ended, 6)])["p"].stage("t").late_steps, "its window is gone"


def test_archiving_cleans_the_log_of_what_nobody_reads_any_more(lake: Lake) -> None:
    held = acquire(lake, "p", "r1", ttl_seconds=60)
    some_entries(held, ["published", "files", "abandoned", "release"] * 17)
    before = held.refresh()
    log = Path(lake.path(TABLE, "_delta_log"))
    for commit in log.glob("*.json"):
        os.utime(commit, (0, 0))
    total = len(list(log.glob("*.json")))
    assert total > 128

    held.release(clean=True)

    # From the last checkpoint on that is old enough, of which delta-rs writes one every hundred versions.
    assert len(list(log.glob("*.json"))) <= total - 90
    state = read_state(lake, "p").model_copy(update={"lease": None})
    assert before.model_copy(update={"lease": None}) == state
    assert acquire(lake, "p", "r2", ttl_seconds=60).lock.number == 2


def test_few_entries_are_not_archived(lake: Lake) -> None:
    held = acquire(lake, "p", "r1", ttl_seconds=60)
    held.release(clean=True)

    assert ["lease", "released"] == [e.kind for e in Journal(lake).entries()]


def test_what_another_pipeline_writes_during_archiving_is_not_lost(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    other = acquire(lake, "q", "q1", ttl_seconds=60)
    held = acquire(lake, "p", "r1", ttl_seconds=60)
    some_entries(held, ["published"] * 40)
    checkpoints = held._checkpoints

    def slow(entries: list[Entry]) -> list[Entry]:
        other.record("intent", intent("u"), stage="u", batch_id="u.0.1")
        return checkpoints(entries)

    monkeypatch.setattr(held, "_checkpoints", slow)
    held.release(clean=True)

    assert len(Journal(lake).entries()) > 64, "archiving gave way"
    assert {"u.0.1"} == set(read_state(lake, "q").intents)


def test_an_entry_that_was_under_way_when_another_pipeline_archived_is_not_lost(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = acquire(lake, "q", "q1", ttl_seconds=60)
    held = acquire(lake, "p", "r1", ttl_seconds=60)
    some_entries(held, ["published"] * 40)
    archived = [lambda: held.release(clean=True)]
    outlast = Lock.outlast

    def paused(self: Lock, seen: int | None, uri: str) -> None:
        outlast(self, seen, uri)
        if self == other.lock and archived:
            archived.pop()()

    monkeypatch.setattr(Lock, "outlast", paused)
    other.record("intent", intent("u"), stage="u", batch_id="u.0.1")

    assert ["checkpoint", "checkpoint", "intent"] == [e.kind for e in Journal(lake).entries()]
    assert {"u.0.1"} == set(read_state(lake, "q").intents)


def test_pipelines_that_write_and_archive_at_once_lose_nothing(lake: Lake) -> None:
    context = get_context("spawn")
    answers = context.Queue()
    processes = [context.Process(target=record_many, args=(lake.uri, name, 12, answers)) for name in "pq"]
    for process in processes:
        process.start()
    found = [answers.get(timeout=240) for _ in processes]
    for process in processes:
        process.join()

    assert {(name, "done") for name in "pq"} == set(found)
    everything = Journal(lake).entries(archived=True)
    assert {"checkpoint"} & {e.kind for e in everything}, "the journal was archived meanwhile"
    for name in "pq":
        kinds = [e.kind for e in everything if e.pipeline == name and e.kind != "checkpoint"]
        assert (["lease"] + ["swept"] * 12 + ["released"]) * 3 == kinds
        lease = read_state(lake, name).lease
        assert lease is not None
        assert (3, True) == (lease.number, lease.released)


# ---------------------------------------------------------------- a journal that is harmed


@pytest.mark.parametrize("harm", ["gone", "cut", "log"])
def test_a_harmed_journal_is_named_and_not_read_as_another(lake: Lake, harm: str) -> None:
    held = acquire(lake, "p", "r1", ttl_seconds=60)
    held.record("files", Files(files=(record(1),)))
    place = sorted(Path(lake.path("_journal")).rglob("*.parquet"))[0]
    log = Path(lake.path("_journal", "_delta_log", f"{1:020}.json"))
    if harm == "gone":
        place.unlink()
    elif harm == "cut":
        place.write_bytes(place.read_bytes()[:-10])
    else:
        log.write_bytes(log.read_bytes()[:-10])

    with pytest.raises(LakeCorrupt, match="_journal"):
        read_state(lake, "p")
    with pytest.raises(LakeCorrupt, match="_journal"):
        acquire(lake, "p", "r2", ttl_seconds=60)


def test_an_entry_of_a_kind_that_is_not_known_asks_for_an_update(lake: Lake) -> None:
    acquire(lake, "p", "r1", ttl_seconds=60)
    place = next(Path(lake.path("_journal")).rglob("*.parquet"))
    size = place.stat().st_size
    pl.read_parquet(place, hive_partitioning=False).with_columns(kind=pl.lit("from the future")).write_parquet(place)

    assert size
    with pytest.raises(LakeCorrupt, match=r"an entry cannot be understood.*update this one"):
        read_state(lake, "p")


def test_an_append_under_an_old_lease_writes_nothing(lake: Lake) -> None:
    acquire(lake, "p", "r1", ttl_seconds=0)
    acquire(lake, "p", "r2", ttl_seconds=60)
    journal = Journal(lake)
    files = len(list(Path(lake.path("_journal")).rglob("*.parquet")))

    with pytest.raises(LeaseLost):
        journal.append(entry("swept", outputs()), Lock("dataflow:p", 1))
    assert files == len(list(Path(lake.path("_journal")).rglob("*.parquet")))


def test_no_journal_no_entries(lake: Lake) -> None:
    assert [] == Journal(lake).entries()
    assert PipelineState(pipeline="p") == read_state(lake, "p")


def test_a_lake_whose_folder_cannot_be_made_is_told() -> None:
    with pytest.raises(LakeError, match=r"lake /proc/nope: its folder cannot be made .*; name another with --lake"):
        acquire(Lake("/proc/nope"), "p", "r1", ttl_seconds=60)
