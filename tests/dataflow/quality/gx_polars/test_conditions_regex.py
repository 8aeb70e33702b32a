"""Regular expressions mean what Python means by them, whichever engine runs them."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Sequence
from itertools import product
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.quality.gx_polars.conditions import like_expr, regex_expr
from dataflow.quality.gx_polars.conditions.distinct import by_distinct

VALUES = [
    "",
    "a",
    "b",
    "ab",
    "aa",
    "a\n",
    "\n",
    "a\nb",
    "A",
    "é",
    "É",
    "½",
    "x\u0301",
    "\x1c",
    " ",
    "1",
    "-",
    "]",
    "ſ",
    "K",
    "K",
]
PATTERNS = [
    *("", "a", "^a$", "^a$|^b$", r"\Aa\Z", "a$b?", "(a$)*", "a$\n", "(?m)^b$", "(?m)a$", ".", "(?s).", "^.b", "(?s)^a.b"),
    *("[ab]", "[^ab]", "[a-c]", r"[\w-]", r"[^\d\s]", "[]a]", "[a&&b]", "[[a]", "[^a]", "[^\n]", r"\w", r"\W", r"\d", r"\D"),
    *(r"\s", r"\S", r"^\w+$", r"\b\w", r"a\b", r"\B", r"\<a", "a{2}", "a{,2}$", "a{1,}", "a*?b", "a+?", "(?:a|b)+", "(a)(b)"),
    *("(?i)a", "(?i)[a-b]", "(?i)s", "(?i:k)", "(?i)é", "(?i)[à-é]", "(?i)[^a]", "(?i:a)b", "(?-i:a)", "(?x) a # b"),
    *("(?=a)", "(?!a)b", "(?<=a)b", r"(a)\1", "(?P<n>a)(?P=n)", "(?>a|ab)", "a*+a", "(a)?(?(1)b|$)", "(?a)\\w", "(?#x)a"),
    *("a{", r"\x41", r"\u00e9", r"\012", r"\-", "é"),
]  # fmt: skip


def found(pattern: str, values: Sequence[str | None]) -> list[bool | None]:
    frame = pl.LazyFrame({"s": values}, schema={"s": pl.String}).select(regex_expr(pl.col("s"), pattern))
    whole = frame.collect(engine="in-memory")
    assert whole.equals(frame.collect(engine="streaming"))
    return whole.to_series().to_list()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_means_what_it_means_in_python(pattern: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected = [re.search(pattern, value) is not None for value in VALUES]
    assert [*expected, None] == found(pattern, [*VALUES, None])


ATOMS = st.sampled_from(
    ["a", "b", r"\w", r"\s", ".", "[^a]", "(^)", "($)", r"(\b)", "(a|b$)", "(?i:a)", "(?=a)", "(?m:$)"]
)
TIMES = st.sampled_from(["", "", "*", "+", "?", "{2}", "*?"])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(ATOMS, TIMES).map("".join), min_size=1, max_size=4).map("".join),
    st.lists(st.text("aAb\n é½", max_size=4), min_size=1, max_size=8),
)
def test_generated_patterns_mean_what_they_mean_in_python(pattern: str, values: list[str]):
    assert [re.search(pattern, value) is not None for value in values] == found(pattern, values)


@pytest.mark.parametrize("pattern", [r"\w", r"\d", r"\s", "."])
def test_every_character_that_python_knows_is_of_the_same_kind(pattern: str):
    points = (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    known = [point for point in points if unicodedata.category(point) != "Cn"]
    compiled = re.compile(pattern)
    assert [compiled.search(point) is not None for point in known] == found(pattern, list(known))


@pytest.mark.parametrize("pattern", [r"^[A-Z]{2}\d+$", r"^\w+@\w+\.com$", r"^(a|b)$", r"\s*x"])
def test_the_usual_patterns_are_left_to_rust(pattern: str):
    assert "python_udf" not in str(regex_expr(pl.col("s"), pattern))


def test_patterns_that_only_rust_knows_are_rusts():
    assert [True, False] == found(r"^\p{Lu}\z", ["É", "é"])


def test_a_pattern_too_large_for_rust_goes_to_python():
    assert [False] == found(r"(\w{1000}){1000}", ["a"])


@pytest.mark.parametrize("pattern", ["(a", "*a", "[z-a]", "(?P<n>a)(?P<n>b)"])
def test_a_pattern_that_nobody_can_read_is_refused(pattern: str):
    with pytest.raises(ValueError, match="does not compile: "):
        regex_expr(pl.col("s"), pattern)


def test_python_judges_distinct_values_once():
    def judge(value: str) -> bool:
        judged.append(value)
        return value != "bad"

    judged: list[str] = []
    frame = pl.LazyFrame({"s": ["good", "bad", None, "proven"] * 100_000})
    expr = by_distinct(pl.col("s"), judge, proven=lambda text: text == "proven")
    counts = frame.select(
        expr.sum().alias("good"), (expr.not_()).sum().alias("bad"), expr.is_null().sum().alias("none")
    )
    assert (200_000, 100_000, 100_000) == counts.collect(engine="in-memory").row(0)
    judged.clear()
    assert 200_000 == frame.select(expr.sum()).collect(engine="streaming").item()
    assert set(judged) <= {"good", "bad"}  # remembered from chunk to chunk


def test_what_python_raises_belongs_to_the_expectation():
    def judge(value: str) -> bool:
        raise LookupError(value)

    frame = pl.LazyFrame({"s": ["a"]}).select(by_distinct(pl.col("s"), judge))
    for engine in ("in-memory", "streaming"):
        with pytest.raises(pl.exceptions.ComputeError, match="LookupError: a"):
            frame.collect(engine=engine)


def like(pattern: str, values: list[str], **arguments: Any) -> list[bool]:
    return pl.DataFrame({"s": values}).select(like_expr(pl.col("s"), pattern, **arguments)).to_series().to_list()


def test_like_is_sqls():
    values = ["abc", "ABC", "a\nc", "a.c", "abcd", "a%c", "žbc", ""]
    assert [True, False, True, True, False, True, False, False] == like("a_c", values)
    assert [True, False, False, False, True, False, False, False] == like("ab%", values)
    assert [True, False, True, True, False, True, True, False] == like("%c", values)
    assert [False, False, False, True, False, False, False, False] == like("a.c", values)
    assert [True] * 8 == like("%", values)
    assert [False] * 7 + [True] == like("", values)
    assert [False] * 5 + [True] + [False] * 2 == like("a!%c", values, escape="!")
    assert [True] == like("!!%!_", ["!x_"], escape="!")


def test_like_agrees_with_sqlite():
    import sqlite3

    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA case_sensitive_like = ON")
    patterns = ["".join(parts) for parts in product("a%_!", repeat=3)]
    values = ["", "a", "aa", "aaa", "a%", "_", "aa!", "a\na", "%aa", "b"]
    for pattern in patterns:
        if re.search(r"!([^%_!]|$)", pattern.replace("!!", "")):
            continue  # SQLite lets an escape precede anything
        expected = [bool(connection.execute("SELECT ? LIKE ? ESCAPE '!'", (v, pattern)).fetchone()[0]) for v in values]
        assert expected == like(pattern, values, escape="!"), pattern


@pytest.mark.parametrize(
    ("pattern", "escape", "sign"),
    [
        ("a", "", "must be one character, not ''"),
        ("a", "!!", "must be one character"),
        ("a!b", "!", "must precede %, _ or itself"),
        ("a!", "!", "must precede"),
    ],
)
def test_an_escape_escapes_something(pattern: str, escape: str, sign: str):
    with pytest.raises(ValueError, match=sign):
        like_expr(pl.col("s"), pattern, escape)
