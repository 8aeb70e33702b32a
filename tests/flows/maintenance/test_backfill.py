"""A range of a stage computed again from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl
import pytest

from flows.command import main as etl
from flows.maintenance.backfill_command import main
from tests.prepared import Prepared

FUNCTIONS = """\
from pathlib import Path

import polars as pl


def prices(orders):
    factor, *broken = Path("factor").read_text().split()
    bad = pl.when(pl.col("month").is_in(broken)).then(pl.lit("x")).otherwise(pl.col("price"))
    return orders.with_columns(price=bad.cast(pl.Int64) * int(factor))


def total(prices):
    return prices.select(pl.col("price").sum())
"""
YAML = """\
pipeline: shop
lake: lake
sources:
  orders:
    path: orders/*.csv
    storage: {partition_by: [month]}
    gate:
      - {name: known, predicate: price IS NOT NULL}
stages:
  prices: {function: "backfill_stages:prices", partition_by: [month], retry: {delay_seconds: 0}}
  total: {function: "backfill_stages:total"}
"""


def run_once(folder: Path) -> None:
    (folder / "orders").mkdir()
    for month in range(1, 6):
        (folder / "orders" / f"{month}.csv").write_text(f"month,price\n{month},1\n{month},\n")
    (folder / "backfill_stages.py").write_text(FUNCTIONS)
    (folder / "shop.yaml").write_text(YAML)
    (folder / "factor").write_text("1")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.delitem(sys.modules, "backfill_stages", raising=False)
        assert 0 == etl(["--config", "shop.yaml", "--runner", "inline"])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("backfill") / "shop", run_once)


@pytest.fixture(autouse=True)
def shop(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = prepared.restore()
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "backfill_stages", raising=False)
    monkeypatch.chdir(place)
    monkeypatch.delenv("PIPELINE_CONFIG", raising=False)
    return place


def backfill(*arguments: str) -> int:
    return main(["--config", "shop.yaml", "--runner", "inline", *arguments])


def prices() -> list[tuple[str, int]]:
    return sorted(pl.read_delta("lake/prices").select("month", "price").rows())


def test_a_range_is_computed_again_and_what_is_downstream_follows(capsys: pytest.CaptureFixture[str]):
    Path("factor").write_text("5")
    capsys.readouterr()

    assert 0 == backfill("--stage", "prices", "--from", "2", "--to", "4", "--batch", "2", "--parallel", "2")

    out = capsys.readouterr().out
    assert [("1", 1), ("2", 5), ("3", 5), ("4", 5), ("5", 1)] == prices()
    assert [17] == pl.read_delta("lake/total")["price"].to_list()
    assert "backfill of prices completed: 3 units (3 rows) published in 2 runs in " in out
    assert ["total"] == [line.split()[0] for line in out.splitlines() if line.startswith("total ")]


def test_a_plan_is_printed_and_nothing_touched(shop: Path, capsys: pytest.CaptureFixture[str]):
    before = {str(p): p.stat().st_mtime_ns for p in (shop / "lake").rglob("*")}
    capsys.readouterr()

    assert 0 == backfill("--stage", "prices", "--to", "2", "--plan")
    words = capsys.readouterr().out.splitlines()
    assert 0 == backfill("--stage", "total", "--from", "1", "--plan", "--json")
    document = json.loads(capsys.readouterr().out)

    assert words[0].startswith("prices, by month up to 2: 2 units to compute again (month=1, month=2), 2 rows, ")
    assert ["downstream, where rows change: total", f"lake: {shop / 'lake'}"] == words[1:3]
    assert (["all"], None, 5, []) == tuple(document[key] for key in ("units", "by", "rows", "downstream"))
    assert ["total runs whole: all of it is computed again, whatever the range"] == document["notes"]
    assert before == {str(p): p.stat().st_mtime_ns for p in (shop / "lake").rglob("*")}


def test_many_units_are_not_all_listed(capsys: pytest.CaptureFixture[str]):
    for month in range(6, 20):
        Path(f"orders/{month}.csv").write_text(f"month,price\n{month},1\n")
    capsys.readouterr()
    assert 0 == backfill("--stage", "orders", "--from", "2000-01-01", "--plan")
    out = capsys.readouterr().out
    assert "orders, by arrival from 2000-01-01 on: 19 units to compute again (" in out
    assert ", ... " in out


def test_a_partition_that_fails_is_told_by_name(capsys: pytest.CaptureFixture[str]):
    Path("factor").write_text("5 3")
    capsys.readouterr()

    assert 1 == backfill("--stage", "prices", "--from", "2", "--to", "4")

    out = capsys.readouterr().out
    assert [("1", 1), ("2", 5), ("3", 1), ("4", 5), ("5", 1)] == prices()
    assert "  prices, month=3: failed, also alone: " in out
    assert "backfill of prices failed: 2 units (2 rows) published in 4 runs in " in out

    Path("factor").write_text("5")
    assert 0 == backfill("--stage", "prices", "--from", "2", "--to", "4", "--plan")
    assert "goes on with what is left of this backfill: 1 unit to compute again (month=3)" in capsys.readouterr().out
    assert 0 == backfill("--stage", "prices", "--from", "2", "--to", "4", "--json")
    report = json.loads(capsys.readouterr().out)
    assert ("completed", True, ["month=3"], {}, 0) == tuple(
        report[key] for key in ("state", "resumed", "done", "failed", "exit_code")
    )


def test_what_was_not_tried_is_told(capsys: pytest.CaptureFixture[str]):
    for month in (6, 7):
        Path(f"orders/{month}.csv").write_text(f"month,price\n{month},1\n")
    assert 0 == etl(["--config", "shop.yaml", "--runner", "inline"])
    Path("factor").write_text("5 1 2 3 4 5 6 7")
    capsys.readouterr()

    assert 1 == backfill("--stage", "prices", "--from", "1", "--batch", "1")

    assert "  2 units left, as nothing came of so many before: month=6, month=7" in capsys.readouterr().out


def test_rows_that_are_set_aside_are_counted(capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert 0 == backfill("--stage", "orders", "--from", "2", "--to", "3")
    assert "2 units (2 rows, 2 quarantined) published in 1 run" in capsys.readouterr().out
    assert 5 == pl.read_delta("lake/orders").height
    assert 5 == pl.read_delta("lake/orders__quarantine").height


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--stage", "prices"), "a backfill needs a range"),
        (("--stage", "prices", "--from", "9"), "no month lies from 9 on; there are 5: 1 … 5"),
        (("--stage", "price", "--from", "9"), "did you mean 'prices'?"),
        (("--from", "9"), "Missing option '--stage'"),
        (("--stage", "prices", "--from", "1", "--batch", "0"), "greater than or equal to 1"),
    ],
)
def test_a_wrong_order_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
):
    capsys.readouterr()
    assert 2 == backfill(*arguments)
    err = capsys.readouterr().err
    assert says in err
    assert 1 == len(err.splitlines())


def test_an_error_is_json_too(capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert 2 == backfill("--stage", "prices", "--from", "9", "--json")
    assert "no month lies" in json.loads(capsys.readouterr().out)["reason"]
