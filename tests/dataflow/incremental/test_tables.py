"""What came to a table and what left it, against a comparison of all rows of both versions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.errors import TableMissing
from dataflow.incremental.tables import TableDiff, diff, rows_that_came, rows_that_left
from dataflow.lake.commit import publish_change
from dataflow.lake.lake import ActiveFile, Lake
from tests.dataflow.lake.tables import LOCK, change, mark, marking, paths, put


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def frame(*rows: int) -> pl.DataFrame:
    return pl.DataFrame({"v": rows})


def found(lake: Lake, since: int, until: int) -> TableDiff:
    known = diff(lake, "t", since, until)
    assert known is not None
    return known


def moved(lake: Lake, known: TableDiff) -> tuple[Counter[object], Counter[object]]:
    """How often each value came and left; what did both is no change."""
    came = Counter(rows_that_came(lake, known).collect()["v"].to_list())
    left = Counter(rows_that_left(lake, known, ["v"]).collect()["v"].to_list())
    assert (came.total(), left.total()) == (known.rows_came, known.rows_left)
    return came - left, left - came


def values(lake: Lake, version: int) -> Counter[object]:
    """The truth: all rows of a version."""
    return Counter(lake.read("t", version).collect()["v"].to_list())


def active(lake: Lake) -> list[ActiveFile]:
    head = lake.head("t")
    assert head is not None
    return sorted(lake.snapshot(head).files, key=lambda file: file.path)


# ---------------------------------------------------------------- any history

step = st.tuples(
    st.sampled_from(["add", "mark", "rewrite", "replace", "compact", "restore", "fence"]), st.integers(0, 1 << 20)
)


@settings(max_examples=25, deadline=None)
@given(st.lists(step, min_size=2, max_size=7))
def test_a_diff_tells_what_a_comparison_of_all_rows_tells(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
):
    lake = Lake(tmp_path_factory.mktemp("lake"))
    rows = pl.DataFrame({"k": ["a", "a", "b"], "v": [1, 2, 3]})
    put(lake, rows, seq=1, by=("k",), unit="u1")
    for number, (what, choice) in enumerate(steps, start=2):
        _take(lake, what, choice, number)
    versions = [values(lake, version) for version in range(lake.open("t").version() + 1)]

    for since, before in enumerate(versions[:-1]):
        for until, after in enumerate(versions[since:], since):
            known = found(lake, since, until)
            assert (after - before, before - after) == moved(lake, known)
            assert known.before.rows + known.rows_came - known.rows_left == known.after.rows
            assert before.total() == known.before.rows


def _take(lake: Lake, what: str, choice: int, number: int) -> None:
    files = active(lake)
    file = files[choice % len(files)] if files else None
    more = pl.DataFrame({"k": ["a", "b"], "v": [10 * number, 10 * number + 1]})
    options = {"seq": number, "run_id": f"r{number}", "by": ("k",), "unit": f"u{number}"}
    if what == "compact":
        lake.open("t").optimize.compact()
    elif what == "restore":
        handle = lake.open("t")
        if handle.version():
            handle.restore(choice % handle.version(), protocol_downgrade_allowed=True)
    elif what == "mark" and file is not None and file.rows:
        alive = set(range(file.rows + file.dead)) - set(lake.dead_rows("t", [file]).get(file.path, ()))
        mark(lake, {file.path: sorted(alive)[: 1 + choice % 2]}, seq=number)
    elif what == "rewrite" and file is not None and file.rows:
        head = lake.head("t")
        assert head is not None
        kept = lake.scan(lake.snapshot(head), [file]).collect()
        made = change(lake, kept.slice(choice % 2), removes=(file.path,), **options)  # pyright: ignore[reportArgumentType]
        publish_change(lake, marking(lake, {}, base=made), LOCK)
    elif what == "replace":
        made = change(lake, more, removes=tuple(f.path for f in files), truncate=True, **options)  # pyright: ignore[reportArgumentType]
        publish_change(lake, marking(lake, {}, base=made), LOCK)
    else:
        put(lake, more, **options)


# ---------------------------------------------------------------- what is read for it


def test_nothing_changed_between_a_version_and_itself(lake: Lake):
    put(lake, frame(1, 2))
    known = found(lake, 0, 0)

    assert (False, True, 0, 0) == (known.changed, known.grew, known.rows_came, known.size_bytes)
    assert set() == known.touched([])


def test_rows_that_came_are_in_the_new_files_alone(lake: Lake):
    put(lake, frame(1, 2), seq=1)
    put(lake, frame(3), seq=2, run_id="r2", unit="b")
    known = found(lake, 0, 1)

    assert [3] == rows_that_came(lake, known).collect()["v"].to_list()
    assert (True, True, 1, 0) == (known.changed, known.grew, known.rows_came, known.rows_left)
    assert known.size_bytes == sum(file.size_bytes for file in known.came) > 0
    assert [2, 3] == [known.before.rows, known.after.rows]
    assert [] == rows_that_left(lake, known, ["v"]).collect()["v"].to_list()


def test_dead_rows_left_and_their_file_stays(lake: Lake):
    put(lake, frame(1, 2, 3), seq=1)
    path = paths(lake)[0]
    mark(lake, {path: [0]}, seq=2)
    mark(lake, {path: [2]}, seq=3)

    known = found(lake, 1, 2)

    assert [3] == rows_that_left(lake, known, ["v"]).collect()["v"].to_list()
    assert ((), (), False) == (known.came, known.left, known.grew)
    assert [(2, 1)] == [(was.rows, now.rows) for was, now in known.thinned]
    assert known.size_bytes == known.thinned[0][1].size_bytes
    assert [1, 3] == rows_that_left(lake, found(lake, 0, 2), ["v"]).collect()["v"].to_list()


def test_rows_that_came_back_to_life_came(lake: Lake):
    put(lake, frame(1, 2, 3), seq=1)
    mark(lake, {paths(lake)[0]: [0]}, seq=2)
    lake.open("t").restore(0)

    assert (Counter({1: 1}), Counter()) == moved(lake, found(lake, 1, 2))


def test_a_compaction_changes_nothing(lake: Lake):
    for number in range(3):
        put(lake, frame(number), seq=number + 1, run_id=f"r{number}", unit=str(number))
    lake.open("t").optimize.compact()
    put(lake, frame(9), seq=4, run_id="r9", unit="9")
    lake.open("t").optimize.compact()

    assert not found(lake, 2, 3).changed
    known = found(lake, 0, 3)
    assert known.changed, "one of the files that were rearranged is new"
    assert (Counter({1: 1, 2: 1}), Counter()) == moved(lake, known)
    assert not found(lake, 4, 5).changed
    assert (Counter({9: 1}), Counter()) == moved(lake, found(lake, 3, 5))


def test_two_compactions_in_a_row_change_nothing(lake: Lake):
    rows = pl.DataFrame({"k": ["a", "b"], "v": [1, 2]})
    for number in range(2):
        put(lake, rows, seq=number + 1, run_id=f"r{number}", by=("k",), unit=str(number))
    lake.open("t").optimize.compact()
    lake.open("t").optimize.z_order(["v"])

    assert not found(lake, 1, 3).changed


def test_a_compaction_after_rows_died_leaves_their_leaving(lake: Lake):
    put(lake, frame(1, 2), seq=1, unit="a")
    put(lake, frame(3), seq=2, run_id="r2", unit="b")
    big = next(file.path for file in active(lake) if file.rows == 2)
    mark(lake, {big: [0]}, seq=3)
    lake.open("t").optimize.compact()

    assert (Counter(), Counter({1: 1})) == moved(lake, found(lake, 1, 3))
    assert not found(lake, 2, 3).changed


def test_touched_partitions_are_those_of_rows_that_came_left_or_died(lake: Lake):
    rows = pl.DataFrame({"k": ["a", "b", "b", "c", "d"], "v": [1, 2, 3, 4, 5]})
    put(lake, rows, seq=1, by=("k",))
    put(lake, pl.DataFrame({"k": [None], "v": [9]}, schema=rows.schema), seq=2, run_id="r2", by=("k",), unit="n")
    at = {path.split("/")[0]: path for path in paths(lake)}
    removed = change(lake, rows.head(0), seq=3, run_id="r3", by=("k",), removes=(at["k=c"],))
    publish_change(lake, marking(lake, {at["k=b"]: [0]}, base=removed), LOCK)

    known = found(lake, 0, 2)

    assert {(None,), ("b",), ("c",)} == known.touched(["k"])
    assert {()} == known.touched([])
    assert None is known.touched(["v"])


def test_appends_of_other_programs_are_changes_too(lake: Lake):
    put(lake, pl.DataFrame({"k": ["1"], "v": [1]}), by=("k",))
    write_deltalake(lake.table_uri("t"), pl.DataFrame({"k": ["2"], "v": [2]}).to_arrow(), mode="append")

    known = found(lake, 0, 1)
    assert {("2",)} == known.touched(["k"])
    assert [("2", 2)] == rows_that_came(lake, known).collect().rows()


# ---------------------------------------------------------------- what cannot be told


def test_added_columns_are_told_and_rows_that_left_have_nulls_there(lake: Lake):
    put(lake, frame(1), seq=1)
    old = paths(lake)[0]
    put(lake, pl.DataFrame({"v": [2], "w": ["x"]}), seq=2, run_id="r2", unit="b", removes=(old,))

    known = found(lake, 0, lake.open("t").version())

    assert ("w",) == known.widened
    assert {"v": [2], "w": ["x"]} == rows_that_came(lake, known).collect().to_dict(as_series=False)
    assert {"w": [None], "v": [1]} == rows_that_left(lake, known, ["w", "v"]).collect().to_dict(as_series=False)


def test_a_change_of_settings_alone_is_none(lake: Lake):
    put(lake, frame(1))
    lake.open("t").alter.set_table_description("ours")

    known = found(lake, 0, 1)
    assert (False, ()) == (known.changed, known.widened)


@pytest.mark.parametrize("second", [pl.DataFrame({"v": ["a"]}), pl.DataFrame({"w": [1]})])
def test_a_column_that_changed_or_went_cannot_be_compared(lake: Lake, second: pl.DataFrame):
    put(lake, frame(1), seq=1)
    put(lake, second, seq=2, run_id="r2", removes=tuple(paths(lake)), truncate=True)

    assert None is diff(lake, "t", 0, 1)


def test_another_table_in_its_place_cannot_be_compared(lake: Lake):
    put(lake, frame(1), seq=1)
    DeltaTable.create(lake.table_uri("t"), lake.open("t").schema(), mode="overwrite")
    write_deltalake(lake.table_uri("t"), frame(2).to_arrow(), mode="append")

    assert None is diff(lake, "t", 0, 2)
    assert None is not diff(lake, "t", 1, 2)


def test_a_table_that_ran_backwards_cannot_be_compared(lake: Lake):
    put(lake, frame(1), seq=1)
    put(lake, frame(2), seq=2, run_id="r2", unit="b")

    assert None is diff(lake, "t", 1, 0)
    with pytest.raises(TableMissing):
        diff(lake, "t", 0, 7)


def test_commits_that_are_cleaned_away_tell_nothing(lake: Lake):
    for number in range(4):
        put(lake, frame(number), seq=number + 1, run_id=f"r{number}", unit=str(number))
    lake.open("t").create_checkpoint()
    log = Path(lake.path("t", "_delta_log"))
    (log / f"{2:020d}.json").unlink()

    assert None is diff(lake, "t", 1, 3)
    assert [3] == rows_that_came(lake, found(lake, 2, 3)).collect()["v"].to_list()


def test_a_version_that_cannot_be_loaded_any_more_tells_nothing(lake: Lake):
    for number in range(4):
        put(lake, frame(number), seq=number + 1, run_id=f"r{number}", unit=str(number))
    lake.open("t").create_checkpoint()
    put(lake, frame(9), seq=5, run_id="r9", removes=(paths(lake)[0],))
    (Path(lake.path("t", "_delta_log")) / f"{2:020d}.json").unlink()

    assert None is diff(lake, "t", 2, 4)


@pytest.mark.parametrize("what", ["*.parquet", "*/*.bin"])
def test_what_left_and_was_cleared_away_cannot_be_read(lake: Lake, what: str):
    put(lake, frame(1, 2), seq=1)
    mark(lake, {paths(lake)[0]: [0]}, seq=2)
    old = list(Path(lake.path("t")).glob(what))
    base = change(lake, frame(3), seq=3, run_id="r3", removes=tuple(paths(lake)))
    publish_change(lake, marking(lake, {}, base=base), LOCK)
    assert (Counter({3: 1}), Counter({2: 1})) == moved(lake, found(lake, 1, 2))
    for place in old:
        place.unlink()

    assert None is diff(lake, "t", 1, 2)
