from __future__ import annotations

import time
from collections.abc import Callable

import polars as pl
import polars.selectors as cs
import pytest

from dataflow.lineage import polars_plan
from dataflow.lineage.row_ids import Carried, carried_ids, row_id_column

ORDERS = pl.Schema(
    {"k": pl.Int64(), "x": pl.Int64(), "s": pl.String(), "t": pl.Datetime("us"), "l": pl.List(pl.Int64())}
)
ITEMS = pl.Schema({"k": pl.Int64(), "y": pl.Float64(), "s": pl.String()})
LF = pl.LazyFrame
ID = "_orders_row_id"


def of_orders(function: Callable[[LF], object]) -> Carried:
    return carried_ids(function, {"orders": ORDERS}, ["orders"])


def of_both(function: Callable[[LF, LF], object], carrying: tuple[str, ...] = ("orders", "items")) -> Carried:
    return carried_ids(function, {"orders": ORDERS, "items": ITEMS}, carrying)


CARRIED: dict[str, tuple[str, Callable[[LF], LF]]] = {
    "identity": ("preserved", lambda o: o),
    "with_columns": ("preserved", lambda o: o.with_columns(q=pl.col("x") * 2)),
    "overwrites a column": ("preserved", lambda o: o.with_columns(pl.col("s").str.strip_chars())),
    "with_columns of all": ("preserved", lambda o: o.with_columns(pl.all())),
    "drop": ("preserved", lambda o: o.drop("k")),
    "rename": ("preserved", lambda o: o.rename({"k": "key"})),
    "with_row_index": ("preserved", lambda o: o.with_row_index()),
    "over": ("preserved", lambda o: o.with_columns(z=pl.col("x").sum().over("k"))),
    "select of everything": ("preserved", lambda o: o.select(pl.all(), z=pl.col("x") + 1)),
    "select of all integers": ("preserved", lambda o: o.select(cs.integer())),
    "select by type": ("preserved", lambda o: o.select(pl.col(pl.Int64), "s")),
    "sort": ("preserved", lambda o: o.sort("t", "k")),
    "filter": ("subset", lambda o: o.filter(pl.col("x") > 1)),
    "unique by key": ("subset", lambda o: o.unique("k", keep="first", maintain_order=True)),
    "drop_nulls by key": ("subset", lambda o: o.drop_nulls("k")),
    "fill_null of one": ("preserved", lambda o: o.with_columns(pl.col("x").fill_null(0))),
    "head, tail, slice": ("subset", lambda o: o.sort("t").head(9).tail(5).slice(1, 2)),
    "top_k": ("subset", lambda o: o.top_k(3, by="x")),
    "explode": ("any", lambda o: o.explode("l")),
    "unpivot with named columns": ("any", lambda o: o.unpivot(on=["x"], index=cs.by_dtype(pl.Int64()) - cs.by_name("x"))),
    "concat of its own parts": (
        "any",
        lambda o: pl.concat([o.filter(pl.col("x") > 1), o.filter(pl.col("x") <= 1)]),
    ),
    "sql": ("subset", lambda o: o.sql("SELECT *, x + 1 AS z FROM self WHERE x > 1")),
    "a lookup of its own": ("any", lambda o: o.join(pl.LazyFrame({"k": [1], "n": ["one"]}), on="k", how="left")),
    "an as-of lookup": (
        "preserved",
        lambda o: o.sort("k").join_asof(pl.LazyFrame({"k": [1], "n": ["one"]}).sort("k"), on="k"),
    ),
    "an aggregate of its own joined back": (
        "any",
        lambda o: o.join(o.group_by("k").agg(n=pl.len()), on="k", how="left"),
    ),
    "an anti join with itself": ("subset", lambda o: o.join(o.filter(pl.col("x") > 1), on="k", how="anti")),
}  # fmt: skip


@pytest.mark.parametrize("name", CARRIED)
def test_ids_ride_where_nothing_looks_at_them(name: str) -> None:
    rows, function = CARRIED[name]
    carried = of_orders(function)
    schema = function(pl.LazyFrame(schema=ORDERS)).collect_schema()
    assert Carried((ID,), schema, rows) == carried  # pyright: ignore[reportArgumentType]


