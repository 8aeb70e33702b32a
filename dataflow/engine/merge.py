"""Merges newly staged rows into a table by key: copy-on-write of the files that hold replaced rows."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from dataflow.engine.writing import Writing
from dataflow.lake.schema import from_json

_PATH = "_merge_path"
_OLD = "_merge_old"


@dataclass(frozen=True)
class Merged:
    """What a merge did to the rows of the table."""

    updated: int
    outdated: int
    """Delivered rows older than the table's own, which are set aside."""
    unchanged: int
    removes: tuple[str, ...]

    def effect(self, published: int) -> dict[str, int]:
        """What it did to the table, in the terms of ``RowCounts``."""
        return {"inserted": published - self.updated, "updated": self.updated, "unchanged": self.unchanged}


def merge(writing: Writing) -> Merged:
    """Replace rows of the table that have a newer version among the staged ones.

    Of two rows with one key the greater timestamp wins; at equal timestamps, and where the table's is
    null, the staged row does, as it arrived later. Only files that hold a replaced row are written again.
    """
    job = writing.job
    incremental = job.stage.incremental
    assert incremental is not None
    key, stamp = list(incremental.key_columns), incremental.timestamp_column
    head = job.lake.head(job.stage.name)
    staged = [f for f in writing.files if f.role == "new"]
    if head is None or not staged:
        rows = 0 if head is None else job.lake.snapshot(head).rows
        return Merged(0, 0, rows, ())
    snapshot = job.lake.snapshot(head)
    root = f"{job.lake.table_uri(job.stage.name)}/"
    new = job.lake.scan_files(job.stage.name, [f.path for f in staged], from_json(writing.schemas[job.stage.name]))
    old = job.lake.scan(snapshot, path_column=_PATH).select(
        *key, pl.col(stamp).alias(_OLD), pl.col(_PATH).str.strip_prefix(root)
    )
    matches = new.select(*key, stamp).join(old, on=key, how="inner").collect()
    loses = pl.col(_OLD).is_not_null() & (pl.col(stamp).is_null() | (pl.col(_OLD) > pl.col(stamp)))
    outdated, replaced = matches.filter(loses), matches.filter(~loses)
    if outdated.height:
        _set_aside(writing, new, outdated.select(key).lazy(), key)
    paths = tuple(sorted(replaced[_PATH].unique()))
    if paths:
        survivors = job.lake.scan(snapshot, [f for f in snapshot.files if f.path in set(paths)])
        writing.sink(survivors.join(replaced.select(key).lazy(), on=key, how="anti"), role="carried")
        writing.collect()
    return Merged(replaced.height, outdated.height, snapshot.rows - replaced.height, paths)


def _set_aside(writing: Writing, new: pl.LazyFrame, outdated: pl.LazyFrame, key: list[str]) -> None:
    """Stage the new rows again without those that the table has in a later form already."""
    provisional = [f for f in writing.files if f.role == "new"]
    writing.files = [f for f in writing.files if f.role != "new"]
    writing.sink_aside("duplicates", new.join(outdated, on=key, how="semi").drop("_batch_id"))
    writing.sink(new.join(outdated, on=key, how="anti"), role="new")
    writing.collect()
    for file in provisional:
        writing.job.lake.fs.rm_file(writing.job.lake.path(file.table, file.path))
