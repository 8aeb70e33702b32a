"""Joins keep every flight once, tell what has no match, and let no broken reading through."""

from __future__ import annotations

import polars as pl
import pytest

from flows.examples.flights import enrich_flights, type_flights
from tests.flows.examples.flights_data import AIRLINE, AIRPORT, FLIGHT, PLANE, WEATHER, Row, airports, frame

Rows = list[Row]


def enriched(
    flights: Rows, planes: Rows | None = None, airlines: Rows | None = None, weather: Rows | None = None
) -> pl.DataFrame:
    return enrich_flights(
        type_flights(frame(FLIGHT, *flights), airports()),
        frame(PLANE, *([{}] if planes is None else planes)),
        frame(AIRLINE, *([{}] if airlines is None else airlines)),
        frame(AIRPORT, {}),
        frame(WEATHER, *([{}] if weather is None else weather)),
    ).collect()


def test_matches_bring_their_columns() -> None:
    [flight] = enriched([{}]).to_dicts()

    assert (1999, "BOEING", "737-824", 149) == tuple(
        flight[f"plane_{name}"] for name in ("year", "manufacturer", "model", "seats")
    )
    assert ("United Air Lines Inc.", "Logan") == (flight["airline_name"], flight["destination_name"])
    assert (70.5, 10.5, None, True) == tuple(
        flight[name] for name in ("temperature_fahrenheit", "wind_speed_mph", "wind_gust_mph", "wind_is_plausible")
    )


@pytest.mark.parametrize(
    ("flight", "unmatched"),
    [
        ({}, []),
        ({"tailnum": "N2"}, ["has_plane"]),
        ({"carrier": "ZZ"}, ["has_airline"]),
        ({"dest": "SJU"}, ["has_destination"]),
        ({"origin": "JFK"}, ["has_weather"]),
        ({"sched_dep_time": "1300"}, ["has_weather"]),
    ],
)
def test_keys_without_a_match_are_told(flight: Row, unmatched: list[str]) -> None:
    [row] = enriched([flight]).to_dicts()

    assert unmatched == [name for name, value in row.items() if name.startswith("has_") and value is False]


def test_flight_without_a_tail_number_looks_up_nothing() -> None:
    [flight] = enriched([{"tailnum": "NA"}], planes=[{}, {"tailnum": "NA"}]).to_dicts()

    assert (None, None) == (flight["has_plane"], flight["plane_model"])


def test_double_keys_do_not_multiply_flights_and_order_does_not_matter() -> None:
    weather: Rows = [{"temp": "80"}, {"temp": "NA"}, {"temp": "70"}]
    planes: Rows = [{"year": "2001"}, {"year": "NA"}, {"year": "2000"}]
    flights: Rows = [{"flight": str(n)} for n in range(1, 4)]

    forward = enriched(flights, planes, weather=weather)
    backward = enriched(flights, planes[::-1], weather=weather[::-1])
    assert [1, 2, 3] == forward["flight_number"].to_list()
    assert ([70.0] * 3, [2000] * 3) == (
        forward["temperature_fahrenheit"].to_list(),
        forward["plane_year"].to_list(),
    )
    assert forward.equals(backward)


def test_the_two_hours_of_autumn_have_weather_of_their_own() -> None:
    local = {"month": "11", "day": "3", "hour": "1"}
    weather: Rows = [
        local | {"time_hour": "2013-11-03T06:00:00Z", "temp": "50"},
        local | {"time_hour": "2013-11-03T05:00:00Z", "temp": "52"},
    ]
    [flight] = enriched([{"month": "11", "day": "3", "sched_dep_time": "130"}], weather=weather).to_dicts()

    assert 52.0 == flight["temperature_fahrenheit"]


@pytest.mark.parametrize(
    ("speed", "gust", "expected"),
    [
        ("1048.36058", "NA", (None, None, False)),
        ("20", "300", (20.0, None, False)),
        ("119.9", "120", (119.9, 120.0, True)),
        ("NA", "NA", (None, None, None)),
    ],
)
def test_implausible_wind_is_null_and_told(speed: str, gust: str, expected: tuple[object, ...]) -> None:
    [flight] = enriched([{}], weather=[{"wind_speed": speed, "wind_gust": gust}]).to_dicts()

    assert expected == (flight["wind_speed_mph"], flight["wind_gust_mph"], flight["wind_is_plausible"])


def test_weather_with_a_broken_hour_matches_nothing() -> None:
    [flight] = enriched([{}], weather=[{"time_hour": "noon"}]).to_dicts()

    assert (False, None) == (flight["has_weather"], flight["temperature_fahrenheit"])
