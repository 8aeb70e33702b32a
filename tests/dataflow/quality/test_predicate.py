"""What a predicate may say, what it answers, and what it is refused for."""

from __future__ import annotations

import datetime as dt
import sqlite3
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.errors import ConfigError
from dataflow.quality.predicate import parse_predicate

FRAME = pl.DataFrame(
    {
        "n": [1, -7, None, 0],
        "x": [2.5, -0.5, None, 1.0],
        "t": ["ab", " A%b ", None, ""],
        "b": [True, False, None, True],
        "d": [dt.date(2013, 1, 1), dt.date(2013, 12, 31), None, dt.date(2014, 6, 1)],
        "at": [dt.datetime(2013, 1, 1, 5), dt.datetime(2013, 1, 2), None, dt.datetime(2014, 1, 1)],
        "a column": [1, 2, 3, None],
    }
).with_columns(utc=pl.col("at").dt.replace_time_zone("UTC"))
T, F, N = True, False, None


def answers(predicate: str, frame: pl.DataFrame = FRAME) -> list[bool | None]:
    return frame.select(parse_predicate(predicate).expr).to_series().to_list()


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ("n IS NOT NULL", [T, T, F, T]),
        ("n IS NULL", [F, F, T, F]),
        ("b IS TRUE", [T, F, F, T]),
        ("b IS NOT FALSE", [T, F, T, T]),
        ("b", [T, F, N, T]),
        ("NOT b", [F, T, N, F]),
        ("b AND NULL", [N, F, N, N]),
        ("b OR NULL", [T, N, N, T]),
        ("NOT (b AND (NULL))", [N, T, N, N]),
        ("n > 0 OR t = 'ab'", [T, F, N, F]),
        ("n != 1 AND n <> 0", [F, T, N, F]),
        ("n >= -7 AND n <= 1 AND n < 1", [F, T, N, T]),
        ("n == 1e0", [T, F, N, F]),
        ("n BETWEEN -7 AND 0", [F, T, N, T]),
        ("n NOT BETWEEN -7 AND 0", [T, F, N, F]),
        ("n IN (1, 0)", [T, F, N, T]),
        ("n IN (1, NULL)", [T, N, N, N]),
        ("n NOT IN (1, NULL)", [F, N, N, N]),
        ("n IN (1, 2.5)", [T, F, N, F]),
        (f"n IN ({', '.join(map(str, range(1, 30)))})", [T, F, N, F]),
        (f"t IN ({', '.join(repr(str(i)) for i in range(30))}, 'ab')", [T, F, N, F]),
        (f"x IN ({', '.join(str(i / 2) for i in range(30))})", [T, F, N, T]),
        (f"t IN ({', '.join(repr(str(i)) for i in range(30))}, NULL)", [N, N, N, N]),
        ("t LIKE 'a_'", [T, F, N, F]),
        ("t LIKE '%'", [T, T, N, T]),
        ("t LIKE '%!%b%' ESCAPE '!'", [F, T, N, F]),
        ("t NOT LIKE 'a_'", [F, T, N, T]),
        ("t NOT LIKE '%!%b%' ESCAPE '!'", [T, F, N, T]),
        ("t MATCHES '^[a-z]+$'", [T, F, N, F]),
        ("t RLIKE '^[a-z]+$' AND t ~ 'b'", [T, F, N, F]),
        ("t NOT MATCHES '^[a-z]+$'", [F, T, N, T]),
        ("n + 1 = 2 AND n - 1 = 0 AND n * 2 = 2", [T, F, N, F]),
        ("n / 2 = 0.5", [T, F, N, F]),
        ("1 / n > 0", [T, F, N, N]),
        ("n % 3 = -1", [F, T, N, F]),
        ("1 % n = 1", [F, T, N, N]),
        ("-n = 7", [F, T, N, F]),
        ("CASE WHEN n > 0 THEN 'up' WHEN n < 0 THEN 'down' END = 'up'", [T, F, N, N]),
        ("CASE n WHEN 1 THEN 10 ELSE 20 END = 10", [T, F, F, F]),
        ("CASE WHEN NULL THEN n ELSE 1 END = 1", [T, T, T, T]),
        ("COALESCE(n, 5) = 5", [F, F, T, F]),
        ("COALESCE(NULL, n) = 1", [T, F, N, F]),
        ("IFNULL(n, 5) = 5", [F, F, T, F]),
        ("ABS(n) = 7", [F, T, N, F]),
        ("LENGTH(t) = 5", [F, T, N, F]),
        ("LOWER(t) = 'ab' AND UPPER(t) = 'AB'", [T, F, N, F]),
        ("TRIM(t) = 'A%b'", [F, T, N, F]),
        ("ROUND(x) = 3", [T, F, N, F]),
        ("ROUND(x, 1) = -0.5", [F, T, N, F]),
        ("CAST(n AS TEXT) = '1'", [T, F, N, F]),
        ("x::int = 2", [T, F, N, F]),
        ("TRY_CAST(t AS BIGINT) = 2", [N, N, N, N]),
        ("d >= DATE '2013-12-31'", [F, T, N, T]),
        ("at < TIMESTAMP '2013-01-01 06:00'", [T, F, N, F]),
        ("utc < TIMESTAMPTZ '2013-01-01 05:30+01:00'", [F, F, N, F]),
        ("utc <= TIMESTAMPTZ '2013-01-01 05:00Z'", [T, F, N, F]),
        ('"a column" <> 1 -- a comment', [F, T, T, N]),
        ("n IS DISTINCT FROM 1", [F, T, T, T]),
        ("n IS NOT DISTINCT FROM 1", [T, F, F, F]),
        ("t ILIKE 'A_'", [T, F, N, F]),
        ("t NOT ILIKE 'A_'", [F, T, N, T]),
        ("STARTS_WITH(t, 'a')", [T, F, N, F]),
        ("ENDS_WITH(t, 'b')", [T, F, N, F]),
        ("CONTAINS(t, '%')", [F, T, N, F]),
        ("t || 'x' = 'abx'", [T, F, N, F]),
        ("SUBSTRING(t, 2) = 'b'", [T, F, N, F]),
        ("SUBSTRING(t, 2, 2) = 'A%'", [F, T, N, F]),
        ("REPLACE(t, 'a', '.') = '.b'", [T, F, N, F]),
        ("NULLIF(n, 1) = -7", [N, T, N, F]),
        ("GREATEST(n, x, 1) = 1", [F, T, T, T]),
        ("LEAST(n, x) = n", [T, T, N, T]),
        ("FLOOR(x) = 2 AND CEIL(x) = 3", [T, F, N, F]),
        ("IS_NAN(x)", [F, F, N, F]),
        ("EXTRACT(YEAR FROM d) = 2013 AND EXTRACT(QUARTER FROM d) = 1", [T, F, N, F]),
        ("EXTRACT(MONTH FROM d) = 12 AND EXTRACT(DAY FROM d) = 31", [F, T, N, F]),
        ("EXTRACT(HOUR FROM at) = 5", [T, F, N, F]),
        ("EXTRACT(MINUTE FROM at) = 0 AND EXTRACT(SECOND FROM at) = 0", [T, T, N, T]),
        ("EXTRACT(ISODOW FROM d) = 2", [T, T, N, F]),
        ("YEAR(d) = 2013 AND MONTH(d) = 1 AND DAY(d) = 1 AND HOUR(utc) = 5", [T, F, N, F]),
        ("DATEDIFF(d, DATE '2012-12-31') = 1", [T, F, N, F]),
        ("DATEDIFF(at, DATE '2013-01-01', DAYS) = 1", [F, T, N, F]),
        ("DATEDIFF(at, TIMESTAMP '2013-01-01 04:59:59', HOUR) = 1", [T, F, N, F]),
        ("DATEDIFF(at, TIMESTAMP '2013-01-01 04:59:59', MINUTE) = 1", [T, F, N, F]),
        ("DATEDIFF(utc, TIMESTAMPTZ '2013-01-01 04:59:59Z', SECOND) = 1", [T, F, N, F]),
        ("d + INTERVAL '1' DAY = DATE '2013-01-02'", [T, F, N, F]),
        ("at - INTERVAL '5 hours' = TIMESTAMP '2013-01-01'", [T, F, N, F]),
        ("INTERVAL '0.5' HOUR + utc = TIMESTAMPTZ '2013-01-01 05:30Z'", [T, F, N, F]),
        ("at - d > INTERVAL '4' HOUR", [T, F, N, F]),
    ],
)
def test_answers(predicate: str, expected: list[bool | None]):
    assert expected == answers(predicate)


