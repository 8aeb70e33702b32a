"""What benchmarks/incremental.py runs: TPC-H deliveries, and the pipeline that works them off.

    orders (CSV) ──────────────────┐
    deliveries (CSV, month by month) ─> lines ─> priced ─> monthly

``lines`` keeps one row for each key (the later delivery wins), ``priced`` adds money and the order's priority to each
of them, ``monthly`` sums up by month of shipping and priority. Nothing says how an increment is to be computed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl

from dataflow import Engine, Workflow

KEY = ["l_orderkey", "l_linenumber"]
MONEY = ["l_extendedprice", "l_discount", "l_tax"]
LINES = {
    "l_orderkey": "int64", "l_partkey": "int64", "l_suppkey": "int64", "l_linenumber": "int64",
    "l_quantity": "int64", "l_extendedprice": "float64", "l_discount": "float64", "l_tax": "float64",
    "l_returnflag": "string", "l_linestatus": "string", "l_shipdate": "date", "l_commitdate": "date",
    "l_receiptdate": "date", "l_shipinstruct": "string", "l_shipmode": "string", "l_comment": "string",
}  # fmt: skip
ORDERS = {
    "o_orderkey": "int64", "o_custkey": "int64", "o_orderstatus": "string", "o_totalprice": "float64",
    "o_orderdate": "date", "o_orderpriority": "string", "o_clerk": "string", "o_shippriority": "int64",
    "o_comment": "string",
}  # fmt: skip
TABLES = "lines", "priced", "monthly"
"""The computed tables."""
CHANGES = ("appended", "partitions", "updated", "nothing")


def by_month(deliveries: pl.LazyFrame) -> pl.LazyFrame:
    """Order lines with the month in which they were shipped."""
    return deliveries.with_columns(ship_month=pl.col("l_shipdate").dt.strftime("%Y-%m"))


def price(lines: pl.LazyFrame, orders: pl.LazyFrame) -> pl.LazyFrame:
    """What each order line brings in, in whole cents, with the priority of its order."""
    net = pl.col("l_extendedprice") * (1 - pl.col("l_discount"))
    priorities = orders.select("o_orderkey", "o_orderpriority")
    return lines.join(priorities, left_on="l_orderkey", right_on="o_orderkey", how="left").select(
        *KEY,
        "ship_month",
        "o_orderpriority",
        "l_quantity",
        "l_returnflag",
        "l_linestatus",
        revenue_cents=(net * 100).round().cast(pl.Int64),
        charge_cents=(net * (1 + pl.col("l_tax")) * 100).round().cast(pl.Int64),
        days_late=(pl.col("l_receiptdate") - pl.col("l_commitdate")).dt.total_days(),
    )


def sum_up(priced: pl.LazyFrame) -> pl.LazyFrame:
    """Lines, pieces and money for each month of shipping and priority."""
    return priced.group_by("ship_month", "o_orderpriority").agg(
        lines=pl.len().cast(pl.Int64),
        pieces=pl.col("l_quantity").sum(),
        revenue_cents=pl.col("revenue_cents").sum(),
        charge_cents=pl.col("charge_cents").sum(),
        late=(pl.col("days_late") > 0).sum().cast(pl.Int64),
    )


def workflow(work: Path) -> Workflow:
    """The pipeline on the deliveries in ``work/in``, into ``work/lake``."""
    declared = Workflow("tpch", lake=work / "lake", data_docs=False)
    declared.add_source("orders", {"path": str(work / "in" / "orders.csv"), "schema": ORDERS})
    declared.add_source("deliveries", {"path": str(work / "in" / "lineitem"), "schema": LINES})
    declared.add_task(
        "lines",
        by_month,
        depends_on=["deliveries"],
        strategy={"type": "polars_merge", "dedup_key": KEY, "ties": "arrival"},
        storage={"partition_by": ["ship_month"]},
    )
    declared.add_task("priced", price, depends_on=["lines", "orders"], storage={"partition_by": ["ship_month"]})
    declared.add_task("monthly", sum_up, depends_on=["priced"], rows="grouped", members="lines")
    return declared


def generate(scale: float, folder: Path) -> None:
    """TPC-H's orders and order lines, the lines cut by month of shipping.

    Errors: RuntimeError where tpchgen-cli is not installed.
    """
    maker = Path(sys.executable).with_name("tpchgen-cli")
    if not maker.exists():
        raise RuntimeError("tpchgen-cli is not installed; uv sync --group bench brings it")
    command = [maker, "csv", "-s", f"{scale:g}", "--tables=lineitem,orders", f"--output-dir={folder}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    months = folder / "months"
    months.mkdir()
    lines = pl.scan_csv(folder / "lineitem.csv", infer_schema=False)
    month = pl.col("l_shipdate").str.head(7).alias("month")
    lines.sink_csv(
        pl.PartitionBy(
            months,
            key=[month],
            include_key=False,
            file_path_provider=lambda args: f"{args.partition_keys.item()}.csv",
        ),
        mkdir=True,
    )
    (folder / "lineitem.csv").unlink()


class Deliveries:
    """What was delivered before a change, and what the change brings; all of it lies ready in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        months = sorted((folder / "months").glob("*.csv"))
        sizes = [path.stat().st_size for path in months]
        held = next(n for n in range(1, len(months)) if 10 * sum(sizes[-n:]) >= sum(sizes[:-n]))
        self.base, self.later = months[:-held], months[-held:]

    def before(self, target: Path) -> None:
        """The orders, and the months up to the last ones, which make up a tenth of what there is before them."""
        (target / "lineitem").mkdir(parents=True)
        os.link(self.folder / "orders.csv", target / "orders.csv")
        for path in self.base:
            os.link(path, target / "lineitem" / path.name)

    def change(self, name: str, target: Path) -> None:
        """Deliver ``name``: the next months, every tenth month anew, or a tenth of all lines in one file."""
        for path in self.made(name):
            place = target / "lineitem" / path.name
            place.unlink(missing_ok=True)
            shutil.copy(path, place)  # it is new: whoever goes by the time of modification has to see it

    def made(self, name: str) -> list[Path]:
        """The files that a change brings."""
        if name == "appended":
            return self.later
        folder = self.folder / name
        if not folder.exists() and name != "nothing":
            folder.mkdir()
            if name == "partitions":
                for path in self.base[5::10]:
                    _corrected(pl.read_csv(path, infer_schema=False)).write_csv(folder / path.name)
            else:
                months = [pl.read_csv(path, infer_schema=False) for path in self.base]
                lines = pl.concat(months)
                _corrected(lines.sample(fraction=0.1, seed=1)).write_csv(folder / "corrections.csv")
        return sorted(folder.glob("*.csv"))


