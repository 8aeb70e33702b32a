"""Batches of real files with real statistics, that tell which of them were read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from dataflow.lake.footers import footer_statistics
from dataflow.quality.batch import Batch, FileFacts, Files
from dataflow.quality.routing import route_rows
from dataflow.quality.rules import ValidationRule

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class Shelf:
    """Where files are put, and which of them were scanned."""

    folder: Path
    scanned: list[list[str]] = field(default_factory=list[list[str]])

    def files(self, *frames: pl.DataFrame, by: tuple[str, ...] = (), stats: bool = True) -> Files:
        """A file for each frame."""
        facts = [self._put(frame, by, stats=stats) for frame in frames]
        schema = frames[0].schema

        def scan(paths: Sequence[str]) -> pl.LazyFrame:
            self.scanned.append(list(paths))
            files = [self.folder / path for path in paths]
            return pl.scan_parquet(files, schema=schema) if files else pl.LazyFrame(schema=schema)

        return Files(tuple(facts), scan, by)

    def _put(self, frame: pl.DataFrame, by: tuple[str, ...], *, stats: bool) -> FileFacts:
        path = f"{len(list(self.folder.iterdir()))}.parquet"
        frame.write_parquet(self.folder / path)
        with (self.folder / path).open("rb") as file:
            found = footer_statistics(file) if stats else "{}"
        partition: dict[str, Any] = {name: frame[name].cast(pl.String).first() for name in by}
        return FileFacts(path, frame.height, found, partition)

    def routed(self, frame: pl.DataFrame, rules: Sequence[ValidationRule], **known: Any) -> Batch:
        """A batch as a stage leaves it: its rows parted by the rules."""
        routed = route_rows(frame.lazy(), rules, at=AT, references=known.get("references", {}))
        good, *sides = [
            None if rows is None else rows.collect()
            for rows in (routed.good, routed.quarantined, routed.dropped, routed.repaired)
        ]
        assert good is not None
        quarantined, dropped, repaired = (
            None if rows is None or rows.is_empty() else self.files(rows) for rows in sides
        )
        published = self.files(good) if good.height else replace(self.files(good), files=())
        return Batch(published, quarantined, dropped, repaired, **known)

    def gone(self) -> None:
        """Delete every file: who reads one now, fails."""
        for path in self.folder.iterdir():
            path.unlink()
