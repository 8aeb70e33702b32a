"""Files that are missing, broken or not what was agreed: told in one line, and nothing is lost."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import polars as pl
import pytest

from flows.command import CONFIG
from tests.flows.bad_input.shop import GOOD, HEADER, Said, Shop, assert_equal, contents


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        pytest.param("4.csv", b"", "4.csv is empty; deliver it again or remove it", id="empty"),
        pytest.param("4.csv", b"\n", "4.csv cannot be read: no header line; deliver it again", id="blank"),
        pytest.param("4.csv.gz", gzip.compress(GOOD.encode())[:7], "4.csv.gz cannot be read: ", id="gzip cut in its first bytes"),
        pytest.param("4.csv", b"PK\x03\x04 and so on", "packed with zip; gzip and zstd are read", id="zip"),
        pytest.param("4.csv", b"order_id,month,item\n4-1,4,a\n", "4.csv lacks 'price'; mend the file, or change `columns`", id="a column missing"),
        pytest.param("4.csv", b"order_id,month,item,price,colour\n4-1,4,a,1,red\n", "has an unexpected 'colour'; mend the file", id="a column more"),
        pytest.param("4.csv", b"order_id,month,item,prize\n4-1,4,a,1\n", "4.csv lacks 'price' (renamed to 'prize'?)", id="a column renamed"),
        pytest.param("4.csv", b"order_id,month,item,item\n4-1,4,a,1\n", "column 'item' is twice in its header", id="a column twice"),
        pytest.param("4.csv", GOOD.replace(",", ";").encode(), "(is its `separator` ';'?)", id="other separator"),
        pytest.param("4.csv", GOOD.encode("utf-16"), "4.csv cannot be read: it is not UTF-8 text: ", id="UTF-16"),
        pytest.param("4.csv", GOOD.replace("\n", "\r").encode(), "4.csv cannot be read: its lines end with a carriage return alone", id="old Mac"),
    ],
)  # fmt: skip
def test_a_bad_file(shop: Shop, name: str, content: bytes, says: str) -> None:
    before = contents(shop.lake)
    place = shop.deliver(content, name)
    (shop.folder / "items.csv").write_text("item,name\na,anna\nb,bert\nc,carl\nd,dora\n")

    said = shop.run()

    assert_refused(said, "orders", says, str(place))
    assert_nothing_lost(shop, before)
    assert 4 == contents(shop.lake)["names"].height, "the other branch goes on"


@pytest.mark.parametrize("content", [b"", b"order_id,month,item\n4-1,4,a\n"], ids=["empty", "a column missing"])
def test_once_a_bad_file_is_mended_its_rows_land(
    shop: Shop, delivered: dict[str, pl.DataFrame], content: bytes
) -> None:
    shop.deliver(content)
    assert 1 == shop.run().code

    shop.deliver(GOOD)

    assert 0 == shop.run().code
    assert_equal(delivered, contents(shop.lake))


def assert_refused(said: Said, stage: str, *says: str) -> None:
    assert 1 == said.code, said
    assert said.told.startswith(f"shop failed: source '{stage}': ")
    for text in says:
        assert text in said.told
    assert "" == said.err


def assert_nothing_lost(shop: Shop, before: dict[str, pl.DataFrame]) -> None:
    now = contents(shop.lake)
    untouched = ("orders", "typed", "totals")
    assert_equal({table: before[table] for table in untouched}, {table: now[table] for table in untouched})


@pytest.mark.parametrize(
    ("harm", "stage", "says"),
    [
        pytest.param(lambda f: (f / "items.csv").unlink(), "items", "no file {}/items.csv; check `path` or wait", id="file"),
        pytest.param(lambda f: shutil.rmtree(f / "orders"), "orders", "no file {}/orders; check `path`", id="folder"),
        pytest.param(lambda f: [p.unlink() for p in (f / "orders").iterdir()], "orders", "no file in {}/orders; check", id="all"),
        pytest.param(lambda f: os.symlink("nowhere", f / "orders" / "4.csv"), "orders", "no file {}/orders/4.csv; check", id="link"),
    ],
)  # fmt: skip
def test_a_missing_delivery(shop: Shop, harm: Callable[[Path], object], stage: str, says: str) -> None:
    before = contents(shop.lake)
    harm(shop.folder)

    assert_refused(shop.run(), stage, says.format(shop.folder))
    assert_equal(before, contents(shop.lake))
    assert 1 == shop.run("--lake", str(shop.folder / "new")).code, "the first run says it too"


def test_a_pattern_that_matches_nothing(shop: Shop) -> None:
    (shop.folder / "orders").rename(shop.folder / "orders [new]")
    path = "sources.orders.path=orders [new]/*.csv"

    said = shop.run("--set", path)

    assert_refused(said, "orders", "nothing matches", "where [[] would stand for a bracket; check `path`")
    # Under their new names the files are new ones: not for the lake that knows the old ones.
    assert 0 == shop.run("--set", path.replace("[", "[[]"), "--lake", str(shop.folder / "new")).code


@pytest.mark.parametrize("content", [HEADER, HEADER.strip()])
def test_a_file_with_a_header_alone_has_no_rows_and_no_fault(shop: Shop, content: str) -> None:
    before = contents(shop.lake)
    shop.deliver(content)

    assert 0 == shop.run().code
    assert_equal(before, contents(shop.lake))
    assert "skipped" == shop.run("--json").report["state"]


def test_text_in_a_number_goes_to_quarantine_and_the_file_lands(shop: Shop) -> None:
    shop.deliver(f"{GOOD}4-9,4,a,cheap\n")

    said = shop.run()

    assert 0 == said.code
    assert "typed: quarantined by text_parses: 1 of " in said.out
    now = contents(shop.lake)
    assert (25, 24) == (now["orders"].height, now["typed"].height)
    assert [("4-9", ["text_parses"])] == list(now["typed__quarantine"].select("order_id", "_rules").iter_rows())
    shop.assert_as_clean()


def test_columns_in_another_order_are_the_same_columns(shop: Shop, delivered: dict[str, pl.DataFrame]) -> None:
    rows = csv.DictReader(io.StringIO(GOOD))
    turned = [",".join([row["price"], row["item"], row["month"], row["order_id"]]) for row in rows]
    shop.deliver("\n".join(["price,item,month,order_id", *turned]) + "\n")

    assert 0 == shop.run().code
    assert_equal(delivered, contents(shop.lake))


def test_a_corrected_file_takes_the_place_of_the_one_before(shop: Shop) -> None:
    shop.deliver(f"{HEADER}2-0,2,a,1\n2-77,2,c,5\n", "2.csv")

    assert 0 == shop.run().code
    assert ["2-0", "2-77"] == sorted(contents(shop.lake)["typed"].filter(month="2")["order_id"])
    shop.assert_as_clean()


def test_a_path_may_hold_spaces_brackets_and_any_letter(shop: Shop) -> None:
    before = contents(shop.lake)
    odd = shop.folder / "ö [a] {b} *?"
    (shop.folder / "orders").rename(odd)
    for number, file in enumerate(sorted(odd.iterdir())):
        file.rename(odd / f"x [{number}] é%20 #?.csv")

    lake = shop.folder / "a lake [x] – ü"
    path = f"sources.orders.path={json.dumps(odd.name)}"
    assert 0 == shop.run("--set", path, "--lake", str(lake)).code
    now = contents(lake)
    assert sorted(map(str, odd.iterdir())) == sorted(set(now["orders"]["_source_file"]))
    for table in ("typed", "totals", "names"):
        assert before[table].equals(now[table])
    assert "skipped" == shop.run("--set", path, "--lake", str(lake), "--json").report["state"]


@pytest.fixture
def flights(tmp_path: Path, flights_data: Path) -> list[str]:
    """The options that run ``config/flights.yaml`` on 300 flights of February in ``tmp_path``."""
    with gzip.open(flights_data / "flights-2013-02.csv.gz", "rt") as file:
        (tmp_path / "flights.csv").write_text("".join(islice(file, 301)))
    for name in ("weather", "planes", "airlines", "airports"):
        shutil.copy(flights_data / f"{name}.csv.gz", tmp_path)
    files = {name: f"{tmp_path}/{name}.csv.gz" for name in ("weather", "planes", "airlines", "airports")}
    files["flights"] = f"{tmp_path}/flights.csv"
    paths = [f"sources.bronze_{name}.path={json.dumps(path)}" for name, path in files.items()]
    return ["--lake", str(tmp_path / "lake"), *(word for path in paths for word in ("--set", path))]


def test_new_yorks_flights_with_a_cut_file_a_renamed_column_and_text_in_a_number(
    shop: Shop, tmp_path: Path, flights: list[str]
) -> None:
    good, packed = (tmp_path / "flights.csv").read_text(), (tmp_path / "weather.csv.gz").read_bytes()
    (tmp_path / "weather.csv.gz").write_bytes(packed[:-2000])
    (tmp_path / "flights.csv").write_text(good.replace("dep_delay", "departure_delay", 1))

    said = shop.run(*flights, config=CONFIG)

    assert 1 == said.code
    assert "bronze_flights: failed: source 'bronze_flights'" in said.out
    assert "lacks 'dep_delay'" in said.out
    assert "weather.csv.gz: 1 row could not be read" in said.out
    landed = {"bronze_weather", "bronze_weather__quarantine", "bronze_planes", "bronze_airlines", "bronze_airports"}
    assert landed == set(contents(tmp_path / "lake"))

    (tmp_path / "weather.csv.gz").write_bytes(packed)
    lines = good.splitlines(keepends=True)
    fields = lines[1].split(",")
    lines[1] = ",".join([*fields[:5], "late", *fields[6:]])
    (tmp_path / "flights.csv").write_text("".join(lines))
    report = shop.run(*flights, "--json", config=CONFIG).report
    counts = {stage["stage"]: stage["counts"] for stage in report["stages"]}
    assert "completed" == report["state"]
    assert (300, 0) == (counts["bronze_flights"]["published"], counts["bronze_flights"]["quarantined"])
    assert (299, 1) == (counts["flights"]["published"], counts["flights"]["quarantined"])
    assert "text_parses" in contents(tmp_path / "lake")["flights__quarantine"]["_rules"].item()
