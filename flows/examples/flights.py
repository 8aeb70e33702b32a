"""New York's flights of 2013: from text to typed flights, enriched flights and daily delays.

Pure functions from LazyFrames to LazyFrames; ``config/flights.yaml`` makes a pipeline of them.
"""

from __future__ import annotations

import polars as pl

from flows.examples.local_times import NEW_YORK, by_zone, instant_of, local_time, minutes_of, next_time, shows

ZONES_OF_UNLISTED_AIRPORTS = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
"""Airports that are flown to and that ``airports`` does not list."""

WIND_LIMIT_MPH = 120.0
"""Above the strongest gust on record in New York (113 mph, hurricane Hazel, 1954): more is a broken reading."""

MISSING = "NA"
TEXTS = ("carrier", "origin", "dest", "tailnum")
INTEGERS = ("year", "month", "day", "dep_delay", "arr_delay", "flight", "air_time", "distance")
CLOCKS = ("dep_time", "sched_dep_time", "arr_time", "sched_arr_time")
NAMES = {
    "flight": "flight_number",
    "tailnum": "tail_number",
    "dest": "destination",
    "dep_delay": "departure_delay_minutes",
    "arr_delay": "arrival_delay_minutes",
    "air_time": "air_time_minutes",
    "distance": "distance_miles",
}


def type_flights(bronze_flights: pl.LazyFrame, bronze_airports: pl.LazyFrame) -> pl.LazyFrame:
    """Flights with typed columns, and their times as instants in UTC.

    The source tells times of day on local clocks (``517`` is 5:17, ``2400`` is midnight at the end of the day): of
    departures in New York, of arrivals at the destination. The rule that makes instants of them:

    - scheduled departure: the flight's date and time of day in New York. Of a time that the clock shows twice (in
      autumn) it is the earlier; a time that the clock skips (in spring) is read one hour later;
    - scheduled arrival: the next time after the scheduled departure that the clock at the destination shows it, which
      is on the destination's day of departure where it is the later time of day, else on the day after;
    - departure and arrival: the scheduled instants plus the delays. A flight that arrived without a delay being known
      (it was diverted) did so the next time after its departure that the destination's clock showed the time.

    ``departure_clock_agrees`` and ``arrival_clock_agrees`` say whether local clocks show, at these instants, the times
    of day that the source tells.

    Shape: (n, 19) -> (n, 19)
    Units: delays and air time in minutes, distance in miles.
    Nulls: ``NA`` becomes null, and so does text that does not parse; ``unparsed`` names the columns of the latter.
        A cancelled flight has no actual times. Clocks agree or not only where both times are known.
    """
    return (
        bronze_flights.join(_zones(bronze_airports), on="dest", how="left", maintain_order="left")
        .with_columns(zone=pl.coalesce("zone", *_zones_of_unlisted()))
        .with_columns(
            *(_text(name) for name in TEXTS),
            *(_integer(name) for name in INTEGERS),
            *(_clock(name) for name in CLOCKS),
            flight_on=_date(),
            unparsed=_unparsed(),
        )
        .with_columns(scheduled_departure_at=instant_of(_midnight() + minutes_of("sched_dep_time"), NEW_YORK))
        .with_columns(departure_at=pl.col("scheduled_departure_at") + minutes_of("dep_delay"))
        .pipe(next_time, "scheduled_arrival_at", after=pl.col("scheduled_departure_at"), clock="sched_arr_time")
        .pipe(
            next_time,
            "arrival_at",
            after=pl.when(pl.col("arr_delay").is_null()).then("departure_at"),
            clock="arr_time",
        )
        .with_columns(
            arrival_at=pl.coalesce(pl.col("scheduled_arrival_at") + minutes_of("arr_delay"), "arrival_at"),
            is_cancelled=pl.col("dep_time").is_null(),
        )
        .with_columns(
            departure_clock_agrees=shows(local_time(pl.col("departure_at"), NEW_YORK), "dep_time"),
            arrival_clock_agrees=shows(by_zone(local_time, pl.col("arrival_at")), "arr_time"),
        )
        .drop("year", "day", "hour", "minute", "time_hour", "zone", *CLOCKS)
        .rename(NAMES)
    )


