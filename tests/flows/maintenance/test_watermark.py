"""Watermarks shown and moved from the command line."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import polars as pl
import pytest

from dataflow.lake.lake import Lake
from dataflow.lake.lease import acquire
from flows.command import main as etl
from flows.maintenance.watermark_command import main
from tests.prepared import Prepared

YAML = """\
pipeline: shop
lake: lake
sources:
  orders: {path: "orders/*.csv"}
"""
SECOND = YAML + "  customers: {path: customers.csv}\n"


def run_once(folder: Path) -> None:
    (folder / "orders").mkdir()
    for number in (1, 2, 3):
        path = folder / "orders" / f"{number}.csv"
        path.write_text(f"item,price\na,{number}\n")
        moment = 1_700_000_000 + number * 86_400
        os.utime(path, (moment, moment))
    (folder / "customers.csv").write_text("name\nann\n")
    (folder / "shop.yaml").write_text(YAML)
    (folder / "second.yaml").write_text(SECOND)
    assert 0 == etl(["--config", "shop.yaml", "--runner", "inline"])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("watermark") / "shop", run_once)


@pytest.fixture(autouse=True)
def shop(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PIPELINE_CONFIG", raising=False)
    monkeypatch.chdir(prepared.restore())
    return prepared.place


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    capsys.readouterr()
    return capsys


def watermark(command: str, *arguments: str, config: str = "shop.yaml") -> int:
    return main([command, "--config", config, *arguments])


def files() -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(Path("lake").rglob("*")) if p.is_file()}


def test_sources_are_shown(told: pytest.CaptureFixture[str]):
    before = files()

    assert 0 == watermark("show")

    shown = told.readouterr().out
    (row,) = [line for line in shown.splitlines() if "orders" in line]
    assert ["orders", "files 3, file_id 3", "0", "orders.0.1", "–"] == re.split(" {2,}", row.strip())
    assert before == files()


def test_sources_are_shown_as_json_one_of_several_too(told: pytest.CaptureFixture[str]):
    assert 0 == etl(["--config", "second.yaml", "--runner", "inline"])
    told.readouterr()

    assert 0 == watermark("show", "--json", config="second.yaml")
    every = json.loads(told.readouterr().out)
    assert 0 == watermark("show", "--json", "--source", "orders", config="second.yaml")
    one = json.loads(told.readouterr().out)

    orders = {"position": {"files": 3, "file_id": 3}, "batch_id": "orders.0.1", "event_time": None, "epoch": 0}
    assert ["orders", "customers"] == list(every["watermarks"])
    assert {"pipeline": "shop", "watermarks": {"orders": orders}} == one


def test_a_lake_that_was_never_run_has_nothing_to_show(told: pytest.CaptureFixture[str]):
    assert 0 == watermark("show", "--lake", "elsewhere")

    assert f"nothing of shop is read yet; lake: {Path('elsewhere').absolute()}\n" == told.readouterr().out
    assert not Path("elsewhere").exists()


@pytest.mark.parametrize(
    "where",
    [
        ("--to", "1.csv"),
        ("--to", "1"),
        ("--to", "2023-11-16"),
        ("--position", '{"file_id": 1}'),
        ("--position", '{"files": 3, "file_id": 1}'),
        ("--position", '{"file": "1.csv"}'),
        ("--position", '{"since": "2023-11-16T22:13:20Z"}'),
    ],
)
def test_a_source_is_moved_back_and_the_next_run_reads_from_there(
    where: tuple[str, ...], told: pytest.CaptureFixture[str]
):
    assert 0 == watermark("set", *where)

    assert [
        'orders: epoch 1 begins at {"files": 1, "file_id": 1}',
        "by the next run read again, and their rows replaced, are 2 files (30 bytes, 2 published rows): 2.csv, 3.csv",
    ] == told.readouterr().out.splitlines()
    Path("orders/2.csv").write_text("item,price\na,7\n")
    assert 0 == etl(["--config", "shop.yaml", "--runner", "inline", "--json"])
    report = json.loads(told.readouterr().out)
    assert (2, "orders.1.2") == (report["stages"][0]["units"], report["stages"][0]["batch_id"])
    assert ["1", "3", "7"] == sorted(pl.read_delta("lake/orders")["price"])


def test_reset_goes_back_to_the_beginning(told: pytest.CaptureFixture[str]):
    assert 0 == watermark("reset", "--source", "orders", "--json")

    found = json.loads(told.readouterr().out)
    assert (False, 1, {"files": 0, "file_id": 0}, 3) == (
        found["planned"],
        found["epoch"],
        found["position"],
        found["rows"],
    )
    assert ["1.csv", "2.csv", "3.csv"] == [Path(name).name for name in found["files"]]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("set", "--to", "1.csv"), "epoch 1 would begin at"),
        (("reset",), "3 files (45 bytes, 3 published rows): 1.csv, 2.csv, 3.csv"),
        (("reset", "--json"), '"planned": true'),
    ],
)
def test_with_plan_it_is_told_and_nothing_is_touched(
    arguments: tuple[str, ...], says: str, told: pytest.CaptureFixture[str]
):
    before = files()

    assert 0 == watermark(*arguments, "--plan")

    assert says in told.readouterr().out
    assert before == files()


def test_of_many_files_a_few_are_named(told: pytest.CaptureFixture[str]):
    for number in range(4, 10):
        Path(f"orders/{number}.csv").write_text("item,price\nb,1\n")
    etl(["--config", "shop.yaml", "--runner", "inline"])
    told.readouterr()

    assert 0 == watermark("reset", "--plan")

    assert "1.csv, 2.csv, 3.csv, 4.csv, 5.csv and 4 others" in told.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("set",), "set takes one of --to and --position; reset goes back to the beginning"),
        (("set", "--to", "1", "--position", "{}"), "set takes one of --to and --position"),
        (("set", "--position", "{file_id: 1}"), "--position {file_id: 1}: it is not JSON"),
        (("set", "--to", "4.csv"), "no such file was read"),
        (("set", "--to", "3.csv"), "nothing was read after it"),
        (("set", "--to", "99"), "it lies ahead of what was read, which ends with file id 3"),
        (("set", "--to", ""), "no such file was read"),
        (("set", "--to", "1", "--source", "order"), "unknown source 'order'; did you mean 'orders'?"),
        (("show", "--source", "order"), "unknown source 'order'"),
        (("reset", "--lake", "elsewhere"), "nothing of it is published yet"),
        (("reset", "--soruce", "orders"), "No such option: --soruce"),
        (("move",), "No such command 'move'"),
    ],
)
def test_a_wrong_order_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], message: str, told: pytest.CaptureFixture[str]
):
    before = files()

    assert 2 == watermark(*arguments)

    shown = told.readouterr()
    assert message in shown.err
    assert 1 == len(shown.err.splitlines())
    assert before == files()


def test_of_several_sources_one_is_to_be_named(told: pytest.CaptureFixture[str]):
    assert 2 == watermark("reset", config="second.yaml")

    assert "--source is missing: name one of orders, customers" in told.readouterr().err


def test_an_error_is_json_too(told: pytest.CaptureFixture[str]):
    assert 2 == watermark("set", "--to", "9", "--json")

    found = json.loads(told.readouterr().out)
    assert ("failed", 2) == (found["state"], found["exit_code"])
    assert "lies ahead" in found["reason"]


def test_while_a_run_is_at_work_it_says_so_with_exit_code_1(told: pytest.CaptureFixture[str]):
    held = acquire(Lake("lake"), "shop", "other", ttl_seconds=60)

    assert 1 == watermark("reset")

    assert "pipeline 'shop' is being run already: run other" in told.readouterr().err
    held.release(clean=True)


def test_a_file_that_is_gone_is_named(told: pytest.CaptureFixture[str]):
    Path("orders/2.csv").unlink()

    assert 2 == watermark("reset")

    shown = told.readouterr().err
    assert "can no longer be read that far back: 1 file of 3 is not there any more" in shown
    assert "put it back; back to file id 2, after the last of these, is possible" in shown
