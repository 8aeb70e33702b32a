from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from dataflow.lineage.riding import with_riding_frames
from dataflow.lineage.row_ids import carried_ids

ORDERS = pl.Schema({"k": pl.Int64(), "x": pl.Int64()})
ITEMS = pl.Schema({"k": pl.Int64(), "y": pl.Int64()})
BOTH = ("_orders_row_id", "_items_row_id")
LF = pl.LazyFrame

FUNCTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[LF, LF], LF]]] = {
    "picks columns": ((), BOTH[:1], lambda o, i: o.select("k", z=pl.col("x") + 1)),
    "picks a list of columns": ((), BOTH[:1], lambda o, i: o.select(["k", "x"])),
    "picks what is generated": ((), BOTH[:1], lambda o, i: o.select(pl.col(c) for c in ("k", "x"))),
    "picks a list beside a name": ((), BOTH[:1], lambda o, i: o.select(["k"], z="x")),
    "picks columns of a join": ((), BOTH, lambda o, i: o.join(i, on="k", how="left").select("k", "y")),
    "picks before it joins": (BOTH[:1], BOTH, lambda o, i: o.join(i.select("k", "y"), on="k", how="left")),
    "takes a total": ((), (), lambda o, i: o.select(pl.len())),
    "takes a total of a pick": ((), (), lambda o, i: o.select("x").select(pl.col("x").sum())),
    "filters within a select": ((), (), lambda o, i: o.select(pl.col("x").filter(pl.col("x") > 1))),
    "distinct values": ((), (), lambda o, i: o.select("k").unique()),
    "stacks its picks": ((), (), lambda o, i: pl.concat([o.select("k"), i.select("k")])),
    "groups": ((), (), lambda o, i: o.select("k").group_by("k").agg(pl.len())),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_ids_ride_through_a_select_only_where_that_changes_nothing(name: str) -> None:
    plain, riding, function = FUNCTIONS[name]
    inputs = {"orders": ORDERS, "items": ITEMS}
    without = carried_ids(function, inputs, ["orders", "items"])
    with_select = carried_ids(with_riding_frames(function), inputs, ["orders", "items"])
    assert (plain, riding) == (without.columns, with_select.columns)
    assert (without.schema, without.rows) == (with_select.schema, with_select.rows)


def test_the_function_gets_and_gives_frames_like_any_other() -> None:
    orders = LF({"k": [1, 2], "x": [3, 4], "_orders_row_id": [7, 8]})
    result = with_riding_frames(lambda o: o.filter(pl.col("k") > 1).select("x"))(orders)
    assert type(result) is LF
    assert {"x": [4], "_orders_row_id": [8]} == result.collect().to_dict(as_series=False)


def test_what_is_not_a_frame_is_handed_on_as_it_is() -> None:
    assert 3 == with_riding_frames(lambda o: 3)(LF())
