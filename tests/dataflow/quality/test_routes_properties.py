"""Whatever the rows and the rules: no row is lost or doubled, and the verdict counts what plain Python counts."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.model import ROW_ID
from dataflow.quality.gate import audit
from dataflow.quality.routes import Repair
from dataflow.quality.routing import Routed, route_rows
from dataflow.quality.rules import ValidationRule
from tests.dataflow.quality.batches import AT, Shelf

Row = dict[str, Any]
KNOWN = pl.DataFrame({"k": ["a", "b", None]})
REFERENCES = {"known": KNOWN.lazy()}
BROKEN: dict[str, Callable[[Row], bool]] = {
    "n IS NOT NULL": lambda row: row["n"] is None,
    "n > 0": lambda row: row["n"] is not None and not row["n"] > 0,
    "n % 2 = 0": lambda row: row["n"] is not None and row["n"] % 2 != 0,
    "t = LOWER(t)": lambda row: row["t"] is not None and row["t"] != row["t"].lower(),
    "t IN (SELECT k FROM known)": lambda row: row["t"] is not None and row["t"] not in ("a", "b"),
    "t IN ('a', 'B') OR n < 2": lambda row: (
        row["t"] is not None and row["t"] not in ("a", "B") and row["n"] is not None and not row["n"] < 2
    ),
}
"""Predicates, and what they mean in plain Python."""
REPAIRS: dict[str, tuple[Repair, Callable[[Any], Any]]] = {
    "n": (Repair("n", lambda n: n + 1), lambda n: None if n is None else n + 1),
    "t": (Repair("t", lambda t: t.str.to_lowercase()), lambda t: None if t is None else t.lower()),
}

rows = st.lists(
    st.fixed_dictionaries(
        {"n": st.none() | st.integers(-3, 3), "t": st.none() | st.sampled_from(["a", "A", "b", "z"])}
    ),
    max_size=12,
)
routes = st.sampled_from(["quarantine", "drop", "warn", "fail"])
plain = st.lists(st.tuples(st.sampled_from(sorted(BROKEN)), routes), max_size=5)
READ = [(text, column) for text in sorted(BROKEN) for column in ("n", "t") if column in re.findall(r"\w+", text)]
"""A repair is of a column that its rule reads."""
repairs = st.lists(st.sampled_from(READ), max_size=2, unique_by=lambda chosen: chosen[1])


def made(plain: Sequence[tuple[str, str]], repaired: Sequence[tuple[str, str]] = ()) -> list[ValidationRule]:
    rules = [ValidationRule(f"rule{n}", text, on_fail=route) for n, (text, route) in enumerate(plain)]  # pyright: ignore
    mending = [ValidationRule(f"mend{n}", text, on_fail=REPAIRS[c][0]) for n, (text, c) in enumerate(repaired)]
    return [*rules, *mending]


def framed(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"n": pl.Int64, "t": pl.String}).with_row_index(ROW_ID).cast({ROW_ID: pl.Int64})


def parted(frame: pl.DataFrame, rules: Sequence[ValidationRule]) -> list[pl.DataFrame]:
    routed: Routed = route_rows(frame.lazy(), rules, at=AT, references=REFERENCES)
    sides = (routed.good, routed.quarantined, routed.dropped, routed.repaired)
    empty = frame.clear().with_columns(pl.lit(None, pl.List(pl.String)).alias("_rules")).lazy()
    return pl.collect_all([empty if side is None else side for side in sides])


def expected(row: Row, rules: Sequence[ValidationRule]) -> tuple[str, Row, list[str]]:
    """Where a row goes, what it is then, and the routing rules that it broke as it was."""
    routing = [rule for rule in rules if rule.route in ("quarantine", "drop", "repair")]
    broken = [rule.name for rule in routing if BROKEN[str(rule.predicate)](row)]
    now, touched = dict(row), False
    for rule in routing:
        if rule.repair is not None and BROKEN[str(rule.predicate)](now):
            column = rule.repair.column
            now[column], touched = REPAIRS[column][1](now[column]), True
    left = {rule.route for rule in routing if BROKEN[str(rule.predicate)](now)}
    if left & {"quarantine", "repair"}:
        return "quarantined", row, broken
    if "drop" in left:
        return "dropped", row, broken
    return ("repaired" if touched else "good"), now, broken


@settings(max_examples=60, deadline=None)
@given(rows, plain, repairs)
def test_every_row_goes_where_plain_python_says(rows: list[Row], plain: Any, repairs: Any):
    frame, rules = framed(rows), made(plain, repairs)
    good, quarantined, dropped, repaired = parted(frame, rules)
    assert list(range(len(rows))) == sorted(pl.concat([x[ROW_ID] for x in (good, quarantined, dropped)]).to_list())
    found: dict[int, tuple[str, Row, list[str]]] = {}
    for name, side in (("quarantined", quarantined), ("dropped", dropped)):
        for row in side.to_dicts():
            found[row[ROW_ID]] = (name, {c: row[c] for c in ("n", "t")}, row["_rules"])
    mended = {row[ROW_ID]: row for row in repaired.to_dicts()}
    for row in good.to_dicts():
        before = mended.get(row[ROW_ID])
        kind = ("good", []) if before is None else ("repaired", before["_rules"])
        found[row[ROW_ID]] = (kind[0], {c: row[c] for c in ("n", "t")}, kind[1])
        assert before is None or rows[row[ROW_ID]] == {c: before[c] for c in ("n", "t")}
    truth = {number: expected(row, rules) for number, row in enumerate(rows)}
    # Of a good row that no repair touched, nothing is told.
    assert {n: (kind, now, broken if kind != "good" else []) for n, (kind, now, broken) in truth.items()} == found


@settings(max_examples=40, deadline=None)
@given(rows, plain, st.randoms())
def test_the_order_of_rules_does_not_matter(rows: list[Row], plain: Any, random: Any):
    frame, rules = framed(rows), made(plain)
    shuffled = random.sample(rules, len(rules))
    for one, other in zip(parted(frame, rules), parted(frame, shuffled), strict=True):
        assert one[ROW_ID].to_list() == other[ROW_ID].to_list()
        if "_rules" in one.columns:
            assert [sorted(names) for names in one["_rules"]] == [sorted(names) for names in other["_rules"]]


@settings(max_examples=15, deadline=None)
@given(rows, plain, repairs)
def test_the_verdict_counts_what_plain_python_counts(rows: list[Row], plain: Any, repairs: Any):
    rules = made(plain, repairs)
    with tempfile.TemporaryDirectory() as folder:
        batch = Shelf(Path(folder)).routed(framed(rows), rules, references=REFERENCES)
        verdict = audit(batch, rules, stage="s", batch_id="b", digest="d")
    truth = [expected(row, rules) for row in rows]
    failed, mended = Counter[str](), Counter[str]()
    for kind, now, broken in truth:
        if kind == "repaired":
            mended.update(broken)
        elif kind != "good":
            failed.update(broken)
        judged = [rule for rule in rules if rule.route in ("warn", "fail")]
        failed.update(rule.name for rule in judged if BROKEN[str(rule.predicate)](now))
    assert {r.name: (len(rows), failed[r.name], mended[r.name]) for r in rules} == {
        r.rule: (r.checked if rows else 0, r.failed, r.repaired) for r in verdict.results
    }
    assert {r.name: not failed[r.name] for r in rules} == {r.rule: r.success for r in verdict.results}
