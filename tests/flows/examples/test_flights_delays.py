"""One row per origin, carrier and day of New York, with figures that can be computed by hand."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.examples.flights import NEW_YORK, summarise_delays


def summary(
    delays: list[int | None], *, origins: list[str] | None = None, days: list[date] | None = None
) -> list[dict[str, Any]]:
    """Flights with these departure delays (null: cancelled); arrivals are five minutes later still."""
    windows = days or [date(2013, 6, 12)] * len(delays)
    flights = pl.DataFrame(
        {
            "window_start": [datetime(d.year, d.month, d.day, tzinfo=ZoneInfo(NEW_YORK)) for d in windows],
            "origin": origins or ["EWR"] * len(delays),
            "carrier": ["UA"] * len(delays),
            "is_cancelled": [delay is None for delay in delays],
            "departure_delay_minutes": delays,
        },
        schema_overrides={"window_start": pl.Datetime("us", NEW_YORK), "departure_delay_minutes": pl.Int32},
    ).with_columns(arrival_delay_minutes=pl.col("departure_delay_minutes") + 5)
    return summarise_delays(flights.lazy()).collect().sort("flight_on", "origin").to_dicts()


def test_figures_of_a_day() -> None:
    [day] = summary([*range(0, 90, 10), None, 16, 15])

    assert {
        "flight_on": date(2013, 6, 12), "month": 6, "origin": "EWR", "carrier": "UA", "flights": 12, "cancelled": 1,
        "departure_delay_mean_minutes": 391 / 11, "departure_delay_p90_minutes": 70,
        "arrival_delay_mean_minutes": (391 + 55) / 11, "arrival_delay_p90_minutes": 75, "share_delayed_15": 8 / 11,
    } == day  # fmt: skip


def test_day_on_which_nothing_left_has_no_figures() -> None:
    [day] = summary([None, None])

    assert (2, 2) == (day["flights"], day["cancelled"])
    assert {None} == {value for name, value in day.items() if "delay" in name}


def test_days_and_months_are_those_of_the_windows() -> None:
    rows = summary(
        [0, 60, 0, 0],
        origins=["EWR", "EWR", "JFK", "EWR"],
        days=[date(2013, 3, 31), date(2013, 3, 31), date(2013, 3, 31), date(2013, 4, 1)],
    )

    assert [(date(2013, 3, 31), 3, "EWR", 2), (date(2013, 3, 31), 3, "JFK", 1), (date(2013, 4, 1), 4, "EWR", 1)] == [
        (r["flight_on"], r["month"], r["origin"], r["flights"]) for r in rows
    ]


@pytest.mark.parametrize("n", [1, 2, 9, 10, 11, 19, 20, 21, 100])
def test_percentile_is_the_nearest_rank(n: int) -> None:
    [day] = summary(list(range(n, 0, -1)))

    assert -(-9 * n // 10) == day["departure_delay_p90_minutes"]


@given(st.lists(st.none() | st.integers(-60, 1440), min_size=1, max_size=50))
def test_order_does_not_matter_and_every_flight_counts(delays: list[int | None]) -> None:
    [day], [reverse] = summary(delays), summary(delays[::-1])

    assert day == reverse
    assert (len(delays), delays.count(None)) == (day["flights"], day["cancelled"])
