"""Made rows of the flights' sources: text as the files have it, with every column, only some of them told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import polars as pl

Row: TypeAlias = Mapping[str, str | None]

FLIGHT = {
    "year": "2013", "month": "6", "day": "12", "dep_time": "NA", "sched_dep_time": "1200", "dep_delay": "NA",
    "arr_time": "NA", "sched_arr_time": "1500", "arr_delay": "NA", "carrier": "UA", "flight": "1", "tailnum": "N1",
    "origin": "EWR", "dest": "BOS", "air_time": "NA", "distance": "200", "hour": "12", "minute": "0",
    "time_hour": "2013-06-12T16:00:00Z",
}  # fmt: skip
AIRPORT = {
    "faa": "BOS",
    "name": "Logan",
    "lat": "42.4",
    "lon": "-71",
    "alt": "19",
    "tz": "-5",
    "dst": "A",
    "tzone": "America/New_York",
}
PLANE = {
    "tailnum": "N1", "year": "1999", "type": "Fixed wing multi engine", "manufacturer": "BOEING", "model": "737-824",
    "engines": "2", "seats": "149", "speed": "NA", "engine": "Turbo-fan",
}  # fmt: skip
AIRLINE = {"carrier": "UA", "name": "United Air Lines Inc."}
WEATHER = {
    "origin": "EWR", "year": "2013", "month": "6", "day": "12", "hour": "12", "temp": "70.5", "dewp": "50",
    "humid": "60", "wind_dir": "270", "wind_speed": "10.5", "wind_gust": "NA", "precip": "0", "pressure": "1012",
    "visib": "10", "time_hour": "2013-06-12T16:00:00Z",
}  # fmt: skip
AIRPORTS = (
    AIRPORT,
    AIRPORT | {"faa": "LAX", "tzone": "America/Los_Angeles"},
    AIRPORT | {"faa": "PHX", "tzone": "America/Phoenix"},
    AIRPORT | {"faa": "NAN", "tzone": "NA"},
)


def frame(template: Row, *rows: Row) -> pl.LazyFrame:
    return pl.LazyFrame([{**template, **row} for row in rows], schema=dict.fromkeys(template, pl.String))


def airports() -> pl.LazyFrame:
    return frame(AIRPORT, *AIRPORTS)
