"""Lakes that cannot be used or that somebody has meddled with: one error, and its way out is true when it is followed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.flows.bad_input.conftest import mount
from tests.flows.bad_input.shop import Shop, assert_equal, contents


def test_a_file_in_place_of_the_lake(shop: Shop) -> None:
    place = shop.folder / "file"
    place.write_text("mine")

    for command in ([], ["--plan"]):
        said = shop.run("--lake", str(place), *command)
        assert 1 == said.code
        assert (
            f"error: lake {place}: a file stands where a folder is needed; name another lake with --lake\n" == said.err
        )
    below = shop.run("--lake", str(place / "lake"))
    assert 1 == below.code
    assert "a file stands where a folder is needed" in below.err
    assert "mine" == place.read_text()


@pytest.fixture
def read_only(shop: Shop) -> Iterator[Shop]:
    kept = shop.folder / "kept"
    shop.lake.rename(kept)
    shop.lake.mkdir()
    mount("--bind", str(kept), str(shop.lake))
    mount("-o", "remount,bind,ro", str(shop.lake))
    yield shop
    subprocess.run(["umount", "-l", str(shop.lake)], check=True)


def test_a_lake_that_may_not_be_written(read_only: Shop, delivered: dict[str, pl.DataFrame]) -> None:
    before = contents(read_only.lake)
    read_only.deliver()

    said = read_only.run()

    assert 1 == said.code
    assert "not writable ([Errno 30] Read-only file system" in said.err
    assert said.err.endswith("check the folder's permissions, or name another lake with --lake\n")
    assert 0 == read_only.run("--plan").code, "a plan writes nothing"
    assert_equal(before, contents(read_only.lake))
    mount("-o", "remount,bind,rw", str(read_only.lake))
    assert 0 == read_only.run().code
    assert_equal(delivered, contents(read_only.lake))


def test_another_pipelines_tables(shop: Shop) -> None:
    before = contents(shop.lake)
    shop.declare("pipeline: shop", "pipeline: store")

    for command in ([], ["--plan"], ["--full"]):
        said = shop.run(*command)
        assert 1 == said.code
        assert (
            "table 'items' belongs to pipeline 'shop', not to pipeline 'store'; name another lake with --lake, or rename the stage"
            in said.err
        )
    assert_equal(before, contents(shop.lake))
    assert 0 == shop.run("--lake", str(shop.folder / "own")).code
    shop.declare("pipeline: store", "pipeline: shop")
    assert "skipped" == shop.run("--json").report["state"]


def test_a_foreign_table_of_a_stages_name(shop: Shop) -> None:
    lake = shop.folder / "theirs"
    pl.DataFrame({"a": [1]}).write_delta(str(lake / "typed"))

    said = shop.run("--lake", str(lake))

    assert 1 == said.code
    assert "table 'typed' belongs to another program, not to pipeline 'shop'; name another lake" in said.err
    assert [1] == pl.read_delta(str(lake / "typed"))["a"].to_list()
    assert {"typed"} == set(contents(lake))


def newest(shop: Shop, table: str) -> Path:
    return max((shop.lake / table / "_delta_log").glob("*.json"))


@pytest.mark.parametrize("table", ["orders", "typed"])
def test_a_log_that_cannot_be_read(shop: Shop, delivered: dict[str, pl.DataFrame], table: str) -> None:
    shop.deliver()
    newest(shop, table).write_text("garbage{")

    for command in ([], ["--plan"], ["--full"]):
        said = shop.run(*command)
        assert 1 == said.code
        assert f"lake/{table}: the table's log cannot be read: " in said.err
        assert said.err.endswith("or compute it again with flows/maintenance/table.py rebuild\n")
    shutil.rmtree(shop.lake / table)
    assert 0 == shop.run("--full").code
    assert_equal(delivered, contents(shop.lake))


@pytest.mark.parametrize("table", ["typed", "totals"])
def test_a_table_that_is_gone(shop: Shop, table: str) -> None:
    before = contents(shop.lake)
    shutil.rmtree(shop.lake / table)

    said = shop.run()

    assert 1 == said.code
    assert f"table '{table}': version 0 of {shop.lake}/{table} was published, but it is gone" in said.told
    assert "or compute it again with flows/maintenance/table.py rebuild" in said.told
    assert 1 == shop.run("--plan").code
    assert 0 == shop.run("--full").code
    assert_equal(before, contents(shop.lake))


@pytest.mark.parametrize("harm", ["gone", "cut"])
def test_a_data_file_that_is_gone_or_broken(shop: Shop, delivered: dict[str, pl.DataFrame], harm: str) -> None:
    file = next((shop.lake / "typed").rglob("month=1/*.parquet"))
    file.unlink() if harm == "gone" else file.write_bytes(file.read_bytes()[:200])
    shop.deliver()

    said = shop.run()

    assert 1 == said.code
    # That a file is gone is seen before anything is read, by the stage whose table it is.
    stage, why = ("typed' failed", "is gone") if harm == "gone" else ("totals'", "is gone or broken (")
    assert said.told.startswith(f"shop failed: stage '{stage}: table 'typed' lacks {file}, which {why}")
    assert "or compute it again with flows/maintenance/table.py rebuild" in said.told
    assert 0 == shop.run("--full").code
    assert_equal(delivered, contents(shop.lake))


@pytest.mark.parametrize("harm", ["log", "data", "all"])
def test_a_journal_that_is_damaged(shop: Shop, delivered: dict[str, pl.DataFrame], harm: str) -> None:
    shop.deliver()
    kept = {path: path.read_bytes() for path in (shop.lake / "_journal").rglob("*") if path.is_file()}
    if harm == "log":
        newest(shop, "_journal").write_text("garbage{")
    elif harm == "data":
        next((shop.lake / "_journal").rglob("*.parquet")).unlink()
    else:
        shutil.rmtree(shop.lake / "_journal")

    for command in ([], ["--plan"], ["--full"]):
        said = shop.run(*command)
        assert 1 == said.code
        assert "journal" in said.err
        assert "restore" in said.err
        assert said.err.endswith("and run again\n")
    before = contents(shop.lake)
    for path, data in kept.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for path in set((shop.lake / "_journal").rglob("*")) - {*kept}:
        path.unlink() if path.is_file() else None
    assert_equal(before, contents(shop.lake))
    assert 0 == shop.run().code
    assert_equal(delivered, contents(shop.lake))


def test_a_journal_that_cannot_be_restored(shop: Shop, delivered: dict[str, pl.DataFrame]) -> None:
    shop.deliver()
    newest(shop, "_journal").write_text("garbage{")
    assert "restore the journal, or remove it together with the tables of the lake and run again" in shop.run().err

    shutil.rmtree(shop.lake)

    assert 0 == shop.run().code
    assert_equal(delivered, contents(shop.lake))


@pytest.mark.parametrize("size", ["100k", "400k", "800k", "1200k"])
def test_a_full_disk(shop: Shop, small_disk: Path, size: str) -> None:
    rows = "".join(f"m-{n},{{0}},{'abc'[n % 3]},{pow(n, 9, 999_999_937)}\n" for n in range(40_000))
    header = "order_id,month,item,price\n"
    for month in (1, 2, 3):
        (shop.folder / "orders" / f"{month}.csv").write_text(header + rows.replace("{0}", str(month)))
    mount("-o", f"remount,size={size}", str(small_disk))
    arguments = ["--lake", str(small_disk / "lake"), "--set", "stages.typed.gate=[]"]

    said = run_apart(shop, *arguments)

    assert 1 == said.returncode, said.stdout
    full = "no space left on the lake's disk; what is published stays as it is. Make room and run again"
    assert full in said.stdout + said.stderr
    assert "Traceback" not in said.stdout + said.stderr
    mount("-o", "remount,size=64m", str(small_disk))
    again = shop.run(*arguments)
    assert 0 == again.code, again
    assert "completed" in again.out
    assert 0 == shop.run("--lake", str(shop.folder / "clean"), *arguments[2:]).code
    assert_equal(contents(shop.folder / "clean"), contents(small_disk / "lake"))


def run_apart(shop: Shop, *arguments: str) -> subprocess.CompletedProcess[str]:
    # In a process of its own: the lease of one that ended without a word of it is free at once.
    process = shop.start(*arguments)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
