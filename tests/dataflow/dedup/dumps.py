"""Dumps as a strategy gets them, and what a dictionary makes of them: the truth, found without frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl
import xxhash

from dataflow.dedup.snapshot import Snapshot, SnapshotOptions
from tests.dataflow.dedup.folds import Fold

Row = tuple[int, str | None, str]
"""Key, value, and a column that is ignored."""
Dump = tuple[int, Sequence[Row]]
"""Its number, and its rows."""
COLUMNS = ["id", "value", "note"]


def frame(*dumps: Dump) -> pl.DataFrame:
    """The rows of one batch, with the row ids that they were landed with."""
    rows = [
        (*row, f"{number:03}", (number << 40) + offset) for number, rows in dumps for offset, row in enumerate(rows)
    ]
    schema = {"id": pl.Int64, "value": pl.String, "note": pl.String, "dumped_on": pl.String, "_row_id": pl.Int64}
    return pl.DataFrame(rows, schema, orient="row")


def fold(**options: Any) -> Fold:
    """A table that takes dumps."""
    ignore = [column for column in ("note", "dumped_on") if column != options.get("snapshot_by")]
    settings = {"key": ["id"], "ignore": ignore, "min_share": 0, **options}
    return Fold(Snapshot(SnapshotOptions.model_validate(settings)))


def _hashed(*texts: str | None) -> str:
    canonical = "".join("~:" if text is None else f"{len(text.encode())}:{text}" for text in texts)
    return xxhash.xxh3_128(canonical.encode()).hexdigest()


def _rank(row: Row, number: int) -> tuple[str, str]:
    return _hashed(row[1]), _hashed(row[2], f"{number:03}")


@dataclass
class Truth:
    """The table, row by row."""

    deletes: Literal["delete", "mark", "keep"] = "delete"
    there: dict[int, tuple[Row, int]] = field(default_factory=dict[int, tuple[Row, int]])
    """By key: the row as it came, and with which dump."""
    gone: dict[int, tuple[Row, int, int]] = field(default_factory=dict[int, tuple[Row, int, int]])
    changes: list[tuple[str, int, Row]] = field(default_factory=list[tuple[str, int, Row]])

    def take(self, dump: Dump) -> None:
        """The next dump."""
        number, rows = dump
        if not rows:
            return
        now: dict[int, Row] = {}
        for row in rows:
            if row[0] not in now or _rank(row, number) > _rank(now[row[0]], number):
                now[row[0]] = row
        for key in [key for key in self.there if key not in now and self.deletes != "keep"]:
            row, begun = self.there.pop(key)
            self.gone[key] = row, begun, number
            self.changes.append(("delete", number, row))
        for key, row in now.items():
            known = self.there.get(key)
            if known is None or known[0][1] != row[1]:
                self.changes.append(("update" if known else "insert", number, row))
                self.there[key] = row, number
                self.gone.pop(key, None)

    def rows(self) -> list[tuple[Any, ...]]:
        """The table's rows, and with which dump they came."""
        marked = self.deletes == "mark"
        found: list[tuple[Any, ...]] = [
            (*row, begun, *([None] if marked else [])) for row, begun in self.there.values()
        ]
        if marked:
            found += [(*row, begun, ended) for row, begun, ended in self.gone.values()]
        return sorted(found, key=repr)


def found(table: Fold) -> list[tuple[Any, ...]]:
    """The same of a table."""
    assert table.rows is not None
    marks = [column for column in ("_deleted_in",) if column in table.rows.columns]
    return sorted(table.rows.select(*COLUMNS, "_snapshot", *marks).rows(), key=repr)


def told(table: Fold) -> list[tuple[str, int, Row]]:
    """The changes of a table, as those of the truth."""
    rows = pl.concat(table.changes).select("_change", "_snapshot", *COLUMNS).rows()
    return sorted(((change, at, (id, value, note)) for change, at, id, value, note in rows), key=repr)
