"""Keeping one row a key as others do it: the newest by ``at``, first into no table, then into the one that is there.

deltalake and dlt merge a batch that has each key once, which Polars sees to before; dlt takes it as Arrow.
"""
# pyright: basic
# The peers are optional, and most of them are not typed.

# Peers are optional.
# pyright: reportMissingImports=false

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from dataflow.dedup.hashing import row_hash

HASHED = ["id", "user", "kind", "at", "value"]


@dataclass(frozen=True)
class Peer:
    """One way to settle a delivery with a table."""

    module: str
    run: Callable[[Path, Path], None]
    """Takes the folder of the table and the delivery."""
    height: Callable[[Path], int]
    """Rows of the table in the folder."""


def _newest(delivery: Path) -> pl.LazyFrame:
    return pl.scan_parquet(delivery).sort("at", maintain_order=True).unique("id", keep="last", maintain_order=True)


def _new_file(work: Path) -> Path:
    work.mkdir(parents=True, exist_ok=True)
    return work / f"{len(list(work.glob('*.parquet')))}.parquet"


def _parquet_height(work: Path) -> int:
    return pl.scan_parquet(work / "*.parquet").select(pl.len()).collect().item()


def bare_bronze(work: Path, delivery: Path) -> None:
    """All rows with their hashes, copies marked by a window."""
    rows = pl.scan_parquet(delivery).with_row_index("_row_id")
    hashed = rows.with_columns(
        row_hash(HASHED, rows.collect_schema()).alias("composite_hash"),
        row_hash(HASHED, rows.collect_schema()).alias("payload_hash"),
    )
    first = pl.col("_row_id").min().over("composite_hash")
    marked = hashed.with_columns(pl.when(first != pl.col("_row_id")).then(first).alias("_duplicate_of"))
    marked.sink_parquet(_new_file(work))


def bare_merge(work: Path, delivery: Path) -> None:
    """Rows whose key is not in the table, or is there with an earlier ``at``; that table is then written again."""
    batch, path = _newest(delivery).collect(), _new_file(work)
    if path.name == "0.parquet":
        batch.write_parquet(path)
        return
    table = pl.scan_parquet(work / "*.parquet")
    known = table.select("id", old="at").join(batch.select("id").lazy(), on="id", how="semi").collect()
    both = batch.join(known, on="id", how="left")
    added = both.filter(pl.col("old").is_null() | (pl.col("at") > pl.col("old")))
    if added["old"].null_count() < added.height:
        kept = table.join(added.select("id").lazy(), on="id", how="anti").collect()
        for file in work.glob("*.parquet"):
            file.unlink()
        kept.write_parquet(_new_file(work))
    added.drop("old").write_parquet(_new_file(work))


def deltalake_merge(work: Path, delivery: Path) -> None:
    """A table of its own, with the merge of delta-rs."""
    from deltalake import DeltaTable

    uri = str(work / "delta")
    if not DeltaTable.is_deltatable(uri):
        _newest(delivery).collect().write_delta(uri)
        return
    merger = (
        _newest(delivery)
        .collect()
        .write_delta(
            uri,
            mode="merge",
            delta_merge_options={"predicate": "s.id = t.id", "source_alias": "s", "target_alias": "t"},
        )
    )
    merger.when_matched_update_all(predicate="s.at > t.at").when_not_matched_insert_all().execute()


def _delta_height(path: Path) -> int:
    from deltalake import DeltaTable

    return DeltaTable(path).count()


def duckdb_merge(work: Path, delivery: Path) -> None:
    """A table of DuckDB's own, since its extension for Delta does not merge."""
    import duckdb

    order = 'row_number() OVER (PARTITION BY id ORDER BY "at" DESC)'
    newest = f"SELECT * FROM read_parquet('{delivery}') QUALIFY {order} = 1"
    work.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(work / "events.duckdb")) as connection:
        if not connection.sql("SHOW TABLES").fetchall():
            connection.execute(f"CREATE TABLE events AS {newest}")
            return
        connection.execute(
            f"MERGE INTO events t USING ({newest}) s ON t.id = s.id "
            'WHEN MATCHED AND s."at" > t."at" THEN UPDATE WHEN NOT MATCHED THEN INSERT'
        )


def _duckdb_height(work: Path) -> int:
    import duckdb

    with duckdb.connect(str(work / "events.duckdb"), read_only=True) as connection:
        (found,) = connection.sql("SELECT count(*) FROM events").fetchall()[0:1]
    return found[0]


def dlt_merge(work: Path, delivery: Path) -> None:
    """``upsert``, the strategy for merging that dlt has for Delta."""
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
    import dlt

    disposition: Any = {"disposition": "merge", "strategy": "upsert"}

    @dlt.resource(name="events", primary_key="id", write_disposition=disposition, table_format="delta")
    def events():
        yield _newest(delivery).collect().to_arrow()

    pipeline = dlt.pipeline(
        "bench",
        destination=dlt.destinations.filesystem(bucket_url=(work / "dlt").as_uri()),
        dataset_name="bench",
        pipelines_dir=str(work / "state"),
    )
    pipeline.run(events())


POLARS = {
    "bare Polars, bronze": Peer("polars", bare_bronze, _parquet_height),
    "bare Polars, merge": Peer("polars", bare_merge, _parquet_height),
}
OTHERS = {
    "deltalake merge": Peer("deltalake", deltalake_merge, lambda work: _delta_height(work / "delta")),
    "DuckDB": Peer("duckdb", duckdb_merge, _duckdb_height),
    "dlt merge": Peer("dlt", dlt_merge, lambda work: _delta_height(work / "dlt" / "bench" / "events")),
}