def test_unknown_is_not_broken():
    assert [False, True, False, True] == FRAME.select(parse_predicate("n > 0").failing).to_series().to_list()


def test_columns_are_listed_once_and_sorted():
    assert ("a column", "n") == parse_predicate('n > 0 AND "a column" > n').columns


@pytest.mark.parametrize(
    ("predicate", "sign"),
    [
        ("", "it is empty"),
        ("-- nothing", "it is empty"),
        ("n AND", "at column 5, near 'AND': Required keyword"),
        ("'open", "this is not SQL that can be read"),
        ("n > 0; DROP TABLE x", "2 statements"),
        ("SELECT * FROM x", "SELECT"),
        ("(SELECT n FROM 'other.csv')", "SUBQUERY"),
        ("n IN (SELECT 1)", "a rule of its own, column IN (SELECT key FROM table)"),
        ("n IN b", "FIELD in"),
        ("n IN ()", "IN without a value"),
        ("n IN (NULL)", "IN without a value"),
        ("EXISTS (SELECT 1)", "EXISTS"),
        ("read_csv('/etc/passwd')", "the function READ_CSV"),
        ("read_parquet('/etc/passwd') = n", "the function READ_PARQUET"),
        ("SUM(n) OVER () > 1", "WINDOW"),
        ("COUNT(*) > 1", "the function COUNT"),
        ("foo(n) = 1", "the function FOO"),
        ("*", "STAR"),
        ("other.n > 0", "TABLE in 'other.n'"),
        ("n = ANY(b)", "ANY"),
        ("n = NULL", "write IS NULL"),
        ("NULL <> n", "write IS NULL"),
        ("n IS 5", "IS 5"),
        ("n BETWEEN SYMMETRIC 1 AND 2", "SYMMETRIC in"),
        ("n + 1", "this is a value"),
        ("(LOWER(t))", "this is a value"),
        ("1 = 1", "no column is named"),
        ("t LIKE b", "LIKE with anything but a quoted text (b)"),
        ("t LIKE 'x!y' ESCAPE '!'", "an escape character before anything but"),
        ("t LIKE 'x!' ESCAPE '!'", "an escape character before anything but"),
        ("t LIKE 'x' ESCAPE 'ab'", "ESCAPE takes one character"),
        ("t ILIKE 'x' ESCAPE 'a'", "ESCAPE takes one character"),
        ("t MATCHES b", "MATCHES with anything but a quoted text"),
        ("t MATCHES '('", "'(' is not allowed: unclosed group"),
        ("t MATCHES '(?=x)'", "look-around"),
        ("t MATCHES 'a{1000000}'", "exceeds size limit"),
        ("TRIM(LEADING 'x' FROM t) = 'a'", "POSITION in"),
        ("ROUND(x, n) = 1", "ROUND to anything but"),
        ("ROUND(x, -1) = 1", "ROUND to anything but"),
        ("CAST(n AS DECIMAL(3, 1)) = 1", "CAST to DECIMAL(3, 1)"),
        ("CAST(n AS VARCHAR(3)) = 'a'", "CAST to VARCHAR(3)"),
        ("d > DATE '2013-02-30'", "it is no date or time"),
        ("at > TIMESTAMP '2013-01-01 05:00Z'", "TIMESTAMP is a local time"),
        ("at > TIMESTAMPTZ '2013-01-01 05:00'", "TIMESTAMP is a local time"),
        ("n = @x", "PARAMETER"),
        ("n = ?", "PLACEHOLDER"),
        ("d < CURRENT_DATE", "would pass today and fail tomorrow; compare with a column that says when"),
        ("at < NOW()", "the function NOW is not allowed: it is another one at each run"),
        ("x < RANDOM()", "it is random"),
        ("n > (SELECT MAX(n) FROM y)", "a predicate sees one row of its own table"),
        ("read_json('x') = n", "a rule cannot read files; land the file as a source"),
        ("SUM(n) > 1", "use an expectation about the batch"),
        ("CONCAT(t, 'x') = 'a'", "join texts with ||"),
        ("SUBSTRING(t, 0) = 'a'", "counted from 1, is not allowed"),
        ("SUBSTRING(t, n) = 'a'", "counted from 1, is not allowed"),
        ("SUBSTRING(t, 1, n) = 'a'", "a whole number of characters is not allowed"),
        ("REPLACE(t, t, 'a') = 'a'", "REPLACE with anything but a quoted text"),
        ("t ILIKE t", "ILIKE with anything but a quoted text"),
        ("EXTRACT(DOW FROM d) = 1", "EXTRACT takes YEAR, QUARTER"),
        ("DATEDIFF('day', d, at) > 1", "write DATEDIFF(end, start, unit), where unit is one of DAY, HOUR"),
        ("DATEDIFF(at, d, MONTH) > 1", "where unit is one of DAY, HOUR"),
        ("at > d + INTERVAL '1' MONTH", "its length is not fixed; use WEEK, DAY"),
        ("at > d + INTERVAL 'x' DAY", "write INTERVAL '90' MINUTE"),
        ("YEAR(d)", "this is a value"),
    ],
)
def test_refused(predicate: str, sign: str):
    with pytest.raises(ConfigError) as caught:
        parse_predicate(predicate, "my_rule")
    message = caught.value.message
    assert message.startswith(f"rule 'my_rule': predicate {predicate!r}: ")
    assert sign in message
    assert message.endswith("CAST and TRY_CAST to BIGINT, DOUBLE, TEXT, BOOLEAN, DATE, TIMESTAMP")


