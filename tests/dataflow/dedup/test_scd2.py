from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from dataflow.dedup import REASON, TABLE_ROW, strategy_types
from dataflow.dedup.scd2 import Scd2, Scd2Options
from dataflow.errors import ConfigError
from dataflow.quality.predicate import parse_predicate
from tests.dataflow.dedup.history_table import HistoryTable

SCHEMA = {"_row_id": pl.Int64, "id": pl.Int64, "on": pl.Date, "state": pl.String}


def day(n: int) -> date:
    return date(2026, 1, n)


def rows(*given: tuple[int, int, int, str]) -> pl.DataFrame:
    """Rows of row id, id, day, state."""
    return pl.DataFrame([(r, id, day(n), s) for r, id, n, s in given], schema=SCHEMA, orient="row")


def table(**options: Any) -> HistoryTable:
    return HistoryTable(key=["id"], effective_at="on", **options)


def told(table: HistoryTable) -> list[tuple[int, str, int, int | None]]:
    """Id, state, first and last day of each version."""
    found = table.history("id", "valid_from", "valid_to", "state")
    return [(id, state, begin.day, end.day if end else None) for id, begin, end, state in found]


def reasons(dropped: pl.DataFrame) -> dict[int, str]:
    return dict(dropped.select("_row_id", REASON).rows())


# ---------------------------------------------------------------- upsert


def test_a_change_closes_a_version_and_begins_another() -> None:
    made = table()
    made.add(rows((1, 7, 1, "new"), (2, 8, 1, "new")))
    dropped = made.add(rows((3, 7, 4, "paid"), (4, 8, 5, "new")))

    assert [(7, "new", 1, 4), (7, "paid", 4, None), (8, "new", 1, None)] == told(made)
    assert {4: "unchanged"} == reasons(dropped)
    assert [{"_row_id": 4, "id": 8, "on": day(5), "_reason": "unchanged"}] == dropped.to_dicts()
    assert made.settled is not None
    assert made.settled.replaced is not None
    assert [(0,)] == made.settled.replaced.collect().rows()


def test_columns_that_are_not_tracked_keep_what_the_version_began_with() -> None:
    made = HistoryTable(key=["id"], effective_at="on", tracked=["state"])
    for n, (state, note) in enumerate([("on", "first"), ("on", "second"), ("off", "third")], 1):
        made.add(rows((n, 7, n, state)).with_columns(pl.lit(note).alias("note")))
    assert [("on", "first"), ("off", "third")] == made.history("state", "note")[::-1]


def test_a_late_row_comes_between_observations_of_which_the_table_has_one() -> None:
    made = table()
    made.add(rows((1, 7, 1, "a"), (2, 7, 5, "a")))
    assert [(7, "a", 1, None)] == told(made)
    made.add(rows((3, 7, 3, "b")))
    assert [(7, "a", 1, 3), (7, "b", 3, 5), (7, "a", 5, None)] == sorted(told(made), key=lambda v: v[2])
    assert made.rows is not None
    assert [1, 3, 2] == made.rows.sort("valid_from")["_row_id"].to_list(), "the row that was unchanged has come back"


def test_late_rows_tell_what_they_cost() -> None:
    made = table()
    made.add(rows((1, 7, 1, "a"), (2, 8, 5, "a")))
    made.add(rows((3, 7, 6, "b")))
    assert made.settled is not None
    assert () == made.settled.notes
    made.add(rows((4, 7, 3, "c"), (5, 8, 6, "a")))
    assert made.settled.notes == (
        "1 row came late with something new: the history of 1 key was worked out again from all rows landed",
    )
    assert 1 == made.asked


def test_what_is_sent_again_is_dropped_without_a_look_at_what_is_landed() -> None:
    made, batch = table(), rows((1, 7, 1, "a"), (2, 7, 3, "b"), (3, 8, 2, "a"))
    made.add(batch)
    before = made.history()
    dropped = made.add(batch.with_columns(pl.col("_row_id") + 10))
    assert {11: "unchanged", 12: "unchanged", 13: "unchanged"} == reasons(dropped)
    assert (before, 0) == (made.history(), made.asked)


def test_a_new_key_is_settled_by_its_rows_alone_however_old_they_are() -> None:
    made = table()
    made.add(rows((1, 7, 9, "a")))
    made.add(rows((2, 8, 1, "a"), (3, 8, 2, "b")))
    assert [(7, "a", 9, None), (8, "a", 1, 2), (8, "b", 2, None)] == told(made)
    assert 0 == made.asked


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_rows_with_one_key_and_instant_the_same_one_counts_whoever_comes_first(order: Sequence[int]) -> None:
    rivals = [rows((1, 7, 1, "a")), rows((2, 7, 1, "b"))]
    apart, together = table(), table()
    for n in order:
        apart.add(rivals[n])
    dropped = together.add(pl.concat([rivals[n] for n in order]))
    assert apart.history() == together.history()
    assert 1 == len(apart.history())
    assert ["another row of this key and instant counts"] == list(reasons(dropped).values())


