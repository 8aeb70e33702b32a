"""The same eight checks as each peer spells them; a peer that is not installed is skipped with a line that says so.

Every side begins with the Parquet files and ends with the answer, and reads them in the peer's cheapest way.
"""
# pyright: basic
# The peers are optional, and most of them are not typed.

# Peers are optional.
# pyright: reportMissingImports=false

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import typer

from dataflow.testing import duplicates, malformed, nulls, orphans, out_of_range, swapped, with_defects

STATUSES = ["paid", "packed", "shipped", "returned"]
EMAIL = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"
LOW, HIGH = 0.0, 1000.0
MEAN_LOW, MEAN_HIGH = 4.0, 6.0


def bare(files: Path, rows: int) -> None:
    """One scan for the aggregates that the eight checks come down to."""
    amount, ordered, shipped = pl.col("amount_eur"), pl.col("ordered_at"), pl.col("shipped_at")
    found = pl.scan_parquet(files).select(
        missing=pl.col("order_id").null_count(),
        distinct=pl.col("order_id").n_unique(),
        outside=((amount < LOW) | (amount > HIGH)).sum(),
        unlisted=(~pl.col("status").is_in(STATUSES)).sum(),
        malformed=(~pl.col("email").str.contains(EMAIL)).sum(),
        rows=pl.len(),
        swapped=(shipped < ordered).sum(),
        mean=pl.col("quantity").mean(),
    )
    (values,) = found.collect(engine="streaming").to_dicts()
    mean = values.pop("mean")
    zero = dict.fromkeys(("missing", "outside", "unlisted", "malformed", "swapped"), 0)
    assert {**zero, "distinct": rows, "rows": rows} == values
    assert MEAN_LOW <= mean <= MEAN_HIGH


def great_expectations(engine: str) -> Callable[[Path, int], None]:
    """A checkpoint of Great Expectations on ``polars`` (ours, over the scanned files) or ``pandas``."""

    def run(files: Path, rows: int) -> None:
        import great_expectations as gx
        import pandas as pd
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        source: Any = getattr(context.data_sources, f"add_{engine}")("source")
        batch = source.add_dataframe_asset("orders").add_batch_definition_whole_dataframe("whole")
        suite = context.suites.add(gx.ExpectationSuite(name="orders", expectations=_expectations(rows)))
        definition = gx.ValidationDefinition(name="orders", data=batch, suite=suite)
        checkpoint: Any = gx.Checkpoint(name="orders", validation_definitions=[definition])
        context.validation_definitions.add(definition)
        frame = pl.scan_parquet(files) if engine == "polars" else pd.read_parquet(files)
        outcome = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": frame})
        assert outcome.success, outcome.describe()

    return run


def _expectations(rows: int) -> list[Any]:
    from great_expectations import expectations

    gxe: Any = expectations
    return [
        gxe.ExpectColumnValuesToNotBeNull(column="order_id"),
        gxe.ExpectColumnValuesToBeUnique(column="order_id"),
        gxe.ExpectColumnValuesToBeBetween(column="amount_eur", min_value=LOW, max_value=HIGH),
        gxe.ExpectColumnValuesToBeInSet(column="status", value_set=STATUSES),
        gxe.ExpectColumnValuesToMatchRegex(column="email", regex=EMAIL),
        gxe.ExpectTableRowCountToEqual(value=rows),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="shipped_at", column_B="ordered_at", or_equal=True),
        gxe.ExpectColumnMeanToBeBetween(column="quantity", min_value=MEAN_LOW, max_value=MEAN_HIGH),
    ]


def pandera(files: Path, rows: int) -> None:
    """All failures collected (``lazy``), data looked at too, which pandera does not do to lazy frames by itself."""
    import pandera.polars as pa
    from pandera.config import ValidationDepth, config_context

    def of_batch(expr: pl.Expr) -> Any:
        return pa.Check(lambda data: data.lazyframe.select(expr))

    schema = pa.DataFrameSchema(
        {
            "order_id": pa.Column(pl.Int64, unique=True),
            "amount_eur": pa.Column(pl.Float64, pa.Check.in_range(LOW, HIGH), nullable=True),
            "status": pa.Column(pl.String, pa.Check.isin(STATUSES), nullable=True),
            "email": pa.Column(pl.String, pa.Check.str_matches(EMAIL), nullable=True),
        },
        checks=[
            of_batch(pl.len() == rows),
            of_batch(pl.col("shipped_at") >= pl.col("ordered_at")),
            of_batch(pl.col("quantity").mean().is_between(MEAN_LOW, MEAN_HIGH)),
        ],
    )
    with config_context(validation_depth=ValidationDepth.SCHEMA_AND_DATA):
        schema.validate(pl.scan_parquet(files), lazy=True).collect_schema()


