"""Lines that cannot be read cost these lines: not the file, not the run; and a contract says what becomes of the rest."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from dataflow.sources.files.delimited_reader import DelimitedReader
from dataflow.sources.source import Item
from tests.flows.bad_input.shop import GOOD, HEADER, Shop, assert_equal, contents

LONG = (HEADER + "".join(f"4-{n},4,{hashlib.md5(b'%d' % n).hexdigest()},{n}\n" for n in range(20_000))).encode()
"""Long enough for several blocks of zstd, of which each is read whole or not at all."""
EVENTS = "".join(json.dumps({"id": n, "kind": "abc"[n % 3], "value": n / 4}) + "\n" for n in range(6))


@pytest.mark.parametrize(
    ("bad", "reason", "raw"),
    [
        pytest.param(b"4-9,4,a\n", "3 fields, where the header has 4", "4-9,4,a", id="too short"),
        pytest.param(b"4-9,4,a,1,2\n", "5 fields, where the header has 4", "4-9,4,a,1,2", id="too long"),
        pytest.param(b"4-9,4,caf\xe9,1\n", "bytes that are not UTF-8 text", "4-9,4,caf\\xe9,1", id="Latin-1"),
        pytest.param(b'4-9,4,"a,1\n', "a quote that is not closed", '4-9,4,"a,1', id="open quote"),
        pytest.param(b'4-9,4,"a"b,1\n', "text after a closing quote", '4-9,4,"a"b,1', id="text after a quote"),
        pytest.param(b"\0" * 40 + b"\n", "1 field, where the header has 4", "\0" * 40, id="NUL bytes"),
    ],
)
def test_a_broken_line_of_a_csv_file(
    shop: Shop, delivered: dict[str, pl.DataFrame], bad: bytes, reason: str, raw: str
) -> None:
    lines = GOOD.encode().splitlines(keepends=True)
    place = shop.deliver(b"".join([*lines[:3], bad, *lines[3:]]))

    said = shop.run()

    assert 0 == said.code
    assert "4.csv: 1 row could not be read; orders__quarantine tells line and reason" in said.out
    now = contents(shop.lake)
    aside = now.pop("orders__quarantine").row(0, named=True)
    assert ([reason], raw, 4, str(place)) == (
        [aside["_reason"]], aside["_raw"], aside["_line"], aside["_source_file"]
    )  # fmt: skip
    assert ["readable"] == aside["_rules"]
    assert_equal(delivered, now)


def test_a_broken_line_is_the_same_whatever_came_before(shop: Shop) -> None:
    shop.deliver(f"{GOOD}4-9,4,a\n")

    assert 0 == shop.run().code

    shop.assert_as_clean()


@pytest.mark.parametrize(
    "pack", [gzip.compress, lambda data: pa.compress(data, codec="zstd", asbytes=True)], ids=["gzip", "zstd"]
)
def test_packed_data_that_ends_early_lands_as_far_as_it_goes_and_whole_when_it_comes_again(shop: Shop, pack) -> None:
    packed = pack(LONG)
    shop.deliver(packed[: len(packed) // 2], "4.csv.gz")

    said = shop.run()

    assert 0 == said.code
    now = contents(shop.lake)
    (aside,) = now["orders__quarantine"].rows(named=True)
    assert "data ends here, before its end" in aside["_reason"]
    landed = now["orders"].filter(pl.col("_source_file").str.ends_with("4.csv.gz"))
    whole = [line.split(",")[0] for line in LONG.decode().splitlines()[1:]]
    assert 1000 < landed.height == aside["_line"] - 2
    assert set(whole[: landed.height]) == set(landed["order_id"])

    shop.deliver(packed, "4.csv.gz")
    assert 0 == shop.run().code
    now = contents(shop.lake)
    assert "orders__quarantine" not in now
    assert 20_000 + 18 == now["orders"].height


def test_damaged_gzip_is_refused_as_nothing_of_it_can_be_trusted(shop: Shop) -> None:
    before = contents(shop.lake)
    packed = gzip.compress(LONG)
    shop.deliver(packed[:-8] + bytes(4) + packed[-4:], "4.csv.gz")

    said = shop.run()

    assert 1 == said.code
    assert "4.csv.gz cannot be read: " in said.told
    assert_equal({"orders": before["orders"]}, {"orders": contents(shop.lake)["orders"]})


@pytest.fixture
def events(shop: Shop) -> Path:
    """A source of JSON lines beside the others, landed once."""
    shop.declare("  items: {path: items.csv}", "  items: {path: items.csv}\n  events: {path: events, contract: freeze}")
    folder = shop.folder / "events"
    folder.mkdir()
    (folder / "1.jsonl").write_text(EVENTS)
    assert 0 == shop.run().code
    assert 6 == contents(shop.lake)["events"].height
    return folder


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(b"not json\n", "no JSON: Expecting value at character 1", id="text"),
        pytest.param(b'{"id": 7, "kind": "a"\n', "no JSON: Expecting ',' delimiter at character 22", id="cut"),
        pytest.param(b"null\n", "JSON that is no object but null", id="null"),
        pytest.param(b'[{"id": 7}]\n', "JSON that is no object but a list", id="list"),
        pytest.param(b'{"id": 7, "id": 8}\n', "column 'id' is twice in its object", id="twice"),
        pytest.param(b'{"id": 7}{"id": 8}\n', "no JSON: Extra data at character 10", id="two"),
        pytest.param(b'{"kind": "\xff"}\n', "bytes that are not UTF-8 text", id="not UTF-8"),
        pytest.param(b'{"kind": "a\0"}\n', "no JSON: Invalid control character at character 12", id="NUL"),
        pytest.param(b'{"kind": "\\ud800"}\n', "an escape \\ud800 to \\udfff that is half a character", id="half"),
        pytest.param(b'{"kind": ' + b"[" * 100_000 + b"\n", "JSON that is nested too deeply (a line of 100,009 bytes)", id="deep"),
    ],
)  # fmt: skip
def test_a_broken_line_of_json(shop: Shop, events: Path, bad: bytes, reason: str) -> None:
    lines = EVENTS.encode().splitlines(keepends=True)
    (events / "2.jsonl").write_bytes(b"".join([*lines[:3], bad, *lines[3:]]))

    said = shop.run()

    assert 0 == said.code, said
    now = contents(shop.lake)
    (aside,) = now["events__quarantine"].rows(named=True)
    assert (reason, 4) == (aside["_reason"], aside["_line"])
    assert 12 == now["events"].height
    assert pl.Schema({"id": pl.Int64, "kind": pl.String, "value": pl.Float64}) == pl.Schema(
        {name: now["events"].schema[name] for name in ("id", "kind", "value")}
    )


def test_what_a_frozen_contract_does_not_know_is_refused_and_evolves_when_that_is_said(
    shop: Shop, events: Path
) -> None:
    (events / "2.jsonl").write_text('{"id": 7, "kind": "a", "colour": "red"}\n')

    said = shop.run()

    assert 1 == said.code
    assert "2.jsonl, line 1: column 'colour' is not in the contract; mend the file" in said.told
    assert 6 == contents(shop.lake)["events"].height

    shop.declare("contract: freeze", "contract: evolve")
    assert 0 == shop.run().code
    now = contents(shop.lake)["events"]
    assert [None] * 6 + ["red"] == now["colour"].sort(nulls_last=False).to_list()
    (events / "3.jsonl").write_text('{"id": "x", "kind": "a"}\n{"id": 8, "kind": 5}\n')
    assert 0 == shop.run().code
    now = contents(shop.lake)
    assert 8 == now["events"].height
    assert ["column 'id': a value that is no int64"] == now["events__quarantine"]["_reason"].to_list()


def test_a_schema_and_what_does_not_fit_it_is_rescued(shop: Shop) -> None:
    options = "schema: {id: int64, at: date, price: 'decimal(10,2)'}, contract: discard_value"
    shop.declare(
        "  items: {path: items.csv}", f"  items: {{path: items.csv}}\n  prices: {{path: prices.csv, {options}}}"
    )
    (shop.folder / "prices.csv").write_text(
        "id,at,price,note\n1,2025-05-01,1.5,\n2,1 May 2025,2.50,x\n3,05/06/2025,1.239,\n"
    )

    assert 0 == shop.run().code
    now = contents(shop.lake)["prices"].sort("id")
    assert [None, '{"note":"x"}', '{"at":"05/06/2025","price":"1.239"}'] == now["_rescued"].to_list()
    assert ["2025-05-01", "2025-05-01", None] == now["at"].cast(pl.String).to_list()
    assert ["1.50", "2.50", None] == now["price"].cast(pl.String).to_list()


def test_a_name_that_does_not_tell_its_date(shop: Shop) -> None:
    shop.declare("path: items.csv}", "path: items.csv, from_name: {day: '-(.*)[.]csv'}}")

    said = shop.run()

    assert 1 == said.code
    assert (
        "items.csv does not tell 'day': '-(.*)[.]csv' is not in it; rename the file, or change `from_name`" in said.told
    )


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("schema: {a: int46}", "unknown type 'int46'; did you mean 'int64'?"),
        ("schema: {a: uint8}", "a Delta table has no unsigned integers"),
        ("schema: {a: string}, columns: [a]", "say `schema` alone"),
        ("from_name: {day: '('}", "is no regular expression"),
        ("from_name: {day: 'x'}", "has 0 groups; one, in parentheses, is the value"),
        ("date_formats: [ISO]", "names no part of a date"),
        ("contract: thaw", "accepted: discard_row, discard_value, evolve, freeze"),
    ],
)
def test_options_that_do_not_fit(shop: Shop, option: str, says: str) -> None:
    shop.declare("path: items.csv}", f"path: items.csv, {option}}}")

    said = shop.run()

    assert 2 == said.code
    assert says in said.err


def test_a_file_with_broken_lines_is_salvaged_in_one_pass(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[str] = []
    once = DelimitedReader._records

    def counted(self: DelimitedReader, item: Item, *others: Any) -> Iterator[pl.DataFrame]:
        passes.append(item.name)
        return once(self, item, *others)

    monkeypatch.setattr(DelimitedReader, "_records", counted)
    place = shop.deliver(GOOD + "4-9,4,a\n")

    assert 0 == shop.run().code
    assert [str(place)] == passes


@pytest.mark.parametrize("name", ["_reason", "_rules", "_quarantine_id", "_quarantined_at", "_raw", "_line", "_row_id"])
def test_a_column_with_a_name_of_ours_is_refused_before_a_line_breaks(shop: Shop, name: str) -> None:
    (shop.folder / "items.csv").write_text(f"item,{name}\na,1\n")
    shop.declare("path: items.csv", "path: items.csv, contract: evolve")

    said = shop.run("--lake", str(shop.folder / "fresh"))

    assert 1 == said.code
    assert f"column {name!r} has a name that dataflow keeps for itself; rename it in the file" in said.told