def test_a_day_and_an_hour_do_not_silently_make_a_day():
    with pytest.raises(pl.exceptions.PolarsError, match="expected duration or datetime, got date"):
        answers("d + INTERVAL '1' HOUR > d")


def test_the_greatest_and_the_least_pass_over_nan():
    frame = pl.DataFrame({"x": [float("nan"), 1.0]})
    assert [True, True] == answers("GREATEST(x, 1) = 1 AND LEAST(x, 1) = 1", frame)


def test_nesting_without_end_is_refused():
    with pytest.raises(ConfigError, match="rule 'deep': the predicate is nested too deeply; split it"):
        parse_predicate("(" * 5000 + "n > 0" + ")" * 5000, "deep")


# ------------------------------------------------------- the truth about SQL: SQLite

numbers = st.sampled_from(["n", "m", "1", "0", "-2", "3"])
texts = st.sampled_from(["t", "u", "'a'", "'B%'", "''"])


def _numbers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(pair, st.sampled_from("+-*%")).map(lambda p: f"({p[0][0]} {p[1]} {p[0][1]})"),
        inner.map(lambda a: f"(- {a})"),
        inner.map(lambda a: f"ABS({a})"),
        pair.map(lambda p: f"COALESCE({p[0]}, {p[1]})"),
        pair.map(lambda p: f"CASE WHEN {p[0]} > {p[1]} THEN {p[0]} ELSE {p[1]} END"),
        pair.map(lambda p: f"CASE {p[0]} WHEN {p[1]} THEN 1 END"),
    )


