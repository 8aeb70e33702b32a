"""Gates that are declared wrong, meet what nobody thought of, or set rows aside: nothing is lost, and mended is mended."""

from __future__ import annotations

import contextlib
import io
import json

import polars as pl
import pytest

from flows.maintenance.replay_command import main as replay_main
from tests.flows.bad_input.shop import GOOD, Said, Shop, assert_equal, contents

RULE = "{name: text_parses, predicate: unparsed IS NULL}"
REPAIR = "{name: item_is_small, predicate: item = LOWER(item), on_fail: {repair: {column: item, function: 'shop_stages:mend'}}}"
MEND = "item.str.to_lowercase()"
SHOUTED = f"{GOOD}4-9,4,A,9\n"
UNIQUE = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "order_id"}, "meta": {}}


def suite(version: str, *expectations: object) -> str:
    return json.dumps(
        {"name": "checks", "expectations": list(expectations), "meta": {"great_expectations_version": version}}
    )


def replay(shop: Shop, *arguments: str) -> Said:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = replay_main(["typed", "--config", str(shop.folder / "shop.yaml"), "--runner", "inline", *arguments])
    return Said(code, out.getvalue(), err.getvalue())


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("{name: a, expectation: {type: expect_column_values_to_match_regex, column: item, regex: '('}}", "rule 'a': the regular expression '(' cannot be used: unclosed group"),
        ("{name: a, predicate: \"item MATCHES '['\"}", "the regular expression '[' is not allowed: unclosed character class"),
        ("{name: a, predicate: item IN (SELECT item FROM itemz)}", "refers to an unknown table 'itemz'; did you mean 'items'?"),
        ("{name: a, predicate: item IN (SELECT itm FROM typed)}", "refers to its own table"),
        ("{name: a, predicate: price > 0, on_fail: {branch: nowhere}}", "branches to an unknown stage 'nowhere'"),
        ("{name: a, predicate: price > 0, on_fail: explode}", "on_fail"),
        ("{name: a, predicate: price > 0, on_fail: {repair: {column: price, function: 'shop_stages:mned'}}}", "shop_stages:mned: no 'mned' there"),
        ("{suite: nowhere.json}", "nowhere.json: there is no such suite"),
        ("{suite: broken.json}", "broken.json: not valid JSON, line 1 column 19"),
        ("{suite: before.json}", "before.json: a suite of Great Expectations 0.18.8, and 1.x is understood"),
        ("{suite: later.json}", "later.json: a suite of Great Expectations 2.0.0, and 1.x is understood"),
        ("{suite: no_suite.json}", 'no_suite.json: not a suite of Great Expectations: {"name": …, "expectations": […]} is expected'),
    ],
)  # fmt: skip
def test_what_can_be_known_before_the_run(shop: Shop, rule: str, says: str) -> None:
    before = contents(shop.lake)
    (shop.folder / "broken.json").write_text('{"expectations": [')
    (shop.folder / "before.json").write_text(suite("0.18.8", UNIQUE))
    (shop.folder / "later.json").write_text(suite("2.0.0", UNIQUE))
    (shop.folder / "no_suite.json").write_text("[]")
    shop.declare(RULE, rule)

    for command in ([], ["--plan"]):
        said = shop.run(*command)
        assert 2 == said.code, said
        assert says in said.err
        assert "error: " == said.err[:7]
        assert f"{shop.folder}/shop.yaml:1" in said.err
        assert 1 == len(said.err.splitlines())
    assert_equal(before, contents(shop.lake))