def enrich_flights(
    flights: pl.LazyFrame,
    bronze_planes: pl.LazyFrame,
    bronze_airlines: pl.LazyFrame,
    bronze_airports: pl.LazyFrame,
    bronze_weather: pl.LazyFrame,
) -> pl.LazyFrame:
    """Flights with their plane, airline and destination, and the weather when and where they were to depart.

    Every flight stays one row: where a key of the other tables is double, the row whose values come first in order
    (nulls last) is kept. Weather is that of the origin in the hour of scheduled departure, by the hour in UTC: the
    three "double" hours of November are the same hour by the local clock and two different ones in UTC.

    Shape: (n, 19) -> (n, 47)
    Units: wind in miles per hour, temperatures in degrees Fahrenheit, as the columns' names say.
    Nulls: a key without a match leaves nulls; ``has_plane`` (null without a tail number), ``has_airline``,
        ``has_destination`` and ``has_weather`` tell matched from unmatched. Wind above ``WIND_LIMIT_MPH`` becomes null
        and ``wind_is_plausible`` false.
    """
    hour = pl.col("scheduled_departure_at").dt.truncate("1h")
    return (
        flights.with_columns(weather_hour_at=hour)
        .join(_planes(bronze_planes), on="tail_number", how="left", maintain_order="left")
        .join(_airlines(bronze_airlines), on="carrier", how="left", maintain_order="left")
        .join(_destinations(bronze_airports), on="destination", how="left", maintain_order="left")
        .join(_weather(bronze_weather), on=["origin", "weather_hour_at"], how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("tail_number").is_not_null()).then(pl.col("has_plane").fill_null(value=False)),
            pl.col("has_airline", "has_destination", "has_weather").fill_null(value=False),
        )
    )


def summarise_delays(flights_enriched: pl.LazyFrame) -> pl.LazyFrame:
    """Delays of each origin, carrier and day; days are New York's, as the window cuts them.

    The 90th percentile is the nearest rank: the least delay that at least nine in ten flights did not exceed.
    ``share_delayed_15`` is the share, of the flights that were not cancelled, that left more than 15 minutes late.

    Shape: (n, 49) -> (groups, 11)
    Units: delays in minutes, early ones negative; the share from 0 to 1.
    Nulls: flights without a delay count in ``flights`` and in nothing else but ``cancelled``; the figures are null
        where no flight of the group has a delay.
    """
    departure, arrival = pl.col("departure_delay_minutes"), pl.col("arrival_delay_minutes")
    return (
        flights_enriched.with_columns(flight_on=pl.col("window_start").dt.date())
        .group_by("flight_on", "origin", "carrier")
        .agg(
            flights=pl.len().cast(pl.Int64),
            cancelled=pl.col("is_cancelled").sum().cast(pl.Int64),
            departure_delay_mean_minutes=departure.mean(),
            departure_delay_p90_minutes=departure.quantile(0.9, "equiprobable").cast(pl.Int32),
            arrival_delay_mean_minutes=arrival.mean(),
            arrival_delay_p90_minutes=arrival.quantile(0.9, "equiprobable").cast(pl.Int32),
            share_delayed_15=(departure > 15).mean(),
        )
        .with_columns(month=pl.col("flight_on").dt.month().cast(pl.Int32))
    )


def _integer(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int32, strict=False)


def _clock(name: str) -> pl.Expr:
    """Minutes since midnight of a time of day such as ``517`` or ``2400``; null when it is none."""
    time = _integer(name)
    hours, minutes = time // 100, time % 100
    return pl.when(time.is_between(0, 2400), minutes < 60).then(hours * 60 + minutes)


