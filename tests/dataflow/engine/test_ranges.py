from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.engine.ranges import Range, units_within
from dataflow.errors import ConfigError
from dataflow.model import SOURCE_FILE, Unit


def parts(*values: str | None, column: str = "month") -> list[Unit]:
    return [Unit(stage="s", partition=((column, value),)) for value in values]


def within(units: list[Unit], since: str | None, until: str | None) -> list[str]:
    return [unit.label for unit in units_within(units, Range(since, until), {}).units]


@pytest.mark.parametrize(
    ("values", "since", "until", "expected"),
    [
        (("1", "10", "2", "11", "3"), "2", "10", ["2", "3", "10"]),
        (("1.5", "-2", "10"), "-2.0", "1.50", ["-2", "1.5"]),
        (("2026-01-31", "2026-02-01", "2025-12-31"), "2026-01", "2026-01", ["2026-01-31"]),
        (("2026-01-31", "2026-02-01", "2027-01-01"), None, "2026", None),
        (("2026-01-31 10:00:00", "2026-01-31 12:00:00"), "2026-01-31T11:00:00", None, ["2026-01-31 12:00:00"]),
        (("2026-12-31", "2027-01-01"), "2026-12", "2026-12", ["2026-12-31"]),
        (("b", "a", "ab", "c"), "ab", "b", ["ab", "b"]),
        (("1", "x", "10"), "1", "10", ["1", "10"]),
        (("2", None, "1"), None, "2", ["1", "2"]),
    ],
)
def test_partitions_compare_as_what_their_values_are(
    values: tuple[str | None, ...], since: str | None, until: str | None, expected: list[str] | None
):
    labels = [v.removeprefix("month=") for v in within(parts(*values), since, until)]
    assert (expected or ["2026-01-31", "2026-02-01"]) == labels


@settings(max_examples=50)
@given(st.lists(st.dates(date(1990, 1, 1), date(2040, 1, 1)), min_size=1, unique=True), st.data())
def test_a_range_of_days_holds_the_days_in_it(days: list[date], data: st.DataObject):
    first, last = sorted(data.draw(st.tuples(st.sampled_from(days), st.sampled_from(days))))
    found = within(parts(*map(str, days), column="day"), str(first), str(last))
    assert [f"day={day}" for day in sorted(days) if first <= day <= last] == found


def test_files_are_meant_by_arrival_where_both_ends_are_dates_else_by_name():
    files = [Unit(stage="s", partition=((SOURCE_FILE, f"/in/{name}"),)) for name in ("b.csv", "a.csv", "c.csv")]
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    arrived = {file.id: (noon + timedelta(days=n)).timestamp() for n, file in enumerate(files)}

    by_arrival = units_within(files, Range("2026-01-31", "2026-02-01"), arrived)
    by_name = units_within(files, Range("a", "b"), arrived)
    open_end = units_within(files, Range(None, "2026-01"), arrived)

    assert ("arrival", ["b.csv", "a.csv"]) == (by_arrival.by, [u.label for u in by_arrival.units])
    assert ("file name", ["a.csv", "b.csv"]) == (by_name.by, [u.label for u in by_name.units])
    assert ["b.csv"] == [u.label for u in open_end.units]


@pytest.mark.parametrize(("since", "until"), [("a.csv", "2026-02-01"), ("2026-02-01", "a.csv")])
def test_a_file_and_a_date_are_no_range(since: str, until: str):
    files = [Unit(stage="s", partition=((SOURCE_FILE, f"/in/{name}"),)) for name in ("b.csv", "a.csv")]
    with pytest.raises(ConfigError) as error:
        units_within(files, Range(since, until), {})
    assert (
        f"the range from {since} to {until} has ends of two kinds: 'a.csv' is the name of a file, '2026-02-01' a time of "
        "arrival; name two files, or give two dates"
    ) == str(error.value)


def test_beside_the_name_of_a_file_a_date_may_be_the_beginning_of_one():
    names = ("2026-01-flights.csv", "2026-02-flights.csv", "2026-03-flights.csv")
    files = [Unit(stage="s", partition=((SOURCE_FILE, f"/in/{name}"),)) for name in names]
    assert list(names[:2]) == within(files, "2026-01-flights.csv", "2026-02")


def test_a_file_that_is_gone_arrived_at_no_time():
    there, gone = (Unit(stage="s", partition=((SOURCE_FILE, name),)) for name in ("there", "gone"))
    found = units_within([there, gone], Range("1970", None), {there.id: 1.0})
    assert (there,) == found.units


def test_a_stage_that_runs_whole_is_in_every_range():
    whole = Unit(stage="s")
    assert ((whole,), "") == ((found := units_within([whole], Range("5", "6"), {})).units, found.by)


@pytest.mark.parametrize(
    ("values", "since", "until", "says"),
    [
        (("1", "2", "3"), "4", None, "no month lies from 4 on; there are 1, 2, 3"),
        (("1", "2", "3"), None, "0", "no month lies up to 0"),
        (tuple("123456"), "7", "8", "there are 6: 1 … 6"),
        (("1",), "2", "3", "there is 1"),
        ((None,), "2", "3", "there is none at all"),
        (("1", "2"), "2", "1", "ends before it begins"),
        (("1", "2"), "a", None, "'a' cannot be compared with month, whose values are numbers"),
        (("1", "2"), "NaN", None, "whose values are numbers"),
        (("2026-01-01",), "13", None, "whose values are dates or times"),
    ],
)
def test_a_range_that_holds_nothing_says_what_there_is(
    values: tuple[str | None, ...], since: str | None, until: str | None, says: str
):
    with pytest.raises(ConfigError) as caught:
        within(parts(*values), since, until)
    assert says in str(caught.value)
