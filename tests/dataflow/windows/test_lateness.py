from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.errors import ConfigError
from dataflow.model import ROWS_PER_FILE
from dataflow.windows.lateness import FEW_STEPS, Step, advance, is_late, time_column_of

START = datetime(2020, 3, 1, tzinfo=UTC)
Row = tuple[int, int | None]
"""File id, and event time in minutes after START."""


def at(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


def judged(rows: list[Row], steps: tuple[Step, ...], restated: dict[int, int] | None = None) -> list[bool]:
    frame = pl.LazyFrame(
        {"_row_id": [f * ROWS_PER_FILE + n for n, (f, _) in enumerate(rows)], "t": [m if m is None else at(m) for _, m in rows]},
        schema={"_row_id": pl.Int64, "t": pl.Datetime("us", "UTC")},
    )  # fmt: skip
    late = is_late("t", ["_row_id"], steps, restated=restated or {})
    return frame.with_columns(late=late).collect()["late"].to_list()


def test_a_row_is_late_when_the_watermark_had_passed_it_before_its_file_arrived() -> None:
    steps = ((1, at(10)), (3, at(20)))
    rows: list[Row] = [(1, 0), (2, 9), (2, 10), (3, 15), (4, 19), (4, 20), (4, None)]
    assert [False, True, False, False, True, False, False] == judged(rows, steps)


def test_a_corrected_file_arrived_when_its_name_was_first_seen() -> None:
    steps = ((1, at(10)),)
    assert [True] == judged([(5, 0)], steps)
    assert [False] == judged([(5, 0)], steps, {5: 1})


def test_a_row_of_several_files_arrived_with_the_last_of_them() -> None:
    frame = pl.LazyFrame(
        {
            "_a_row_id": [ROWS_PER_FILE, ROWS_PER_FILE, None],
            "_b_row_id": [None, 2 * ROWS_PER_FILE, None],
            "t": [at(0)] * 3,
        }
    )
    late = is_late("t", ["_a_row_id", "_b_row_id"], ((1, at(5)),), restated={})
    assert [False, True, False] == frame.select(late).collect().to_series().to_list()


@pytest.mark.parametrize("copies", [1, FEW_STEPS + 1])
def test_dates_and_times_without_a_zone_count_as_utc(copies: int) -> None:
    steps = tuple((1 + n, at(0)) for n in range(copies))
    frame = pl.LazyFrame(
        {
            "_row_id": [99 * ROWS_PER_FILE] * 2,
            "d": [date(2020, 2, 29), date(2020, 3, 1)],
            "n": [datetime(2020, 2, 29, 23, 59), datetime(2020, 3, 1)],
        },
        schema_overrides={"n": pl.Datetime("ns")},
    )
    late = frame.select(
        is_late("d", ["_row_id"], steps, restated={}).alias("d"), is_late("n", ["_row_id"], steps, restated={}).alias("n")
    ).collect()  # fmt: skip
    assert [(True, True), (False, False)] == late.rows()


@pytest.mark.parametrize("count", [0, 1, FEW_STEPS, FEW_STEPS + 1, 200])
def test_few_steps_and_many_give_the_same_answers(count: int) -> None:
    steps = tuple((2 * n, at(3 * n)) for n in range(count))
    rows: list[Row] = [(f, m) for f in range(2 * count + 3) for m in (None, 0, 3 * (f // 2) - 1, 3 * (f // 2), 999)]
    truth = [m is not None and any(f > seen and at(m) < mark for seen, mark in steps) for f, m in rows]
    assert truth == judged(rows, steps)


@pytest.mark.parametrize("count", [0, 1, FEW_STEPS + 1])
def test_the_answer_is_never_null(count: int) -> None:
    frame = pl.LazyFrame({"_row_id": [None, None], "t": [None, START]}, schema={"_row_id": pl.Int64, "t": pl.Datetime("us", "UTC")})  # fmt: skip
    steps = tuple((n, at(n)) for n in range(count))
    found = frame.with_columns(late=is_late("t", ["_row_id"], steps, restated={})).collect()
    assert [False, False] == found["late"].to_list()


def test_the_watermark_never_falls_and_no_step_is_recorded_where_it_does_not_rise() -> None:
    hour = timedelta(hours=1)
    steps = advance((), 3, at(120), hour)
    assert ((3, at(60)),) == steps
    assert steps == advance(steps, 5, at(120), hour) == advance(steps, 5, at(0), hour)
    assert ((3, at(60)), (7, at(61))) == advance(steps, 7, at(121), hour)


def test_a_watermark_that_rises_without_new_files_replaces_the_step() -> None:
    assert ((3, at(9)),) == advance(((3, at(5)),), 3, at(9), timedelta(0))


def test_a_file_that_is_gone_does_not_take_history_with_it() -> None:
    before = ((3, at(5)), (8, at(9)))
    after = advance(before, 4, at(20), timedelta(0))
    assert ((3, at(5)), (8, at(20))) == after
    rows: list[Row] = [(f, m) for f in range(9) for m in range(25)]
    assert judged(rows, before) == judged(rows, after)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.none() | st.integers(0, 40), max_size=4), min_size=1, max_size=24),
    st.lists(st.booleans(), min_size=24, max_size=24),
    st.integers(0, 10),
    st.integers(1, 2),
)
def test_lateness_is_that_of_the_definition_and_does_not_change_afterwards(
    files: list[list[int | None]], cuts: list[bool], tolerance: int, many: int
) -> None:
    """Files in order of arrival, split into batches by ``cuts``; each batch judged as it arrives, and all at the end."""
    steps: tuple[Step, ...] = ()
    if many == 2:  # as many steps more, long ago, as make the search take over
        steps = tuple((-FEW_STEPS - 1 + n, at(-99 + n)) for n in range(FEW_STEPS + 1))
    truth, as_it_came, everything = list[bool](), list[bool](), list[Row]()
    seen, batch = list[int](), list[Row]()
    for number, minutes in enumerate(files):
        batch += [(number, m) for m in minutes]
        if not cuts[number] and number < len(files) - 1:
            continue
        mark = max(seen, default=-1000) - tolerance
        truth += [m is not None and m < mark for _, m in batch]
        as_it_came += judged(batch, steps)
        seen += [m for _, m in batch if m is not None]
        if seen:
            steps = advance(steps, number, at(max(seen)), timedelta(minutes=tolerance))
        everything += batch
        batch = []
    assert truth == as_it_came
    assert truth == judged(everything, steps)


SCHEMA = pl.Schema({"id": pl.Int64(), "on": pl.Date(), "at": pl.Datetime("us", "UTC"), "text": pl.String(), "clock": pl.Time()})  # fmt: skip


def test_the_time_column_is_as_declared_else_the_stages_timestamp_else_the_only_one() -> None:
    assert "on" == time_column_of(SCHEMA, "on", "at")
    assert "at" == time_column_of(SCHEMA, None, "at")
    assert "on" == time_column_of(pl.Schema({"id": pl.Int64(), "on": pl.Date(), "clock": pl.Time()}), None, None)


@pytest.mark.parametrize(
    ("schema", "window", "timestamp", "said"),
    [
        (SCHEMA, None, None, ["2 columns", "on, at", "name one"]),
        (pl.Schema({"id": pl.Int64(), "text": pl.String()}), None, None, ["0 columns", "convert one"]),
        (SCHEMA, "att", None, ["'att'", "did you mean 'at'", "accepted: at, on"]),
        (SCHEMA, None, "text", ["'text' is String", "name one of: on, at"]),
        (SCHEMA, "clock", None, ["'clock' is Time", "name one of: on, at"]),
        (pl.Schema({"text": pl.String()}), "text", None, ["'text' is String", "name one of: none"]),
    ],
)
def test_what_cannot_tell_the_time_is_refused_with_the_candidates(
    schema: pl.Schema, window: str | None, timestamp: str | None, said: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        time_column_of(schema, window, timestamp)
    for part in said:
        assert part in caught.value.message