def test_personal_data_makes_no_folders(shop: Shop) -> None:
    said = shop.run("--set", "stages.typed.pii=[month]")

    assert 2 == said.code
    assert "stages.typed.pii: keeps 'month' to the tables, but partition_by makes folders of its values" in said.err


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("{name: a, predicate: prize > 0}", "a (unknown column 'prize' in prize > 0; did you mean 'price'? accepted: "),
        ("{name: a, predicate: prize > 0, severity: info}", "a (unknown column 'prize' in prize > 0; did you mean 'price'? accepted: "),
        ("{suite: good.json}", "(unknown column 'prize' in expect_column_values_to_not_be_null(column='prize'); did you mean 'price'?"),
        ("{name: a, predicate: item > 5}", "a (item > 5: cannot compare string with numeric type (i32); compare text with 'text', or CAST one side)"),
        ("{name: a, predicate: CAST(item AS DATE) > DATE '2024-01-31'}", "casting from string to date is not supported; make dates and times of text in the stage's function)"),
        ("{name: a, predicate: price IN (SELECT item FROM items)}", "a (price IN (SELECT item FROM items): 'price' is Int64 and 'item' of 'items' is String, which cannot be compared"),
        ("{name: a, predicate: item IN (SELECT itm FROM items)}", "a (unknown column 'itm' of 'items' in item IN (SELECT itm FROM items); did you mean 'item'?"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_evaluated_refuses_the_batch(shop: Shop, rule: str, says: str) -> None:
    before = contents(shop.lake)
    gone = {**UNIQUE, "type": "expect_column_values_to_not_be_null", "kwargs": {"column": "prize"}}
    (shop.folder / "good.json").write_text(suite("1.24.0", gone, UNIQUE))
    shop.declare(RULE, rule)
    shop.deliver()

    said = shop.run()

    assert_stopped(shop, said, before)
    assert said.told.startswith("shop rejected: stage 'typed': its gate refused the batch: ")
    assert says in said.told
    assert "order_is_unique" not in said.told, "it takes no other rule down"


@pytest.mark.parametrize("predicate", ["prize > 0", "item > 5"])
def test_once_a_rule_is_mended_the_batch_is_published(
    shop: Shop, delivered: dict[str, pl.DataFrame], predicate: str
) -> None:
    rule = f"{{name: a, predicate: {predicate}}}"
    shop.declare(RULE, rule)
    shop.deliver()
    assert 1 == shop.run().code

    shop.declare(rule, RULE)

    assert 0 == shop.run().code
    assert_equal(delivered, contents(shop.lake))


def assert_stopped(shop: Shop, said: Said, before: dict[str, pl.DataFrame]) -> None:
    """Neither the stage nor what comes after has changed; the source and the other branch are published."""
    assert (1, "") == (said.code, said.err)
    now = contents(shop.lake)
    assert 24 <= now["orders"].height
    assert_equal(
        {t: before[t] for t in ("typed", "totals", "names")}, {t: now[t] for t in ("typed", "totals", "names")}
    )
    assert [] == [table for table in now if table.startswith("typed__")]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("1 / 0", "rule 'item_is_small': its repair of 'item' raised ZeroDivisionError: division by zero"),
        ("exit(3)", "rule 'item_is_small': its repair of 'item' raised SystemExit: 3"),
        ("7", "its repair of 'item' returned int, not an expression; return what it makes of the one it is given"),
        ("item.str.len_chars()", "its repair of 'item' makes UInt32 of String; a repair keeps its column's type: cast to it"),
        ("pl.struct(item)", "a repair keeps its column's type: cast to it"),
        ("pl.col('itm')", "its repair of 'item' cannot be run: unable to find column \"itm\"; valid columns: "),
        ("item.str.extract('(')", "its repair of 'item' cannot be run: regex error: regex parse error: ( ^ error: unclosed group"),
        ("item.drop_nulls()", "its repair of 'item' cannot be run: "),
        ("item.max()", "its repair of 'item' needs other rows than the one it repairs; do that in the stage's function"),
        ("item.head(1)", "its repair of 'item' needs other rows than the one it repairs; do that in the stage's function"),
        ("item.map_elements(lambda v: 1 // len([]), return_dtype=pl.String)", "ZeroDivisionError: "),
        ("item.map_elements(lambda v: 5, return_dtype=pl.String)", "unexpected value while building Series of type String; found value of type Int"),
        ("item.str.to_integer().cast(pl.String)", "strict integer parsing failed"),
    ],
)  # fmt: skip
def test_a_repair_that_cannot_be_made(shop: Shop, body: str, says: str) -> None:
    before = contents(shop.lake)
    declare_repair(shop, body)

    said = shop.run()

    assert_stopped(shop, said, before)
    assert said.told.startswith("shop failed: stage 'typed'")
    assert says in said.told


def declare_repair(shop: Shop, body: str) -> None:
    shop.program("def names(items)", f"def mend(item):\n    return {body}\n\n\ndef names(items)")
    shop.declare(RULE, REPAIR)
    shop.deliver(SHOUTED)


