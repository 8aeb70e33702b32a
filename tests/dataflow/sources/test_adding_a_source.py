"""The page shows a source of one's own, and it works as it stands there."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest
from pydantic import BaseModel

from dataflow import ConfigError, Engine, RunReport, Workflow
from dataflow.config import load
from dataflow.sources import source_types
from tests.repository.readme_blocks import blocks

PAGE = Path(__file__).parents[3] / "docs" / "sources.md"


def shown(language: str) -> str:
    """The block of ``language`` in the section about adding a source."""
    section = PAGE.read_text(encoding="utf-8").split("\n## Adding a source\n")[1].split("\n## ")[0]
    (block,) = (text for found, _, text in blocks(section) if found == language)
    return block


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with what the page shows, and a shop's database."""
    code = shown("python")
    place = tmp_path / code.splitlines()[0].removeprefix("# ")
    place.parent.mkdir()
    place.write_text(code)
    (tmp_path / "shop.yaml").write_text(shown("yaml"))
    known = {*source_types._types, *source_types._ours}
    monkeypatch.syspath_prepend(str(tmp_path))
    insert(tmp_path, (1, "tea", 3.5), (2, "milk", 1))
    yield tmp_path
    for name in {*source_types._types} - known:
        del source_types._types[name]
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


def insert(shop: Path, *orders: tuple[Any, ...]) -> None:
    with closing(sqlite3.connect(shop / "shop.db")) as database:
        database.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER, item TEXT, price)")
        database.executemany("INSERT INTO orders VALUES (?, ?, ?)", orders)
        database.commit()


def run(shop: Path, **options: Any) -> RunReport:
    return Engine(runner="inline").execute(Workflow.from_yaml(shop / "shop.yaml"), **options)


def orders(shop: Path) -> list[tuple[Any, ...]]:
    return pl.read_delta(str(shop / "lake" / "orders")).select("rowid", "id", "item", "price").sort("rowid").rows()


def test_what_the_page_shows_lands_a_table_and_then_what_is_new(shop: Path) -> None:
    assert "completed" == run(shop).state
    assert [(1, 1, "tea", 3.5), (2, 2, "milk", 1.0)] == orders(shop)

    assert "skipped" == run(shop).state
    insert(shop, (3, "rum", 12.25))
    assert "completed" == run(shop).state
    assert [(1, 1, "tea", 3.5), (2, 2, "milk", 1.0), (3, 3, "rum", 12.25)] == orders(shop)
    assert [2, 1] == [file.height for file in spooled(shop)]


def spooled(shop: Path) -> list[pl.DataFrame]:
    return [pl.read_parquet(path) for path in sorted((shop / "lake/_spool/shop/orders").glob("*.parquet"))]


def test_a_plan_does_not_ask(shop: Path) -> None:
    run(shop)
    insert(shop, (3, "rum", 12.25))
    before = sorted(path.name for path in (shop / "lake").rglob("*"))
    (plan,) = Engine(runner="inline").plan(Workflow.from_yaml(shop / "shop.yaml")).stages

    assert "skip" == plan.action
    assert before == sorted(path.name for path in (shop / "lake").rglob("*"))


def test_a_full_run_lands_what_is_spooled_and_what_is_gone_from_the_source(shop: Path) -> None:
    run(shop)
    with closing(sqlite3.connect(shop / "shop.db")) as database:
        database.execute("DELETE FROM orders WHERE id = 1")
        database.commit()
    insert(shop, (3, "rum", 12.25))

    assert "completed" == run(shop, incremental=False).state
    assert [1, 2, 3] == [row[1] for row in orders(shop)]


def test_a_value_that_does_not_fit_is_set_aside_with_its_row(shop: Path) -> None:
    run(shop)
    insert(shop, (3, "gin", "dear"), (4, "ale", 2))
    report = run(shop)

    assert [1, 2, 4] == [row[1] for row in orders(shop)]
    (aside,) = pl.read_delta(str(shop / "lake/orders__quarantine")).to_dicts()
    assert "column 'price': a value of type string that is no float64" == aside["_reason"]
    assert '{"rowid":3,"id":3,"item":"gin","price":"dear"}' == aside["_raw"]
    assert 1 == report.stages[0].counts.quarantined


def test_a_database_that_is_not_there_is_told(shop: Path) -> None:
    os.remove(shop / "shop.db")
    report = run(shop)

    assert "failed" == report.state
    assert "source 'orders': page 1 failed: OperationalError: unable to open database file" in str(
        report.stages[0].error
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("table: orders", "tabel: orders", r"shop\.yaml:\d+: sources\.orders\.tabel: .*did you mean 'table'"),
        (":SqliteSource", ":Sqlite", r"shop\.yaml:\d+: sources\.orders\.type: .*has no attribute 'Sqlite'"),
        (":SqliteSource", ":closing", r"shop\.sqlite_source:closing is no class with a Config; name one that has it"),
        ("shop.sqlite", "shop.sqlit", r"cannot be imported: ModuleNotFoundError: .*put its folder on PYTHONPATH"),
    ],
)
def test_mistakes_in_the_yaml_are_told(shop: Path, old: str, new: str, says: str) -> None:
    text = (shop / "shop.yaml").read_text()
    (shop / "shop.yaml").write_text(text.replace(old, new))

    with pytest.raises(ConfigError, match=says):
        run(shop)


def options(model: Any) -> set[str]:
    """The options of a source type, those of blocks inside of it with a dot."""
    found: set[str] = set()
    for key, field in model.model_fields.items():
        name = field.alias or key
        inner = next((kind for kind in get_args(field.annotation) if isinstance(kind, type)), field.annotation)
        nested = options(inner) if isinstance(inner, type) and issubclass(inner, BaseModel) else set[str]()
        found |= {f"{name}.{each}" for each in nested} or {name}
    return found


@pytest.mark.parametrize("name", ["database", "dlt", "file", "polars_synthetic", "pubsub"])
def test_the_page_names_every_option(name: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
    told = section if name != "polars_synthetic" else section + page.split("\n## pubsub\n")[1].split("\n## ")[0]

    assert [] == sorted(each for each in options(source_types.find(name).Config) if f"`{each}`" not in told)


def test_the_page_has_a_section_for_every_type() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert [] == [
        name for name in ("database", "dlt", "file", "polars_synthetic", "pubsub") if f"\n## {name}\n" not in page
    ]


EXAMPLES = [text for found, _, text in blocks(PAGE.read_text(encoding="utf-8")) if found == "yaml"]


@pytest.mark.parametrize("example", [text for text in EXAMPLES if not text.startswith("pipeline:")])
def test_the_configurations_on_the_page_are_right(example: str, tmp_path: Path) -> None:
    (tmp_path / "shown.yaml").write_text(f"pipeline: shown\n{example}")

    config = load(tmp_path / "shown.yaml", env={"API_TOKEN": "s3cret", "SHOP_PASSWORD": "s3cret"})
    assert config.sources or config.source
