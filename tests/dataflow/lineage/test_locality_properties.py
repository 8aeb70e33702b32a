"""Wherever functions are proven to be computable by pieces, their pieces make up the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from dataflow.lineage.locality import locality

SCHEMA = {"k": pl.Int64(), "s": pl.String(), "v": pl.Int64()}
Frame = pl.LazyFrame
Step = Callable[[Frame, Frame], Frame]
c = pl.col


def stacked(a: Frame, b: Frame) -> Frame:
    return pl.concat([a, b.select(a.collect_schema().names())])


STEPS: dict[str, Step] = {
    "filter": lambda a, b: a.filter(c.v > 1),
    "filter over": lambda a, b: a.filter(c.v == c.v.max().over("k")),
    "compute": lambda a, b: a.with_columns(v=c.v * 2 + 1),
    "overwrite the key": lambda a, b: a.with_columns(k=c.v),
    "swap": lambda a, b: a.select(s="s", v="k", k="v"),
    "left join": lambda a, b: a.join(b.select("k", w="v"), on="k", how="left").with_columns(v=c.w).drop("w"),
    "inner join": lambda a, b: a.join(b.select("s", w="v"), on="s").drop("w"),
    "semi join": lambda a, b: a.join(b, on="k", how="semi"),
    "anti join": lambda a, b: a.join(b, on="s", how="anti"),
    "semi with itself": lambda a, b: a.join(a.filter(c.v > 0), on="k", how="semi"),
    "share": lambda a, b: a.join(a.group_by("k").agg(t=c.v.sum()), on="k").with_columns(v=c.t).drop("t"),
    "group": lambda a, b: a.group_by("k", "s").agg(c.v.sum()),
    "group one": lambda a, b: a.group_by("k").agg(c.v.sum(), s=c.s.max()),
    "group and lose the key": lambda a, b: a.group_by("k", "s").agg(c.v.sum()).with_columns(k=c.v),
    "count over": lambda a, b: a.with_columns(v=pl.len().over("s").cast(pl.Int64)),
    "rank over": lambda a, b: a.with_columns(v=c.v.rank("dense").over("k").cast(pl.Int64)),
    "unique": lambda a, b: a.unique(),
    "unique keys": lambda a, b: a.group_by("k").agg(c.s.min(), c.v.min()).unique(subset=["k"]),
    "stack": stacked,
    "stack with itself": lambda a, b: pl.concat([a, a.filter(c.v > 0)]),
    "sum of all": lambda a, b: a.with_columns(v=c.v - c.v.sum()),
    "top": lambda a, b: a.sort("v", "k", "s").head(2),
    "shift": lambda a, b: a.sort("v", "k", "s").with_columns(v=c.v.shift(1)),
    "one row": lambda a, b: a.select(k=c.k.max(), s=c.s.max(), v=c.v.sum()),
    "groups of the other": lambda a, b: a.join(b.group_by("k").agg(w=c.v.sum()), on="k", how="left").with_columns(v=c.w).drop("w"),
    "from the right": lambda a, b: b.join(a.select("k"), on="k"),
    "explode": lambda a, b: a.with_columns(v=pl.concat_list("v", "k")).explode("v"),
}  # fmt: skip

ROWS = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(0, 2)), st.one_of(st.none(), st.sampled_from("xy")), st.integers(-1, 4)),
    max_size=7,
)


def frame(rows: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def rows_of(function: Step, a: pl.DataFrame, b: pl.DataFrame) -> list[str]:
    return sorted(map(repr, function(a.lazy(), b.lazy()).select("k", "s", "v").collect().rows()))


@settings(max_examples=50, deadline=None)
@given(names=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=4), a=ROWS, b=ROWS, data=st.data())
def test_pieces_make_up_the_whole(names: list[str], a: list[Any], b: list[Any], data: st.DataObject):
    def function(first: Frame, second: Frame) -> Frame:
        for name in names:
            first = STEPS[name](first, second)
        return first

    found = locality(function, {"a": pl.Schema(SCHEMA), "b": pl.Schema(SCHEMA)})
    left, right = frame(a), frame(b)
    event(f"row-wise: {found.row_wise}, apart: {bool(found.cuts)}")
    assume(found.row_wise or found.cuts)
    whole = rows_of(function, left, right)
    if found.row_wise:
        cut = data.draw(st.integers(0, len(a)))
        assert whole == sorted(rows_of(function, left[:cut], right) + rows_of(function, left[cut:], right))
    for changed in ({"a"}, {"a", "b"}):
        cuts = found.cuts_for(changed)
        if not cuts:
            continue
        values = {repr(row) for name in cuts[0].domain for row in _values({"a": left, "b": right}[name], name, cuts)}
        here = data.draw(st.sets(st.sampled_from(sorted(values)))) if values else set[str]()
        parts = [_part({"a": left, "b": right}, cuts, here, inside=inside) for inside in (True, False)]
        pieces = [rows_of(function, part["a"], part["b"]) for part in parts]
        assert whole == sorted(pieces[0] + pieces[1])
        carried = function(parts[0]["a"].lazy(), parts[0]["b"].lazy()).select(cut.column for cut in cuts).collect()
        assert {repr(row) for row in carried.rows()} <= here, "the result says which piece it is of"


def _values(table: pl.DataFrame, name: str, cuts: Any) -> list[Any]:
    return table.select(pl.col(cut.of(name)).alias(f"{n}") for n, cut in enumerate(cuts)).rows()


def _part(tables: dict[str, pl.DataFrame], cuts: Any, here: set[str], *, inside: bool) -> dict[str, pl.DataFrame]:
    found = dict(tables)
    for name in cuts[0].domain:
        held = [(repr(row) in here) is inside for row in _values(tables[name], name, cuts)]
        found[name] = tables[name].filter(pl.Series(held, dtype=pl.Boolean))
    return found