@pytest.mark.parametrize("body", ["1 / 0", "item.str.to_integer().cast(pl.String)"], ids=["when made", "when run"])
def test_once_a_repair_is_mended_it_is_made(shop: Shop, body: str) -> None:
    declare_repair(shop, body)
    assert 1 == shop.run().code

    shop.program(f"return {body}", f"return {MEND}")

    assert 0 == shop.run().code
    now = contents(shop.lake)
    assert [("4-0", "a"), ("4-9", "a")] == list(
        now["typed"].filter(pl.col("order_id").is_in(["4-0", "4-9"])).select("order_id", "item").iter_rows()
    )
    assert [("4-9", "A", ["item_is_small"])] == list(
        now["typed__repaired"].select("order_id", "item", "_rules").iter_rows()
    )
    shop.assert_as_clean()


def test_a_repair_that_makes_nonsense_leaves_the_row_as_it_was_in_quarantine(shop: Shop) -> None:
    shop.program("def names(items)", "def mend(item):\n    return item + 'NO'\n\n\ndef names(items)")
    shop.declare(RULE, REPAIR)
    shop.deliver(SHOUTED)

    said = shop.run()

    assert 0 == said.code
    assert "typed: not repaired, and quarantined, by item_is_small: 1 of 25 rows" in said.out
    now = contents(shop.lake)
    assert (24, ["A"]) == (now["typed"].height, now["typed__quarantine"]["item"].to_list())
    shop.program("item + 'NO'", MEND)
    assert 0 == shop.run().code
    assert (25, False) == (contents(shop.lake)["typed"].height, "typed__quarantine" in contents(shop.lake))
    shop.assert_as_clean()


def test_a_column_of_nulls_has_no_mean_and_breaks_no_predicate(shop: Shop) -> None:
    mean = "{name: mean, expectation: {type: expect_column_mean_to_be_between, column: name, min_value: 0}, severity: warning}"
    shop.program('pl.col("name").str.to_uppercase()', 'pl.lit(None, dtype=pl.Float64).alias("name")')
    rules = (
        f"{{name: positive, predicate: name > 0}}, {mean}, {{name: there, predicate: name IS NOT NULL, severity: info}}"
    )

    said = shop.run("--full", "--set", f"stages.names.gate=[{rules}]")

    assert (0, "") == (said.code, said.err)
    assert "names: warning mean: found no value in name" in said.out
    assert 3 == contents(shop.lake)["names"].height
    assert "names__quarantine" not in contents(shop.lake)


def test_a_batch_without_rows_passes_but_where_rows_are_asked_for(shop: Shop) -> None:
    before = contents(shop.lake)
    (shop.folder / "items.csv").write_text("item,name\n")
    mean = "{name: mean, expectation: {type: expect_column_mean_to_be_between, column: name, min_value: 0}}"
    some = "{name: some, expectation: {type: expect_table_row_count_to_be_between, min_value: 1}}"

    said = shop.run("--set", f"stages.names.gate=[{{name: text, predicate: name > 'a'}}, {mean}, {some}]")

    assert (1, "") == (said.code, said.err)
    assert said.told.startswith("shop rejected: stage 'names': its gate refused the batch: some (found 0)")
    assert_equal({"names": before["names"]}, {"names": contents(shop.lake)["names"]})

    said = shop.run("--json", "--set", f"stages.names.gate=[{{name: text, predicate: name > 'a'}}, {mean}]")

    (names,) = [stage for stage in said.report["stages"] if stage["stage"] == "names"]
    assert [(True, 0, "empty"), (True, 0, "empty")] == [
        (result["success"], result["checked"], result["evidence"]) for result in names["verdict"]["results"]
    ]
    assert "names" not in contents(shop.lake)
    (shop.folder / "items.csv").write_text("item,name\na,anna\nb,bert\nc,carl\n")
    assert 0 == shop.run().code
    assert_equal(before, contents(shop.lake))


def test_of_personal_data_a_rule_that_cannot_be_evaluated_says_no_value(shop: Shop) -> None:
    said = shop.run("--set", "stages.names.gate=[{name: a, predicate: name > 5}]", "--set", "stages.names.pii=[name]")

    assert 1 == said.code
    assert (
        "a (name > 5: cannot compare string with numeric type (i32); compare text with 'text', or CAST one side)"
        in said.told
    )


