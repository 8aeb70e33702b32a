"""What a person asks for beside a run, often because something outside has damaged a table: it is killed as runs are."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltalake import DeltaTable


@dataclass(frozen=True)
class Command:
    """A command on the shop, and the state of its lake before."""

    asked: dict[str, Any]
    """Of a ``Case``: see there."""
    damage: Callable[[Path], None] | None = None
    deliveries: int = 2
    """How many were run before; the command finds two."""
    points: int = 15
    """How many places it is killed at."""


def loses_a_file(table: str) -> Callable[[Path], None]:
    """One data file of the table is gone."""

    def damage(lake: Path) -> None:
        Path(sorted(DeltaTable(str(lake / table)).file_uris())[0]).unlink()

    return damage


def has_a_cut_checkpoint(table: str) -> Callable[[Path], None]:
    """A checkpoint of the table has lost its end."""

    def damage(lake: Path) -> None:
        DeltaTable(str(lake / table)).create_checkpoint()
        (checkpoint,) = (lake / table / "_delta_log").glob("*.checkpoint.parquet")
        os.truncate(checkpoint, 100)

    return damage


def has_a_garbled_log(table: str) -> Callable[[Path], None]:
    """A commit of the table cannot be read any more."""

    def damage(lake: Path) -> None:
        with open(sorted((lake / table / "_delta_log").glob("*.json"))[-1], "a") as commit:
            commit.write("\ngarbage{")

    return damage


COMMANDS = {
    "move": Command({"moves": "orders"}, points=10),
    "backfill": Command({"backfills": ("clean_orders", "1", "2")}),
    "rebuild-source": Command({"rebuilds": "orders"}, loses_a_file("orders")),
    "rebuild-partition": Command({"rebuilds": "clean_orders"}, loses_a_file("clean_orders"), deliveries=1),
    "rebuild-beside": Command({"rebuilds": "clean_orders"}, loses_a_file("clean_orders__quarantine"), points=10),
    "rebuild-log": Command({"rebuilds": "priced_orders"}, has_a_garbled_log("priced_orders")),
    "restore-checkpoint": Command({"restores": ("clean_orders", None)}, has_a_cut_checkpoint("clean_orders"), 1, 10),
    "restore-version": Command({"restores": ("clean_orders", 0)}),
}
