"""Predicates that become expectations, and that the same rows break both."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.errors import ConfigError
from dataflow.quality.checkpoint import load
from dataflow.quality.expectations import check_expectation
from dataflow.quality.fitting import EXACT, fit
from dataflow.quality.predicate import parse_predicate

ROME = pl.Datetime("us", "Europe/Rome")
SCHEMA: dict[str, pl.DataType] = {
    "n": pl.Int64(),
    "small": pl.Int8(),
    "x": pl.Float64(),
    "single": pl.Float32(),
    "price": pl.Decimal(10, 2),
    "t": pl.String(),
    "kind": pl.Categorical(),
    "b": pl.Boolean(),
    "d": pl.Date(),
    "at": pl.Datetime("us"),
    "ms": pl.Datetime("ms"),
    "utc": pl.Datetime("us", "UTC"),
    "rome": ROME,
}
BETWEEN = "expect_column_values_to_be_between"
IN, NOT_IN = "expect_column_values_to_be_in_set", "expect_column_values_to_not_be_in_set"
REGEX, NOT_REGEX = "expect_column_values_to_match_regex", "expect_column_values_to_not_match_regex"
LIKE, NOT_LIKE = "expect_column_values_to_match_like_pattern", "expect_column_values_to_not_match_like_pattern"
LENGTHS, LENGTH = "expect_column_value_lengths_to_be_between", "expect_column_value_lengths_to_equal"
PAIR = "expect_column_pair_values_a_to_be_greater_than_b"
NEITHER_MISSING = {"ignore_row_if": "either_value_is_missing"}
DAY, HOUR = dt.date(2013, 1, 31), dt.datetime(2013, 1, 31, 5)


@pytest.mark.parametrize(
    ("predicate", "kind", "arguments"),
    [
        ("n IS NOT NULL", "expect_column_values_to_not_be_null", {"column": "n"}),
        ("(n) IS NULL", "expect_column_values_to_be_null", {"column": "n"}),
        ("(n > 5)", BETWEEN, {"column": "n", "min_value": 5, "strict_min": True}),
        ("n >= -5", BETWEEN, {"column": "n", "min_value": -5}),
        ("5 < n", BETWEEN, {"column": "n", "min_value": 5, "strict_min": True}),
        ("5.5 >= n", BETWEEN, {"column": "n", "max_value": 5.5}),
        ("x < 5", BETWEEN, {"column": "x", "max_value": 5, "strict_max": True}),
        ("x BETWEEN 1 AND 2.5", BETWEEN, {"column": "x", "min_value": 1, "max_value": 2.5}),
        ("d <= DATE '2013-01-31'", BETWEEN, {"column": "d", "max_value": DAY}),
        ("at > TIMESTAMP '2013-01-31 05:00'", BETWEEN, {"column": "at", "min_value": HOUR, "strict_min": True}),
        ("at >= DATE '2013-01-31'", BETWEEN, {"column": "at", "min_value": DAY}),
        (
            "utc >= TIMESTAMPTZ '2013-01-31 06:00+01:00'",
            BETWEEN,
            {"column": "utc", "min_value": HOUR.replace(tzinfo=dt.UTC)},
        ),
        ("n IN (1, 2)", IN, {"column": "n", "value_set": [1, 2]}),
        ("n = 1", IN, {"column": "n", "value_set": [1]}),
        ("1 = n", IN, {"column": "n", "value_set": [1]}),
        ("n <> 1", NOT_IN, {"column": "n", "value_set": [1]}),
        ("NOT n = 1", NOT_IN, {"column": "n", "value_set": [1]}),
        ("NOT n <> 1", IN, {"column": "n", "value_set": [1]}),
        ("t NOT IN ('a', 'b')", NOT_IN, {"column": "t", "value_set": ["a", "b"]}),
        ("d IN (DATE '2013-01-31')", IN, {"column": "d", "value_set": [DAY]}),
        ("t MATCHES '^[a-z]+'", REGEX, {"column": "t", "regex": "^[a-z]+"}),
        ("t MATCHES '^(a|b-c){2}[.]\\d$'", REGEX, {"column": "t", "regex": "^(a|b-c){2}[.]\\d\\z"}),
        ("t NOT MATCHES 'a$'", NOT_REGEX, {"column": "t", "regex": "a\\z"}),
        ("t LIKE 'a%'", LIKE, {"column": "t", "like_pattern": "a%"}),
        ("t NOT LIKE 'a%'", NOT_LIKE, {"column": "t", "like_pattern": "a%"}),
        ("NOT t NOT LIKE 'a%'", LIKE, {"column": "t", "like_pattern": "a%"}),
        ("t NOT LIKE '!%' ESCAPE '!'", NOT_LIKE, {"column": "t", "like_pattern": "!%", "escape": "!"}),
        ("LENGTH(t) = 3", LENGTH, {"column": "t", "value": 3}),
        ("3 = LENGTH(t)", LENGTH, {"column": "t", "value": 3}),
        ("LENGTH(t) >= 3", LENGTHS, {"column": "t", "min_value": 3}),
        ("LENGTH(t) BETWEEN 1 AND 3", LENGTHS, {"column": "t", "min_value": 1, "max_value": 3}),
        ("n > small", PAIR, {"column_A": "n", "column_B": "small", "or_equal": False, **NEITHER_MISSING}),
        ("n <= small", PAIR, {"column_A": "small", "column_B": "n", "or_equal": True, **NEITHER_MISSING}),
    ],
)
def test_predicates_that_an_expectation_says(predicate: str, kind: str, arguments: dict[str, Any]):
    assert (kind, arguments) == fit(predicate, SCHEMA)


@pytest.mark.parametrize(
    "predicate",
    [
        "x > 5",  # NaN is greater, and in no interval
        "5 < x",
        "single <= 0.1",
        "price <= 5",
        "n <= 9007199254740993",
        "n > 5 AND n < 9",
        "NOT n > 5",
        "NOT n BETWEEN 1 AND 5",
        "n BETWEEN 5 AND 1",
        "n BETWEEN small AND 5",
        "at BETWEEN DATE '2013-01-01' AND TIMESTAMP '2013-01-31 05:00'",
        "t >= 'a'",
        "d >= '2013-01-31'",
        "d >= TIMESTAMP '2013-01-31 05:00'",
        "ms >= TIMESTAMP '2013-01-31 05:00'",
        "rome >= TIMESTAMPTZ '2013-01-31 05:00Z'",
        "utc >= DATE '2013-01-31'",
        "n IN ('a')",
        "t IN (1)",
        "kind IN ('a')",
        "b IN (1)",
        "n IN (1, NULL)",
        "n IN (1, small)",
        "n + 1 IN (1)",
        "n + 1 > 2",
        "b IS TRUE",
        "n + 1 IS NULL",
        "b",
        "n = small",
        "kind MATCHES 'a'",
        "n LIKE 'a'",
        "LOWER(t) LIKE 'a'",
        r"t MATCHES '\w+'",
        r"t MATCHES '\bx'",
        "t MATCHES '(?i)a'",
        "t MATCHES '(?P<x>a)'",
        "t MATCHES 'a$|b'",
        "t MATCHES '[a&&b]'",
        "t MATCHES '[[:alpha:]]'",
        "t MATCHES 'a++'",
        r"t MATCHES '\<a'",
        "t ILIKE 'a'",
        "LENGTH(kind) = 3",
        "LENGTH(t) = -1",
        "LENGTH(t) <> 3",
        "NOT LENGTH(t) = 3",
        "LENGTH(t) > 2.5",
        "LENGTH(t) BETWEEN 3 AND 1",
        "missing > 5",
        "missing IN (1)",
        "STARTS_WITH(t, 'a')",
        "n IN (SELECT n FROM other)",
        "n IS NOT DISTINCT FROM 1",
    ],
)
def test_predicates_that_none_says_in_the_same_way(predicate: str):
    assert fit(predicate, SCHEMA) is None


@pytest.mark.parametrize("predicate", ["n > 5", "n IN (1)", "t MATCHES 'a'", "t LIKE 'a'", "LENGTH(t) = 1"])
def test_without_types_only_what_holds_for_all_is_fitted(predicate: str):
    assert fit(predicate) is None
    assert fit("n IS NOT NULL") is not None
    assert fit("n > small") is not None


# ------------------------------------------------------- both are broken by the same rows

texts = st.one_of(
    st.sampled_from(["", "a", "b", "ab", "A", "a\n", "\n", "aé", "50%", "5_", "٣", "3", "a.b", "[", "\\", "aba"]),
    st.text(max_size=3),
)
numbers = st.sampled_from([0, 1, -1, 2, 3, 127, EXACT, EXACT + 1, -EXACT - 1, 2**62])
floats = st.sampled_from([0.0, -0.0, 0.1, 0.5, 1.0, 2.0, -1.0, float("nan"), float("inf"), float("-inf"), 1e300])
days = st.dates(dt.date(2013, 1, 30), dt.date(2013, 2, 2))
moments = st.sampled_from(
    [HOUR, dt.datetime(2013, 1, 31), dt.datetime(2013, 2, 1, 0, 0, 0, 1), HOUR - dt.timedelta.resolution]
)
row = st.fixed_dictionaries(
    {
        "n": st.none() | numbers,
        "small": st.none() | st.integers(-3, 3),
        "x": st.none() | floats,
        "y": st.none() | floats,
        "t": st.none() | texts,
        "u": st.none() | texts,
        "d": st.none() | days,
        "at": st.none() | moments,
        "utc": st.none() | moments.map(lambda at: at.replace(tzinfo=dt.UTC)),
    }
)
KINDS: dict[str, pl.DataType] = {
    **{name: SCHEMA[name] for name in ("n", "small", "x", "t", "d", "at", "utc")},
    "y": pl.Float64(),
    "u": pl.String(),
}

whole = st.sampled_from(["0", "1", "-1", "3", "300", str(EXACT - 1), str(-EXACT + 1)])
number = whole | st.sampled_from(["0.1", "2.5", "-0.5", "1e0", "1.0"])
text = texts.filter(lambda t: "\0" not in t).map(lambda t: "'" + t.replace("'", "''") + "'")
day = days.map(lambda d: f"DATE '{d}'")
moment = moments.map(lambda m: f"TIMESTAMP '{m}'")
instant = moments.map(lambda m: f"TIMESTAMPTZ '{m}Z'")
pattern = st.text(st.sampled_from([*"ab3.^$|()*+?[]{}1,-\\d", "é", "\n"]), max_size=6) | st.sampled_from(
    ["^a$", "^[ab]+$", r"\d", r"^\d$", "[^a]", "^.$", "a{1,2}$", "(a|b)$", r"\.", "a?$", "$", ""]
)
like = st.text(st.sampled_from("ab%_\\!\n"), max_size=4).map(lambda t: f"'{t}'")
values = {
    "n": number,
    "small": number,
    "x": number,
    "t": text,
    "d": day,
    "at": moment | day,
    "utc": instant,
}
pairs = st.sampled_from(sorted(values)).flatmap(
    lambda c: st.tuples(st.just(c), st.lists(values[c], min_size=1, max_size=18))
)
signs = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
lengths = st.sampled_from(["0", "1", "2", "-1", "1.5"])
same_types = st.sampled_from([("n", "small"), ("x", "y"), ("x", "n"), ("t", "u"), ("d", "at"), ("n", "n")])
said = st.one_of(
    st.tuples(pairs, signs).map(lambda p: f"{p[0][0]} {p[1]} {p[0][1][0]}"),
    st.tuples(pairs, signs).map(lambda p: f"{p[0][1][0]} {p[1]} {p[0][0]}"),
    pairs.map(lambda p: f"{p[0]} BETWEEN {p[1][0]} AND {p[1][-1]}"),
    pairs.map(lambda p: f"{p[0]} IN ({', '.join(p[1])})"),
    pairs.map(lambda p: f"{p[0]} NOT IN ({', '.join(p[1])})"),
    pattern.map(lambda p: f"t MATCHES '{p}'"),
    pattern.map(lambda p: f"t NOT MATCHES '{p}'"),
    like.map(lambda p: f"t LIKE {p}"),
    like.map(lambda p: f"t NOT LIKE {p}"),
    like.map(lambda p: f"t LIKE {p} ESCAPE '!'"),
    st.tuples(lengths, signs).map(lambda p: f"LENGTH(t) {p[1]} {p[0]}"),
    st.tuples(lengths, lengths).map(lambda p: f"LENGTH(t) BETWEEN {p[0]} AND {p[1]}"),
    st.tuples(same_types, signs).map(lambda p: f"{p[0][0]} {p[1]} {p[0][1]}"),
    st.sampled_from(sorted(values)).map(lambda c: f"{c} IS NULL"),
)
predicates = said | said.map(lambda p: f"NOT ({p})")


@settings(max_examples=200)
@given(predicates, st.lists(row, min_size=1, max_size=8))
def test_a_fitted_expectation_is_broken_by_the_same_rows(predicate: str, rows: list[dict[str, Any]]):
    try:
        broken = parse_predicate(predicate).failing
    except ConfigError:
        return  # a random pattern
    fitted = fit(predicate, KINDS)
    if fitted is None:
        return
    load()
    from dataflow.quality.gx_polars import failing_rows, make_expectation

    kind, arguments = fitted
    check_expectation("fitted", {"type": kind, **arguments})
    json.dumps(make_expectation(kind, **arguments).configuration.to_json_dict())
    frame = pl.DataFrame(rows, schema=KINDS)
    expected = frame.select(broken).to_series().to_list()
    assert expected == frame.select(failing_rows(kind, arguments, KINDS)).to_series().to_list()
