"""Which functions look at the order of rows, by what it is told, and where it is left open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest

from dataflow.lineage.locality import Locality, locality
from dataflow.lineage.row_order import RowOrder

A = pl.Schema({"k": pl.Int64(), "s": pl.String(), "f": pl.Float64(), "l": pl.List(pl.Int64())})
B = pl.Schema({"k": pl.Int64(), "r": pl.Float64()})
Function = Callable[[pl.LazyFrame, pl.LazyFrame], object]
c = pl.col
FIRST = "unique(keep='first') looks at the order of rows, which {} leaves open"


def shown(function: Function) -> Locality:
    return locality(function, {"a": A, "b": B})


def asked(function: Function) -> RowOrder:
    """What a function has to do with the order of its inputs' rows, whatever becomes of its own."""
    return replace(shown(function).order, is_open=False)


INDIFFERENT: dict[str, Function] = {
    "rows": lambda a, b: a.filter(c.k > 1).with_columns(x=c.f + 1).join(b, on="k"),
    "any of a key": lambda a, b: a.unique("k"),
    "none of several": lambda a, b: a.unique("k", keep="none"),
    "whole rows": lambda a, b: a.unique(keep="first"),
    "sums": lambda a, b: a.group_by("k").agg(c.f.sum(), m=(c.f - c.f.mean()).max(), n=pl.len(), q=c.f.quantile(0.5)),
    "filtered": lambda a, b: a.group_by("k").agg(c.f.filter(c.f > 1).sum(), d=c.s.drop_nulls().n_unique()),
    "sorted values": lambda a, b: a.group_by("k").agg(c.s.sort(), first=c.s.drop_nulls().sort().first()),
    "sorted and shifted": lambda a, b: a.group_by("k").agg(x=c.f.sort().diff().max()),
    "over": lambda a, b: a.with_columns(x=c.f.sum().over("k"), r=c.f.rank().over("k")),
    "sorted frame": lambda a, b: a.sort("f").unique("k", keep="first"),
    "sorted by what is computed": lambda a, b: a.sort(c.f.abs()).group_by("k").agg(c.s.last()),
    "sorted by what is dropped": lambda a, b: a.sort("f").drop("f").group_by("k").agg(c.s.last()),
    "constant": lambda a, b: a.join(pl.LazyFrame({"k": [1]}).unique("k", keep="first"), on="k"),
}


@pytest.mark.parametrize("name", INDIFFERENT)
def test_functions_that_do_not_look_at_the_order_of_rows(name: str):
    assert RowOrder() == asked(INDIFFERENT[name])


LOOKING: dict[str, Function] = {
    "first of a key": lambda a, b: a.unique("k", keep="first"),
    "last of a key": lambda a, b: a.unique("k", keep="last"),
    "first": lambda a, b: a.group_by("k").agg(c.s.first()),
    "last not null": lambda a, b: a.group_by("k").agg(c.s.drop_nulls().last()),
    "list": lambda a, b: a.group_by("k").agg(c.s),
    "head": lambda a, b: a.group_by("k").agg(c.f.head(2).sum()),
    "nth": lambda a, b: a.group_by("k").agg(c.f.get(0)),
    "text": lambda a, b: a.group_by("k").agg(c.s.str.join()),
    "ordinal": lambda a, b: a.with_columns(x=c.f.rank("ordinal").over("k")),
    "running": lambda a, b: a.with_columns(x=c.f.cum_sum().over("k")),
    "rolling": lambda a, b: a.with_columns(x=c.f.rolling_mean(3).over("k")),
    "lists beside": lambda a, b: a.with_columns(x=c.f.over("k", mapping_strategy="join")),
    "sorted by a shift": lambda a, b: a.group_by("k").agg(x=c.f.sort_by(c.f.shift()).first()),
    "sorted by the key": lambda a, b: a.sort("k", maintain_order=True).unique("k", keep="last"),
    "sorted by the key, renamed": lambda a, b: (
        a.sort("k", maintain_order=True).with_columns(j=c.k).group_by("j").agg(c.s.first())
    ),
    "in the input beside": lambda a, b: b.join(a.unique("k", keep="first"), on="k"),
    "stacked": lambda a, b: pl.concat([a.select("k", "f"), b.rename({"r": "f"})]).unique("k", keep="last"),
    "joined in order": lambda a, b: a.join(b, on="k", maintain_order="left").unique("k", keep="first"),
    "grouped in order": lambda a, b: a.group_by("k", "s", maintain_order=True).agg(c.f.sum()).unique("k", keep="first"),
    "once in order": lambda a, b: a.unique("s", maintain_order=True).unique("k", keep="first"),
}
OF_BOTH = ("stacked", "joined in order")