def _date() -> pl.Expr:
    return pl.concat_str("year", "month", "day", separator="-").str.to_date("%Y-%m-%d", strict=False)


def _midnight() -> pl.Expr:
    return pl.col("flight_on").cast(pl.Datetime("us"))


def _unparsed() -> pl.Expr:
    """The columns whose text says something that is neither ``NA`` nor a value, comma-separated."""
    broken = {name: _integer(name).is_null() for name in INTEGERS}
    broken |= {name: _clock(name).is_null() for name in CLOCKS}
    # 31 February: numbers all three, and yet no day.
    broken["day"] |= _date().is_null() & ~broken["year"] & ~broken["month"]
    names = [
        pl.when(is_broken & (pl.col(name) != MISSING)).then(pl.lit(name, pl.String))
        for name, is_broken in broken.items()
    ]
    return pl.concat_str(names, separator=", ", ignore_nulls=True).replace("", None)


def _zones(airports: pl.LazyFrame) -> pl.LazyFrame:
    return _one_per(["dest"], airports.select(dest="faa", zone=_text("tzone")))


def _zones_of_unlisted() -> list[pl.Expr]:
    return [
        pl.when(pl.col("dest") == airport).then(pl.lit(zone)) for airport, zone in ZONES_OF_UNLISTED_AIRPORTS.items()
    ]


def _planes(planes: pl.LazyFrame) -> pl.LazyFrame:
    columns = planes.select(
        tail_number="tailnum",
        plane_year=_integer("year"),
        plane_type=_text("type"),
        plane_manufacturer=_text("manufacturer"),
        plane_model=_text("model"),
        plane_seats=_integer("seats"),
        plane_engines=_integer("engines"),
        plane_engine=_text("engine"),
        has_plane=pl.lit(True),
    )
    return _one_per(["tail_number"], columns)


def _airlines(airlines: pl.LazyFrame) -> pl.LazyFrame:
    return _one_per(["carrier"], airlines.select("carrier", airline_name=_text("name"), has_airline=pl.lit(True)))


def _destinations(airports: pl.LazyFrame) -> pl.LazyFrame:
    columns = airports.select(
        destination="faa",
        destination_name=_text("name"),
        destination_latitude_degrees=_number("lat"),
        destination_longitude_degrees=_number("lon"),
        destination_altitude_feet=_integer("alt"),
        destination_zone=_text("tzone"),
        has_destination=pl.lit(True),
    )
    return _one_per(["destination"], columns)


def _weather(weather: pl.LazyFrame) -> pl.LazyFrame:
    wind, gust = _number("wind_speed"), _number("wind_gust")
    columns = weather.select(
        "origin",
        weather_hour_at=pl.col("time_hour")
        .str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", strict=False)
        .dt.replace_time_zone("UTC"),
        temperature_fahrenheit=_number("temp"),
        dew_point_fahrenheit=_number("dewp"),
        relative_humidity_percent=_number("humid"),
        wind_direction_degrees=_integer("wind_dir"),
        wind_speed_mph=pl.when(wind <= WIND_LIMIT_MPH).then(wind),
        wind_gust_mph=pl.when(gust <= WIND_LIMIT_MPH).then(gust),
        wind_is_plausible=pl.max_horizontal(wind, gust) <= WIND_LIMIT_MPH,
        precipitation_inches=_number("precip"),
        pressure_millibars=_number("pressure"),
        visibility_miles=_number("visib"),
        has_weather=pl.lit(True),
    )
    return _one_per(["origin", "weather_hour_at"], columns)


def _one_per(key: list[str], rows: pl.LazyFrame) -> pl.LazyFrame:
    """The first row of each key by the order of the values, so that the order of arrival decides nothing."""
    return rows.sort(pl.all(), nulls_last=True).unique(key, keep="first", maintain_order=True)


def _text(name: str) -> pl.Expr:
    return pl.col(name).replace(MISSING, None)


def _number(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Float64, strict=False)
