"""The status as people and programs see it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from dataflow.engine.mending import WAY_OUT
from dataflow.engine.status import HolderStatus, PartitionStatus, PendingStatus, Status, TableStatus
from flows.command import PROJECT, main
from flows.status_command import print_status

YAML = """\
pipeline: shop
lake: lake
sources:
  orders:
    path: orders/*.csv
    gate:
      - {name: known, predicate: item IS NOT NULL}
"""
AT = datetime(2026, 11, 21, 12, 30, 5, tzinfo=UTC)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "1.csv").write_text("item,price\na,1\n,2\n")
    (tmp_path / "shop.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PIPELINE_CONFIG", raising=False)
    return tmp_path


def etl(*arguments: str) -> int:
    return main([*arguments, "--config", "shop.yaml"])


def printed(status: Status, width: int = 160, **options: bool) -> list[str]:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    print_status(console, status, **options)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def part(label: str, state: str = "fresh", **fields: object) -> PartitionStatus:
    return PartitionStatus.model_validate({"label": label, "state": state, **fields})


def table(name: str, **fields: object) -> TableStatus:
    base = {"table": name, "kind": "task", "state": "fresh", "why": "its inputs have not changed"}
    return TableStatus.model_validate({**base, **fields})


MONTHS = [part(f"month={n}", rows=1000, size_bytes=2_000_000, batch_id="flights.0.1") for n in range(1, 10)]
FLIGHTS = table(
    "flights",
    state="stale",
    why="1 partition of bronze changed",
    version=3,
    batch_id="flights.0.2",
    published_at=AT,
    rows=336_776,
    size_bytes=45_200_000,
    quarantined=12,
    event_time=AT,
    partitions=[*MONTHS, part("month=10", "stale", why="backfill from 10 to 10"), part("month=11", "new")],
)
BRONZE = table(
    "bronze", kind="source", version=1, published_at=AT, position={"files": 12, "cursor": "2026-01"}, epoch=2
)
STATUS = Status(
    pipeline="flights",
    lake="/lake",
    tables=(BRONZE, FLIGHTS, table("daily", state="follows", why="after flights", partitions=[part("all")])),
    holder=HolderStatus(run_id="r1", host="here", process_id=7, beat_at=AT, alive=True),
    pending=(PendingStatus(batch_id="flights.0.3", stage="flights", tables=("flights__late", "flights")),),
    unswept=("r0",),
    release={"bronze": 1, "flights": 2},
    damage=("table 'daily' is damaged: it lacks x.parquet",),
)


def test_a_status_tells_what_there_is_to_know():
    lines = printed(STATUS)
    assert [
        "table    state       rows    MB  published         last batch   watermark",
        "bronze   fresh          0   0.0  2026-11-21 12:30  –            –",
        "flights  stale    336,776  45.2  2026-11-21 12:30  flights.0.2  2026-11-21 12:30",
        "daily    follows        –     –  –                 –            –",
    ] == [lines[0], *lines[2:5]]
    assert [
        "  bronze: position: files 12, cursor 2026-01 (epoch 2)",
        "  flights: stale: 1 partition of bronze changed",
        "  flights: 11 partitions: 9 fresh, 1 stale (month=10), 1 new (month=11)",
        "  flights: 12 rows in flights__quarantine",
        "  daily: follows: after flights",
        "damaged: table 'daily' is damaged: it lacks x.parquet",
        f"  {WAY_OUT}",
        "run r1: at work (process 7 on here, last heard of at 2026-11-21 12:30:05 UTC)",
        "batch flights.0.3 is begun and not finished (flights__late, flights): a run finishes it",
        "1 interrupted run may have left staged files: the next run sweeps them",
        "last release: flights 2 (now 3), 1 table as now",
        "lake: /lake",
    ] == lines[5:]


def test_a_narrow_terminal_has_the_watermark_below():
    lines = printed(STATUS, width=80)
    assert max(len(line) for line in lines[:5]) <= 80
    assert "  flights: watermark: 2026-11-21 12:30" in lines


def test_every_partition_is_listed_where_asked_for():
    lines = printed(STATUS, every_partition=True)
    assert "flights  month=10   stale      0  0.0  –            backfill from 10 to 10" in lines
    assert "flights  month=3    fresh  1,000  2.0  flights.0.1" in lines


def test_many_stale_partitions_are_summed():
    many = table("flights", state="stale", partitions=[part(f"d={n}", "stale") for n in range(100)])
    assert "  flights: 100 partitions: 100 stale" in printed(STATUS.model_copy(update={"tables": (many,)}))


def test_a_dead_holder_is_told():
    assert STATUS.holder is not None
    dead = STATUS.model_copy(update={"holder": STATUS.holder.model_copy(update={"alive": False})})
    assert any("run r1: died, the next run takes over" in line for line in printed(dead))


def test_before_and_after_a_run(shop: Path, capfd: pytest.CaptureFixture[str]):
    assert 0 == etl("status")
    before, err = capfd.readouterr()
    assert "" == err
    assert "  orders: stale: 1 new file" in before.splitlines()
    assert "last release: none yet" in before.splitlines()
    assert not (shop / "lake").exists()

    assert 0 == main(["--config", "shop.yaml", "--runner", "inline"])
    capfd.readouterr()

    assert 0 == etl("status")
    after = capfd.readouterr().out.splitlines()
    assert ["orders", "fresh", "1", "0.0"] == after[2].split()[:4]
    assert "  orders: 1 row in orders__quarantine" in after
    assert "last release: 1 table as now" in after


def test_json_is_one_object(shop: Path, capfd: pytest.CaptureFixture[str]):
    main(["--config", "shop.yaml", "--runner", "inline"])
    capfd.readouterr()

    assert 0 == etl("status", "--json")

    told = json.loads(capfd.readouterr().out)
    assert ("shop", 0, ["fresh"]) == (told["pipeline"], told["exit_code"], [t["state"] for t in told["tables"]])


def test_a_damaged_table_is_exit_code_1(shop: Path, capfd: pytest.CaptureFixture[str]):
    main(["--config", "shop.yaml", "--runner", "inline"])
    next((shop / "lake" / "orders").glob("*.parquet")).unlink()
    capfd.readouterr()

    assert 1 == etl("status")

    out, err = capfd.readouterr()
    assert "damaged: table 'orders' is damaged: it lacks" in out
    assert f"  {WAY_OUT}" in out.splitlines()
    assert "last release: orders 0 (now it cannot be read), 0 tables as now" in out
    assert "" == err


def test_a_selection_that_names_nothing_is_an_error(shop: Path, capfd: pytest.CaptureFixture[str]):
    assert 2 == etl("status", "--select", "ordres", "--json")
    out, err = capfd.readouterr()
    assert "did you mean 'orders'?" in err
    assert 2 == json.loads(out)["exit_code"]


def test_it_works_without_prefect(shop: Path):
    script = f"""
import sys
sys.modules["prefect"] = None
sys.path.insert(0, {str(PROJECT)!r})
from flows.command import main
raise SystemExit(main(["status", "--config", "shop.yaml"]))
"""
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=shop)
    assert (0, "") == (shown.returncode, shown.stderr)
    assert "orders: stale: 1 new file" in shown.stdout