def _corrected(lines: pl.DataFrame) -> pl.DataFrame:
    discount = pl.when(pl.col("l_discount") == "0.00").then(pl.lit("0.05")).otherwise(pl.lit("0.00"))
    return lines.with_columns(discount.alias("l_discount"))


def warm_up() -> None:
    """A run on a handful of rows, and one with a change."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "in" / "lineitem").mkdir(parents=True)
        (work / "in" / "orders.csv").write_text(",".join(ORDERS) + "\n1,1,O,1.5,1996-01-02,5-LOW,c,0,x\n")
        line = "1,1,1,{},17,100.5,0.04,0.02,N,O,{},1996-02-12,1996-03-22,a,b,c\n"
        head = ",".join(LINES) + "\n"
        for number in (1, 2):
            rows = head + line.format(number, "1996-03-13") + line.format(3, "1996-04-13")
            (work / "in" / "lineitem" / f"{number}.csv").write_text(rows)
            Engine(runner="inline").execute(workflow(work))


def fingerprints(work: Path) -> list[tuple[int, ...]]:
    """What ``fingerprint`` says of every computed table."""
    return [fingerprint(work, table) for table in TABLES]


def fingerprint(work: Path, table: str) -> tuple[int, ...]:
    """Rows, and sums of their hashes: whatever order the rows are in, and whatever files."""
    rows = pl.scan_delta(str(work / "lake" / table))
    columns = sorted(column for column in rows.collect_schema() if not column.startswith("_"))
    number = pl.struct(columns).hash()
    low, high = number.cast(pl.UInt64) & 0xFFFF_FFFF, number.cast(pl.UInt64) // 2**32
    return rows.select(pl.len(), low.sum().alias("low"), high.sum().alias("high")).collect().row(0)


def copy_lake(base: Path, target: Path) -> None:
    """A lake as it was: what is never written twice is shared, the rest is copied."""

    def copy(source: str, to: str) -> None:
        if source.endswith((".parquet", ".csv")):
            os.link(source, to)
        else:
            shutil.copy2(source, to)

    shutil.copytree(base, target, copy_function=copy)