def test_a_batch_without_news_leaves_how_far_it_went() -> None:
    made = table()
    made.add(rows(*((n, n, 1, "a") for n in range(1, 6))))
    for n in (3, 4):
        made.add(rows((10 + n, 1, n, "a")))
        assert made.rows is not None
        assert day(n) == made.rows["_seen_at"].max()
        assert 1 == made.rows.filter(pl.col("_seen_at") == day(n)).height
    assert made.settled is not None
    assert made.settled.replaced is not None
    assert made.rows is not None
    # The one that the batch before wrote for this, which came last and is in a small file.
    assert [made.rows.height - 1] == made.settled.replaced.collect()[TABLE_ROW].to_list()
    made.add(rows((20, 1, 2, "b")))
    expected = [(1, "a", 1, 2), (1, "b", 2, 3), (1, "a", 3, None)]
    assert expected == sorted((version for version in told(made) if version[0] == 1), key=lambda v: v[2])


def test_an_empty_batch_changes_nothing() -> None:
    made = table()
    made.add(rows())
    assert [] == told(made)
    made.add(rows((1, 7, 1, "a")))
    made.add(rows())
    assert [(7, "a", 1, None)] == told(made)


def test_a_column_that_comes_later_was_null_before() -> None:
    made = table()
    made.add(rows((1, 7, 1, "a"), (2, 8, 1, "a")))
    made.landed = [frame.with_columns(pl.lit(None, pl.String).alias("colour")) for frame in made.landed]
    colours = rows((3, 7, 2, "a"), (4, 8, 2, "a")).with_columns(colour=pl.Series([None, "red"]))
    assert {3: "unchanged"} == reasons(made.add(colours))
    assert [(7, None), (8, None), (8, "red")] == sorted(made.history("id", "colour"), key=lambda r: (r[0], r[1] or ""))


def test_keys_and_instants_are_found_in_a_table_of_wider_types() -> None:
    made = table()
    made.add(rows((1, 7, 1, "a")))
    narrow = rows((2, 7, 2, "b")).cast({"id": pl.Int16})
    made.landed = [frame.cast({"id": pl.Int16}) for frame in made.landed]  # only the table's type is kept
    made.add(narrow)
    assert [(7, "a", 1, 2), (7, "b", 2, None)] == told(made)
    settled = made.settled
    assert settled is not None
    assert settled.replaced is not None
    assert [(0,)] == settled.replaced.collect().rows()


# ---------------------------------------------------------------- snapshots


def test_a_key_that_the_next_snapshot_lacks_ends_there_and_may_come_back() -> None:
    made = table(mode="snapshot")
    made.add(rows((1, 7, 1, "a"), (2, 8, 1, "a")))
    made.add(rows((3, 8, 2, "a")))
    assert [(7, "a", 1, 2), (8, "a", 1, None)] == told(made)
    made.add(rows((4, 7, 3, "a"), (5, 8, 3, "a")))
    assert [(7, "a", 1, 2), (7, "a", 3, None), (8, "a", 1, None)] == told(made)


def test_a_snapshot_that_changed_nothing_is_known_to_a_late_one() -> None:
    made = table(mode="snapshot")
    made.add(rows((1, 7, 1, "a")))
    made.add(rows((2, 7, 5, "a")))
    made.add(rows((3, 7, 3, "b"), (4, 8, 3, "x")))
    found = sorted(told(made), key=lambda v: (v[0], v[2]))
    assert [(7, "a", 1, 3), (7, "b", 3, 5), (7, "a", 5, None), (8, "x", 3, 5)] == found


def test_a_snapshot_in_two_batches_is_one() -> None:
    made = table(mode="snapshot")
    made.add(rows((1, 7, 1, "a"), (2, 8, 1, "a")))
    made.add(rows((3, 7, 2, "a")))
    assert [(7, "a", 1, None), (8, "a", 1, 2)] == told(made)
    made.add(rows((4, 8, 2, "a")))
    assert [(7, "a", 1, None), (8, "a", 1, None)] == told(made)
    assert made.settled is not None
    assert made.settled.notes == (
        "1 row came late with something new: the history of 1 key was worked out again from all rows landed",
    )


def test_rows_sent_by_hand_outlast_late_ones() -> None:
    made = table(mode="snapshot")
    made.add(rows((1, 7, 1, "a"), (2, 8, 1, "a")))
    made.add(rows((4, 8, 3, "a")))
    made.add(rows((5, 7, 5, "a"), (6, 8, 5, "a")))
    assert [(7, "a", 1, 3), (7, "a", 5, None), (8, "a", 1, None)] == told(made)
    made.add(rows((3, 7, 3, "a")), by_hand=True)
    assert [(7, "a", 1, None), (8, "a", 1, None)] == told(made)
    made.add(rows((7, 8, 4, "a")))
    assert [(7, "a", 1, 4), (7, "a", 5, None), (8, "a", 1, None)] == told(made), "no gap at 3"


