"""What ``snapshot`` does at its edges: late dumps, dumps in parts, dumps that end early, columns of every kind."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from dataflow.dedup import TABLE_ROW
from dataflow.dedup.snapshot import Snapshot, SnapshotOptions
from dataflow.errors import ConfigError, StageFailed
from tests.dataflow.dedup.dumps import Row, fold, found, frame, told
from tests.dataflow.dedup.folds import Fold, numbered


def rows(*letters: str, note: str = "x") -> list[Row]:
    """A row for each letter, which is its key as well as its value."""
    return [(ord(letter.lower()), letter, note) for letter in letters]


def settled(*dumps: list[Row], **options: Any) -> Fold:
    table = fold(**options)
    for number, content in enumerate(dumps, 1):
        table.settle(frame((number, content)))
    return table


def values(table: Fold) -> str:
    assert table.rows is not None
    return "".join(sorted(table.rows["value"]))


def test_inserts_updates_and_deletes() -> None:
    table = settled(rows("a", "b", "c"), rows("a", "B", "d"))

    assert "Bad" == values(table)
    assert [
        ("delete", 2, (99, "c", "x")),
        ("insert", 1, (97, "a", "x")),
        ("insert", 1, (98, "b", "x")),
        ("insert", 1, (99, "c", "x")),
        ("insert", 2, (100, "d", "x")),
        ("update", 2, (98, "B", "x")),
    ] == told(table)
    assert {"unchanged": 1} == table.reasons
    assert "1 snapshot: 1 inserts, 1 updates, 1 deletes" == table.notes[-1]


def test_a_late_dump_changes_nothing_and_is_told() -> None:
    table = settled(rows("a", "b"), rows("a", "b"), rows("a", "b", "c"))
    before = found(table)
    assert 0 == table.settle(frame((2, rows("z", "b")))).height

    assert before == found(table)
    assert {"of an earlier snapshot than the table's": 2, "unchanged": 4} == table.reasons
    assert "1 snapshot: 0 inserts, 0 updates, 0 deletes" == table.notes[-1]


def test_a_dump_that_changed_nothing_is_remembered_by_one_row() -> None:
    table = settled(rows("a", "b"), rows("a", "b"), rows("a", "b"))
    assert table.rows is not None

    assert 2 == table.rewritten
    assert [1, 3] == sorted(table.rows["_seen_snapshot"]), "always the same row"
    table.settle(frame((2, rows("a"))))
    assert "ab" == values(table), "the second is earlier than the third, which nothing but that row tells"


def test_where_rows_only_went_the_last_of_the_others_remembers_it() -> None:
    table = settled(rows("a", "b", "c", "d"), rows("e", "a", "b", "c", "d"), rows("a", "b", "d", "e"))
    assert table.rows is not None
    (bearer,) = table.rows.filter(pl.col("_seen_snapshot") == 3)["value"]

    # The one that came last.
    assert "e" == bearer
    assert 2 == table.rewritten


def test_a_part_of_the_tables_own_dump_adds_to_it() -> None:
    table = settled(rows("a", "b"), rows("a"))
    table.settle(frame((2, rows("B", "c"))))

    assert "Bac" == values(table)
    assert ("insert", 2, (99, "c", "x")) in told(table)


def test_a_part_may_say_something_else_of_a_key() -> None:
    first, second = fold(), fold()
    for table, order in ((first, "ab"), (second, "ba")):
        for letter in order:
            table.settle(frame((1, [(1, letter, "x")])))
    whole = settled([(1, "a", "x"), (1, "b", "x")])

    assert found(whole) == found(first) == found(second)
    (kind,) = {kind for kind, *_ in told(first) + told(second)} - {"insert"}
    assert "update" == kind


def test_of_rows_with_one_key_in_a_dump_one_counts() -> None:
    table = settled([(1, "a", "x"), (1, "b", "x"), (1, "a", "x")])
    other = settled([(1, "b", "x"), (1, "a", "x"), (1, "a", "x")])
    one = values(table)

    assert one in ("a", "b")
    assert one == values(other)
    told_apart = {"another row of this key and snapshot counts": 2}
    assert table.reasons == (
        told_apart if one == "b" else {"another row of this key and snapshot counts": 1, "unchanged": 1}
    )


def test_what_is_ignored_stays_as_it_came() -> None:
    table = settled(rows("a", note="old"), rows("a", note="new"), rows("A", note="newest"))

    assert [(97, "A", "newest", 3)] == found(table)
    assert [("insert", 1, (97, "a", "old")), ("update", 3, (97, "A", "newest"))] == told(table)
    assert ["old"] == [row[2] for row in found(settled(rows("a", note="old"), rows("a", note="new")))]


def test_rows_may_be_marked_and_come_back() -> None:
    table = settled(rows("a", "b"), rows("a"), rows("a", "b"), rows("a"), deletes="mark")

    assert [(97, "a", "x", 1, None), (98, "b", "x", 3, 4)] == found(table)
    assert ["insert", "insert", "delete", "insert", "delete"] == [
        kind for kind, *_ in sorted(told(table), key=lambda change: change[1])
    ]


def test_rows_may_be_kept() -> None:
    table = settled(rows("a", "b"), rows("a"), rows("a", "B"), deletes="keep", min_share=1)

    assert "Ba" == values(table)
    assert {"insert", "update"} == {kind for kind, *_ in told(table)}


def test_without_a_change_table_there_are_none() -> None:
    assert [] == settled(rows("a"), rows("b"), changes=False).changes


@pytest.mark.parametrize("batches", [1, 2])
def test_a_dump_that_ends_early_is_refused(batches: int) -> None:
    first, second = (1, rows("a", "b", "c", "d", "d")), (2, rows("a"))
    table = fold(min_share=0.5)
    parts = [frame(first, second)] if batches == 1 else [frame(first), frame(second)]
    for part in parts[:-1]:
        table.settle(part)

    with pytest.raises(
        StageFailed,
        match=r"strategy 'snapshot': the snapshot of file number 2 has 1 rows, the one before it 4; less than min_share "
        r"\(0.5\) of these looks incomplete, and 3 rows or more would be deleted. Nothing is changed; deliver it again",
    ):
        table.settle(parts[-1])
    assert batches - 1 == table.batches
    assert "ab" == values(settled(rows("a", "b", "c", "d"), rows("a", "b"), min_share=0.5)), "half is enough"


def test_marked_rows_do_not_count_as_there() -> None:
    table = settled(rows("a", "b", "c", "d"), rows("a", "b"), rows("a"), deletes="mark", min_share=0.5)

    assert 3 == len([row for row in found(table) if row[-1] is not None])


@pytest.mark.parametrize(
    ("early", "late"),
    [
        (date(2026, 1, 31), date(2026, 2, 1)),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=UTC)),
        (9, 10),
        ("2026-09", "2026-10"),
        (0.5, 1.5),
    ],
)
def test_a_column_may_tell_the_dump(early: Any, late: Any) -> None:
    table = Fold(Snapshot(SnapshotOptions(key=("id",), snapshot_by="at")))
    table.settle(pl.DataFrame({"id": [1, 2], "value": ["a", "b"], "at": [late, late]}))
    table.settle(pl.DataFrame({"id": [1], "value": ["A"], "at": [early]}))
    assert [(1, "a", late), (2, "b", late)] == table.table("_snapshot", "_seen_snapshot").rows()
    assert table.dropped[-1]["at"].to_list() == [early]


def test_a_batch_is_met_in_the_tables_types() -> None:
    table = Fold(Snapshot(SnapshotOptions(key=("id",), snapshot_by="at")))
    table.settle(pl.DataFrame({"id": [1, 2], "value": ["a", "b"], "at": [1, 1]}))
    narrow = {"id": pl.Int8, "value": pl.String, "at": pl.Int16}
    settled = table.strategy.settle(
        table.strategy.derive(pl.LazyFrame({"id": [1, 3], "value": ["a", "c"], "at": [2, 2]}, narrow)),
        None if table.rows is None else numbered(table.rows).lazy(),
        lambda: pl.LazyFrame(),
    )

    assert [3] == settled.added.collect()["id"].to_list()
    assert settled.replaced is not None
    assert [1] == settled.replaced.collect()[TABLE_ROW].to_list()


def test_a_column_that_came_later_is_null_before() -> None:
    table = fold(snapshot_by="dumped_on", ignore=["note"])
    table.settle(frame((1, rows("a", "b"))).drop("value"))
    assert table.rows is not None
    batch = frame((2, [(97, None, "x"), (98, "b", "x")]))
    settled = table.strategy.settle(
        table.strategy.derive(batch.lazy()), numbered(table.rows).lazy(), lambda: batch.lazy()
    )

    assert [98] == settled.added.collect()["id"].to_list(), "null is what a row without the column holds"
    assert settled.changes is not None
    assert [("update", 98)] == settled.changes.select("_change", "id").collect().rows()


def test_a_table_whose_rows_are_all_gone_begins_anew() -> None:
    table = settled(rows("a", "b"))
    assert table.rows is not None
    table.rows = table.rows.clear()
    table.settle(frame((1, rows("c"))))
    assert "c" == values(table)


def test_rows_that_do_not_tell_their_file_need_a_column_that_tells_the_dump() -> None:
    strategy = Snapshot(SnapshotOptions(key=("id",)))
    with pytest.raises(ConfigError, match="these rows do not tell their file; name the column that tells the snapshot"):
        strategy.derive(pl.LazyFrame({"id": [1]}))


@pytest.mark.parametrize("dtype", [pl.Boolean(), pl.List(pl.Int64()), pl.Binary(), pl.Enum(["a"])])
def test_what_tells_the_dump_has_an_order(dtype: pl.DataType) -> None:
    strategy = Snapshot(SnapshotOptions(key=("id",), snapshot_by="at"))
    with pytest.raises(ConfigError, match=r"snapshot_by names 'at', which is of type .*; it takes a date, a time"):
        strategy.derive(pl.LazyFrame(schema={"id": pl.Int64, "at": dtype}))


@pytest.mark.parametrize("name", ["_snapshot", "_seen_snapshot", "_deleted_in", "_change"])
def test_names_of_ours_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"strategy 'snapshot' adds a column '{name}'"):
        Snapshot(SnapshotOptions(key=("id",))).derive(pl.LazyFrame({"id": [1], "_row_id": [1], name: [1]}))


def test_a_column_of_a_history_is_a_column_like_any_other() -> None:
    table = Fold(Snapshot(SnapshotOptions(key=("id",), min_share=0)))
    for number, until in enumerate(["a", "a", "b"], 1):
        ids = [number << 40]
        table.settle(pl.DataFrame({"id": [1], "valid_from": ["x"], "valid_to": [until], "_row_id": ids}))
    assert [(1, "x", "b")] == table.table("_row_id", "_snapshot", "_seen_snapshot").rows()

    with pytest.raises(ConfigError, match="adds a column 'valid_from'"):
        Snapshot(SnapshotOptions(key=("valid_from",))).derive(pl.LazyFrame({"valid_from": [1], "_row_id": [1]}))


def test_what_the_strategy_says_of_itself() -> None:
    strategy = Snapshot(SnapshotOptions(key=("a", 'b"'), snapshot_by="at", ignore=("note",)))

    assert {"key": ("a", 'b"'), "snapshot_by": ("at",), "ignore": ("note",)} == strategy.columns
    assert ("a", 'b"') == strategy.unique_by
    assert {"_snapshot": ("at",), "_seen_snapshot": ("at",), "_deleted_in": ("at",)} == strategy.retells
    assert ['"a" IS NOT NULL', '"b""" IS NOT NULL', '"_snapshot" IS NOT NULL'] == [
        r["predicate"] for r in strategy.rules
    ]
    plain = Snapshot(SnapshotOptions(key=("a",)))
    assert ({"key": ("a",)}, {}) == (plain.columns, plain.retells)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"key": []}, "at least 1 item"),
        ({"key": ["a"], "snapshot_by": "a"}, "no row would be in two snapshots"),
        ({"key": ["a"], "ignore": ["a"]}, "ignore names 'a', which is the key or snapshot_by"),
        ({"key": ["a"], "snapshot_by": "b", "ignore": ["b"]}, "ignore names 'b', which is the key or snapshot_by"),
        ({"key": ["a"], "min_share": 1.5}, "less than or equal to 1"),
        ({"key": ["a"], "deletes": "drop"}, "'delete', 'mark' or 'keep'"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        SnapshotOptions.model_validate(options)
