"""What a gate costs: eight checks against a bare scan and against peers, and the gate's share of a full stage.

The stage lands CSV files, types and hashes their rows, keeps one row a key, joins customers and writes Parquet: a real
workflow in a lake of its own, once with its gate and once without. With --footers the gate only asks what the
footers of the staged files can tell.

    uv run --group bench python benchmarks/gates.py --scale 1 --repeat 3
    uv run python benchmarks/gates.py --footers --no-peers
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from benchmarks.figures import Figure, Timing, interleaved, ratio, share, show
from benchmarks.peers import EMAIL, HIGH, LOW, MEAN_HIGH, MEAN_LOW, STATUSES, bare, great_expectations, installed, prove
from dataflow import Engine, ValidationRule, Workflow
from dataflow.quality.gate import prewarm
from dataflow.testing import customers, malformed, orders, orphans, out_of_range, repeats, with_defects, write_delivery

ROWS = 10_000_000
PARTS = 10
LAKE = "lake"
CUSTOMERS = 200_000
REPEATED = 0.01
BROKEN = 0.001
"""Shares of rows that come twice, and that each of three flaws breaks."""
GATED = {"passing": "sound", "rejected": "sound", "quarantined": "broken"}
"""Sides with a gate, and the same delivery without one."""
Sides = dict[str, Callable[[], object]]


def make_orders(rows: int) -> pl.DataFrame:
    """Sound orders whose keys are in no order, and whose addresses are so many that no dictionary holds them."""
    number = pl.int_range(rows, dtype=pl.Int64)
    key = number * 48_271 % 1_000_000_007  # a prime: every number below it gets a key of its own
    return orders(rows).frame.with_columns(
        order_id=key, customer_id=key % CUSTOMERS + 1, email=pl.format("buyer{}@example.com", key % 3_000_017)
    )


def make_deliveries(folder: Path, rows: int) -> None:
    """``sound`` and ``broken`` orders as CSV, customers, and the sound ones as the files of a staged batch."""
    frame = make_orders(rows)
    write_delivery(folder / "staged", frame, format="parquet", parts=PARTS)
    twice = repeats("order_id", int(rows * REPEATED), columns=frame.columns)
    count = int(rows * BROKEN)
    flaws = [
        out_of_range("amount_eur", count, low=LOW, high=HIGH),
        malformed("email", count),
        orphans("status", count, known=STATUSES),
    ]
    for name, wanted in {"sound": [twice], "broken": [twice, *flaws]}.items():
        write_delivery(folder / name, with_defects(frame, *wanted).frame, parts=PARTS)
    write_delivery(folder / "customers", customers(CUSTOMERS))


def clean(orders: pl.LazyFrame, customers: pl.LazyFrame) -> pl.LazyFrame:
    """Types, a hash of the content, and the customer's name."""
    instant = pl.Datetime("us", "UTC")
    typed = orders.with_columns(
        pl.col("order_id", "customer_id", "quantity").cast(pl.Int64),
        pl.col("amount_eur").cast(pl.Float64),
        pl.col("ordered_at", "shipped_at").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z").cast(instant),
        content_hash=pl.struct("email", "status", "quantity", "amount_eur", "weight_kg").hash().cast(pl.String),
    )
    named = customers.with_columns(pl.col("customer_id").cast(pl.Int64))
    return typed.join(named, on="customer_id", how="left", maintain_order="left")


def eight_rules(rows_at_least: int) -> list[ValidationRule]:
    """The eight checks as rules of a gate; rows that break one go to quarantine."""
    return [
        ValidationRule("keyed", "order_id IS NOT NULL"),
        _rule("unique", "column_values_to_be_unique", column="order_id"),
        ValidationRule("affordable", f"amount_eur BETWEEN {LOW} AND {HIGH}"),
        _rule("known_status", "column_values_to_be_in_set", column="status", value_set=STATUSES),
        ValidationRule("addressed", f"email MATCHES '{EMAIL}'"),
        _rule("complete", "table_row_count_to_be_between", min_value=rows_at_least),
        ValidationRule("in_order", "ordered_at <= shipped_at"),
        _rule("plausible", "column_mean_to_be_between", column="quantity", min_value=MEAN_LOW, max_value=MEAN_HIGH),
    ]


def footer_rules(rows_at_least: int) -> list[ValidationRule]:
    """Checks that the footers of the staged files settle."""
    return [
        _rule("keyed", "column_values_to_not_be_null", column="order_id"),
        _rule("named", "column_values_to_not_be_null", column="customer_id"),
        _rule("affordable", "column_values_to_be_between", column="amount_eur", min_value=LOW, max_value=HIGH),
        _rule("cheapest", "column_min_to_be_between", column="amount_eur", min_value=LOW),
        _rule("dearest", "column_max_to_be_between", column="amount_eur", max_value=HIGH),
        _rule("complete", "table_row_count_to_be_between", min_value=rows_at_least),
    ]


def _rule(name: str, kind: str, **arguments: Any) -> ValidationRule:
    return ValidationRule(name, expectation={"type": f"expect_{kind}", **arguments})


def clear(source: Path) -> None:
    """Remove the lakes of earlier runs."""
    for lake in source.glob(f"*/{LAKE}"):
        shutil.rmtree(lake)