REFUSED: dict[str, tuple[str, Callable[[LF], LF]]] = {
    "unique of rows": ("whole rows", lambda o: o.unique()),
    "unique by selector": ("settings", lambda o: o.unique(cs.integer())),
    "struct of all": ("as_struct() is applied to", lambda o: o.with_columns(z=pl.struct(pl.all()))),
    "sum_horizontal": ("sum_horizontal() is", lambda o: o.with_columns(z=pl.sum_horizontal(cs.integer()))),
    "concat_str of all": ("ConcatHorizontal() is", lambda o: o.with_columns(z=pl.concat_str(cs.integer(), cs.string()))),
    "drop_nulls": (ID, lambda o: o.drop_nulls()),
    "fill_null": ("fill_null() is", lambda o: o.fill_null(0)),
    "cast": ("a cast is", lambda o: o.cast(pl.String)),
    "cast of all": ("a cast is", lambda o: o.with_columns(pl.all().cast(pl.String))),
    "cast to the same type": (ID, lambda o: o.with_columns(cs.integer().cast(pl.Int32).cast(pl.Int64))),
    "the last column": ("another one", lambda o: o.select(pl.nth(-1))),
    "all but the last column": ("leaves the id out|another one", lambda o: o.select(cs.all() - cs.last())),
    "sort by all": (ID, lambda o: o.sort(pl.all())),
    "filter over all": (ID, lambda o: o.filter(pl.all_horizontal(pl.all().is_not_null()))),
    "shift over": ("over() is", lambda o: o.with_columns(pl.exclude("k").shift(1).over("k"))),
    "shift": ("shift() is", lambda o: o.shift(1)),
    "reverse": ("reverse() is", lambda o: o.reverse()),
    "sorted columns": ("sort", lambda o: o.select(pl.all().sort())),
    "rename of all": ("comes out as _ORDERS_ROW_ID", lambda o: o.rename(str.upper)),
    "suffix": ("comes out twice, also as _orders_row_id_2", lambda o: o.with_columns(pl.all().name.suffix("_2"))),
    "unpivot": ("unpivot without named columns", lambda o: o.drop("s", "t", "l").unpivot()),
    "unpivot of the rest": ("leaves the id out of its index", lambda o: o.unpivot(on=["x"], index=["k"])),
    "select": ("a select names its columns and leaves the id out", lambda o: o.select("k", "x")),
    "a scalar beside ids": ("more rows", lambda o: o.select(pl.len(), cs.by_dtype(pl.Int64()) - cs.by_name("k", "x"))),
    "nothing but ids": ("another one", lambda o: o.select(cs.by_dtype(pl.Int64()) - cs.by_name("k", "x"))),
    "cache": ("cache()", lambda o: o.cache()),
    "joined to itself": ("joined to itself", lambda o: o.join(o, on="k")),
    "joined by all integers": ("expanded to", lambda o: o.join(LF({"k": [1], "x": [1]}), left_on=cs.integer(), right_on=pl.all())),
    "joined by their sum": (ID, lambda o: o.join(LF({"k": [1]}), left_on=pl.sum_horizontal(cs.integer()), right_on="k")),
    "n_unique of all": ("n_unique()", lambda o: o.with_columns(z=pl.struct(pl.all()).n_unique())),
    "column count in a literal": (
        "an expression is another one",
        lambda o: o.filter(pl.col("x") > len(o.collect_schema())),
    ),
    "column count in a branch": (
        "its plan is another one",
        lambda o: o.unique("k") if len(o.collect_schema()) > 5 else o,
    ),
    "column count in a slice": ("settings", lambda o: o.head(len(o.collect_schema()))),
    "column names in a lookup": (
        "settings",
        lambda o: o.join(LF({"s": o.collect_schema().names(), "n": 1}), on="s", how="left"),
    ),
    "raises on more columns": (
        "when a column is added to an input, it cannot be planned: AssertionError: five",
        lambda o: o if len(o.collect_schema()) == 5 else _fail("five"),
    ),
    "the clock": ("differs from one call to the next", lambda o: o.with_columns(z=pl.lit(time.perf_counter_ns()))),
}  # fmt: skip


def _fail(message: str) -> LF:
    raise AssertionError(message)


@pytest.mark.parametrize("name", REFUSED)
def test_ids_do_not_ride_where_something_would_depend_on_them(name: str) -> None:
    reason, function = REFUSED[name]
    carried = of_orders(function)
    assert () == carried.columns
    assert not carried.opaque
    assert carried.reason.startswith("orders: ")
    assert any(part in carried.reason for part in reason.split("|")), carried.reason
    assert function(pl.LazyFrame(schema=ORDERS)).collect_schema() == carried.schema


