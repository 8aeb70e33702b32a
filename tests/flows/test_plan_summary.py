from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from dataflow.model import How, Unit
from dataflow.plan import Plan, PlannedUnit, StagePlan
from flows.plan_summary import in_words, plan_json, print_plan


def unit(stage: str, rows: int, size_bytes: int) -> PlannedUnit:
    return PlannedUnit(Unit(stage=stage), "k", rows, size_bytes)


APPEND = How(kind="append", why="every row depends on one row of orders")
PLAN = Plan(
    "shop",
    "/lake",
    (
        StagePlan("orders", "run", "2 new files [csv]", units=(unit("orders", 0, 2_000_000),), full_seconds=2.25),
        StagePlan("priced", "run", "stock changed", units=(unit("priced", 1500, 500_000),), how=APPEND),
        StagePlan("totals", "depends", "after orders", how=How(kind="full")),
        StagePlan("stock", "skip", "no new files", units_fresh=3, how=APPEND),
        StagePlan("hourly", "wait", "its trigger interval ends at 12:00", how=APPEND),
    ),
)


def printed(plan: Plan, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    print_plan(console, plan)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().strip().splitlines()


@pytest.mark.parametrize("width", [80, 160])
def test_a_plan_is_a_table_and_then_told_in_words(width: int):
    lines = printed(PLAN, width)
    assert [
        "stage   action   how     units  fresh   rows   MB",
        "─" * 50,
        "orders  run      –           1      0      –  2.0",
        "priced  run      append      1      0  1,500  0.5",
        "totals  depends  full        –      0      –    –",
        "stock   skip     –           –      3      –    –",
        "hourly  wait     –           –      0      –    –",
    ] == [line.rstrip() for line in lines[:7]]
    assert [
        "  orders: 2 new files [csv]; in full it took 2.2 s",
        "  priced: stock changed; append: every row depends on one row of orders",
        "  totals: after orders; full",
        "  stock: no new files",
        "  hourly: its trigger interval ends at 12:00",
        "to read: 1,500 rows of tables and 2.5 MB in 2 stages; totals follows",
        "lake: /lake",
        "nothing was run and nothing was written",
    ] == lines[7:]


def test_where_nothing_is_stale_the_plan_says_so():
    idle = Plan("shop", "/lake", PLAN.stages[3:4])
    assert "nothing is stale" == printed(idle)[-3]


def test_rows_are_told_where_tables_are_read():
    landing = Plan("shop", "/lake", PLAN.stages[:1])
    assert "to read: 2.0 MB in 1 stage" == printed(landing)[-3]


def test_a_stage_that_runs_on_nothing_has_no_rows_to_read():
    emptied = StagePlan("a", "run", "its input is empty", units=(unit("a", 0, 0),))
    assert ["1", "0", "0", "0.0"] == printed(Plan("shop", "/lake", (emptied,)))[2].split()[-4:]


def test_a_stage_in_words_says_why_and_how_and_how_long_it_takes_in_full():
    stage = StagePlan("priced", "depends", "after orders", how=APPEND, full_seconds=1234.5)
    expected = "priced: after orders; append: every row depends on one row of orders; in full it took 1,234.5 s"
    assert expected == in_words(stage)


def test_a_plan_as_json():
    document = json.loads(plan_json(PLAN))
    assert ("shop", "/lake") == (document["pipeline"], document["lake"])
    assert ["run", "run", "depends", "skip", "wait"] == [each["action"] for each in document["stages"]]
    names = "units", "rows", "size_bytes", "full_seconds", "how"
    assert (["all"], 0, 2_000_000, 2.25, None) == tuple(document["stages"][0][name] for name in names)
    assert APPEND.model_dump() == document["stages"][1]["how"]
