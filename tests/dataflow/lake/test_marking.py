"""Commits that let rows die: exactly once as all others, and the same rows for every reader that knows vectors."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from deltalake import CommitProperties, DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.errors import CommitConflict, LakeCorrupt, LeaseLost
from dataflow.lake import commit
from dataflow.lake.commit import TableChange, fence, publish_change
from dataflow.lake.lake import Lake
from dataflow.lake.lock import Lock
from dataflow.lake.log import Log
from dataflow.lake.marking import CHECKPOINTED
from dataflow.lake.staging import sweep
from dataflow.model import Deletion, StagedFile
from tests.dataflow.lake.tables import LOCK, change, mark, marking, paths, put, values

LATER = Lock("dataflow:p", 2)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def frame(*rows: int) -> pl.DataFrame:
    return pl.DataFrame({"v": rows}, schema={"v": pl.Int64()})


def read_by_others(lake: Lake) -> list[list[object]]:
    """What Polars' own reader and delta-rs' read, sorted."""
    uri = lake.table_uri("t")
    delta = pl.DataFrame(DeltaTable(uri).scan().read_all())
    return [sorted(found["v"].to_list()) for found in (pl.scan_delta(uri).collect(), delta)]


# ---------------------------------------------------------------- readers


@settings(max_examples=25, deadline=None)
@given(st.lists(st.frozensets(st.integers(0, 9)), min_size=1, max_size=4), st.integers(0, 2))
def test_every_reader_sees_the_rows_that_are_alive(
    tmp_path_factory: pytest.TempPathFactory, batches: list[frozenset[int]], files: int
):
    lake = Lake(tmp_path_factory.mktemp("lake"))
    put(lake, frame(*range(10)), seq=1, unit="a")
    for number in range(files):
        put(lake, frame(100 + number), seq=2 + number, run_id=f"x{number}", unit=f"b{number}")
    path = next(f.path for f in _files(lake) if f.rows == 10)
    dead: set[int] = set()
    for seq, more in enumerate(batches, start=10):
        mark(lake, {path: list(more)}, seq=seq)
        dead |= more

        alive = sorted({*range(10), *range(100, 100 + files)} - dead)
        assert alive == values(lake)
        assert [alive, alive] == read_by_others(lake)
        found = next(f for f in _files(lake) if f.path == path)
        assert (10 - len(dead), len(dead)) == (found.rows, found.dead)


def _files(lake: Lake):
    head = lake.head("t")
    assert head is not None
    return lake.snapshot(head).files


def test_rows_die_in_tables_whose_files_hold_the_partition_columns(lake: Lake):
    rows = pl.DataFrame({"k": ["a/b", "a/b", "~ü =%", None], "v": [1, 2, 3, 4]})
    put(lake, rows, by=("k",))
    mark(lake, {path: [0] for path in paths(lake)})

    assert [2] == values(lake)
    # Polars' own reader does not find the vectors of files whose paths the log has to spell in another way.
    assert [2] == read_by_others(lake)[1]


def test_rows_die_in_files_that_another_program_wrote(lake: Lake):
    rows = pl.DataFrame({"k": ["a", "a", "b"], "v": [1, 2, 3]})
    put(lake, rows, seq=1, by=("k",))
    put(lake, rows.with_columns(v=pl.col("v") + 10), seq=2, run_id="r2", by=("k",))
    DeltaTable(lake.table_uri("t")).optimize.compact()
    of_a = next(path for path in paths(lake) if path.startswith("k=a"))
    order = pl.read_parquet(lake.path("t", of_a))["v"].to_list()
    mark(lake, {of_a: [0, 3]}, seq=3)

    alive = sorted([*order[1:3], 3, 13])
    assert alive == values(lake)
    assert {("a", order[1]), ("a", order[2]), ("b", 3), ("b", 13)} == set(
        lake.read("t").collect().select("k", "v").rows()
    )


def test_places_are_those_in_the_file_whatever_is_dead(lake: Lake):
    put(lake, frame(*range(5)), seq=1, unit="a")
    put(lake, frame(10, 11), seq=2, run_id="r2", unit="b")
    big = next(f.path for f in _files(lake) if f.rows == 5)
    mark(lake, {big: [0, 2]}, seq=3)
    head = lake.head("t")
    assert head is not None

    snapshot = lake.snapshot(head)
    found = lake.scan(snapshot, path_column="file", number_column="at").collect()

    assert [0, 1, 2, 3, 4] == found["at"].to_list()
    places = lake.places(snapshot, found.filter(pl.col("v").is_in([11, 3, 4]))["at"])
    small = next(f.path for f in snapshot.files if f.path != big)
    assert {big: [3, 4], small: [1]} == {path: list(rows) for path, rows in places.items()}
    nothing = lake.scan(snapshot, [], path_column="file", number_column="at")
    assert found.schema == nothing.collect_schema()
    assert {} == lake.places(snapshot, found["at"].clear())


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.frozensets(st.integers(0, 39))), min_size=1, max_size=3),
    st.integers(0, 120),
    st.booleans(),
)
def test_numbers_lead_to_the_very_rows(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[int, frozenset[int]]], least: int, compacted: bool
):
    lake, first = Lake(tmp_path_factory.mktemp("lake")), 0
    for number, (count, _) in enumerate(files):
        put(lake, frame(*range(first, first + count)), seq=number, run_id=f"x{number}", unit=f"u{number}")
        first += count
    if compacted:
        DeltaTable(lake.table_uri("t")).optimize.compact()
        put(lake, frame(*range(first, first + 5)), seq=50, run_id="later", unit="later")
    for number, (file, (count, gone)) in enumerate(zip(_files(lake), files, strict=False)):
        if dead := [place for place in gone if place < min(count, file.rows)]:
            mark(lake, {file.path: dead}, seq=100 + number)
    for file in _files(lake):
        # So that Polars may leave out groups of rows.
        place = f"{lake.table_uri('t')}/{file.path}"
        pl.read_parquet(place).write_parquet(place, row_group_size=4)
    head = lake.head("t")
    assert head is not None
    snapshot = lake.snapshot(head)

    found = lake.scan(snapshot, number_column="at").filter(pl.col("v") >= least).collect()
    places = lake.places(snapshot, found["at"].reverse())

    told: list[int] = []
    for path, rows in places.items():
        whole = pl.read_parquet(f"{lake.table_uri('t')}/{path}")["v"]
        told += whole.gather(list(rows)).to_list()
    assert lake.read("t").filter(pl.col("v") >= least).collect()["v"].sort().to_list() == sorted(told)
    assert found.height == sum(len(rows) for rows in places.values())


def test_a_file_of_unknown_length_is_named(lake: Lake):
    put(lake, frame(1, 2))
    log = next(Path(lake.table_uri("t"), "_delta_log").glob("*.json"))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        line.get("add", {}).pop("stats", None)
    log.write_text("\n".join(json.dumps(line) for line in lines))
    head = lake.head("t")
    assert head is not None
    snapshot = lake.snapshot(head)

    with pytest.raises(LakeCorrupt, match="the log does not say how many rows it holds"):
        lake.places(snapshot, pl.Series([0], dtype=pl.UInt64))


def test_statistics_say_what_still_holds_of_the_living(lake: Lake):
    rows = pl.DataFrame({"v": [1, None, 3], "w": [1, 2, 3]})
    put(lake, rows)
    path = paths(lake)[0]
    version = mark(lake, {path: [1]})

    told = json.loads(lake.statistics(version)[path])

    assert (2, {"w": 0}) == (told["numRecords"], told["nullCount"])
    assert ({"v": 1, "w": 1}, {"v": 3, "w": 3}) == (told["minValues"], told["maxValues"])


def test_a_checkpoint_tells_which_rows_are_dead(lake: Lake):
    put(lake, frame(*range(30)), seq=1)
    path = paths(lake)[0]
    for number in range(25):
        mark(lake, {path: [number]}, seq=number + 2)
        assert list(range(number + 1, 30)) == values(lake)
    checkpoints = sorted(Path(lake.path("t", "_delta_log")).glob("*.checkpoint.parquet"))
    for commit_file in sorted(Path(lake.path("t", "_delta_log")).glob("*.json"))[:20]:
        commit_file.unlink()

    assert [10, 20] == [int(place.name[:20]) for place in checkpoints]
    assert list(range(25, 30)) == values(lake)
    assert [list(range(25, 30))] * 2 == read_by_others(lake)


def test_a_folder_may_be_named_like_a_pattern(tmp_path: Path):
    lake = Lake(tmp_path / "lake [a-z]")
    put(lake, frame(0, 1, 2), seq=1)
    mark(lake, {paths(lake)[0]: [1]})

    assert [0, 2] == values(lake)


def test_checkpoints_come_as_often_where_other_commits_lie_between(lake: Lake):
    put(lake, frame(*range(30)), seq=1)
    path = paths(lake)[0]
    for number in range(12):
        mark(lake, {path: [number]}, seq=2 * number + 2)
        put(lake, frame(100 + number), seq=2 * number + 3, run_id=f"x{number}", unit="b")

    # Every commit that marks rows has an odd version.
    checkpoints = Path(lake.path("t", "_delta_log")).glob("*.checkpoint.parquet")
    assert [11, 21] == sorted(int(place.name[:20]) for place in checkpoints)


def test_the_history_tells_the_same_of_a_commit_that_marks_rows_as_of_others(lake: Lake):
    put(lake, frame(0, 1), seq=1)
    marks = {"dataflow_epoch": "3", "dataflow_event_time": "2026-01-01T00:00:00+00:00"}
    publish_change(lake, marking(lake, {paths(lake)[0]: [0]}).model_copy(update={"marks": marks}), LOCK)

    told = lake.open("t").history(1)[0]

    expected = {**marks, "dataflow_batch": "t.0.2", "dataflow_pipeline": "p"}
    assert expected == {key: told.get(key) for key in expected}


def test_rows_die_though_the_log_was_cleaned_while_the_run_slept(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    put(lake, frame(1, 2, 3))
    dying = marking(lake, {paths(lake)[0]: [0]})
    create, slept = Log._create, list[str]()

    def sleeping(self: Log, place: str, content: bytes) -> None:
        if not slept:
            slept.append(place)
            for _ in range(3):
                frame(9).write_delta(lake.table_uri("t"), mode="append")
            lake.open("t").create_checkpoint()
            for version in range(3):
                Path(lake.table_uri("t"), "_delta_log", f"{version:020}.json").unlink()
        create(self, place, content)

    monkeypatch.setattr(Log, "_create", sleeping)
    version = publish_change(lake, dying, LOCK).version

    assert 4 == version
    assert [2, 3, 9, 9, 9] == values(lake)


def test_older_versions_have_the_rows_that_died_later(lake: Lake):
    put(lake, frame(*range(4)), seq=1)
    path = paths(lake)[0]
    for number in range(3):
        mark(lake, {path: [number]}, seq=number + 2)

    alive = [sorted(lake.read("t", version).collect()["v"]) for version in range(4)]
    assert [[0, 1, 2, 3], [1, 2, 3], [2, 3], [3]] == alive
    lake.open("t").restore(2)
    assert [2, 3] == values(lake)
    lake.open("t").restore(0)
    assert [0, 1, 2, 3] == values(lake)


def test_a_file_comes_back_with_the_rows_dead_that_were(lake: Lake):
    put(lake, pl.DataFrame({"v": [0, 1, None]}), seq=1)
    path = paths(lake)[0]
    mark(lake, {path: [0]}, seq=2)
    was = _files(lake)[0]
    version = lake.head("t")
    assert version is not None
    told = lake.statistics(version)[path]
    publish_change(lake, marking(lake, {}, base=change(lake, frame(9), seq=3, run_id="r3", removes=(path,))), LOCK)
    assert was.deleted is not None
    back = StagedFile(table="t", path=path, role="carried", rows=was.rows, size_bytes=was.size_bytes, stats=told)
    again = change(lake, frame(), seq=4, run_id="r4").model_copy(
        update={"adds": (back,), "deletes": (Deletion(path=path, vector=was.deleted),)}
    )
    publish_change(lake, again, LOCK)

    assert [None, 1, 9] == values(lake)
    assert was in _files(lake)
    assert [None, 1, 9] == sorted(pl.scan_delta(lake.table_uri("t")).collect()["v"], key=lambda v: (v is not None, v))


# ---------------------------------------------------------------- protocol


def test_the_table_gets_the_feature_and_no_other(lake: Lake):
    put(lake, frame(1, 2))
    before = lake.open("t")
    mark(lake, {paths(lake)[0]: [0]})
    after = lake.open("t")

    assert (3, 7, ["deletionVectors"]) == (
        after.protocol().min_reader_version,
        after.protocol().min_writer_version,
        after.protocol().reader_features,
    )
    assert {"deletionVectors", "appendOnly", "invariants"} == set(after.protocol().writer_features or ())
    assert {**CHECKPOINTED, "delta.enableDeletionVectors": "true"} == after.metadata().configuration
    told = (before.metadata().id, before.metadata().description, before.schema())
    assert told == (after.metadata().id, after.metadata().description, after.schema())


def test_features_that_the_table_has_stay(lake: Lake):
    put(lake, pl.DataFrame({"v": [1, 2], "at": ["2013-01-01"] * 2}).with_columns(pl.col("at").str.to_datetime()))
    mark(lake, {paths(lake)[0]: [0]})

    assert {"timestampNtz", "deletionVectors"} == set(lake.open("t").protocol().reader_features or ())
    assert [[2], [2]] == read_by_others(lake)


def test_commit_metadata_names_batch_and_pipeline(lake: Lake):
    put(lake, frame(1, 2))
    mark(lake, {paths(lake)[0]: [0]})

    written = lake.open("t").history()[0]
    assert ("t.0.2", "p") == (written["dataflow_batch"], written["dataflow_pipeline"])


# ---------------------------------------------------------------- exactly once


def test_the_same_change_twice_is_one_version(lake: Lake):
    put(lake, frame(1, 2))
    batch = marking(lake, {paths(lake)[0]: [0]})

    first, second = publish_change(lake, batch, LOCK), publish_change(lake, batch, LOCK)

    assert first == second
    assert [2] == values(lake)


def test_rows_come_and_die_and_files_go_in_one_commit(lake: Lake):
    put(lake, frame(*range(5)), seq=1, unit="a")
    put(lake, frame(10, 11), seq=2, run_id="r2", unit="b")
    small, big = sorted(paths(lake), key=lambda path: next(f.rows for f in _files(lake) if f.path == path))
    mark(lake, {small: [0]}, seq=3)
    base = change(lake, frame(7, 8), seq=4, run_id="r4", unit="c", removes=(small,))
    version = publish_change(lake, marking(lake, {big: [1, 2]}, base=base, seq=4), LOCK)

    assert 3 == version.version
    assert [0, 3, 4, 7, 8] == values(lake)
    assert [[0, 3, 4, 7, 8]] * 2 == read_by_others(lake)


def test_a_file_with_dead_rows_goes_without_other_deletions(lake: Lake):
    put(lake, frame(0, 1), seq=1, unit="a")
    put(lake, frame(2), seq=2, run_id="r2", unit="b")
    old = next(f.path for f in _files(lake) if f.rows == 2)
    mark(lake, {old: [0]}, seq=3)
    publish_change(lake, marking(lake, {}, base=change(lake, frame(9), seq=4, run_id="r4", removes=(old,))), LOCK)

    assert [2, 9] == values(lake)
    assert [[2, 9]] * 2 == read_by_others(lake)


def test_a_truncation_takes_files_with_dead_rows_away(lake: Lake):
    put(lake, frame(0, 1), seq=1)
    mark(lake, {paths(lake)[0]: [0]})
    anew = change(lake, pl.DataFrame({"w": ["x"]}), seq=3, run_id="r3", removes=tuple(paths(lake)), truncate=True)
    publish_change(lake, marking(lake, {}, base=anew), LOCK)

    assert ["x"] == values(lake, "w")
    assert ["x"] == pl.scan_delta(lake.table_uri("t")).collect()["w"].to_list()


@pytest.mark.parametrize("what", ["columns", "fence"])
def test_what_delta_itself_commits_keeps_the_dead_dead(lake: Lake, what: str):
    put(lake, frame(0, 1), seq=1)
    mark(lake, {paths(lake)[0]: [0]})
    if what == "columns":
        put(lake, pl.DataFrame({"v": [5], "w": [1]}), seq=3, run_id="r3")
    else:
        fence(lake, ["t"], LATER)

    assert [1, 5] if what == "columns" else [1] == values(lake)


def test_a_file_of_which_others_let_rows_die_in_between_is_a_conflict(lake: Lake):
    put(lake, frame(0, 1, 2), seq=1)
    path = paths(lake)[0]
    marked = marking(lake, {path: [0]}, seq=3)
    removed = marking(lake, {}, base=change(lake, frame(9), seq=3, run_id="r3", removes=(path,)), seq=3)
    mark(lake, {path: [1]}, seq=2)

    for batch in (marked, removed):
        with pytest.raises(CommitConflict, match=r"another program replaced 1 files that batch t\.0\.3 replaces"):
            publish_change(lake, batch, LOCK)
    assert [0, 2] == values(lake)


def test_a_commit_in_between_is_seen_and_nothing_is_lost(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    put(lake, frame(0, 1), seq=1)
    between = [change(lake, frame(5), seq=1, run_id="o", unit="o").model_copy(update={"app": "o", "batch_id": "o"})]
    batch = marking(lake, {paths(lake)[0]: [0]})

    def interrupted(lake: Lake, handle: DeltaTable, change: TableChange) -> object:
        found = replaced(lake, handle, change)
        if change.seq == 2 and between:
            publish_change(lake, between.pop(), LOCK)
        return found

    replaced = commit._replaced
    monkeypatch.setattr(commit, "_replaced", interrupted)
    publish_change(lake, batch, LOCK)

    assert [] == between
    assert [1, 5] == values(lake)


def test_a_writer_that_was_paused_is_fenced_out(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    put(lake, frame(0, 1), seq=1)
    batch = marking(lake, {paths(lake)[0]: [0]})
    fenced: list[bool] = []

    def pause(self: Lock, handle: DeltaTable) -> None:
        held(self, handle)
        if self == LOCK and not fenced:
            fenced.append(True)
            fence(lake, ["t"], LATER)

    held = Lock.hold
    monkeypatch.setattr(Lock, "hold", pause)

    with pytest.raises(LeaseLost):
        publish_change(lake, batch, LOCK)
    assert [0, 1] == values(lake)


def test_vectors_that_are_gone_are_refused(lake: Lake):
    put(lake, frame(0, 1), seq=1)
    batch = marking(lake, {paths(lake)[0]: [0]})
    for place in Path(lake.path("t")).rglob("*.bin"):
        place.unlink()

    with pytest.raises(LakeCorrupt, match=r"deletion_vector_.*\.bin"):
        publish_change(lake, batch, LOCK)
    assert [0, 1] == values(lake)


def test_a_draft_of_a_killed_writer_is_no_commit(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    put(lake, frame(0, 1), seq=1)
    batch = marking(lake, {paths(lake)[0]: [0]})
    with monkeypatch.context() as killed:
        killed.setattr("os.link", _die)
        killed.setattr("os.unlink", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            publish_change(lake, batch, LOCK)
    assert 1 == len(list(Path(lake.path("t", "_delta_log")).glob("_commit_*.json.tmp")))
    assert [0, 1] == values(lake)

    assert 1 == publish_change(lake, batch, LOCK).version
    assert [1] == values(lake)


def _die(*_: object) -> None:
    raise KeyboardInterrupt


# ---------------------------------------------------------------- files of vectors


def test_vectors_of_a_dead_run_are_swept_and_those_that_count_stay(lake: Lake):
    put(lake, frame(0, 1, 2), seq=1)
    path = paths(lake)[0]
    mark(lake, {path: [0]}, seq=2)
    mark(lake, {path: [1]}, seq=3)
    marking(lake, {path: [2]}, seq=4)
    there = {str(place.relative_to(lake.path("t"))) for place in Path(lake.path("t")).rglob("*.bin")}
    assert 3 == len(there)

    assert 1 == sweep(lake, ["t"], ["run2", "run3", "run4"], lambda _: set())

    left = {str(place.relative_to(lake.path("t"))) for place in Path(lake.path("t")).rglob("*.bin")}
    assert left < there
    assert left <= lake.logged("t")
    assert [2] == values(lake)
    assert [1, 2] == sorted(lake.read("t", 1).collect()["v"])


def test_no_other_programs_vacuum_takes_vectors_away(lake: Lake):
    put(lake, frame(0, 1), seq=1)
    mark(lake, {paths(lake)[0]: [0]})
    DeltaTable(lake.table_uri("t")).vacuum(
        retention_hours=0,
        enforce_retention_duration=False,
        dry_run=False,
        full=True,
        commit_properties=CommitProperties(max_commit_retries=0),
    )

    assert [1] == values(lake)