# ---------------------------------------------------------------- what it asks of rows


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:30", datetime(2026, 1, 31, 12, 30, tzinfo=UTC)),
        ("2026-01-31 12:30:15", datetime(2026, 1, 31, 12, 30, 15, tzinfo=UTC)),
        ("2026-01-31T12:30:15.25Z", datetime(2026, 1, 31, 12, 30, 15, 250_000, tzinfo=UTC)),
        ("2026-01-31t12:30:15z", datetime(2026, 1, 31, 12, 30, 15, tzinfo=UTC)),
        ("2026-01-31T12:30+02:00", datetime(2026, 1, 31, 10, 30, tzinfo=UTC)),
        ("2026-01-31T12:30:15-0530", datetime(2026, 1, 31, 18, 0, 15, tzinfo=UTC)),
        ("2026-01-31T12:30:15.000001+02", datetime(2026, 1, 31, 10, 30, 15, 1, tzinfo=UTC)),
        ("2026-02-30", None),
        ("31.01.2026", None),
        ("01/31/2026", None),
        ("20260131", None),
        ("", None),
        (None, None),
    ],
)
def test_iso_text_is_read_as_an_instant_in_utc(text: str | None, expected: datetime | None) -> None:
    made = Scd2(Scd2Options(key=("id",), effective_at="on"))
    derived = made.derive(pl.LazyFrame({"id": [1], "on": [text]}, schema_overrides={"on": pl.String})).collect()
    assert pl.Datetime("us", "UTC") == derived.schema["valid_from"]
    assert [expected] == derived["valid_from"].to_list()


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (day(3), pl.Date(), day(3)),
        (datetime(2026, 1, 3, 5), pl.Datetime("ms"), datetime(2026, 1, 3, 5)),
        (datetime(2026, 1, 3, 5, tzinfo=UTC), pl.Datetime("ns", "Europe/Rome"), datetime(2026, 1, 3, 5, tzinfo=UTC)),
        (datetime(2026, 1, 3, 5, tzinfo=timezone(timedelta(hours=2))), pl.Datetime("us", "UTC"), datetime(2026, 1, 3, 3, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_dates_and_datetimes_are_taken_as_they_are(value: Any, dtype: pl.DataType, expected: Any) -> None:
    made = Scd2(Scd2Options(key=("id",), effective_at="on"))
    derived = made.derive(pl.LazyFrame({"on": pl.Series([value]).cast(dtype)})).collect()
    assert [expected] == derived["valid_from"].to_list()
    assert "ns" != getattr(derived.schema["valid_from"], "time_unit", "us")


def test_rules_set_rows_aside_whose_key_or_instant_is_not_known() -> None:
    made = Scd2(Scd2Options(key=("id", 'a "b"'), effective_at="on"))
    frame = pl.LazyFrame({"id": [1, None, 1, 1], 'a "b"': [1, 1, None, 1], "on": ["2026-01-01"] * 3 + ["soon"]})
    assert ["key_id_is_known", 'key_a "b"_is_known', "effective_at_is_known"] == [rule["name"] for rule in made.rules]
    assert {"quarantine"} == {rule["on_fail"] for rule in made.rules}
    derived = made.derive(frame)
    failing = [derived.select(parse_predicate(rule["predicate"]).failing).collect().to_series() for rule in made.rules]
    assert [[1], [2], [3]] == [list(found.arg_true()) for found in failing]


def test_a_column_that_tells_no_time_is_refused() -> None:
    made = Scd2(Scd2Options(key=("id",), effective_at="on"))
    with pytest.raises(
        ConfigError, match=r"effective_at names 'on', which is of type Int64; it takes a date.* cast it"
    ):
        made.derive(pl.LazyFrame({"on": [1]}))


@pytest.mark.parametrize("column", ["valid_to", "_seen_at", "_ref", "_begins", "_content"])
def test_a_column_that_the_table_keeps_for_itself_is_refused(column: str) -> None:
    made = Scd2(Scd2Options(key=("id",), effective_at="on"))
    with pytest.raises(ConfigError, match=rf"adds a column '{column}', which the rows have already; rename"):
        made.derive(pl.LazyFrame({"on": [day(1)], column: [day(1)]}))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"key": [], "effective_at": "on"}, "key"),
        ({"key": ["id"]}, "effective_at"),
        ({"key": ["id", "on"], "effective_at": "on"}, "effective_at names 'on', which is in the key"),
        ({"key": ["id"], "effective_at": "on", "tracked": ["state", "id"]}, "tracked names 'id', which is the key or"),
        ({"key": ["id"], "effective_at": "on", "tracked": []}, "tracked"),
        ({"key": ["id"], "effective_at": "on", "mode": "snapshots"}, "mode"),
        ({"key": ["id"], "effective_at": "on", "delete": "keep"}, "delete"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Scd2Options.model_validate(options)


def test_it_is_registered_and_names_its_columns() -> None:
    assert Scd2 is strategy_types.find("scd2")
    made = Scd2(Scd2Options(key=("id",), effective_at="on", tracked=("state",)))
    assert {"key": ("id",), "effective_at": ("on",), "tracked": ("state",)} == dict(made.columns)
    assert ("id", "valid_from") == made.unique_by
