"""Functions and gates that go wrong: the stage and those after it stop, the others go on, and a mended run completes."""

from __future__ import annotations

import polars as pl
import pytest

from tests.flows.bad_input.shop import GOOD, HEADER, Shop, assert_equal, contents

BODY = 'items.with_columns(pl.col("name").str.to_uppercase())'


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        pytest.param(f"return {BODY}", "raise ValueError('no such thing')", "its function raised ValueError: no such thing ({}/shop_stages.py:16)", id="raises"),
        pytest.param(f"return {BODY}", "assert 1 == 2", "its function raised AssertionError ({}/shop_stages.py:16)", id="asserts"),
        pytest.param(f"return {BODY}", "raise SystemExit(3)", "SystemExit: 3", id="ends the process"),
        pytest.param(f"return {BODY}", BODY, "its function returned NoneType; return a polars LazyFrame", id="returns nothing"),
        pytest.param(BODY, "items.collect()['name']", "its function returned Series; return a polars LazyFrame", id="returns a series"),
        pytest.param('pl.col("name").str', 'pl.col("nam").str', 'ColumnNotFoundError: unable to find column "nam"; valid columns: ["item", "name"]', id="unknown column"),
        pytest.param("str.to_uppercase()", "cast(pl.Int64)", "conversion from `str` to `i64` failed in column 'name' for ", id="bad cast"),
        pytest.param("str.to_uppercase()", "map_elements(lambda v: 1 / 0, return_dtype=pl.Int64)", "ZeroDivisionError: division by zero ({}/shop_stages.py:16)", id="raises for a row"),
        pytest.param(BODY, "items.with_columns(pl.duration(days=1).alias('for'))", "column 'for' is Duration(time_unit='us'), which a Delta table cannot hold; cast it", id="odd type"),
        pytest.param(BODY, "items.with_columns(pl.lit(1).alias('_batch_id'))", "its function returns '_batch_id', a name that dataflow keeps for itself; rename", id="our column"),
        pytest.param(BODY, "items.head(1)", "declared to preserve rows, but 3 went in and 1 came out; keep the rows and flag them", id="loses rows"),
        pytest.param(BODY, "pl.concat([items, items])", "declared to preserve rows, but 3 went in and 6 came out; a join multiplies rows", id="doubles rows"),
    ],
)  # fmt: skip
def test_a_function_that_goes_wrong(
    shop: Shop, delivered: dict[str, pl.DataFrame], old: str, new: str, says: str
) -> None:
    before = contents(shop.lake)
    shop.deliver()
    shop.program(old, new)

    said = shop.run()

    assert 1 == said.code
    assert "" == said.err
    assert said.told.startswith("shop failed: stage 'names'")
    assert says.format(shop.folder) in said.told
    assert_equal({**delivered, "names": before["names"]}, contents(shop.lake))


@pytest.mark.parametrize("wrong", ["1 / 0", "items.head(1)"], ids=["raises", "loses rows"])
def test_once_a_function_is_mended_its_table_follows(
    shop: Shop, delivered: dict[str, pl.DataFrame], wrong: str
) -> None:
    shop.deliver()
    shop.program(BODY, wrong)
    assert 1 == shop.run().code

    shop.program(wrong, BODY)

    assert 0 == shop.run().code
    assert_equal(delivered, contents(shop.lake))


def test_a_gate_that_refuses_stops_what_comes_after_and_nothing_else(
    shop: Shop, delivered: dict[str, pl.DataFrame]
) -> None:
    before = contents(shop.lake)
    shop.deliver(f"{GOOD}4-0,4,a,7\n")
    (shop.folder / "items.csv").write_text("item,name\na,anna\n")

    said = shop.run()

    assert 1 == said.code
    assert said.told.startswith(
        "shop rejected: stage 'typed': its gate refused the batch: order_is_unique (2 of 7 rows)"
    )
    assert "typed: refused by order_is_unique: 2 of 7 rows (expect_column_values_to_be_unique" in said.out
    assert "totals: not run: typed was rejected" in said.out
    now = contents(shop.lake)
    assert (25, 1) == (now["orders"].height, now["names"].height), "bronze and the other branch are published"
    assert_equal({t: before[t] for t in ("typed", "totals")}, {t: now[t] for t in ("typed", "totals")})

    again = shop.run()
    assert (1, said.told[:90]) == (again.code, again.told[:90]), "it is not forgotten"
    shop.deliver()
    (shop.folder / "items.csv").write_text("item,name\na,anna\nb,bert\nc,carl\n")
    assert 0 == shop.run().code
    assert_equal(delivered, contents(shop.lake))


def test_a_rule_about_the_batch_says_what_it_found(shop: Shop) -> None:
    rule = "{name: many, expectation: {type: expect_table_row_count_to_be_between, min_value: 1000}}"

    said = shop.run("--set", f"stages.names.gate=[{rule}]")

    assert 1 == said.code
    assert said.told.startswith("shop rejected: stage 'names': its gate refused the batch: many (found 3)")


def test_a_function_that_returns_more_columns_is_no_fault(shop: Shop) -> None:
    shop.program("str.to_uppercase()", "str.to_uppercase(), pl.lit(1).alias('extra')")

    assert 0 == shop.run().code
    assert [1, 1, 1] == contents(shop.lake)["names"]["extra"].to_list()
    shop.assert_as_clean()


def test_another_type_in_one_partition_is_refused_and_full_is_the_way_out(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(shop.lake)
    shop.deliver()
    monkeypatch.setenv("SHOP_PRICE", "Float64")

    said = shop.run()

    assert 1 == said.code
    assert "table 'typed' cannot take what its stage now returns: 'price' was Int64, is Float64" in said.told
    assert "run with --full to write the table anew" in said.told
    now = contents(shop.lake)
    assert_equal({t: before[t] for t in ("typed", "totals")}, {t: now[t] for t in ("typed", "totals")})
    assert 1 == shop.run().code
    assert 0 == shop.run("--full").code
    shop.assert_as_clean()


def test_units_that_return_different_types_are_refused(shop: Shop) -> None:
    shop.program(
        "    return orders.select(",
        "    if 'odd' in orders.collect()['item']:\n        price = pl.col('order_id')\n    return orders.select(",
    )
    shop.deliver(f"{HEADER}4-1,4,odd,1\n")

    said = shop.run()

    assert 1 == said.code
    assert "its units return different columns or types: 'price' is " in said.told
    assert "String" in said.told
    assert "return the same from every call" in said.told