def stage(
    source: Path, delivery: str, outcome: str | None, rules: Sequence[ValidationRule], seconds: list[float]
) -> None:
    """One run into an empty lake, whose gate must come to ``outcome``; ``seconds`` gets what the gated stage took."""
    lake = Path(tempfile.mkdtemp(dir=source), LAKE)
    workflow = Workflow("shop", lake=lake)
    workflow.add_source("orders", {"path": str(source / delivery)})
    workflow.add_source("customers", {"path": str(source / "customers")})
    once = {"key": ["order_id"]}
    workflow.add_task("clean", clean, ["orders", "customers"], deduplicate=once, gate=rules)
    found = Engine(runner="inline").execute(workflow).stage("clean")
    verdict = found.verdict.outcome if found.verdict and found.verdict.results else None
    assert (outcome, "rejected" if outcome == "rejected" else "published") == (verdict, found.state), found
    seconds.append(found.seconds)


def check_sides(*, pandas: bool, peers: bool) -> dict[str, Callable[[Path, int], None]]:
    """The eight checks, each side from the files to the answer."""
    runs = {"bare Polars": bare, "gx_polars": great_expectations("polars")}
    if pandas:
        runs["GX on pandas"] = great_expectations("pandas")
    if peers:
        runs |= installed()
    return runs


def check_figures(timings: Mapping[str, list[Timing]]) -> list[Figure]:
    """Each side's ratio to the bare scan, and how many times faster we are than Great Expectations on pandas."""
    names = [name for name in timings if name != "bare Polars"]
    goals = {"gx_polars": 1.10}
    figures = [
        Figure(f"{name.replace(' ', '_')}_over_bare", ratio(timings, name, "bare Polars"), goal=goals.get(name))
        for name in names
    ]
    if "GX on pandas" in timings:
        faster = ratio(timings, "GX on pandas", "gx_polars")
        figures.append(Figure("faster_than_gx_on_pandas", faster, better="higher", goal=9))
    return figures


def stage_sides(source: Path, rows: int, *, footers: bool, seconds: dict[str, list[float]]) -> Sides:
    """The stage with and without its gate, neighbours next to each other; ``seconds`` is filled as they run."""
    rules = footer_rules if footers else eight_rules
    # Name, delivery, what its gate makes of it, rows that the gate asks for: too many is what a batch is rejected for.
    cases = [("sound", "sound", None, 0), ("passing", "sound", "passed", rows // 2)]
    if not footers:
        cases += [("rejected", "sound", "rejected", rows * 2)]
        cases += [("broken", "broken", None, 0), ("quarantined", "broken", "quarantined", rows // 2)]
    sides: Sides = {}
    for name, delivery, outcome, least in cases:
        seconds[name] = []
        sides[name] = partial(stage, source, delivery, outcome, rules(least) if outcome else [], seconds[name])
    return sides


def warm_up(source: Path, *, footers: bool) -> None:
    """Each side once on a few rows: the first run of a process imports and compiles what the others find done."""
    make_deliveries(source, 10_000)
    for run in stage_sides(source, 10_000, footers=footers, seconds={}).values():
        run()


def stage_figures(timings: Mapping[str, list[Timing]], seconds: Mapping[str, list[float]]) -> list[Figure]:
    """The gate's share of the whole (wall and CPU), and of the gated stage alone, which reads landed rows."""
    figures: list[Figure] = []
    for gated, without in GATED.items():
        if gated in timings:
            alone = {side: [Timing(s, s) for s in seconds[side]] for side in (gated, without)}
            figures += [
                Figure(f"gate_share_{gated}", share(timings, gated, without), "%", goal=3, must=5),
                Figure(f"gate_share_{gated}_cpu", share(timings, gated, without, "cpu"), "%", goal=3, must=5),
                Figure(f"gate_share_{gated}_of_its_stage", share(alone, gated, without), "%"),
            ]
    return figures


def footer_figures(timings: Mapping[str, list[Timing]]) -> list[Figure]:
    """The share of a gate that need not read the rows."""
    return [
        Figure("footers_share", share(timings, "passing", "sound"), "%", goal=1),
        Figure("footers_share_cpu", share(timings, "passing", "sound", "cpu"), "%", goal=1),
    ]


def main(
    scale: Annotated[float, typer.Option(help="How many times ten million rows.")] = 1,
    repeat: Annotated[int, typer.Option(help="Rounds; the figures are medians.")] = 3,
    footers: Annotated[bool, typer.Option("--footers", help="Only the share of a gate that footers settle.")] = False,
    checks: Annotated[bool, typer.Option(help="The eight checks by themselves.")] = True,
    stages: Annotated[bool, typer.Option(help="The gate's share of a full stage.")] = True,
    pandas: Annotated[
        bool, typer.Option(help="Great Expectations on pandas, which takes all rows into memory.")
    ] = True,
    peers: Annotated[bool, typer.Option(help="pandera, pointblank and dataframely.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Measure what a gate costs."""
    rows, seconds = int(ROWS * scale), dict[str, list[float]]()
    logging.disable(logging.WARNING)
    prewarm()
    with tempfile.TemporaryDirectory(prefix="gates-") as folder:
        source = Path(folder)
        make_deliveries(source, rows)
        runs = check_sides(pandas=pandas, peers=peers) if checks and not footers else {}
        prove(runs, make_orders(1000), source / "proof")
        sides: Sides = {name: partial(run, source / "staged", rows) for name, run in runs.items()}
        if stages or footers:
            warm_up(source / "warm", footers=footers)
            sides |= stage_sides(source, rows, footers=footers, seconds=seconds)
        timings = interleaved(sides, repeat, between=partial(clear, source))
    figures = check_figures({name: timings[name] for name in runs})
    figures += footer_figures(timings) if footers else stage_figures(timings, seconds)
    show(f"{rows:,} orders", timings, figures, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