def _questions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        pair.map(lambda p: f"({p[0]} AND {p[1]})"),
        pair.map(lambda p: f"({p[0]} OR {p[1]})"),
        inner.map(lambda a: f"(NOT {a})"),
        inner.map(lambda a: f"({a} IS NULL)"),
        inner.map(lambda a: f"({a} IS NOT TRUE)"),
    )


number = st.recursive(numbers, _numbers, max_leaves=4)
text = st.one_of(texts, texts.map(lambda a: f"LOWER({a})"), texts.map(lambda a: f"TRIM({a})"))
compare = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
simple = st.one_of(
    st.tuples(number, compare, number).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
    st.tuples(text, compare, text).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
    st.tuples(number, number, number).map(lambda p: f"({p[0]} BETWEEN {p[1]} AND {p[2]})"),
    st.tuples(number, st.lists(number, min_size=1, max_size=3)).map(lambda p: f"({p[0]} IN ({', '.join(p[1])}))"),
    number.map(lambda a: f"({a} NOT IN (1, NULL))"),
    st.tuples(text, st.sampled_from(["a%", "%_", "", "B!%", "%!%"])).map(lambda p: f"({p[0]} LIKE '{p[1]}')"),
    text.map(lambda a: f"({a} LIKE '%!%' ESCAPE '!')"),
    text.map(lambda a: f"(LENGTH({a}) > 1)"),
    number.map(lambda a: f"({a} IS NOT NULL)"),
)
question = st.recursive(simple, _questions, max_leaves=5)
row = st.tuples(
    st.one_of(st.none(), st.integers(-4, 4)),
    st.one_of(st.none(), st.integers(-4, 4)),
    st.one_of(st.none(), st.sampled_from(["", "a", "B%", " ab ", "A\nb", "a.b", "[x]"])),
    st.one_of(st.none(), st.sampled_from(["", "a", "b", "B%"])),
)


@given(question, st.lists(row, min_size=1, max_size=8))
def test_answers_are_those_of_sqlite(predicate: str, rows: list[tuple[Any, ...]]):
    predicate = f"({predicate} AND (n IS NULL OR n > -100))"
    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA case_sensitive_like = ON")
    database.execute("CREATE TABLE r (n INTEGER, m INTEGER, t TEXT, u TEXT)")
    database.executemany("INSERT INTO r VALUES (?, ?, ?, ?)", rows)
    expected = [
        None if a is None else bool(a) for (a,) in database.execute(f"SELECT {predicate} FROM r ORDER BY rowid")
    ]
    database.close()
    frame = pl.DataFrame(rows, schema={"n": pl.Int64, "m": pl.Int64, "t": pl.String, "u": pl.String}, orient="row")
    assert expected == answers(predicate, frame)