@pytest.mark.parametrize("name", LOOKING)
def test_the_order_of_rows_is_relied_upon(name: str):
    inputs = frozenset({"a", "b"} if name in OF_BOTH else {"a"})
    assert RowOrder(of=inputs, unsorted=inputs) == asked(LOOKING[name])


BY_WHAT_IS_LEFT: dict[str, Function] = {
    "sorted values": lambda a, b: a.group_by("k").agg(c.s.sort_by("f").first()),
    "sorted windows": lambda a, b: a.with_columns(x=c.s.first().over("k", order_by="f")),
    "sorted frame": lambda a, b: a.sort("f", maintain_order=True).unique("k", keep="first"),
}


@pytest.mark.parametrize("name", BY_WHAT_IS_LEFT)
def test_where_rows_are_sorted_alike_their_order_matters_and_is_not_asked_for(name: str):
    assert RowOrder(of=frozenset({"a"})) == asked(BY_WHAT_IS_LEFT[name])


LEFT_OPEN: dict[str, tuple[Function, str]] = {
    "join": (lambda a, b: a.join(b, on="k").unique("k", keep="first"), "a join without maintain_order"),
    "semi join": (
        lambda a, b: a.join(b, on="k", how="semi").unique("k", keep="first"),
        "a join without maintain_order",
    ),
    "group": (
        lambda a, b: a.group_by("k", "s").agg(c.f.sum()).unique("k", keep="first"),
        "group_by() without maintain_order",
    ),
    "unique": (lambda a, b: a.unique("s").unique("k", keep="first"), "unique() without maintain_order"),
    "sort by the key": (lambda a, b: a.sort("k").unique("k", keep="first"), "sort() without maintain_order"),
    "joined, then stacked": (
        lambda a, b: pl.concat([b.select("k"), a.join(b, on="k").select("k")]).unique("k", keep="first"),
        "a join without maintain_order",
    ),
}


@pytest.mark.parametrize("name", LEFT_OPEN)
def test_an_order_that_an_operation_leaves_open_is_none(name: str):
    function, what = LEFT_OPEN[name]
    assert FIRST.format(what) == shown(function).order.reason


def test_what_cannot_be_proven_otherwise_is_told_to_look_at_the_order_too():
    a, both = frozenset({"a"}), frozenset({"a", "b"})
    assert RowOrder(of=a, unsorted=a) == asked(lambda a, b: a.head(3))
    assert RowOrder(of=a, unsorted=a) == asked(lambda a, b: a.with_row_index())
    assert RowOrder(of=both) == asked(lambda a, b: a.map_batches(lambda frame: frame))


def test_whether_a_result_lies_as_its_input_lay():
    as_it_lay: list[Function] = [lambda a, b: a.explode("l"), lambda a, b: a.join(b, on="k", maintain_order="left")]
    assert [False, False] == [shown(function).order.is_open for function in as_it_lay]
    left_open: list[Function] = [lambda a, b: a.join(b, on="k"), lambda a, b: a.sort("f"), lambda a, b: a.unique("k")]
    assert [True, True, True] == [shown(function).order.is_open for function in left_open]
