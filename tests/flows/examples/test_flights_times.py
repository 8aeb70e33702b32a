"""Local times of day become instants: 2400, nights, both clock changes, zones, what is missing and what is broken."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.examples.flights import ZONES_OF_UNLISTED_AIRPORTS, type_flights
from flows.examples.local_times import ZONES
from tests.flows.examples.flights_data import AIRPORT, FLIGHT, Row, airports, frame


def typed(*rows: Row) -> list[dict[str, Any]]:
    return type_flights(frame(FLIGHT, *rows), airports()).collect().to_dicts()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "time", "expected"),
    [
        (("1", "2"), "517", "2013-01-02T10:17"),
        (("7", "2"), "517", "2013-07-02T09:17"),
        (("1", "2"), "1", "2013-01-02T05:01"),
        (("1", "2"), "0", "2013-01-02T05:00"),
        (("1", "31"), "2400", "2013-02-01T05:00"),
        # The night of 10 March skips 2:00 to 2:59: an hour later, which standard time would have made of it.
        (("3", "10"), "159", "2013-03-10T06:59"),
        (("3", "10"), "230", "2013-03-10T07:30"),
        (("3", "10"), "300", "2013-03-10T07:00"),
        # The night of 3 November has 1:00 to 1:59 twice: the first.
        (("11", "3"), "59", "2013-11-03T04:59"),
        (("11", "3"), "130", "2013-11-03T05:30"),
        (("11", "3"), "200", "2013-11-03T07:00"),
    ],
)
def test_scheduled_departure_is_new_yorks_clock(day: tuple[str, str], time: str, expected: str) -> None:
    [flight] = typed({"month": day[0], "day": day[1], "sched_dep_time": time})

    assert utc(expected) == flight["scheduled_departure_at"]
    assert date(2013, int(day[0]), int(day[1])) == flight["flight_on"]


@pytest.mark.parametrize(
    ("day", "departs", "dest", "arrives", "expected"),
    [
        (("6", "12"), "1200", "BOS", "1310", "2013-06-12T17:10"),
        (("6", "12"), "2330", "BOS", "40", "2013-06-13T04:40"),
        (("6", "12"), "2230", "BOS", "2400", "2013-06-13T04:00"),
        (("6", "12"), "1200", "BOS", "1200", "2013-06-13T16:00"),
        (("6", "12"), "1200", "LAX", "1500", "2013-06-12T22:00"),
        (("6", "12"), "2200", "LAX", "45", "2013-06-13T07:45"),
        # It is still the evening before in Los Angeles when this one leaves.
        (("6", "12"), "200", "LAX", "2359", "2013-06-12T06:59"),
        (("6", "12"), "200", "LAX", "500", "2013-06-12T12:00"),
        # Phoenix does not change its clocks: two hours behind New York in winter, three in summer.
        (("1", "12"), "1200", "PHX", "1500", "2013-01-12T22:00"),
        (("6", "12"), "1200", "PHX", "1500", "2013-06-12T22:00"),
        (("6", "12"), "2330", "SJU", "330", "2013-06-13T07:30"),
        (("1", "12"), "2330", "STT", "430", "2013-01-13T08:30"),
        # Over both clock changes.
        (("3", "9"), "2359", "BOS", "310", "2013-03-10T07:10"),
        (("3", "9"), "2330", "LAX", "230", "2013-03-10T10:30"),
        (("11", "2"), "2359", "BOS", "110", "2013-11-03T05:10"),
        (("11", "2"), "2359", "BOS", "200", "2013-11-03T07:00"),
        (("12", "31"), "2359", "BOS", "130", "2014-01-01T06:30"),
    ],
)
def test_scheduled_arrival_is_the_next_time_on_the_destinations_clock(
    day: tuple[str, str], departs: str, dest: str, arrives: str, expected: str
) -> None:
    [flight] = typed(
        {"month": day[0], "day": day[1], "sched_dep_time": departs, "dest": dest, "sched_arr_time": arrives}
    )

    assert utc(expected) == flight["scheduled_arrival_at"]


def test_actual_times_are_schedule_plus_delay() -> None:
    [late, early] = typed(
        {"sched_dep_time": "2300", "dep_time": "105", "dep_delay": "125",
         "sched_arr_time": "30", "arr_time": "210", "arr_delay": "100"},
        {"sched_dep_time": "5", "dep_time": "2400", "dep_delay": "-5",
         "sched_arr_time": "120", "arr_time": "2400", "arr_delay": "-80"},
    )  # fmt: skip

    assert (utc("2013-06-13T05:05"), utc("2013-06-13T06:10")) == (late["departure_at"], late["arrival_at"])
    assert (utc("2013-06-12T04:00"), utc("2013-06-12T04:00")) == (early["departure_at"], early["arrival_at"])
    assert [(True, True)] * 2 == [(f["departure_clock_agrees"], f["arrival_clock_agrees"]) for f in (late, early)]


def test_clock_that_says_something_else_does_not_agree() -> None:
    rows = {"dep_time": "1215", "dep_delay": "5", "arr_time": "1600", "arr_delay": "0"}
    [flight] = typed(rows)

    assert (False, False) == (flight["departure_clock_agrees"], flight["arrival_clock_agrees"])
    assert utc("2013-06-12T16:05") == flight["departure_at"]


def test_time_in_the_hour_that_was_skipped_does_not_agree() -> None:
    # JetBlue's flight to Palm Beach of 9 March, as delivered: 2:03 was 3:03 there.
    [flight] = typed(
        {"month": "3", "day": "9", "sched_dep_time": "2145", "dep_time": "2306", "dep_delay": "81",
         "sched_arr_time": "34", "arr_time": "203", "arr_delay": "89"}
    )  # fmt: skip

    assert utc("2013-03-10T07:03") == flight["arrival_at"]
    assert (True, False) == (flight["departure_clock_agrees"], flight["arrival_clock_agrees"])


def test_diverted_flight_arrives_the_next_time_its_clock_shows() -> None:
    left = {"dest": "LAX", "dep_time": "2200", "dep_delay": "600"}
    [arrived, lost] = typed({**left, "arr_time": "230"}, left)

    assert utc("2013-06-13T09:30") == arrived["arrival_at"]
    assert arrived["arrival_clock_agrees"] is True
    assert (None, None, False) == (lost["arrival_at"], lost["arrival_clock_agrees"], lost["is_cancelled"])


def test_cancelled_flight_has_a_schedule_and_nothing_else() -> None:
    [flight] = typed({"tailnum": "NA"})
    known = {name for name, value in flight.items() if value is not None}

    assert flight["is_cancelled"] is True
    assert {
        "month", "flight_on", "carrier", "flight_number", "origin", "destination", "distance_miles", "is_cancelled",
        "scheduled_departure_at", "scheduled_arrival_at",
    } == known  # fmt: skip


@pytest.mark.parametrize("dest", ["NAN", "ZZZ", "NA"])
def test_destination_without_a_zone_has_no_time_of_arrival(dest: str) -> None:
    [flight] = typed({"dest": dest, "dep_time": "1200", "dep_delay": "0", "arr_time": "1300", "arr_delay": "5"})

    assert utc("2013-06-12T16:00") == flight["departure_at"]
    assert (None, None) == (flight["scheduled_arrival_at"], flight["arrival_at"])


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ({}, None),
        ({"dep_delay": "NA", "arr_delay": None}, None),
        ({"dep_delay": "soon"}, "dep_delay"),
        ({"dep_delay": ""}, "dep_delay"),
        ({"distance": "200.5"}, "distance"),
        ({"sched_dep_time": "1260"}, "sched_dep_time"),
        ({"sched_arr_time": "2401"}, "sched_arr_time"),
        ({"arr_time": "-5"}, "arr_time"),
        ({"dep_time": "12:00"}, "dep_time"),
        ({"month": "2", "day": "31"}, "day"),
        ({"month": "June"}, "month"),
        ({"month": "NA"}, None),
        ({"day": "first", "air_time": "1h", "dep_time": "x"}, "day, air_time, dep_time"),
    ],
)
def test_text_that_does_not_parse_is_null_and_named(broken: Row, expected: str | None) -> None:
    [flight] = typed(broken)

    assert expected == flight["unparsed"]


def test_values_that_do_not_parse_are_null() -> None:
    [flight] = typed({"day": "31", "distance": "far", "sched_arr_time": "9999"})

    nulls = ("flight_on", "scheduled_departure_at", "scheduled_arrival_at", "distance_miles")
    assert (None,) * 4 == tuple(flight[name] for name in nulls)


def test_double_airport_does_not_multiply_flights() -> None:
    twice = frame(AIRPORT, {"tzone": "America/Chicago"}, {"tzone": "NA"}, {})
    flights = frame(FLIGHT, {}, {"flight": "2"})

    forward, backward = (type_flights(flights, a).collect() for a in (twice, twice.reverse()))
    assert [1, 2] == forward["flight_number"].to_list()
    assert forward.equals(backward)


def test_columns_of_the_engine_pass_through() -> None:
    flights = frame(FLIGHT, {}, {"flight": "2"}).with_row_index("_bronze_flights_row_id")

    assert [0, 1] == type_flights(flights, airports()).collect()["_bronze_flights_row_id"].to_list()


def test_unlisted_airports_have_a_zone_that_is_known() -> None:
    assert set() == set(ZONES_OF_UNLISTED_AIRPORTS.values()) - set(ZONES)


@given(
    day=st.dates(date(2012, 1, 1), date(2014, 12, 31)),
    departs=st.integers(0, 1439),
    arrives=st.integers(0, 1439),
    zone=st.sampled_from(ZONES),
)
def test_clocks_show_the_schedule(day: date, departs: int, arrives: int, zone: str) -> None:
    def hhmm(minutes: int) -> int:
        return minutes // 60 * 100 + minutes % 60

    def shown(instant: datetime, name: str) -> int:
        local = instant.astimezone(ZoneInfo(name))
        return local.hour * 60 + local.minute

    row = {
        "year": str(day.year), "month": str(day.month), "day": str(day.day),
        "sched_dep_time": str(hhmm(departs)), "sched_arr_time": str(hhmm(arrives)),
    }  # fmt: skip
    [flight] = type_flights(frame(FLIGHT, row), frame(AIRPORT, {"tzone": zone})).collect().to_dicts()
    departure, arrival = flight["scheduled_departure_at"], flight["scheduled_arrival_at"]

    # A skipped hour is the only reason for a clock to show another time, and it is an hour later then.
    assert shown(departure, "America/New_York") in {departs, departs + 60}
    assert shown(arrival, zone) in {arrives, arrives + 60}
    assert 0 < (arrival - departure).total_seconds() <= 25 * 3600


def test_plan_streams_and_keeps_the_order() -> None:
    rows = [{"flight": str(n)} for n in range(1000)]
    flights = type_flights(frame(FLIGHT, *rows), airports()).collect(engine="streaming")

    assert list(range(1000)) == flights["flight_number"].to_list()
    assert pl.Int32 == flights.schema["month"]
