"""What docs/strategies.md shows, runs: the four strategies side by side, the queries, and a strategy of one's own."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataflow import Engine, Workflow
from dataflow.dedup import strategy_types
from dataflow.dedup.hashing import canonical_text
from tests.dataflow.dedup.folds import Fold
from tests.repository.readme_blocks import blocks

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "strategies.md").read_text(encoding="utf-8")
Order = tuple[str, str, str]
DAY_1: list[Order] = [
    ("1", "2026-02-01", "new"),
    ("2", "2026-02-01", "new"),
    ("2", "2026-02-01", "new"),
    ("1", "2026-03-05", "paid"),
]
DAY_2: list[Order] = [("1", "2026-03-05", "paid"), ("3", "2026-03-06", "new"), ("2", "2026-02-15", "paid")]


def shown(language: str) -> list[str]:
    return [text for found, _, text in blocks(PAGE) if found == language]


def block(language: str, mark: str) -> str:
    """The one block of the page with ``mark`` in it."""
    (found,) = [text for text in shown(language) if mark in text]
    return found


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What the page registers and imports is forgotten after each test."""
    yield
    strategy_types._types.pop("latest_day", None)
    sys.modules.pop("latest_day", None)


@pytest.fixture
def latest_day(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's module, where Python finds it."""
    path = elsewhere / "latest_day.py"
    path.write_text(block("python", "latest_day") + "\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(elsewhere))
    return path


def deliver(folder: Path, name: str, orders: list[Order]) -> None:
    (folder / "landing").mkdir(exist_ok=True)
    lines = ["order_id,updated_at,state", *(",".join(order) for order in orders)]
    (folder / "landing" / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run_page(*marks: str) -> dict[str, Any]:
    """The names that the page's blocks with ``marks`` leave."""
    names: dict[str, Any] = {"__name__": "page"}
    for mark in marks:
        exec(compile(block("python", mark), "docs/strategies.md", "exec"), names)
    return names


def rows(table: str, *columns: str) -> list[tuple[Any, ...]]:
    return sorted(pl.scan_delta(f"lake/shop/{table}").select(columns).collect().rows())


def test_four_strategies_side_by_side(elsewhere: Path) -> None:
    deliver(elsewhere, "day-1", DAY_1)
    run_page("add_source")
    deliver(elsewhere, "day-2", DAY_2)
    report = run_page("add_source")["report"]
    assert {"completed"} == {report.state}

    orders, every = ("order_id", "updated_at", "state"), DAY_1 + DAY_2
    newest: dict[str, Order] = {}
    for order in every:
        newest[order[0]] = max(order, newest.get(order[0], order), key=lambda o: o[1])
    assert sorted(every) == rows("orders_bronze", *orders)
    assert sorted(set(every)) == rows("orders_new", *orders)
    assert sorted(newest.values()) == rows("orders_latest", *orders)
    assert [
        ("1", "2026-02-01", "new", False),
        ("1", "2026-03-05", "paid", True),
        ("2", "2026-02-01", "new", False),
        ("2", "2026-02-15", "paid", True),
        ("3", "2026-03-06", "new", True),
    ] == rows("orders_history", *orders, "is_current")
    for table, kept in {"orders_new": 5, "orders_latest": 3, "orders_history": 5}.items():
        aside = pl.scan_delta(f"lake/shop/{table}__duplicates").select("_row_id", "_reason").collect()
        assert 0 == aside.null_count().sum_horizontal().item()
        if table != "orders_latest":  # there, rows also leave the table for newer ones
            assert len(every) == kept + aside.height


def test_rows_without_a_key_or_an_instant_are_set_aside_as_the_page_says(elsewhere: Path) -> None:
    deliver(elsewhere, "day-1", [*DAY_1, ("", "2026-02-01", "new"), ("5", "soon", "new")])
    assert "completed" == run_page("add_source")["report"].state
    broken = {
        "orders_latest": [["dedup_key_order_id_is_known"]],
        "orders_history": [["effective_at_is_known"], ["key_order_id_is_known"]],
    }
    for table, rules in broken.items():
        assert [(rule,) for rule in rules] == rows(f"{table}__quarantine", "_rules")
        assert 0 == pl.scan_delta(f"lake/shop/{table}").filter(pl.col("order_id").is_null()).collect().height
    assert 6 == len(rows("orders_bronze", "_row_id"))
    for rule in {name for found in broken.values() for names in found for name in names}:
        assert rule.replace("order_id", "<column>") in PAGE


def test_the_queries_find_copies_across_batches_and_what_was_the_case(elsewhere: Path) -> None:
    for name, orders in {"day-1": DAY_1, "day-2": DAY_2}.items():
        deliver(elsewhere, name, orders)
        run_page("add_source")
    names = run_page("first_row_id", "then =")

    bronze = names["bronze"].collect()
    seen: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for *order, row_id in bronze.select("order_id", "updated_at", "state", "_row_id").rows():
        seen[tuple(order)].append(row_id)
    expected = sorted((id, min(ids)) for ids in seen.values() for id in ids if id != min(ids))
    assert 2 == len(expected)
    assert expected == sorted(names["copies"].select("_row_id", "first_row_id").collect().rows())
    within = bronze.filter(pl.col("_duplicate_of").is_not_null())
    assert 1 == within.height, "of these one is in the same batch as the first"

    _, query = block("sql", "CREATE VIEW").split(" AS\n", 1)
    told = pl.SQLContext(orders_bronze=bronze.lazy()).execute(query, eager=True)
    assert expected == sorted(told.select("_row_id", "first_row_id").rows())
    assert Counter(told["_batch_id"]) == Counter(
        bronze.filter(pl.col("_row_id").is_in([id for id, _ in expected]))["_batch_id"]
    )

    assert [("1", "new"), ("2", "paid")] == sorted(names["then"].select("order_id", "state").collect().rows())


def test_the_text_of_the_page_is_the_one_that_is_hashed() -> None:
    exec(compile("import polars as pl\n" + block("python", "hashlib"), "docs/strategies.md", "exec"), {})
    words = PAGE.replace("`", "")
    frame = pl.DataFrame({"a": ["a", "ab", None], "b": ["bc", "c", ""]})
    for text in frame.select(canonical_text(["a", "b"], frame.schema)).to_series():
        assert f" is {text}" in words


def test_the_strategy_of_the_page_does_what_it_says_in_any_cut(latest_day: Path) -> None:
    importlib.import_module("latest_day")
    kind = strategy_types.find("latest_day")
    days = [1, 2, 2, 1, 3, 3, 2, 3]
    frame = pl.DataFrame({"_row_id": range(len(days)), "day": days})
    for cuts in ([8], [1] * 8, [3, 2, 3], [5, 0, 3]):
        fold, start = Fold(kind(kind.Config.model_validate({"day": "day"}))), 0
        for length in cuts:
            fold.settle(frame[start : start + length])
            start += length
        assert fold.rows is not None
        assert [4, 5, 7] == sorted(fold.rows["_row_id"]), cuts


def test_the_strategy_of_the_page_runs_from_yaml(latest_day: Path, elsewhere: Path) -> None:
    importlib.import_module("latest_day")
    deliver(elsewhere, "day-1", [*DAY_1, ("9", "", "new")])
    config = "pipeline: shop\nlake: lake/shop\nsources:\n  orders: {path: landing}\n" + block("yaml", "latest_day")
    (elsewhere / "shop.yaml").write_text(config, encoding="utf-8")

    def run() -> list[tuple[Any, ...]]:
        report = Engine(runner="inline").execute(Workflow.from_yaml(elsewhere / "shop.yaml"))
        assert "completed" == report.state
        return rows("orders_of_the_day", "order_id", "updated_at")

    assert [("1", "2026-03-05")] == run()
    aside = pl.scan_delta("lake/shop/orders_of_the_day__quarantine").collect()
    # A field of a CSV file that is empty is null.
    assert [("9", ["day_is_known"])] == aside.select("order_id", "_rules").rows()
    deliver(elsewhere, "day-2", DAY_2)
    assert [("3", "2026-03-06")] == run()


def test_a_package_brings_the_strategy_by_an_entry_point(latest_day: Path, elsewhere: Path) -> None:
    points = tomllib.loads(block("toml", "entry-points"))["project"]["entry-points"]
    info = elsewhere / "shop_strategies-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-strategies\nVersion: 1.0\n")
    lines = [f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in found.items()) for group, found in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    assert "latest_day" not in sys.modules
    assert "latest_day" in strategy_types.names
    assert "latest_day" == strategy_types.find("latest_day").__module__