def pointblank(files: Path, rows: int) -> None:
    """Every step of a plan on the frame in memory, no extracts."""
    import pointblank as pb

    plan = (
        pb.Validate(pl.read_parquet(files))
        .col_vals_not_null("order_id")
        .rows_distinct("order_id")
        .col_vals_between("amount_eur", LOW, HIGH)
        .col_vals_in_set("status", STATUSES)
        .col_vals_regex("email", EMAIL)
        .row_count_match(rows)
        .col_vals_expr(pl.col("shipped_at") >= pl.col("ordered_at"))
        .col_avg_ge("quantity", MEAN_LOW)
    )
    done = plan.interrogate(collect_extracts=False, collect_tbl_checked=False)
    assert done.all_passed()


def dataframely(files: Path, rows: int) -> None:
    """``is_valid``: yes or no, without the counts that the others give."""
    assert _dataframely_schema(rows).is_valid(pl.scan_parquet(files), engine="streaming")


@cache
def _dataframely_schema(rows: int) -> Any:
    import dataframely as dy

    class Orders(dy.Schema):
        order_id = dy.Int64(unique=True)
        amount_eur = dy.Float64(nullable=True, min=LOW, max=HIGH)
        status = dy.String(nullable=True, check=lambda status: status.is_in(STATUSES))
        email = dy.String(nullable=True, regex=EMAIL)
        quantity = dy.Int64(nullable=True)
        ordered_at = dy.Datetime(nullable=True, time_zone="UTC")
        shipped_at = dy.Datetime(nullable=True, time_zone="UTC")

        @dy.rule()
        def in_order(cls) -> pl.Expr:
            return pl.col("shipped_at") >= pl.col("ordered_at")

        @dy.rule()
        def complete(cls) -> pl.Expr:
            return pl.len() == rows

        @dy.rule()
        def plausible(cls) -> pl.Expr:
            return pl.col("quantity").mean().is_between(MEAN_LOW, MEAN_HIGH)

    return Orders


FLAWS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "a missing key": lambda orders: with_defects(orders, nulls("order_id", 1)).frame,
    "a key twice": lambda orders: with_defects(orders, duplicates("order_id", 1)).frame,
    "an amount out of range": lambda orders: (
        with_defects(orders, out_of_range("amount_eur", 1, low=LOW, high=HIGH)).frame
    ),
    "an unknown status": lambda orders: with_defects(orders, orphans("status", 1)).frame,
    "a malformed address": lambda orders: with_defects(orders, malformed("email", 1, pattern=EMAIL)).frame,
    "a missing row": lambda orders: orders.head(-1),
    "swapped times": lambda orders: with_defects(orders, swapped("ordered_at", "shipped_at", 1)).frame,
    "a low mean": lambda orders: orders.with_columns(pl.col("quantity") * 0),
}
"""What each of the eight checks is there to see."""


def prove(runs: Mapping[str, Callable[[Path, int], None]], sound: pl.DataFrame, folder: Path) -> None:
    """Let every side judge sound rows and each flaw: one that does not see a flaw did not check, and would look fast.

    Errors: RuntimeError for such a side. Whatever is imported on first use has been imported after this.
    """
    folder.mkdir()
    sound.write_parquet(folder / "sound.parquet")
    for run in runs.values():
        run(folder / "sound.parquet", sound.height)
    for number, (flaw, make) in enumerate(FLAWS.items()):
        path = folder / f"{number}.parquet"
        make(sound).write_parquet(path)
        for name, run in runs.items():
            try:
                run(path, sound.height)
            except Exception:
                continue
            raise RuntimeError(f"{name} does not see {flaw}; mend the side in benchmarks/peers.py before it is timed")


PEERS: dict[str, Callable[[Path, int], None]] = {
    "pandera": pandera,
    "pointblank": pointblank,
    "dataframely": dataframely,
}


def installed() -> dict[str, Callable[[Path, int], None]]:
    """The peers that are here; of the others a line on stderr."""
    os.environ |= {"DISABLE_PANDERA_IMPORT_WARNING": "True"}
    logging.getLogger("pandera").setLevel(logging.ERROR)
    for name in PEERS:
        if find_spec(name) is None:
            typer.echo(f"{name} is not installed and skipped; uv sync --group bench brings it", err=True)
    return {name: run for name, run in PEERS.items() if find_spec(name) is not None}
