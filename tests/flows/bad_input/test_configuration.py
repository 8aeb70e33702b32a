"""Pipelines that are declared wrong: told with file, line and key before anything is run, or by the stage they are of."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows.bad_input.shop import Shop, assert_equal, contents


def changed(old: str, new: str) -> Any:
    return pytest.param((old, new), (), id=new)


def given(*arguments: str) -> Any:
    return pytest.param(None, arguments, id=" ".join(arguments) or "nothing")


NOWHERE: list[tuple[Any, list[str]]] = [
    (changed("rows: preserved\n    part", "row: preserved\n    part"), ["shop.yaml:11: stages.typed.row: unknown key; did you mean 'rows'? accepted: cache, "]),
    (changed("lake: lake", "lak: lake"), ["shop.yaml:2: lak: unknown key; did you mean 'lake'?"]),
    (changed("path: items.csv", "pth: items.csv"), ["shop.yaml:7: sources.items.pth: unknown key; did you mean 'path'?", "path: is missing; it is required"]),
    (changed("unparsed IS NULL", "unparsed IS IS NULL"), ["shop.yaml:15: stages.typed.gate.0: rule 'text_parses': predicate 'unparsed IS IS NULL': ", "is not allowed; allowed: "]),
    (changed("unparsed IS NULL", "unparsed IN (SELECT * FROM read_csv('/etc/passwd'))"), ["rule 'text_parses'", "IN (SELECT column FROM table)", "and nothing else"]),
    (changed("unparsed IS NULL", "price + 1"), ["rule 'text_parses': predicate 'price + 1': this is a value, not a question"]),
    (changed("unparsed IS NULL", "item MATCHES '(?=a)'"), ["rule 'text_parses'", "the regular expression '(?=a)' is not allowed: look-around"]),
    (changed("expect_column_values_to_be_unique", "expect_column_value_to_be_unique"), ["shop.yaml:16: stages.typed.gate.1", "unknown expectation", "'expect_column_values_to_be_unique'?"]),
    (changed("column: order_id", "colum: order_id"), ["rule 'order_is_unique': expect_column_values_to_be_unique takes no 'colum'; did you mean 'column'?"]),
    (changed("shop_stages:typed", "shop_stage:typed"), ["shop.yaml:10: stages.typed.function: no module 'shop_stage'; install its package, or put its folder on PYTHONPATH"]),
    (changed("shop_stages:typed", "shop_stages:typd"), ["stages.typed.function: shop_stages:typd: no 'typd' there; did you mean 'typed'?"]),
    (changed("shop_stages:typed", "shop_stages.typed"), ["'shop_stages.typed' is no import string; write it as package.module:function"]),
    (changed("lake: lake", "lake: ${NO_SUCH_PLACE}"), ["shop.yaml:2: lake: the environment variable NO_SUCH_PLACE is not set; set it, or change the value"]),
    (changed("pipeline: shop", "pipeline: My Shop"), ["shop.yaml:1: pipeline: small letters, digits and underscores are expected"]),
    (changed("pipeline: shop", "pipeline: [shop"), ["shop.yaml:2: not valid YAML: "]),
    (changed("pipeline: shop", "pipeline: shop\npipeline: shop"), ["shop.yaml:2: pipeline: given twice, first on line 1; keep one"]),
    (changed("path: items.csv", "path: items.csv, type: fil"), ["shop.yaml:7: sources.items.type: unknown source type 'fil'; did you mean 'file'?"]),
    (given("--set", "stages.typed.depends_on=[totals]"), ["--set stages.typed.depends_on: stages need each other in a circle: typed → totals → typed; take one of these inputs out"]),
    (given("--set", "stages.typed.depends_on=[order]"), ["unknown stage 'order'; did you mean 'orders'? accepted: items, names, orders, totals, typed"]),
    (given("--select", "totl+"), ["--select totl+: unknown stage 'totl'; did you mean 'totals'?"]),
    (given("--set", "stages.totl.rows=any"), ["--set stages.totl.rows: unknown stage 'totl'; did you mean 'totals'?"]),
    (given("--set", "stages.totals"), ["--set stages.totals: write it as key=value"]),
    (given("--set", "stages.typed.gate=[{"), ["--set stages.typed.gate: the value is not valid YAML; put quotes around it"]),
    (given("--set", "stages.totals.window={window_size: 1 fortnight, time_column: x}"), ["--set stages.totals.window.window_size: cannot be read as a duration; write it", "(found '1 fortnight')"]),
    (given("--lake", ""), ["--lake is empty; name a folder or URI, or leave it out"]),
    (given("--lake", "foo://bar/lake"), ["lake foo://bar/lake: Protocol not known: foo; name a folder or a URI"]),
    (given("--lake", "a%20b"), ["'%20' in its path would be taken for another character; rename the folder"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "arguments", "says"), [pytest.param(*case.values, says, id=case.id) for case, says in NOWHERE]
)
def test_what_can_be_known_before_the_run(
    shop: Shop, change: tuple[str, str] | None, arguments: tuple[str, ...], says: list[str]
) -> None:
    before = contents(shop.lake)
    if change is not None:
        shop.declare(*change)

    for command in ([], ["--plan"]):
        said = shop.run(*arguments, *command)
        assert 2 == said.code, said
        assert said.err.startswith("error: ")
        for text in says:
            assert text in said.err
    assert_equal(before, contents(shop.lake))
    assert not [p for p in shop.folder.iterdir() if p.name not in {*BELONGINGS}], "a lake at a place nobody meant"


BELONGINGS = ("items.csv", "lake", "orders", "shop.yaml", "shop_stages.py")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("def totals(typed)", "def totals(typd)", "shop.yaml:17: stages.totals.function: parameter 'typd' of totals is named after no source or task; did you mean 'typed'?"),
        ("import os", "import os, polrs", "shop.yaml:10: stages.typed.function: module shop_stages cannot be imported: No module named 'polrs'; install what it needs"),
        ("import os", "import os (", "module shop_stages cannot be imported: SyntaxError: invalid syntax (shop_stages.py, line 1)"),
    ],
)  # fmt: skip
def test_functions_that_cannot_be_found(shop: Shop, old: str, new: str, says: str) -> None:
    shop.program(old, new)

    said = shop.run()

    assert 2 == said.code
    assert says in said.err


@pytest.mark.parametrize(
    ("settings", "stage", "says"),
    [
        ("stages.names.storage.partition_by=[colour]", "names", "storage.partition_by names 'colour', which its function does not return; accepted: item, name"),
        ("stages.names.deduplicate={key: [itm]}", "names", "deduplicate.key names 'itm', which its function does not return; did you mean 'item'?"),
        ("stages.totals.members=membrs", "totals", "members names 'membrs', which its function does not return; did you mean 'members'?"),
        ("stages.names={function: 'shop_stages:names', incremental: {key_columns: [item], timestamp_column: nam}}", "names", "timestamp_column names 'nam', which its function does not return"),
        ("stages.totals.window={window_size: 1 day, time_column: ordered_at}", "totals", "the window's time column 'ordered_at' is not in the input"),
        ("stages.totals.window={window_size: 1 day}", "totals", "the window needs a `time_column`: the input has 0 columns of dates or times"),
        ("stages.names.partition_by=[item]", "names", "runs by item, but its first input 'items' is partitioned by nothing; give 'items' `storage: {partition_by: [item]}`"),
    ],
)  # fmt: skip
def test_what_only_the_stages_columns_tell(shop: Shop, settings: str, stage: str, says: str) -> None:
    before = contents(shop.lake)

    said = shop.run("--set", settings)

    assert 1 == said.code
    assert said.told.startswith(f"shop failed: stage '{stage}'")
    assert says in said.told
    assert_equal(before, contents(shop.lake))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("unparsed IS NULL", "unpased IS NULL", "text_parses (unknown column 'unpased' in unpased IS NULL; did you mean 'unparsed'? accepted: "),
        ("unparsed IS NULL", "price > 'a'", "text_parses (price > 'a': cannot compare string with numeric type (i64)"),
        ("column: order_id", "column: ordr_id", "order_is_unique (unknown column 'ordr_id' in expect_column_values_to_be_unique(column='ordr_id'); did you mean 'order_id'?"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_evaluated_is_found_by_the_gate(shop: Shop, old: str, new: str, says: str) -> None:
    before = contents(shop.lake)
    shop.declare(old, new)

    said = shop.run()

    assert 1 == said.code
    assert said.told.startswith(f"shop rejected: stage 'typed': its gate refused the batch: {says}")
    assert "totals: not run: typed was rejected" in said.out
    assert_equal(before, contents(shop.lake))
    shop.declare(new, old)
    assert 0 == shop.run().code
    assert_equal(before, contents(shop.lake))
