"""One commit per table and batch, exactly once: every rule with a test that turns red without it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import polars as pl
import pytest
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError

from dataflow.errors import CommitConflict, LakeCorrupt, LeaseLost, SchemaConflict
from dataflow.lake import commit
from dataflow.lake.commit import TableChange, fence, publish_change
from dataflow.lake.lake import Lake
from dataflow.lake.lock import Lock
from dataflow.lake.owner import owner_of
from tests.dataflow.lake.tables import LOCK, change, paths, put, values

LATER = Lock("dataflow:p", 2)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def frame(*rows: int) -> pl.DataFrame:
    return pl.DataFrame({"v": rows})


# ---------------------------------------------------------------- exactly once


def test_the_same_change_twice_is_one_version(lake: Lake) -> None:
    put(lake, frame(0), seq=1)
    batch = change(lake, frame(1), seq=2, run_id="r2")

    first = publish_change(lake, batch, LOCK)
    second = publish_change(lake, batch, LOCK)

    assert (1, 1) == (first.version, second.version)
    assert [0, 1] == values(lake)


def test_a_repeated_change_finds_its_own_version_behind_later_ones(lake: Lake) -> None:
    batch = change(lake, frame(0), seq=1)
    publish_change(lake, batch, LOCK)
    put(lake, frame(1), seq=2, run_id="r2")
    put(lake, frame(2), seq=3, run_id="r3")

    assert 0 == publish_change(lake, batch, LOCK).version


def test_a_repeated_change_finds_its_own_version_though_others_commit_at_that_moment(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = change(lake, frame(0), seq=1)
    publish_change(lake, batch, LOCK)

    def interrupted(self: Lock, handle: DeltaTable) -> None:
        held(self, handle)
        frame(5).write_delta(lake.table_uri("t"), mode="append")

    held = Lock.hold
    monkeypatch.setattr(Lock, "hold", interrupted)

    assert 0 == publish_change(lake, batch, LOCK).version


def test_a_version_is_that_of_the_batch_though_the_handle_knows_later_ones(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(lake, frame(0), seq=1)

    def overtaken(self: DeltaTable, *args: object, **options: object) -> None:
        write(self, *args, **options)  # pyright: ignore[reportArgumentType]
        frame(5).write_delta(lake.table_uri("t"), mode="append")
        self.update_incremental()

    write = DeltaTable.create_write_transaction
    monkeypatch.setattr(DeltaTable, "create_write_transaction", overtaken)

    assert 1 == put(lake, frame(1), seq=2, run_id="r2").version


def test_a_published_change_needs_its_files_no_more(lake: Lake) -> None:
    batch = change(lake, frame(1), seq=1)
    publish_change(lake, batch, LOCK)
    put(lake, frame(2), seq=2, run_id="r2", removes=tuple(f.path for f in batch.adds))
    lake.fs.rm_file(lake.path("t", batch.adds[0].path))

    assert 0 == publish_change(lake, batch, LOCK).version


def test_commit_metadata_names_batch_and_pipeline(lake: Lake) -> None:
    put(lake, frame(1))

    written = lake.open("t").history()[0]

    assert ("t.0.1", "p") == (written["dataflow_batch"], written["dataflow_pipeline"])
    assert "p" == owner_of(lake.open("t"))


def test_a_table_of_another_program_has_no_owner(lake: Lake) -> None:
    put(lake, frame(1))
    for description in ("", "plain words", "[1]", '{"dataflow_pipeline": 5}'):
        lake.open("t").alter.set_table_description(description)
        assert None is owner_of(lake.open("t"))


def _publish_in_process(uri: str, batch: str, number: int, answers: object) -> None:
    try:
        version = publish_change(Lake(uri), TableChange.model_validate_json(batch), Lock("dataflow:p", number)).version
        answers.put(version)  # pyright: ignore[reportAttributeAccessIssue]
    except BaseException as error:
        answers.put(repr(error))  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("exists", [False, True])
def test_four_processes_with_one_batch_commit_it_once_and_agree(lake: Lake, exists: bool) -> None:
    if exists:
        put(lake, frame(0), seq=1)
    batch = change(lake, frame(7), seq=2, run_id="r2")
    context = get_context("spawn")
    answers = context.Queue()
    processes = [
        context.Process(target=_publish_in_process, args=(lake.uri, batch.model_dump_json(), 1, answers))
        for _ in range(4)
    ]
    for process in processes:
        process.start()
    found = [answers.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()

    assert [int(exists)] * 4 == found
    assert [*([0] if exists else []), 7] == values(lake)


def test_threads_that_create_a_table_at_once_leave_the_rows_of_each(lake: Lake) -> None:
    batches = [
        change(lake, frame(n), seq=1, run_id=f"r{n}", unit=str(n)).model_copy(
            update={"app": f"app{n}", "batch_id": f"b{n}"}
        )
        for n in range(4)
    ]
    gate, failures = threading.Barrier(4), []

    def publish(batch: TableChange) -> None:
        gate.wait()
        try:
            publish_change(lake, batch, LOCK)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=publish, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == failures
    assert [0, 1, 2, 3] == values(lake)


# ---------------------------------------------------------------- fencing


def test_a_writer_that_was_paused_before_its_commit_is_fenced_out(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    put(lake, frame(0), seq=1)
    batch = change(lake, frame(1), seq=2, run_id="r2")
    handles: list[int] = []

    def pause(self: Lock, handle: DeltaTable) -> None:
        held(self, handle)
        if self == LOCK and not handles:
            handles.append(handle.version())
            fence(lake, ["t"], LATER)

    held = Lock.hold
    monkeypatch.setattr(Lock, "hold", pause)

    with pytest.raises(LeaseLost, match=r"another run took the lease over \(lease 2, ours is 1\)"):
        publish_change(lake, batch, LOCK)
    assert [0] == handles, "the writer had looked before the fence went up"
    assert [0] == values(lake)


@pytest.mark.parametrize("truncate", [False, True])
def test_a_writer_that_was_paused_after_a_step_towards_its_commit_is_fenced_out(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, truncate: bool
) -> None:
    put(lake, frame(0), seq=1)
    wider = pl.DataFrame({"v": [1], "at": [datetime(2013, 1, 1)]})
    removes = tuple(paths(lake)) if truncate else ()
    batch = change(lake, wider, seq=2, run_id="r2", removes=removes, truncate=truncate)
    steps: list[object] = []

    def pause(lock: Lock) -> CommitProperties:
        steps.append(lock)
        return step(lock)

    def opened(self: Lake, table: str, version: int | None = None) -> DeltaTable:
        if LOCK in steps and LATER not in steps:
            # Who took over finishes the batch and replaces it by its next one.
            steps.append(LATER)
            publish_change(lake, batch, LATER)
            put(lake, wider, seq=3, run_id="r3", removes=tuple(paths(lake)), lock=LATER)
        return opens(self, table, version)

    step, opens = commit._step, Lake.open
    monkeypatch.setattr(commit, "_step", pause)
    monkeypatch.setattr(Lake, "open", opened)

    with pytest.raises(LeaseLost, match=r"another run took the lease over \(lease 2, ours is 1\)"):
        publish_change(lake, batch, LOCK)
    assert LATER in steps, "the writer had made its step before it was taken over"
    assert [1] == values(lake)
    assert 2 == opens(lake, "t").transaction_version("dataflow:p")


def test_a_handle_from_before_the_fence_cannot_commit(lake: Lake) -> None:
    put(lake, frame(0), seq=1)
    batch = change(lake, frame(1), seq=2, run_id="r2")
    stale = lake.open("t")
    fence(lake, ["t"], LATER)

    with pytest.raises(CommitFailedError):
        stale.create_write_transaction(
            [commit._add(f) for f in batch.adds],
            "append",
            stale.schema(),
            None,
            commit_properties=commit._properties(batch, LOCK),
        )
    assert [0] == values(lake)


def test_fencing_twice_is_one_commit_and_an_older_fence_is_refused(lake: Lake) -> None:
    put(lake, frame(0))
    fence(lake, ["t", "none"], LATER)
    fence(lake, ["t", "none"], LATER)

    assert 1 == lake.open("t").version()
    with pytest.raises(LeaseLost):
        fence(lake, ["t"], LOCK)


def test_a_fence_goes_up_though_the_old_writer_commits_at_that_moment(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(lake, frame(0), seq=1)
    last = change(lake, frame(1), seq=2, run_id="r2")
    between = [last]

    def interrupted(self: Lock, handle: DeltaTable) -> None:
        held(self, handle)
        if self == LATER and between:
            publish_change(lake, between.pop(), LOCK)

    held = Lock.hold
    monkeypatch.setattr(Lock, "hold", interrupted)
    fence(lake, ["t"], LATER)

    assert 2 == lake.open("t").transaction_version("dataflow:p")
    assert [0, 1] == values(lake)


# ---------------------------------------------------------------- what a batch replaces


def test_a_replacement_through_a_stale_plan_is_a_conflict(lake: Lake) -> None:
    put(lake, frame(0), seq=1)
    old = paths(lake)
    put(lake, frame(1), seq=2, run_id="r2", removes=tuple(old))

    with pytest.raises(CommitConflict, match=r"another program replaced 1 files that batch t.0.3 replaces"):
        put(lake, frame(2), seq=3, run_id="r3", removes=tuple(old))
    assert [1] == values(lake)


def test_a_commit_that_comes_in_between_is_seen_and_nothing_is_lost(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(lake, frame(0), seq=1)
    between = [
        change(lake, frame(5), seq=1, run_id="other", unit="o").model_copy(update={"app": "other", "batch_id": "other"})
    ]

    def interrupted(lake: Lake, handle: DeltaTable, batch: TableChange) -> object:
        found = replaced(lake, handle, batch)
        if batch.seq == 2 and between:
            publish_change(lake, between.pop(), LOCK)
        return found

    replaced = commit._replaced
    monkeypatch.setattr(commit, "_replaced", interrupted)
    put(lake, frame(1), seq=2, run_id="r2", removes=tuple(paths(lake)))

    assert [1, 5] == values(lake)


def test_a_truncation_that_does_not_know_all_files_is_a_conflict(lake: Lake) -> None:
    put(lake, frame(0), seq=1)
    planned = tuple(paths(lake))
    put(lake, frame(1), seq=2, run_id="r2", unit="b")

    with pytest.raises(CommitConflict, match=r"added 1 files that batch t.0.3 knows nothing of"):
        put(lake, frame(2), seq=3, run_id="r3", removes=planned, truncate=True)
    assert [0, 1] == values(lake)


def test_native_compaction_in_between_is_a_conflict(lake: Lake) -> None:
    put(lake, frame(0), seq=1)
    put(lake, frame(1), seq=2, run_id="r2", unit="b")
    planned = tuple(paths(lake))
    DeltaTable(lake.table_uri("t")).optimize.compact()

    with pytest.raises(CommitConflict, match="another program replaced 2 files"):
        put(lake, frame(2), seq=3, run_id="r3", removes=planned)
    assert [0, 1] == values(lake)


def test_a_restored_table_keeps_its_transactions_so_that_old_batches_stay_out(lake: Lake) -> None:
    batches = [change(lake, frame(n), seq=n + 1, run_id=f"r{n}", unit=str(n)) for n in range(3)]
    for batch in batches:
        publish_change(lake, batch, LOCK)
    lake.open("t").restore(0)
    publish_change(lake, batches[2], LOCK)

    assert [0] == values(lake)


# ---------------------------------------------------------------- staged files


@pytest.mark.parametrize("harm", ["gone", "changed"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_staged_file_that_is_gone_or_changed_is_refused(lake: Lake, harm: str, exists: bool) -> None:
    if exists:
        put(lake, frame(0), seq=1)
    batch = change(lake, frame(1), seq=2, run_id="r2")
    place = lake.path("t", batch.adds[0].path)
    if harm == "gone":
        lake.fs.rm_file(place)
    else:
        lake.fs.pipe_file(place, b"PAR1")

    with pytest.raises(LakeCorrupt, match=r"a file staged for batch t\.0\.2 is gone or was changed.*Run again"):
        publish_change(lake, batch, LOCK)
    assert exists == lake.exists("t")


# ---------------------------------------------------------------- schema and partitioning


def test_new_columns_are_added_and_old_rows_have_nulls_there(lake: Lake) -> None:
    put(lake, frame(0), seq=1)
    put(lake, pl.DataFrame({"v": [1], "w": ["x"]}), seq=2, run_id="r2")

    assert [None, "x"] == values(lake, "w")
    assert {"v": [0, 1], "w": [None, "x"]} == pl.DataFrame(DeltaTable(lake.table_uri("t")).to_pyarrow_table()).sort(
        "v"
    ).to_dict(as_series=False)


@pytest.mark.parametrize(
    ("second", "says"),
    [
        (pl.DataFrame({"v": ["a"]}), "'v' was Int64, is String"),
        (pl.DataFrame({"w": [1]}), "'v' is gone"),
    ],
)
def test_other_columns_are_refused(lake: Lake, second: pl.DataFrame, says: str) -> None:
    put(lake, frame(0), seq=1)

    with pytest.raises(SchemaConflict, match=rf"table 't' cannot take batch t\.0\.2: {says}.*--full"):
        put(lake, second, seq=2, run_id="r2")
    assert [0] == values(lake)


def test_a_truncation_may_bring_any_other_columns(lake: Lake) -> None:
    put(lake, frame(0), seq=1)
    put(lake, pl.DataFrame({"w": ["a"]}), seq=2, run_id="r2", removes=tuple(paths(lake)), truncate=True)

    assert ["a"] == values(lake, "w")
    assert ["w"] == lake.read("t").collect_schema().names()


@pytest.mark.parametrize("truncate", [False, True])
def test_local_times_may_come_to_a_table_that_had_none(lake: Lake, truncate: bool) -> None:
    put(lake, frame(0), seq=1)
    local = pl.DataFrame({"v": [1], "at": [datetime(2013, 1, 1)]})
    put(lake, local, seq=2, run_id="r2", removes=tuple(paths(lake)) if truncate else (), truncate=truncate)

    found = DeltaTable(lake.table_uri("t")).to_pyarrow_table().to_pydict()
    assert datetime(2013, 1, 1) in found["at"]
    assert local.schema["at"] == lake.read("t").collect_schema()["at"]


def test_instants_stay_instants(lake: Lake) -> None:
    put(lake, pl.DataFrame({"at": [datetime(2013, 1, 1, tzinfo=UTC)]}))

    assert pl.Datetime("us", "UTC") == lake.read("t").collect_schema()["at"]


def test_another_partitioning_is_refused_even_when_all_is_written_anew(lake: Lake) -> None:
    rows = pl.DataFrame({"v": [1], "month": ["3"]})
    put(lake, rows, seq=1, by=("month",))

    with pytest.raises(
        SchemaConflict, match=r"partitioned by month, its stage by nothing.*rename the stage, or remove"
    ):
        put(lake, rows, seq=2, run_id="r2", removes=tuple(paths(lake)), truncate=True)


# ---------------------------------------------------------------- other readers


def test_deltas_own_reader_reads_tables_whose_files_hold_the_partition_columns(lake: Lake) -> None:
    rows = pl.DataFrame({"k": ["a/b", "ü =", None, "null"], "n": [1, None, 3, 4], "v": [1, 2, 3, 4]})
    put(lake, rows, by=("k", "n"))

    found = pl.DataFrame(DeltaTable(lake.table_uri("t")).to_pyarrow_table()).sort("v")
    assert rows.rows() == found.select(rows.columns).rows()
    assert rows.rows() == lake.read("t").collect().sort("v").rows()


def test_rows_read_the_same_after_native_compaction(lake: Lake) -> None:
    day = pl.Series("day", ["2013-01-01", None]).str.to_date()
    rows = pl.DataFrame(
        {"k": ["a b", None], "n": pl.Series([-1, None], dtype=pl.Int8), "day": day, "yes": [True, None], "v": [1, 2]}
    )
    by = ("k", "n", "day", "yes")
    put(lake, rows, seq=1, by=by)
    put(lake, rows.with_columns(v=pl.col("v") + 10), seq=2, run_id="r2", by=by)
    before = lake.read("t").collect().sort("v")
    compacted = DeltaTable(lake.table_uri("t")).optimize.compact()

    assert 2 == compacted["numFilesAdded"]
    assert before.equals(lake.read("t").collect().sort("v"))
    head = lake.head("t")
    assert head is not None
    assert before["v"].to_list() == lake.scan(lake.snapshot(head), path_column="p").collect()["v"].sort().to_list()


def test_a_compacted_file_can_be_replaced(lake: Lake) -> None:
    rows = pl.DataFrame({"k": ["a b", "ü%"], "v": [1, 2]})
    put(lake, rows, seq=1, by=("k",))
    put(lake, rows, seq=2, run_id="r2", by=("k",))
    DeltaTable(lake.table_uri("t")).optimize.compact()
    put(lake, rows.head(0), seq=3, run_id="r3", by=("k",), removes=tuple(p for p in paths(lake) if p.startswith("k=a")))

    assert [2, 2] == values(lake)
    assert [2, 2] == DeltaTable(lake.table_uri("t")).to_pyarrow_table()["v"].to_pylist()


def test_retries_are_ours_and_not_those_of_a_stale_handle() -> None:
    batch = TableChange(table="t", app="a", seq=1, batch_id="b", pipeline="p", table_schema="{}")
    for properties in (commit._properties(batch, LOCK), commit._step(LOCK)):
        assert isinstance(properties, CommitProperties)
        assert 0 == properties.max_commit_retries


def test_a_change_that_follows_another_transaction_than_it_says_is_a_conflict(lake: Lake) -> None:
    first = change(lake, pl.DataFrame({"v": [1]}), seq=3, unit="a").model_copy(update={"after": 0})
    second = change(lake, pl.DataFrame({"v": [1, 2]}), seq=5, unit="b").model_copy(update={"after": 0})
    publish_change(lake, first, LOCK)

    with pytest.raises(CommitConflict, match="another run published in between"):
        publish_change(lake, second, LOCK)

    assert [1] == values(lake)
    publish_change(lake, second.model_copy(update={"after": 3}), LOCK)
    assert [1, 1, 2] == values(lake)


def test_whoever_opens_a_table_reads_few_commits(lake: Lake) -> None:
    for number in range(1, 25):
        put(lake, frame(number), seq=number, run_id=f"r{number}")

    since, until = lake.log("t").checkpoint()[0], lake.open("t").version()
    assert 23 == until
    assert until - since < 20
    assert list(range(1, 25)) == values(lake)