GROUPED: dict[str, Callable[[LF], LF]] = {
    "group_by": lambda o: o.group_by("k").agg(pl.len()),
    "first of all": lambda o: o.group_by("k").agg(pl.all().first()),
    "and then more": lambda o: o.group_by("k").agg(pl.len()).filter(pl.col("len") > 1).sort("k").with_columns(z=1),
    "by time": lambda o: o.sort("t").group_by_dynamic("t", every="1d").agg(pl.len()),
    "rolling": lambda o: o.sort("t").rolling("t", period="1d").agg(pl.len()),
    "pivot": lambda o: o.pivot(on="s", on_columns=["a"], index="k", values="x", aggregate_function="sum"),
    "pivot of the rest": lambda o: o.pivot(on="s", on_columns=["a"], values="x", aggregate_function="sum"),
    "totals": lambda o: o.select(pl.len(), (pl.col("x").sum() * 2).alias("z")),
    "joined to a lookup": lambda o: o.group_by("k").agg(pl.len()).join(LF({"k": [1]}), on="k", how="semi"),
}


@pytest.mark.parametrize("name", GROUPED)
def test_grouped_rows_are_told_from_rows(name: str) -> None:
    carried = of_orders(GROUPED[name])
    assert carried.aggregates
    assert () == carried.columns
    assert carried.reason


def test_an_aggregate_of_a_side_input_is_not_an_aggregate() -> None:
    carried = of_both(lambda o, i: o.join(i.group_by("k").agg(pl.len()), on="k", how="left"))
    assert not carried.aggregates
    assert (ID,) == carried.columns
    assert "items: rows are grouped (group_by), so no single row stands for a result" == carried.reason


OPAQUE: dict[str, tuple[str, Callable[[LF], object]]] = {
    "map_batches": ("a Python function", lambda o: o.map_batches(lambda d: d)),
    "map_elements": (
        "a Python function",
        lambda o: o.with_columns(pl.col("x").map_elements(lambda v: v, return_dtype=pl.Int64)),
    ),
    "fold": ("a Python function", lambda o: o.with_columns(z=pl.fold(pl.lit(0), lambda a, b: a + b, [pl.col("x")]))),
    "list.eval": ("does not show", lambda o: o.with_columns(pl.col("l").list.eval(pl.element() + 1))),
    "collects": ("it collects its input", lambda o: o.collect()),
    "collects and goes on": ("it collects its input", lambda o: o.collect().lazy()),
    "collects to decide": ("it collects its input", lambda o: o if o.select(pl.len()).collect().item() else o.unique()),
    "eager": ("it returns a DataFrame instead of a LazyFrame", lambda o: pl.DataFrame()),
    "an integer": ("it returns an int instead of a LazyFrame", lambda o: 1),
    "nothing": ("it returns a NoneType", lambda o: None),
    "raises": ("it cannot be planned: ZeroDivisionError: division by zero", lambda o: 1 / 0),
    "unknown column": ('it cannot be planned: ColumnNotFoundError: unable to find column "nope"', lambda o: o.select("nope")),
    "takes no input": ("it cannot be planned: TypeError", lambda: LF()),  # type: ignore[dict-item]
}  # fmt: skip


@pytest.mark.parametrize("name", OPAQUE)
def test_what_cannot_be_seen_is_opaque_with_its_reason(name: str) -> None:
    reason, function = OPAQUE[name]
    carried = of_orders(function)
    assert carried.opaque
    assert () == carried.columns
    assert reason in carried.reason


def test_an_opaque_part_hides_neither_the_schema_nor_the_grouping() -> None:
    carried = of_orders(lambda o: o.map_batches(lambda d: d).group_by("k").agg(pl.len()))
    assert carried.opaque
    assert carried.aggregates
    assert carried.schema is not None
    assert ["k", "len"] == carried.schema.names()


