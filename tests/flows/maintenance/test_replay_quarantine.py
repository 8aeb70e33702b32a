"""Quarantined rows listed, exported, edited and sent again from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from flows.command import main as etl
from flows.maintenance.replay_command import main
from tests.prepared import Prepared

YAML = """\
pipeline: shop
lake: lake
sources:
  orders:
    path: orders/*.csv
    gate:
      - {name: item_is_known, predicate: item IS NOT NULL}
      - {name: price_is_a_number, predicate: "price MATCHES '^[0-9]+$'"}
"""


def run_once(folder: Path) -> None:
    (folder / "orders").mkdir()
    (folder / "orders" / "1.csv").write_text("item,price\na,1\n,2\nb,many\nc,\n")
    (folder / "shop.yaml").write_text(YAML)
    assert 0 == etl(["--config", "shop.yaml", "--runner", "inline"])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("replay") / "shop", run_once)


@pytest.fixture(autouse=True)
def shop(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PIPELINE_CONFIG", raising=False)
    monkeypatch.chdir(prepared.restore())
    return prepared.place


def replay(*arguments: str) -> int:
    return main(["orders", "--config", "shop.yaml", "--runner", "inline", *arguments])


def prices() -> list[str | None]:
    return sorted(pl.read_delta("lake/orders")["price"], key=str)


def test_the_quarantine_is_listed(capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()

    assert 0 == replay("--list")

    shown = capsys.readouterr().out
    assert "Quarantine of orders: 2 rows" in shown
    assert "item_is_known: item IS NOT NULL" in shown


def test_what_is_listed_and_exported_is_told_in_json_too(capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()

    assert 0 == replay("--list", "--json")
    listed = json.loads(capsys.readouterr().out)
    assert 0 == replay("--export", "rows.csv", "--json")
    exported = json.loads(capsys.readouterr().out)

    reasons = ["item_is_known: item IS NOT NULL", "price_is_a_number: price MATCHES '^[0-9]+$'"]
    rows = [{"batch_id": "orders.0.1", "reason": reason, "rows": 1} for reason in reasons]
    assert {"stage": "orders", "rows": 2, "quarantined": rows} == listed
    assert {"stage": "orders", "rows": 2, "exported_to": "rows.csv"} == exported


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "rows.jsonl"])
def test_rows_are_exported_edited_and_sent(shop: Path, name: str, capsys: pytest.CaptureFixture[str]):
    assert 0 == replay("--rule", "price_is_a_number", "--export", name)
    assert f"1 row of orders written to {name}" in capsys.readouterr().out
    path = shop / name
    read = {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson}[path.suffix]
    write = {".csv": "write_csv", ".parquet": "write_parquet", ".jsonl": "write_ndjson"}[path.suffix]
    getattr(read(path).with_columns(price=pl.lit("7")), write)(path)

    assert 0 == replay("--edited", name)

    assert "completed" in capsys.readouterr().out
    assert ["1", "7", None] == prices()
    assert 1 == pl.read_delta("lake/orders__quarantine").height


def test_one_row_is_sent_by_what_it_is_and_told_in_json(capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()

    assert 0 == replay("--where", "price = 'many'", "--json")

    report = json.loads(capsys.readouterr().out)
    assert {"read": 1, "quarantined": 1} == {k: report["stages"][0]["counts"][k] for k in ("read", "quarantined")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rule", "item_is_knwon"), "did you mean 'item_is_known'?"),
        (("--where", "price >"), "where"),
        (("--export", "rows.xlsx"), "rows are written as .csv, .parquet, .jsonl"),
        (("--export", "nowhere/rows.csv"), "cannot be written"),
        (("--edited", "nowhere.csv"), "nowhere.csv: cannot be read"),
        (("--lake", ""), "--lake is empty"),
        (("--batches", "x"), "No such option"),
    ],
)
def test_a_wrong_order_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
):
    capsys.readouterr()

    assert 2 == replay(*arguments)

    shown = capsys.readouterr()
    assert message in shown.err
    assert 1 == len(shown.err.splitlines())
    assert 2 == pl.read_delta("lake/orders__quarantine").height


@pytest.mark.parametrize("how", [("--list",), ("--export", "rows.csv"), ()])
def test_an_unknown_stage_is_told_with_the_nearest_one(how: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()

    assert 2 == main(["order", "--config", "shop.yaml", "--runner", "inline", *how])

    assert "error: unknown stage 'order'; did you mean 'orders'? accepted: orders\n" == capsys.readouterr().err


def test_an_error_is_json_too(capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()

    assert 2 == main(["typo", "--config", "shop.yaml", "--runner", "inline", "--json"])

    assert "unknown stage 'typo'" in json.loads(capsys.readouterr().out)["reason"]
