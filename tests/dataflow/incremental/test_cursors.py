"""Positions of cursors: their order, their distance, and how they are written."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dataflow.incremental.cursors import (
    CursorConfig,
    at_or_after,
    from_json,
    from_state,
    further,
    greatest,
    kind_of,
    start,
    to_json,
    to_state,
)

ROME = timezone(timedelta(hours=1))
NOON = datetime(2026, 1, 31, 12)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, "number"),
        (1.5, "number"),
        (Decimal("1.5"), "number"),
        (date(2026, 1, 31), "date"),
        (NOON, "datetime"),
        (NOON.replace(tzinfo=ROME), "instant"),
        ("01H8", "text"),
        (True, None),
        (b"x", None),
        (float("nan"), None),
        (None, None),
    ],
)
def test_a_value_is_of_a_kind(value: object, kind: str | None) -> None:
    assert kind == kind_of(value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([None, None], None),
        ([3, None, 2.5], ("number", 3)),
        ([Decimal("1.50"), 1], ("number", Decimal("1.5"))),
        ([NOON, NOON - timedelta(1)], ("datetime", NOON)),
        (["b", "É", "a"], ("text", "É")),
    ],
)
def test_the_greatest_of_values_that_have_an_order(values: list[Any], expected: Any) -> None:
    assert expected == greatest(values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([1, "x"], r"values of several kinds \(number, text\) have no order"),
        ([NOON, NOON.replace(tzinfo=UTC)], r"several kinds \(datetime, instant\)"),
        ([NOON, NOON.date()], r"several kinds \(date, datetime\)"),
        ([b"x"], "a value of type bytes is no position"),
        ([1.0, float("nan")], r"a value of type float \(NaN\) is no position"),
        ([1, True], "a value of type bool is no position"),
    ],
)
def test_values_without_an_order_are_told(values: list[Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        greatest(values)


VALUES = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.just(ROME), min_value=datetime(2, 1, 1)),
    st.text(),
)


@given(VALUES)
@settings(max_examples=50)
def test_a_value_comes_back_from_json(value: Any) -> None:
    held = json.loads(json.dumps(to_state(value)))

    assert value == from_state(held)
    assert kind_of(value) == kind_of(from_state(held))


@pytest.mark.parametrize(
    ("kind", "written", "expected"),
    [
        ("number", "12", Decimal(12)),
        ("number", "1.50", Decimal("1.5")),
        ("date", "2026-01-31", date(2026, 1, 31)),
        ("date", " 2026-01-31 ", date(2026, 1, 31)),
        ("datetime", "2026-01-31", datetime(2026, 1, 31)),
        ("datetime", "2026-01-31 12:00", NOON),
        ("instant", "2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("instant", "2026-01-31T13:00+01:00", NOON.replace(tzinfo=UTC)),
        ("text", "2026-01-31", "2026-01-31"),
    ],
)
def test_people_write_positions_too(kind: Any, written: str, expected: Any) -> None:
    found = from_json(kind, written)

    assert expected == found
    assert type(expected) is type(found)


@pytest.mark.parametrize(
    ("kind", "written", "says"),
    [
        ("number", "x", "'x' is no number"),
        ("number", "Infinity", "'Infinity' is no number"),
        ("number", True, "True is no number"),
        ("number", None, "None is no number"),
        ("date", "2026-01-31T12:00", "is no day like 2026-01-31"),
        ("date", "2026-01-31T00:00Z", "is no day like 2026-01-31"),
        ("date", "yesterday", "'yesterday' is no day like 2026-01-31"),
        ("datetime", "2026-01-31T00:00Z", "is no time like 2026-01-31T09:00:00, without a zone"),
        ("instant", 5, r"5 is no time like 2026-01-31T09:00:00\+00:00"),
        ("text", 5, "5 is no text"),
    ],
)
def test_what_is_no_position_is_told(kind: Any, written: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_json(kind, written)


@pytest.mark.parametrize(
    ("value", "lag", "expected"),
    [
        (100, Decimal(7), 93),
        (100, Decimal("0.5"), Decimal("99.5")),
        (1.5, Decimal("0.5"), 1.0),
        (Decimal("1.5"), Decimal("0.5"), Decimal(1)),
        (NOON, timedelta(minutes=10), datetime(2026, 1, 31, 11, 50)),
        (NOON.replace(tzinfo=UTC), timedelta(days=1), datetime(2026, 1, 30, 12, tzinfo=UTC)),
        (date(2026, 1, 31), timedelta(days=1), date(2026, 1, 30)),
        (date(2026, 1, 31), timedelta(hours=1), date(2026, 1, 30)),
        (date(1, 1, 2), timedelta(days=9), date(1, 1, 1)),
        (datetime(1, 1, 2, tzinfo=UTC), timedelta(days=9), datetime(1, 1, 1, tzinfo=UTC)),
        ("text", Decimal(0), "text"),
        (NOON, Decimal(0), NOON),
        (5, timedelta(0), 5),
    ],
)
def test_one_asks_from_the_position_less_the_lag(value: Any, lag: Any, expected: Any) -> None:
    found = start(value, lag)

    assert expected == found
    assert type(expected) is type(found)


@pytest.mark.parametrize(
    ("value", "lag", "says"),
    [
        ("text", timedelta(1), "text has no distance; leave `lag` out"),
        (NOON, Decimal(1), "`lag` has to be a duration like 10 minutes"),
        (5, timedelta(1), "`lag` has to be a number"),
    ],
)
def test_a_lag_is_of_the_kind_of_its_column(value: Any, lag: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        start(value, lag)


@given(st.none() | st.integers(), st.lists(st.none() | st.integers()))
@settings(max_examples=50)
def test_a_position_never_goes_back(position: int | None, values: list[int | None]) -> None:
    known = [v for v in [position, *values] if v is not None]

    assert (sorted(known)[-1] if known else None) == further("n", position, values)


def test_a_row_from_the_future_does_not_hide_those_that_come_until_then() -> None:
    before = datetime.now(UTC)
    found = further("at", None, [datetime(2999, 1, 1, tzinfo=UTC)])

    assert isinstance(found, datetime)
    assert before <= found <= datetime.now(UTC)
    assert datetime(2999, 1, 1) == further("at", None, [datetime(2999, 1, 1)])


@pytest.mark.parametrize(
    ("position", "values", "says"),
    [
        (
            5,
            ["x"],
            r"cursor 'at' holds values of another kind than before \(now text, before number\); make them alike",
        ),
        (None, [1, "x"], "cursor 'at': values of several kinds .* have no order; take another column"),
    ],
)
def test_a_cursor_keeps_its_kind(position: Any, values: list[Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        further("at", position, values)


@pytest.mark.parametrize(
    ("values", "value"),
    [
        (pl.Series([1, 2, 3, None]), 2),
        (pl.Series([1, 2, 3]), Decimal("1.5")),
        (pl.Series([Decimal("1.50"), Decimal("1.51"), Decimal("1.52")]), Decimal("1.505")),
        (pl.Series([Decimal("1.50"), Decimal("2.01")]), 2),
        (pl.Series([1.0, 1.5, 2.0]), 1.5),
        (pl.Series(["a", "b", "c"]), "b"),
        (pl.Series([NOON, NOON + timedelta(1)]), NOON),
        (pl.Series([NOON, NOON + timedelta(1)]).dt.replace_time_zone("UTC"), NOON.replace(tzinfo=ROME)),
        (pl.Series([date(2026, 1, 30), date(2026, 1, 31)]), date(2026, 1, 31)),
    ],
)
def test_rows_at_or_after_a_value(values: pl.Series, value: Any) -> None:
    frame = values.alias("n").to_frame()

    expected = [v for v in values.to_list() if v is not None and v >= value]
    assert expected == frame.filter(at_or_after("n", value))["n"].to_list()


@pytest.mark.parametrize(
    ("lag", "expected", "as_json"),
    [
        ("10 minutes", timedelta(minutes=10), "P0DT600.000000S"),
        (timedelta(1), timedelta(1), "P1DT0.000000S"),
        (5, Decimal(5), 5),
        ("5", Decimal(5), 5),
        (0.5, Decimal("0.5"), 0.5),
    ],
)
def test_a_lag_is_a_duration_or_a_number(lag: Any, expected: Any, as_json: Any) -> None:
    config = CursorConfig(column="at", lag=lag)

    assert expected == config.lag
    assert as_json == json.loads(config.model_dump_json())["lag"]
    assert config == CursorConfig.model_validate_json(config.model_dump_json())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"lag": "-5"}, "may not be negative"),
        ({"lag": timedelta(-1)}, "may not be negative"),
        ({"lag": "soon"}, "cannot be read as a duration"),
        ({"lag": True}, "a duration with its unit is expected"),
        ({"lag": "nan"}, "cannot be read as a duration"),
        ({"nulls": "keep"}, "'refuse', 'every_time' or 'ignore'"),
        ({"column": ""}, "at least 1 character"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        CursorConfig.model_validate({"column": "at", **settings})


def test_decimals_are_written_as_text_and_numbers_as_numbers() -> None:
    assert ("1.50", 7, 1.5) == (to_json(Decimal("1.50")), to_json(7), to_json(1.5))