def test_a_table_that_rules_refer_to_may_be_empty(shop: Shop, delivered: dict[str, pl.DataFrame]) -> None:
    rule = "{name: item_is_listed, predicate: item IN (SELECT item FROM items), on_fail: quarantine}"
    shop.declare(RULE, rule)
    shop.deliver()
    items = (shop.folder / "items.csv").read_text()
    (shop.folder / "items.csv").write_text("item,name\n")

    said = shop.run()

    assert 0 == said.code
    assert "typed: quarantined by item_is_listed: 24 of 24 rows" in said.out
    now = contents(shop.lake)
    assert (24, False) == (now["typed__quarantine"].height, "typed" in now)

    (shop.folder / "items.csv").write_text(items)
    assert 0 == shop.run().code
    assert 24 == contents(shop.lake)["typed__quarantine"].height, "what was judged is judged anew when it is sent again"
    assert 0 == replay(shop).code
    assert 0 == shop.run().code
    now = contents(shop.lake)
    assert 24 == now.pop("typed__replayed").height
    assert_equal(delivered, now)


def test_a_table_that_rules_refer_to_may_not_be_there_yet(shop: Shop) -> None:
    shop.declare(RULE, "{name: a, predicate: item IN (SELECT item FROM items)}")
    new = ("--lake", str(shop.folder / "new"))
    assert 0 == shop.run(*new, "--select", "orders").code

    said = shop.run(*new, "--select", "typed")

    assert (1, "") == (said.code, said.err)
    assert (
        "a (unknown table 'items' in item IN (SELECT item FROM items); it is not published yet: run its stage first)"
        in said.told
    )
    assert 0 == shop.run(*new).code
    shop.assert_as_clean(shop.folder / "new")


def test_a_limit_refuses_what_would_be_set_aside(shop: Shop) -> None:
    before = contents(shop.lake)
    shop.deliver(f"{GOOD}4-8,4,a,cheap\n4-9,4,a,dear\n")

    said = shop.run("--set", "stages.typed.quarantine_limit={rows: 1}")

    assert_stopped(shop, said, before)
    assert "its gate refused the batch: quarantine_limit (2 of " in said.told
    assert 0 == shop.run("--set", "stages.typed.quarantine_limit={rows: 2}").code
    assert 2 == contents(shop.lake)["typed__quarantine"].height
    shop.assert_as_clean()


def test_what_great_expectations_cannot_draw_is_no_traceback(shop: Shop) -> None:
    among = "{type: expect_column_distinct_values_to_be_in_set, column: item, value_set: [a]}"

    said = shop.run("--full", "--set", f"stages.names.gate=[{{name: few, expectation: {among}, severity: warning}}]")

    assert (0, "") == (said.code, said.err)
    (page,) = (shop.lake / "_quality" / "shop" / "data_docs" / "batches" / "names").iterdir()
    assert "2 not as expected" in page.read_text()


def test_quarantined_rows_are_sent_again_once(shop: Shop) -> None:
    shop.deliver(f"{GOOD}4-8,4,a,cheap\n4-9,4,a,dear\n")
    assert 0 == shop.run().code
    edited = shop.folder / "bad.csv"
    assert 0 == replay(shop, "--export", str(edited)).code
    rows = pl.read_csv(edited, infer_schema=False)
    cheap = pl.when(order_id="4-8").then(None).otherwise("unparsed").alias("unparsed")
    rows.with_columns(cheap, price=pl.lit("7")).write_csv(edited)

    said = replay(shop, "--edited", str(edited))

    assert 0 == said.code
    assert "typed: quarantined by text_parses: 1 of 2 rows" in said.out
    now = contents(shop.lake)
    assert [("4-8", 7)] == list(now["typed"].filter(order_id="4-8").select("order_id", "price").iter_rows())
    assert ["4-9"] == now["typed__quarantine"]["order_id"].to_list()
    assert 2 == now["typed__replayed"].height

    again = replay(shop, "--edited", str(edited))

    assert 2 == again.code
    assert 1 == len(again.err.splitlines())
    assert "2 rows are not in the quarantine of 'typed'" in again.err
    assert "it was sent again in batch typed." in again.err
    assert_equal(now, contents(shop.lake))
    assert 0 == shop.run().code
    assert [(25 // 3) + 1] == contents(shop.lake)["totals"].filter(item="a")["members"].to_list()


@pytest.mark.parametrize("where", ["price = 'a'", "CAST(item AS BIGINT) = 1"])
def test_a_condition_that_cannot_be_evaluated_is_one_line_without_values(shop: Shop, where: str) -> None:
    shop.deliver(f"{GOOD}4-8,4,SECRET,cheap\n")
    assert 0 == shop.run().code

    said = replay(shop, "--where", where, "--list")

    assert 2 == said.code
    assert 1 == len(said.err.splitlines())
    assert where in said.err
    assert "SECRET" not in said.err
