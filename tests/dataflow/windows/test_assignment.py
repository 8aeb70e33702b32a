from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.windows.assignment import assign_windows, window_type

DAY = timedelta(days=1)
NEW_YORK, HAVANA, SAO_PAULO, APIA = "America/New_York", "America/Havana", "America/Sao_Paulo", "Pacific/Apia"
ZONES = [NEW_YORK, HAVANA, SAO_PAULO, APIA, "UTC", "Asia/Kathmandu", "Europe/Dublin", "Africa/Cairo", "Asia/Beirut"]
AWARE = pl.Datetime("us", "UTC")


def windows(
    times: list[datetime | None], size: timedelta, zone: str | None = None, dtype: pl.DataType = AWARE
) -> list[tuple[datetime, datetime]]:
    lf = pl.LazyFrame({"t": times}, schema={"t": dtype})
    return assign_windows(lf, time_column="t", size=size, time_zone=zone).select("window_start", "window_end").collect().rows()  # fmt: skip


def local(zone: str, *parts: int, fold: int = 0) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(zone), fold=fold)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("zone", "instant", "start", "end"),
    [
        (None, (2013, 1, 2, 23, 59), (2013, 1, 2), (2013, 1, 3)),
        (NEW_YORK, (2013, 1, 2, 4, 59), (2013, 1, 1), (2013, 1, 2)),
        (NEW_YORK, (2013, 3, 10, 12, 0), (2013, 3, 10), (2013, 3, 11)),  # 23 hours
        (NEW_YORK, (2013, 11, 3, 12, 0), (2013, 11, 3), (2013, 11, 4)),  # 25 hours
        (SAO_PAULO, (2018, 11, 4, 2, 30), (2018, 11, 3), (2018, 11, 4, 1)),  # midnight is skipped
        (SAO_PAULO, (2018, 11, 4, 3, 30), (2018, 11, 4, 1), (2018, 11, 5)),
        (HAVANA, (2021, 11, 7, 4, 30), (2021, 11, 7), (2021, 11, 8)),  # midnight comes twice
        (HAVANA, (2021, 11, 7, 5, 30), (2021, 11, 7), (2021, 11, 8)),
        (APIA, (2011, 12, 30, 9, 30), (2011, 12, 29), (2011, 12, 31)),  # the 30th is skipped
        (APIA, (2011, 12, 30, 10, 30), (2011, 12, 31), (2012, 1, 1)),
    ],
)
def test_days_begin_with_the_first_instant_of_the_local_day(
    zone: str | None, instant: tuple[int, ...], start: tuple[int, ...], end: tuple[int, ...]
) -> None:
    found = windows([datetime(*instant, tzinfo=UTC)], DAY, zone)  # type: ignore[arg-type, misc]
    assert [(local(zone or "UTC", *start), local(zone or "UTC", *end))] == found


def test_an_hour_that_comes_twice_is_two_windows_of_an_hour() -> None:
    first, second = datetime(2021, 11, 7, 5, 30, tzinfo=UTC), datetime(2021, 11, 7, 6, 30, tzinfo=UTC)
    hour, found = timedelta(hours=1), windows([first, second], timedelta(hours=1), NEW_YORK)
    assert [hour, hour] == [end.astimezone(UTC) - start.astimezone(UTC) for start, end in found]
    assert found[0][1].astimezone(UTC) == found[1][0].astimezone(UTC)


def test_weeks_begin_on_mondays_and_other_sizes_are_counted_from_1970() -> None:
    [(week, _)] = windows([datetime(2013, 5, 16, tzinfo=UTC)], 7 * DAY)
    [(three, _)] = windows([datetime(1970, 1, 5, tzinfo=UTC)], 3 * DAY)
    assert (datetime(2013, 5, 13, tzinfo=UTC), 0) == (week, week.weekday())
    assert datetime(1970, 1, 4, tzinfo=UTC) == three


def test_times_without_a_zone_are_local_and_so_are_their_windows() -> None:
    naive = windows([datetime(2013, 11, 3, 1, 30)], DAY, NEW_YORK, pl.Datetime("ms"))
    dates = windows([date(2013, 11, 3)], DAY, None, pl.Date())  # type: ignore[list-item]
    assert [(datetime(2013, 11, 3), datetime(2013, 11, 4))] == naive == dates
    assert pl.Datetime("us", None) == window_type(pl.Date(), NEW_YORK)
    assert pl.Datetime("us", NEW_YORK) == window_type(AWARE, NEW_YORK)
    assert pl.Datetime("us", "UTC") == window_type(AWARE, None)


def test_no_time_is_in_no_window() -> None:
    assert [(None, None)] == windows([None], DAY, SAO_PAULO) == windows([None], timedelta(hours=5))


@settings(max_examples=150, deadline=None)
@given(
    st.datetimes(datetime(1965, 1, 1), datetime(2037, 12, 31)).map(lambda t: t.replace(tzinfo=UTC)),
    st.timedeltas(timedelta(0), 3 * DAY),
    st.sampled_from(ZONES),
    st.sampled_from([DAY, 2 * DAY, 7 * DAY, timedelta(hours=6), timedelta(minutes=7), timedelta(hours=36)]),
)
def test_windows_hold_their_times_and_tile_them(time: datetime, later: timedelta, zone: str, size: timedelta) -> None:
    [(start, end), (next_start, next_end)] = windows([time, time + later], size, zone)
    edges = [edge.astimezone(UTC) for edge in (start, end, next_start, next_end)]
    assert edges[0] <= time < edges[1]
    assert edges[2] <= time + later < edges[3]
    # The same window, or one that begins where this one ended or later: never two that overlap.
    assert edges[:2] == edges[2:] or edges[1] <= edges[2]
    # Where one window ends the next begins.
    assert end == windows([edges[1]], size, zone)[0][0]


def test_the_windows_of_a_frame_are_found_in_morsels() -> None:
    lf = pl.LazyFrame({"t": pl.datetime_range(datetime(2013, 1, 1), datetime(2013, 12, 31), "1h", eager=True)})
    found = assign_windows(lf, time_column="t", size=DAY, time_zone=None).collect(engine="streaming")
    assert found["t"].dt.truncate("1d").to_list() == found["window_start"].to_list()
    assert [DAY] == (found["window_end"] - found["window_start"]).unique().to_list()
