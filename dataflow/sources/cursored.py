"""What sources with a cursor have in common: what is held of the range that is asked again, and how to go back in it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import polars as pl

from dataflow.errors import ConfigError, SourceError
from dataflow.incremental.cursors import (
    CursorConfig,
    Value,
    at_or_after,
    from_json,
    from_state,
    further,
    kind_of,
    start,
    to_json,
    to_state,
)
from dataflow.incremental.overlap import Overlap, distinct
from dataflow.lake.pulls import Reach, SpooledFile
from dataflow.sources.spooled import SpooledSource


class There(NamedTuple):
    """What a source has of a range."""

    least: Any
    """The least value of the cursor; None where there is none."""
    rows: int
    key: tuple[str, ...]
    """What names a row, where that is known."""


class CursorSource(SpooledSource):
    """A source that is asked by a cursor; its state holds the cursor's value under ``position``."""

    @property
    @abstractmethod
    def cursor(self) -> CursorConfig | None:
        """None where the source has none, and gives everything each time."""
        ...

    @abstractmethod
    def there(self, since: Value | None) -> There:
        """What the source has at or after ``since``; None: with any value of the cursor."""
        ...

    def reach(self, frame: pl.DataFrame) -> Reach | None:
        """The greatest value of the cursor, and how many rows have none."""
        if self.cursor is None:
            return None
        if self.cursor.column not in frame.columns:
            return Reach(nulls=frame.height)
        values = frame[self.cursor.column]
        found: Any = values.max()
        return Reach(greatest=None if found is None else self.mark(found), nulls=values.null_count())

    def mark(self, value: Value) -> dict[str, Any]:
        """A value and its column, as states and files hold them."""
        assert self.cursor is not None
        return {"column": self.cursor.column, **to_state(value)}

    def reached(self, state: Mapping[str, Any] | None) -> Value | None:
        """The position that ``state`` holds; None before the first row.

        Errors: SourceError where it is that of another column.
        """
        found = state.get("position") if state else None
        if found and self.cursor is not None and found["column"] != self.cursor.column:
            raise SourceError(
                f"source {self.name!r} was read by the cursor {found['column']!r} up to {found['value']}, not by {self.cursor.column!r}; "
                "go back to that, or reset the source, and everything is read again",
                source=self.name,
            )
        return from_state(found) if found else None

    def position(self) -> Any:
        """The greatest value of the cursor that was seen."""
        found = (self.spool.state() or {}).get("position")
        return found["value"] if found else None

    def since(self, to: Any | None) -> tuple[dict[str, Any] | None, Any]:
        """The state with which rows at or after ``to`` are asked: a value of the cursor as people write it.

        Errors: SourceError for a value of another kind, beyond what was read, or before what the source still has.
        """
        if self.cursor is None:
            return super().since(to)
        value = None if to is None else self._reached(to)
        self._check_there(self.cursor.column, value)
        return (None, None) if value is None else ({"position": self.mark(value)}, self.mark(value))

    def holds(self, file: SpooledFile, since: Any) -> bool:
        """Whether rows count that come at or after ``since``; None: whether any do."""
        if since is None or file.reach is None or not super().holds(file, None):
            return super().holds(file, None)
        value: Any = from_state(since)
        ends_before = file.cut is not None and value >= from_state(file.cut.before)
        return file.reach.greatest is not None and not ends_before and value <= from_state(file.reach.greatest)

    def counted(self, rows: pl.LazyFrame, before: Any) -> pl.LazyFrame:
        """The rows that come before a value of the cursor, and those without one."""
        column = before["column"]
        if column not in rows.collect_schema():
            return rows
        return rows.filter(~at_or_after(column, from_state(before)) | pl.col(column).is_null())

    def held(
        self, files: Iterable[SpooledFile], since: Value | None, *, nulls: bool = False
    ) -> Generator[pl.LazyFrame]:
        """The rows that count and come at or after ``since``, file by file; with ``nulls`` those without a value too."""
        assert self.cursor is not None
        column = self.cursor.column
        for file in files:
            empty = nulls and self.holds(file, None) and (file.reach is None or file.reach.nulls > 0)
            if not empty and not self.holds(file, None if since is None else self.mark(since)):
                continue
            rows = self.spool.scan(file.name, "_n").drop("_n")
            if file.cut is not None:
                rows = self.counted(rows, file.cut.before)
            if column not in rows.collect_schema():
                rows = rows.with_columns(pl.lit(None).alias(column))
            wanted = pl.col(column).is_not_null() if since is None else at_or_after(column, since)
            yield rows.filter(wanted | pl.col(column).is_null() if nulls else wanted)

    def overlap(self, names: Sequence[str], key: Sequence[str], since: Value | None) -> Overlap:
        """What is held of a range that is asked again, as it will be once the answer is kept."""
        assert self.cursor is not None
        overlap = Overlap(names, key, self.cursor.column)
        for rows in self.held(self.spool.standing(), since, nulls=self.cursor.nulls == "every_time"):
            overlap.hold(rows)
        return overlap

    def back(self, value: Value, lag: timedelta | Decimal, option: str) -> Value:
        """Where a range of length ``lag`` begins that ends at ``value``.

        Errors: ConfigError that names ``option`` where such values have no distance.
        """
        try:
            return start(value, lag)
        except ValueError as error:
            raise ConfigError(f"source {self.name!r}: `{option}`: {error}", source=self.name) from None

    def further(self, position: Value | None, values: Iterable[Any]) -> Value | None:
        """The position after ``values`` were seen.

        Errors: SourceError for values without an order.
        """
        assert self.cursor is not None
        try:
            return further(self.cursor.column, position, values)
        except ValueError as error:
            raise SourceError(f"source {self.name!r}: {error}", source=self.name) from None

    def _reached(self, to: Any) -> Value:
        """``to`` as a value of the cursor, which it may not have passed yet."""
        found = [f.reach.greatest for f in self.spool.files() if f.reach and self.holds(f, None)]
        assert self.cursor is not None
        column = self.cursor.column
        reached: list[Any] = [from_state(value) for value in found if value is not None and value["column"] == column]
        if not reached:
            raise SourceError(
                f"source {self.name!r} cannot be set to {to!r}: nothing was read of it yet", source=self.name
            )
        last, kind = max(reached), kind_of(reached[0])
        assert kind is not None
        try:
            value: Any = from_json(kind, to)
        except ValueError as error:
            raise SourceError(
                f"source {self.name!r} cannot be set to a position like that: {error}; it was read up to {to_json(last)}",
                source=self.name,
            ) from None
        if value > last:
            raise SourceError(
                f"source {self.name!r} cannot be set to {to_json(value)}: it was read up to {to_json(last)} only, and what lies "
                "between would be passed over",
                source=self.name,
            )
        return value

    def _check_there(self, column: str, since: Value | None) -> None:
        """Refuse to replace rows by what the source does not have any more."""
        held = list(self.held(self.spool.files(), since))
        found = [rows.select(pl.col(column).min()).collect().item() for rows in held]
        ours: Any = min((value for value in found if value is not None), default=None)
        if ours is None:
            return
        theirs, count, key = self.there(since)
        # Rows that moved on because they were updated are still there; so many less are not.
        if (theirs is None or theirs > ours) and count < distinct(held, key):
            there = "no rows from there on" if theirs is None else f"none before {to_json(theirs)}"
            raise SourceError(
                f"source {self.name!r} cannot be read from {'the beginning' if since is None else to_json(since)} on any more: it has "
                f"{there}, but rows from {to_json(ours)} on are held, and would be lost"
                f"{'' if theirs is None else f'; set it to {to_json(theirs)} or later'}",
                source=self.name,
            )
