"""Random pipelines on real data: what the prover allows changes nothing, and the ids tell the truth."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import polars.selectors as cs
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dataflow.lineage.riding import with_riding_frames
from dataflow.lineage.row_ids import carried_ids, row_id_column

Step = Callable[[pl.LazyFrame], pl.LazyFrame]
Meet = Callable[[pl.LazyFrame, pl.LazyFrame], pl.LazyFrame]
x, k = pl.col("x"), pl.col("k")

STEPS: dict[str, Step] = {
    "filter": lambda f: f.filter(x > 1),
    "filter all": lambda f: f.filter(pl.all_horizontal(pl.all().is_not_null())),
    "filter ints": lambda f: f.filter(pl.sum_horizontal(cs.integer()) % 2 == 0),
    "with_columns": lambda f: f.with_columns(z=x * 2),
    "with all": lambda f: f.with_columns(pl.all()),
    "overwrite": lambda f: f.with_columns(x.fill_null(0)),
    "cast ints": lambda f: f.with_columns(cs.integer().cast(pl.Int32)),
    "bump ints": lambda f: f.with_columns(cs.integer() + 1),
    "fill": lambda f: f.fill_null(0),
    "drop_nulls": lambda f: f.drop_nulls(),
    "drop_nulls x": lambda f: f.drop_nulls("x"),
    "unique": lambda f: f.unique(maintain_order=True),
    "unique k": lambda f: f.unique("k", keep="first", maintain_order=True),
    "unique last": lambda f: f.unique(["k", "s"], keep="last", maintain_order=True),
    "unique none": lambda f: f.unique("k", keep="none", maintain_order=True),
    "sort": lambda f: f.sort("x", "k", maintain_order=True),
    "sort all": lambda f: f.sort(pl.all(), maintain_order=True),
    "head": lambda f: f.head(6),
    "tail": lambda f: f.tail(6),
    "slice": lambda f: f.slice(1, 5),
    "reverse": lambda f: f.reverse(),
    "shift": lambda f: f.shift(1),
    "gather_every": lambda f: f.gather_every(2),
    "with_row_index": lambda f: f.with_row_index("n"),
    "over": lambda f: f.with_columns(m=x.max().over("k")),
    "shift ints over": lambda f: f.with_columns((cs.integer() - cs.by_name("k")).shift(1).over("k")),
    "struct": lambda f: f.with_columns(w=pl.struct(cs.integer()).n_unique()),
    "select some": lambda f: f.select("u", "k", "x", "s"),
    "select types": lambda f: f.select(cs.integer(), cs.string()),
    "select made": lambda f: f.select("k", "s", x=x + 1),
    "select totals": lambda f: f.select(k=pl.len().cast(pl.Int64), x=x.sum(), s=pl.lit("a")),
    "select first": lambda f: f.select(k.first(), pl.col("s"), x.first()),
    "select rest": lambda f: f.select(pl.len(), pl.exclude("u", "k", "x", "s")),
    "drop last": lambda f: f.select(cs.all() - cs.last()),
    "forget numbers": lambda f: f.drop("u", "v", strict=False),
    "rename": lambda f: f.rename({"s": "s2"}).with_columns(s=pl.col("s2")),
    "explode": lambda f: f.with_columns(l=pl.concat_list("x", "k")).explode("l"),
    "unpivot": lambda f: f.unpivot(on=["x"], index=cs.all() - cs.by_name("x")).with_columns(x=pl.col("value")),
    "split and stack": lambda f: pl.concat([f.filter(x > 1), f.filter(x <= 1)]),
    "group": lambda f: f.group_by("k", maintain_order=True).agg(pl.all().first()),
    "count columns": lambda f: f.head(len(f.collect_schema())),
    "join itself": lambda f: f.join(f.select("k", j="x"), on="k", how="left", maintain_order="left_right"),
    "semi itself": lambda f: f.join(f.filter(x > 1), on="k", how="semi", maintain_order="left"),
    "share": lambda f: f.join(f.group_by("k").agg(c=pl.len()), on="k", how="left", maintain_order="left_right"),
    "sql": lambda f: f.sql("SELECT * FROM self WHERE x > 0"),
}


def stack(a: pl.LazyFrame, b: pl.LazyFrame) -> pl.LazyFrame:
    """One below the other; Polars does not always see that their columns differ."""
    if a.collect_schema().names() != b.collect_schema().names():
        raise pl.exceptions.ShapeError("columns differ")
    return pl.concat([a, b])


MEETS: dict[str, Meet] = {
    "first": lambda a, b: a,
    "left": lambda a, b: a.join(b, on="k", how="left", maintain_order="left_right"),
    "inner": lambda a, b: a.join(b, on="k", maintain_order="left_right"),
    "full": lambda a, b: a.join(b, on="k", how="full", coalesce=True, maintain_order="left_right"),
    "right": lambda a, b: a.join(b, on="k", how="right", maintain_order="right_left"),
    "semi": lambda a, b: a.join(b, on="k", how="semi", maintain_order="left"),
    "anti": lambda a, b: a.join(b, on="k", how="anti", maintain_order="left"),
    "cross": lambda a, b: a.join(b, how="cross", maintain_order="left_right"),
    "diagonal": lambda a, b: pl.concat([a, b], how="diagonal"),
    "stack": lambda a, b: stack(a, b),
    "three": lambda a, b: a.join(b, on="k", maintain_order="left_right").join(
        a, on="k", suffix="_3", maintain_order="left_right"
    ),
    "beside": lambda a, b: pl.concat([a, b.select(y=pl.col("x"))], how="horizontal"),
    "update": lambda a, b: a.update(b.unique("k", keep="first", maintain_order=True).select("k", "x"), on="k"),
}

small = st.none() | st.integers(0, 3)


# In memory: Polars' streaming engine gives some of these pipelines now one result, now another, ids or not.
def frame(own: str, rows: list[tuple[int | None, int | None, str | None]]) -> pl.DataFrame:
    """``own`` numbers the rows: it is what the id is checked against."""
    schema = {"k": pl.Int64, "x": pl.Int64, "s": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.int_range(pl.len()).alias(own))


ROWS = st.lists(st.tuples(small, small, st.sampled_from([None, "a", "b"])), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(
    ROWS,
    ROWS,
    st.lists(st.sampled_from(sorted(STEPS)), max_size=3),
    st.lists(st.sampled_from(sorted(STEPS)), max_size=2),
    st.sampled_from(sorted(MEETS)),
    st.lists(st.sampled_from(sorted(STEPS)), max_size=3),
    st.booleans(),
)
def test_carried_ids_change_nothing_and_name_the_source_row(
    left: list[tuple[int | None, int | None, str | None]],
    right: list[tuple[int | None, int | None, str | None]],
    before: list[str],
    before_right: list[str],
    meet: str,
    after: list[str],
    riding: bool,
) -> None:
    def pipeline(a: pl.LazyFrame, b: pl.LazyFrame) -> pl.LazyFrame:
        for name in before:
            a = STEPS[name](a)
        for name in before_right:
            b = STEPS[name](b)
        result = MEETS[meet](a, b)
        for name in after:
            result = STEPS[name](result)
        return result

    function = with_riding_frames(pipeline) if riding else pipeline
    frames = {"a": frame("u", left), "b": frame("v", right)}
    carried = carried_ids(function, {name: f.schema for name, f in frames.items()}, ["a", "b"])
    assume(not carried.opaque)
    try:
        expected = function(*(f.lazy() for f in frames.values())).collect(engine="in-memory")
    except pl.exceptions.PolarsError:
        assume(False)
        raise
    assert expected.schema == carried.schema
    event(f"carried: {len(carried.columns)}")
    if not carried.columns:
        assert carried.reason
        return
    with_ids = [
        f.lazy().with_columns(pl.int_range(pl.len()).alias(row_id_column(name)))
        if row_id_column(name) in carried.columns
        else f.lazy()
        for name, f in frames.items()
    ]
    found = function(*with_ids).collect(engine="in-memory")
    assert_frame_equal(expected, found.drop(carried.columns))
    _ids_name_the_rows(found, carried.columns, frames)
    _rows_are_what_was_said(carried.rows, expected, len(left))


def _ids_name_the_rows(found: pl.DataFrame, columns: tuple[str, ...], frames: dict[str, pl.DataFrame]) -> None:
    """The row that an id names holds the value that the row's own number says, wherever it survived."""
    for name, own in (("a", "u"), ("b", "v")):
        column = row_id_column(name)
        if column in columns:
            assert pl.Int64 == found.schema[column]
            assert set(found[column].drop_nulls()) <= set(range(frames[name].height))
        if column in columns and own in found.columns and found.schema[own] == pl.Int64:
            told = found.filter(pl.col(own).is_not_null() & pl.col(column).is_not_null())
            assert told[own].to_list() == told[column].to_list()


def _rows_are_what_was_said(rows: str, result: pl.DataFrame, read: int) -> None:
    if rows == "preserved":
        assert read == result.height
    if rows == "subset":
        assert result.height <= read
