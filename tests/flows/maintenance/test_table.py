"""Damaged tables: told, brought back and computed again from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from flows.command import main as etl
from flows.maintenance.table_command import main
from tests.prepared import Prepared

YAML = """\
pipeline: shop
lake: lake
sources:
  orders:
    path: orders/*.csv
    storage: {partition_by: [month]}
    gate:
      - {name: item_is_known, predicate: item IS NOT NULL}
stages:
  kept:
    depends_on: [orders]
    strategy: {type: polars_merge, dedup_key: [item]}
"""


def three_deliveries(folder: Path) -> None:
    (folder / "orders").mkdir()
    (folder / "shop.yaml").write_text(YAML)
    for number in (1, 2, 3):
        rows = f"item,price,month\na{number},{number},{number}\nb,{number},{number}\n,0,{number}\n"
        (folder / "orders" / f"{number}.csv").write_text(rows)
        assert 0 == run()


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("table") / "shop", three_deliveries)


@pytest.fixture(autouse=True)
def shop(delivered: Prepared, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shop of three deliveries, each in a batch of its own."""
    monkeypatch.delenv("PIPELINE_CONFIG", raising=False)
    monkeypatch.chdir(delivered.restore())
    return delivered.place


def run(*arguments: str) -> int:
    return etl(["--config", "shop.yaml", "--runner", "inline", *arguments])


def table(*arguments: str) -> int:
    inline = ["--runner", "inline"] if arguments[0] == "rebuild" else []
    return main([*arguments, "--config", "shop.yaml", *inline])


def contents() -> dict[str, pl.DataFrame]:
    names = ("orders", "orders__quarantine", "kept")
    columns = pl.all().exclude("_batch_id", "_ingested_at", "_quarantined_at", "_quarantine_id")
    return {n: pl.read_delta(f"lake/{n}").select(columns).sort(pl.all()) for n in names}


def assert_whole(expected: dict[str, pl.DataFrame]) -> None:
    found = contents()
    for name, frame in expected.items():
        assert_frame_equal(frame, found[name], check_row_order=False)
    assert 0 == table("check")


def test_whole_tables_are_told_as_such(capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert 0 == table("check")
    assert "every table is whole\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    "order", [("check",), ("restore", "orders"), ("restore", "orders", "--version", "0"), ("rebuild", "orders")]
)
def test_a_lake_whose_name_is_mistyped_is_told_and_not_begun(
    order: tuple[str, ...], shop: Path, capsys: pytest.CaptureFixture[str]
):
    capsys.readouterr()

    code = table(*order, "--lake", "typo")

    told = capsys.readouterr()
    expected = (
        "no table of shop is published yet in" if order == ("check",) else "stage 'orders' was never published in"
    )
    assert f"{expected} {shop / 'typo'}" in told.out + told.err
    assert (0 if order == ("check",) else 2) == code
    assert not Path("typo").exists()


def test_what_is_restored_is_told_in_json_too(capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()

    assert 0 == table("restore", "orders", "--json")
    done = json.loads(capsys.readouterr().out)
    assert 2 == table("restore", "orders", "--version", "99", "--json")
    refused = json.loads(capsys.readouterr().out)

    assert {"stage": "orders", "version": None, "done": []} == done
    assert "--version 99" in refused["reason"]


@pytest.mark.parametrize("name", ["orders", "orders__quarantine", "kept"])
def test_a_missing_data_file_is_told_and_computed_again(name: str, capsys: pytest.CaptureFixture[str]):
    expected = contents()
    lost = DeltaTable(f"lake/{name}").file_uris()[0]
    Path(lost).unlink()
    capsys.readouterr()

    assert 1 == table("check", "--json")
    told = json.loads(capsys.readouterr().out)["damaged"]
    assert [(name, 1)] == [(d["table"], len(d["files"])) for d in told]
    assert lost.endswith(told[0]["files"][0])
    if name != "orders__quarantine":
        assert 1 == run()
        said = capsys.readouterr()
        assert f"table {name!r} lacks" in said.out + said.err
        assert Path(lost).name in said.out + said.err

    assert 0 == table("rebuild", name.partition("__")[0])
    assert_whole(expected)
    assert 0 == run()


def test_only_what_is_lost_is_landed_again(shop: Path, capsys: pytest.CaptureFixture[str]):
    Path(next(f for f in DeltaTable("lake/orders").file_uris() if "month=2" in f)).unlink()
    capsys.readouterr()

    assert 0 == main(["rebuild", "orders", "--config", "shop.yaml", "--runner", "inline", "--json"])

    report = json.loads(capsys.readouterr().out)
    assert [1, 2] == [report["stages"][0][key] for key in ("units", "units_fresh")]


def test_what_the_source_no_longer_has_is_not_dropped_silently(shop: Path, capsys: pytest.CaptureFixture[str]):
    Path(next(f for f in DeltaTable("lake/orders").file_uris() if "month=2" in f)).unlink()
    (shop / "orders" / "2.csv").unlink()
    capsys.readouterr()

    assert 1 == table("rebuild", "orders")

    assert "1 file whose rows are lost" in capsys.readouterr().err
    assert 1 == table("check")


@pytest.mark.parametrize("name", ["orders", "kept"])
def test_a_truncated_checkpoint_is_told_and_restored(name: str, capsys: pytest.CaptureFixture[str]):
    expected = contents()
    DeltaTable(f"lake/{name}").create_checkpoint()
    checkpoint = next(Path(f"lake/{name}/_delta_log").glob("*.checkpoint.parquet"))
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    capsys.readouterr()

    assert 1 == run()
    said = capsys.readouterr()
    assert f"{checkpoint.name} is broken or gone" in said.out + said.err
    assert 1 == table("check")

    assert 0 == table("restore", name)
    assert_whole(expected)
    assert 0 == run()


@pytest.mark.parametrize("name", ["orders", "kept"])
def test_a_log_that_cannot_be_mended_is_set_aside_and_the_table_computed_again(name: str):
    expected = contents()
    sorted(Path(f"lake/{name}/_delta_log").glob("*.json"))[1].write_text("garbage{")

    assert 1 == run()
    assert 0 == table("rebuild", name)

    assert_whole(expected)
    assert 0 == run()


def test_a_table_that_is_gone_is_computed_again():
    expected = contents()
    shutil.rmtree("lake/kept")

    assert 1 == table("check")
    assert 0 == table("rebuild", "kept")

    assert_whole(expected)


@pytest.mark.parametrize("name", ["orders", "kept"])
def test_a_version_is_brought_back_and_the_next_run_catches_up(name: str, capsys: pytest.CaptureFixture[str]):
    expected = contents()
    before = pl.read_delta(f"lake/{name}", version=1).sort(pl.all())
    capsys.readouterr()

    assert 0 == table("restore", name, "--version", "1")

    assert f"{name} is as it was at version 1; 1 unit to be computed again\n" in capsys.readouterr().out
    assert_frame_equal(before, pl.read_delta(f"lake/{name}").sort(pl.all()), check_row_order=False)
    assert 0 == run()
    assert_whole(expected)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["restore", "kept", "--version", "99"], "--version 99: table 'kept' is at version"),
        (["restore", "keptt"], "unknown stage 'keptt'; did you mean 'kept'?"),
        (["rebuild", "keptt"], "unknown stage 'keptt'; did you mean 'kept'?"),
    ],
)
def test_wrong_words_are_told(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert 2 == table(*arguments)
    assert said in capsys.readouterr().err


def test_files_of_a_version_that_are_gone_are_named(capsys: pytest.CaptureFixture[str]):
    lost = DeltaTable("lake/kept", version=0).file_uris()[0]
    Path(lost).unlink()
    capsys.readouterr()

    assert 1 == table("restore", "kept", "--version", "0")

    assert f"version 0 lacks {Path(lost).name}" in capsys.readouterr().err


def test_a_whole_table_has_nothing_to_restore_or_rebuild(capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert 0 == table("restore", "kept")
    assert "nothing to restore" in capsys.readouterr().out
    assert 0 == table("rebuild", "kept")
