"""What is proven to be row-wise, or apart by columns, and why the rest is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pytest

from dataflow.lineage.locality import Cut, Locality, locality

A = pl.Schema({"k": pl.Int64(), "s": pl.String(), "f": pl.Float64(), "l": pl.List(pl.Int64())})
B = pl.Schema({"k": pl.Int64(), "s": pl.String(), "r": pl.Float64()})
Function = Callable[[pl.LazyFrame, pl.LazyFrame], object]
c = pl.col


def shown(function: Function) -> Locality:
    return locality(function, {"a": A, "b": B})


ROW_WISE: dict[str, Function] = {
    "filter": lambda a, b: a.filter(c.k > 1, c.s.is_not_null()),
    "compute": lambda a, b: a.with_columns(x=c.f.round(2), y=pl.when(c.k > 1).then(c.s).otherwise(pl.lit("?"))),
    "text and time": lambda a, b: a.with_columns(d=c.s.str.to_date("%Y-%m-%d")).with_columns(m=c.d.dt.month()),
    "left join": lambda a, b: a.join(b, on="k", how="left"),
    "inner join": lambda a, b: a.join(b.group_by("k").agg(c.r.sum()), on="k"),
    "semi join": lambda a, b: a.join(b, on="k", how="semi"),
    "anti join": lambda a, b: a.join(b, on="s", how="anti"),
    "join a constant": lambda a, b: a.join(pl.LazyFrame({"k": [1], "name": ["x"]}), on="k", how="left"),
    "parts stacked": lambda a, b: pl.concat([a.filter(c.k > 1), a.filter(c.k <= 1)]),
    "explode": lambda a, b: a.explode("l"),
    "unpivot": lambda a, b: a.unpivot(["f"], index=["k"]),
    "unnest": lambda a, b: a.select("k", q=pl.struct("s", "f")).unnest("q"),
    "sort": lambda a, b: a.sort("k", "f").set_sorted("k"),
    "drop nulls": lambda a, b: a.drop_nulls(),
    "sql": lambda a, b: a.sql("SELECT k, f * 2 AS g FROM self WHERE s LIKE 'x%'"),
    "cache": lambda a, b: a.cache().filter(c.k > 1),
}


@pytest.mark.parametrize("name", ROW_WISE)
def test_functions_of_single_rows_are_row_wise(name: str):
    assert (True, "") == (shown(ROW_WISE[name]).row_wise, shown(ROW_WISE[name]).reason)


NOT_ROW_WISE: dict[str, tuple[Function, str]] = {
    "group": (lambda a, b: a.group_by("k").agg(c.f.sum()), "rows are grouped (group_by)"),
    "sum beside": (lambda a, b: a.with_columns(x=c.f / c.f.sum()), "sum() looks at other rows"),
    "all in one": (lambda a, b: a.select(c.f.sum()), "sum() looks at other rows"),
    "over": (lambda a, b: a.with_columns(x=c.f.sum().over("k")), "over() looks at other rows"),
    "over all": (lambda a, b: a.filter(c.f.max().over(pl.lit(1)) == c.f), "over() looks at other rows"),
    "shift": (lambda a, b: a.with_columns(x=c.k.shift(1)), "shift() looks at other rows"),
    "rank": (lambda a, b: a.with_columns(x=c.f.rank()), "rank() looks at other rows"),
    "unique": (lambda a, b: a.unique(subset=["k"]), "unique() looks at other rows"),
    "first of keys": (lambda a, b: a.filter(c.k.is_first_distinct()), "is_first_distinct() looks at other rows"),
    "forward fill": (lambda a, b: a.fill_null(strategy="forward"), "fill_null_with_strategy() looks at other rows"),
    "head": (lambda a, b: a.head(3), "head, tail or slice keep some rows only"),
    "top": (lambda a, b: a.sort("f").head(3), "head, tail or slice keep some rows only"),
    "numbered": (lambda a, b: a.with_row_index(), "rows are numbered"),
    "joined with itself": (
        lambda a, b: a.join(a.select("k", t="f"), on="k"),
        "it is joined from the right, or with itself",
    ),
    "from the right": (lambda a, b: b.join(a, on="k", how="left"), "it is joined from the right, or with itself"),
    "stacked": (lambda a, b: pl.concat([a.select("k"), b.select("k")]), "its rows are stacked with others"),
    "only the other": (lambda a, b: b.filter(c.k > 1), "its first input is not used"),
    "guessed dates": (
        lambda a, b: a.with_columns(d=c.s.str.to_date()),
        "a format of dates that is not named is guessed from the values",
    ),
    "a series": (lambda a, b: a.with_columns(x=pl.Series([1, 2])), "a series of values is laid beside the rows"),
    "merged in order": (
        lambda a, b: a.select("k").merge_sorted(b.select("k"), "k"),
        "frames are merged in order",
    ),
    "moving windows": (
        lambda a, b: a.group_by_dynamic("k", every="2i").agg(pl.len()),
        "rows are grouped by moving windows",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_ROW_WISE)
def test_what_mixes_rows_is_known_to(name: str):
    function, reason = NOT_ROW_WISE[name]
    found = shown(function)
    assert (False, True) == (found.row_wise, found.known)
    assert reason == found.reason


UNKNOWN: dict[str, tuple[Function, str]] = {
    "python": (lambda a, b: a.map_batches(lambda frame: frame), "its plan contains a Python function"),
    "each value": (
        lambda a, b: a.with_columns(c.k.map_elements(lambda v: v, return_dtype=pl.Int64)),
        "its plan contains a Python function",
    ),
    "collected": (lambda a, b: a.collect().lazy(), "it collects its input instead of returning a plan"),  # pyright: ignore[reportAttributeAccessIssue]
    "clock": (lambda a, b: a.with_columns(now=pl.lit(datetime.now(UTC))), "its plan differs from one call to the next"),
    "full join": (lambda a, b: a.join(b, on="k", how="full"), "a join of kind full is not known here"),
    "as-of join": (lambda a, b: a.join_asof(b.sort("r"), left_on="f", right_on="r"), "a join of kind as-of or inequality"),
    "sample": (lambda a, b: a.with_columns(x=c.k.shuffle(seed=1)), "shuffle() is not known to look at its own row alone"),
    "by the side": (lambda a, b: pl.concat([a, b.select(z="r")], how="horizontal"), "the plan has an operation that is not known here (HConcat)"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_on_the_list_is_not_proven(name: str):
    function, reason = UNKNOWN[name]
    found = shown(function)
    assert (False, False, ()) == (found.row_wise, found.known, found.cuts)
    assert found.reason.startswith(reason)


def test_a_file_of_its_own_is_not_followed(tmp_path: object):
    path = f"{tmp_path}/x.parquet"
    pl.DataFrame({"k": [1]}).write_parquet(path)
    found = shown(lambda a, b: a.join(pl.scan_parquet(path), on="k"))
    assert (False, "the plan has an operation that is not known here (Scan)") == (found.row_wise, found.reason)


OF_A, OF_BOTH = (("a", "k"),), (("a", "k"), ("b", "k"))
CUTS: dict[str, tuple[Function, list[str], list[str]]] = {
    "group": (lambda a, b: a.group_by("k", z="s").agg(c.f.sum(), n=pl.len()), ["k", "z"], []),
    "group by what is computed": (lambda a, b: a.group_by(m=c.k % 2).agg(pl.len()), [], []),
    "group of groups": (
        lambda a, b: a.group_by("k", "s").agg(c.f.sum()).with_columns(x=c.f.sum().over("k")), ["k"], []
    ),
    "share of the group": (
        lambda a, b: a.join(a.group_by("k").agg(t=c.f.sum()), on="k").with_columns(x=c.f / c.t), ["k"], []
    ),
    "renamed": (lambda a, b: a.rename({"k": "key"}).unique(subset=["key", "f"]), ["key"], []),
    "overwritten": (lambda a, b: a.with_columns(k=c.k + 1).with_columns(x=c.f.rank().over("k")), [], []),
    "join, then group": (lambda a, b: a.join(b, on="k").group_by("k").agg(c.r.sum()), ["k"], ["k"]),
    "stacked": (lambda a, b: pl.concat([a.select("k", "s"), b.select("k", "s")]), ["k", "s"], ["k", "s"]),
    "stacked and counted": (
        lambda a, b: pl.concat([a.select("k", "s"), b.select("k", "s")]).group_by("s").agg(pl.len()), ["s"], ["s"]
    ),
    "other key on the right": (lambda a, b: a.join(b.with_columns(k=c.k + 1), on="k"), ["k", "s"], []),
    "having": (lambda a, b: a.group_by("k").having(pl.len() > 1).agg(c.f.sum()), ["k"], []),
    "order in the group": (lambda a, b: a.with_columns(x=c.f.cum_sum().over("k", order_by="s")), ["k"], []),
    "two groups": (
        lambda a, b: a.with_columns(x=c.f.sum().over("k"), y=c.f.sum().over("s")), [], []
    ),
    "sorted tops": (lambda a, b: a.group_by("k").agg(c.f.sort_by("s").first()), ["k"], []),
    # The right side is whole for the left, and must be cut for the stack: neither holds for both.
    "whole here, cut there": (
        lambda a, b: pl.concat([a.join(b, on="s", how="semi").select("k"), b.select("k")]), [], []
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CUTS)
def test_columns_by_which_rows_stay_apart(name: str):
    function, of_first, of_both = CUTS[name]
    found = shown(function)
    assert of_first == sorted(cut.column for cut in found.cuts_for({"a"}))
    assert of_both == sorted(cut.column for cut in found.cuts_for({"a", "b"}))


def test_a_cut_names_its_columns_in_each_input():
    (cut,) = shown(lambda a, b: a.rename({"k": "x"}).join(b, left_on="x", right_on="k").group_by("x").len()).cuts_for(
        {"a", "b"}
    )

    assert Cut(OF_BOTH, "x") == cut
    assert ({"a", "b"}, "k", "k") == (cut.domain, cut.of("a"), cut.of("b"))


def test_fractions_and_lists_are_no_keys():
    assert () == shown(lambda a, b: a.select("f", "l")).cuts


def test_no_input_is_no_first_input():
    assert "its first input is not used" == locality(lambda: pl.LazyFrame({"x": [1]}), {}).reason