BOTH = (ID, "_items_row_id")
TWO: dict[str, tuple[tuple[str, ...], Callable[[LF, LF], LF]]] = {
    "left": (BOTH, lambda o, i: o.join(i, on="k", how="left")),
    "inner": (BOTH, lambda o, i: o.join(i, on="k")),
    "full": (BOTH, lambda o, i: o.join(i, on="k", how="full", coalesce=True)),
    "right": (BOTH, lambda o, i: o.join(i, on="k", how="right")),
    "cross": (BOTH, lambda o, i: o.join(i, how="cross")),
    "where": (BOTH, lambda o, i: o.join_where(i, pl.col("k") < pl.col("k_right"))),
    "as-of": (BOTH, lambda o, i: o.sort("k").join_asof(i.sort("k"), on="k")),
    "side by side": (BOTH, lambda o, i: pl.concat([o.select(pl.exclude("k", "s")), i], how="horizontal")),
    "diagonal": (BOTH, lambda o, i: pl.concat([o, i], how="diagonal")),
    "diagonal of the same columns": (BOTH, lambda o, i: pl.concat([i.drop("y"), o.drop("x", "t", "l")], how="diagonal")),
    "diagonal, relaxed": (BOTH, lambda o, i: pl.concat([o, i], how="diagonal_relaxed")),
    "semi": ((ID,), lambda o, i: o.join(i, on="k", how="semi")),
    "anti": ((ID,), lambda o, i: o.join(i, on="k", how="anti")),
    "update": ((ID,), lambda o, i: o.update(i.select("k", "s"), on="k")),
    "unique of one": ((ID,), lambda o, i: o.join(i.unique(), on="k")),
    "the second only": (("_items_row_id",), lambda o, i: o.unique().join(i, on="k")),
    "joined twice": (("_items_row_id",), lambda o, i: o.join(i, on="k").join(o, on="k", suffix="_3")),
    "stacked": ((), lambda o, i: pl.concat([o.drop("x", "t", "l"), i.drop("y")])),
    "stacked by name": ((), lambda o, i: pl.concat([o.select("k"), i.select("k")])),
    "unused": ((ID,), lambda o, i: o),
}  # fmt: skip


@pytest.mark.parametrize("name", TWO)
def test_one_input_that_refuses_does_not_spoil_the_other(name: str) -> None:
    columns, function = TWO[name]
    carried = of_both(function)
    assert columns == carried.columns
    assert (columns == BOTH) == (carried.reason == "")


def test_only_inputs_with_ids_carry_them() -> None:
    carried = of_both(lambda o, i: o.join(i, on="k"), carrying=("items",))
    assert (("_items_row_id",), "") == (carried.columns, carried.reason)
    assert Carried(schema=ORDERS, rows="preserved") == carried_ids(lambda o: o, {"orders": ORDERS}, [])


def test_a_column_of_the_users_with_the_ids_name_is_left_alone() -> None:
    schema = pl.Schema({**ORDERS, row_id_column("orders"): pl.Int64()})
    carried = carried_ids(lambda o: o, {"orders": schema}, ["orders"])
    assert ((), "orders: an input already has a column _orders_row_id") == (carried.columns, carried.reason)


def test_a_function_that_makes_a_column_with_the_ids_name_is_refused() -> None:
    assert () == of_orders(lambda o: o.with_columns(_orders_row_id=pl.col("x"))).columns
    assert () == of_orders(lambda o: o.with_columns(_orders_row_id=pl.lit(None, dtype=pl.Int64))).columns


def test_another_version_of_the_plan_is_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polars_plan, "SUPPORTED", (99, 0))
    carried = of_orders(lambda o: o)
    assert (True, ()) == (carried.opaque, carried.columns)
    assert f"Polars {pl.__version__} describes plans in version (16, 0), (99, 0) is known" == carried.reason


def test_deep_expressions_are_refused_not_crashed_on() -> None:
    deep = pl.col("x")
    for _ in range(400):
        deep = deep + 1
    assert () == of_orders(lambda o: o.with_columns(z=deep)).columns


def test_a_plan_is_read_in_milliseconds() -> None:
    schema = pl.Schema({f"c{n}": pl.Int64() for n in range(40)})
    made = [(pl.col(name) + 1).alias(f"{name}_next") for name in schema]
    started = time.perf_counter()
    for _ in range(10):
        carried_ids(lambda a, b: a.with_columns(made).join(b, on="c0"), {"a": schema, "b": schema}, ["a", "b"])
    assert (time.perf_counter() - started) / 10 < 0.5  # a hundredth of that on a quiet machine
