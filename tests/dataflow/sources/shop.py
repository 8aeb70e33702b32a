"""A database of orders, as a shop keeps it in SQLite, and a source that reads it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from dataflow.lake.lake import Lake
from dataflow.lake.spool import Spool
from dataflow.sources.database import DatabaseConfig, DatabaseSource
from tests.dataflow.sources.asked import landed

ORDERS = "create table orders (id integer primary key, at datetime, note text)"


class Shop:
    """A folder with a database and a lake."""

    def __init__(self, root: Path, table: str = ORDERS) -> None:
        self.root = root
        self.sql(table)

    def sql(self, statement: str, rows: Iterable[Any] = ((),)) -> None:
        with closing(sqlite3.connect(self.root / "shop.db")) as database, database:
            database.executemany(statement, rows)

    def put(self, *orders: tuple[Any, ...]) -> None:
        self.sql(f"insert or replace into orders values ({', '.join('?' * len(orders[0]))})", orders)

    def source(self, lake: str = "lake", **options: Any) -> DatabaseSource:
        """As each run makes it: it remembers nothing."""
        asked = {} if "query" in options else {"table": "orders"}
        config = DatabaseConfig.model_validate({"url": f"sqlite:///{self.root}/shop.db", **asked, **options})
        source = DatabaseSource("orders", config)
        source.attach(Spool(Lake(self.root / lake), "made", "orders"))
        return source

    def pull(self, **options: Any) -> int:
        """How many rows came."""
        return sum(file.rows for file in self.source(**options).fetch())

    def held(self, *columns: str, **options: Any) -> list[Any]:
        frame = landed(self.source(**options))
        return sorted(frame.select(columns or ("id", "note")).rows()) if frame.width else []
