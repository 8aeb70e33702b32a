"""Ranges of a stage computed again: what is in them and nothing else, in bounded batches, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from dataflow import Engine, Workflow
from dataflow.engine import backfill
from dataflow.engine.backfill import BackfillReport
from dataflow.engine.run import new_run_id
from dataflow.errors import ConfigError, LeaseHeld
from dataflow.lake.journal import Journal
from dataflow.lake.lake import Lake
from dataflow.lake.lease import held, read_state
from dataflow.lake.seams import Seam, watch
from dataflow.lake.state import Intent
from tests.dataflow.engine.made import AT_ONCE, Made, done, states
from tests.prepared import Prepared

MONTHS = [str(n) for n in range(1, 9)]


def first_year(place: Path) -> None:
    made = Made(place)
    for month in MONTHS:
        made.csv(f"orders/{int(month):02}.csv", "month,price", [f"{month},{month}"])
    factor(made, 1)
    done(made.run(pipeline(made)))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("year") / "made", first_year)


@pytest.fixture
def year(prepared: Prepared) -> Made:
    """Eight files, one a month, and a factor that the stage reads behind the engine's back."""
    return Made(prepared.restore())


def factor(made: Made, number: int, *, broken: str = "") -> None:
    """What prices are multiplied by from now on, and months that cannot be computed."""
    (made.root / "factor").write_text(f"{number} {broken}")


def pipeline(made: Made) -> Workflow:
    workflow = made.workflow()
    made.source(workflow, "orders", storage={"partition_by": ["month"]})
    place = str(made.root / "factor")

    def prices(orders: pl.LazyFrame) -> pl.LazyFrame:
        number, *broken = Path(place).read_text().split()
        bad = pl.col("month").is_in(broken)
        cast = pl.when(bad).then(pl.lit("no number")).otherwise(pl.col("price")).cast(pl.Int64)
        return orders.with_columns(price=cast * int(number))

    workflow.add_task("prices", prices, depends_on=["orders"], partition_by=["month"], retry=AT_ONCE["retry"])
    workflow.add_task("total", total, depends_on=["prices"], retry=AT_ONCE["retry"])
    return workflow


def total(prices: pl.LazyFrame) -> pl.LazyFrame:
    return prices.select(pl.col("price").sum())


def again(made: Made, since: str | None, until: str | None, stage: str = "prices", **options: int) -> BackfillReport:
    engine = Engine(runner="inline", observer=made.events.append)
    return engine.backfill(pipeline(made), stage, since, until, **options)


def factors(made: Made) -> dict[int, int]:
    """By month: what its price was multiplied by."""
    return {int(month): price // int(month) for month, price in made.rows("prices", "month", "price")}


def expected(computed: range) -> dict[int, int]:
    return {month: 2 if month in computed else 1 for month in range(1, 9)}


def test_the_range_and_nothing_else_is_computed_again_and_what_is_downstream_follows(year: Made):
    factor(year, 2)
    version = year.version("prices")

    report = again(year, "3", "8", batch_units=4)

    assert ("completed", 0, False) == (report.state, report.exit_code, report.resumed)
    assert tuple(f"month={n}" for n in range(3, 9)) == report.done
    assert expected(range(3, 9)) == factors(year)
    assert [4, 2] == [run.stage("prices").units for run in report.batches]
    assert version + 2 == year.version("prices")
    assert report.downstream is not None
    assert {"total": "published"} == states(report.downstream)
    assert [(sum(range(1, 9)) + sum(range(3, 9)),)] == year.rows("total", "price")
    assert "skipped" == year.run(pipeline(year)).state


def test_a_plan_says_what_would_be_done_and_touches_nothing(year: Made):
    before = year.files()

    plan = Engine(runner="inline").plan_backfill(pipeline(year), "prices", None, "2")

    assert ["month=1", "month=2"] == [unit.unit.label for unit in plan.units]
    assert ("month", 2, ("total",), ()) == (plan.by, sum(u.rows for u in plan.units), plan.downstream, plan.notes)
    assert before == year.files()


def test_files_of_a_source_are_landed_again_by_name(year: Made):
    os.remove(year.root / "in/orders/05.csv")

    report = again(year, "04", "06", "orders")

    assert ("04.csv", "06.csv") == report.done
    assert ("1 file is not there any more and stays as landed (05.csv)",) == report.notes
    assert 8 == year.frame("orders").height
    orders = year.frame("orders").group_by("month").agg(pl.col("_batch_id").unique().first())
    batches = {int(month): batch for month, batch in orders.rows()}
    assert {"orders.0.1": {1, 2, 3, 5, 7, 8}, "orders.0.2": {4, 6}} == {
        batch: {m for m, b in batches.items() if b == batch} for batch in set(batches.values())
    }


def test_files_of_a_source_are_meant_by_arrival_where_the_ends_are_dates(year: Made):
    new_year = 1_767_225_600.0
    os.utime(year.root / "in/orders/07.csv", (new_year, new_year))

    assert ("07.csv",) == again(year, "2025-12-31", "2026-01-01", "orders").done


def test_a_stage_that_runs_whole_is_computed_whole_and_says_so(year: Made):
    report = again(year, "3", "4", "total")

    assert (("all",), None) == (report.done, report.downstream)
    assert ("total runs whole: all of it is computed again, whatever the range",) == report.notes


def test_the_units_of_a_batch_run_in_as_many_threads_as_asked_for(year: Made):
    at_once: list[int] = []
    working = threading.Semaphore(0)

    def visit(seam: Seam, _: str) -> None:
        if seam == Seam.UNIT_WRITTEN:
            working.release()
            at_once.append(len([t for t in threading.enumerate() if t.name.startswith("dataflow_")]))

    unwatch = watch(visit)
    try:
        again(year, "1", "8", threads=3)
    finally:
        unwatch()
    assert 3 == max(at_once)


class Stopped(BaseException):
    """Ends a run as Ctrl-C does."""


def stopping(seam: Seam, visit: int) -> Callable[[], None]:
    visits = 0

    def look(reached: Seam, _: str) -> None:
        nonlocal visits
        visits += reached == seam
        if (reached, visits) == (seam, visit):
            raise Stopped

    return watch(look)


@pytest.mark.parametrize(
    ("seam", "visit", "published"),
    [(Seam.LEASE_TAKEN, 1, 0), (Seam.LEASE_TAKEN, 2, 3), (Seam.STAGE_STAGED, 2, 3), (Seam.RELEASE_RECORDED, 2, 6)],
)
def test_the_same_backfill_goes_on_with_what_is_left(year: Made, seam: Seam, visit: int, published: int):
    factor(year, 2)
    unwatch = stopping(seam, visit)
    with pytest.raises(Stopped):
        again(year, "2", "8", batch_units=3)
    unwatch()
    assert expected(range(2, 2 + published)) == factors(year)

    report = again(year, "2", "8", batch_units=3)

    assert (True, tuple(f"month={n}" for n in range(2 + published, 9))) == (report.resumed, report.done)
    assert expected(range(2, 9)) == factors(year)


def test_an_ordinary_run_goes_on_with_what_is_left(year: Made):
    factor(year, 2)
    unwatch = stopping(Seam.STAGE_STAGED, 2)
    with pytest.raises(Stopped):
        again(year, "2", "8", batch_units=3)
    unwatch()

    report = done(year.run(pipeline(year)))

    assert 4 == report.stage("prices").units
    assert expected(range(2, 9)) == factors(year)
    assert "skipped" == year.run(pipeline(year)).state


def test_what_is_left_for_later_is_told_once_and_not_by_every_batch(year: Made):
    year.csv("orders/09.csv", "month,price", [f"{month},{month}" for month in MONTHS])
    Engine(runner="inline").execute(pipeline(year), select="orders")

    again(year, "2", "4", batch_units=1)

    told = [([u.unit.label for u in intent.units], len(intent.left)) for intent in intents(year, "prices")[-3:]]
    assert [(["month=2"], 5), (["month=3"], 0), (["month=4"], 0)] == told
    assert 5 == done(year.run(pipeline(year))).stage("prices").units
    assert 16 == year.frame("prices").height
    assert "skipped" == year.run(pipeline(year)).state


def intents(made: Made, stage: str) -> list[Intent]:
    entries = Journal(Lake(made.lake)).entries(archived=True)
    found = [Intent.model_validate_json(entry.body) for entry in entries if entry.kind == "intent"]
    return [intent for intent in found if intent.stage == stage]


def test_another_range_is_another_backfill(year: Made):
    factor(year, 2)
    unwatch = stopping(Seam.STAGE_STAGED, 2)
    with pytest.raises(Stopped):
        again(year, "2", "8", batch_units=3)
    unwatch()

    report = again(year, "1", "8", batch_units=20)

    assert (False, 8) == (report.resumed, len(report.done))


KILLED = """\
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from dataflow.engine.run import new_run_id
from dataflow.lake.seams import Seam, watch
from tests.dataflow.engine.made import Made
from tests.dataflow.engine.test_backfill import again

visits = 0

def kill(seam, _):
    global visits
    visits += seam == Seam[sys.argv[3]]
    if visits == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)

watch(kill)
again(Made(Path(sys.argv[2])), "2", "8", batch_units=3)
"""


@pytest.mark.parametrize(("seam", "visit"), [("TABLE_PUBLISHED", 2), ("UNIT_WRITTEN", 5)])
def test_a_backfill_that_was_killed_goes_on(year: Made, seam: str, visit: int):
    factor(year, 2)
    root = Path(__file__).resolve().parents[3]

    killed = subprocess.run([sys.executable, "-c", KILLED, str(root), str(year.root), seam, str(visit)], cwd=root)
    assert -signal.SIGKILL == killed.returncode
    report = again(year, "2", "8", batch_units=3)

    assert ("completed", True) == (report.state, report.resumed)
    assert expected(range(2, 9)) == factors(year)
    assert 8 == year.frame("prices").height
    assert "skipped" == year.run(pipeline(year)).state


def test_a_partition_that_fails_does_not_keep_the_others_and_is_tried_alone(year: Made):
    factor(year, 2, broken="4")

    report = again(year, "3", "8", batch_units=3)

    assert ("failed", 1) == (report.state, report.exit_code)
    assert ["month=4"] == list(report.failed)
    assert "no number" in report.failed["month=4"]
    assert {f"month={n}" for n in (3, 5, 6, 7, 8)} == set(report.done)
    assert expected(range(3, 9)) | {4: 1} == factors(year)
    assert [["failed", 3], ["published", 3], ["published", 1], ["failed", 1], ["published", 1]] == [
        [run.stage("prices").state, _units(run.stage("prices").units, n)] for n, run in enumerate(report.batches)
    ]

    factor(year, 2)
    mended = again(year, "3", "8", batch_units=3)

    assert (True, ("month=4",), "completed") == (mended.resumed, mended.done, mended.state)
    assert expected(range(3, 9)) == factors(year)


def _units(counted: int, batch: int) -> int:
    """Reports of failures count no units: those of the batch are meant."""
    return counted or (3 if batch == 0 else 1)


def test_where_nothing_goes_well_the_rest_is_not_tried(year: Made):
    factor(year, 2, broken=" ".join(MONTHS))

    report = again(year, "1", "8", batch_units=1)

    assert ("failed", ()) == (report.state, report.done)
    assert (5, 3, 10) == (len(report.failed), len(report.left), len(report.batches))
    assert report.downstream is None


def test_what_a_batch_leaves_stale_is_not_forgotten(year: Made):
    for month in ("2", "6", "7"):
        year.csv(f"orders/{int(month):02}.csv", "month,price", [f"{month},{int(month) * 2}"])
    done(year.run(pipeline(year), select="orders"))

    assert ("month=6",) == again(year, "6", "6").done
    assert {6: 2} == {month: times for month, times in factors(year).items() if times != 1}

    report = done(year.run(pipeline(year)))
    assert 2 == report.stage("prices").units
    assert {2: 2, 6: 2, 7: 2} == {month: times for month, times in factors(year).items() if times != 1}


def test_a_stage_that_was_never_run_is_loaded_range_by_range(made: Made):
    for month in MONTHS:
        made.csv(f"orders/{int(month):02}.csv", "month,price", [f"{month},{month}"])
    factor(made, 1)

    report = again(made, "01", "04", "orders", batch_units=2)

    assert ("completed", 4, 2) == (report.state, len(report.done), len(report.batches))
    assert {1: 1, 2: 1, 3: 1, 4: 1} == factors(made)
    assert 4 == done(made.run(pipeline(made))).stage("orders").units


def test_it_waits_for_a_run_that_is_at_work(year: Made):
    lake, freed = Lake(year.lake), threading.Event()
    begun = threading.Event()

    def visit(seam: Seam, _: str) -> None:
        if seam == Seam.LEASE_RELEASED and not begun.is_set():
            begun.set()
            threading.Thread(target=hold).start()
            freed.wait(0.3)

    def hold() -> None:
        with held(lake, "made", new_run_id(), ttl_seconds=60):
            freed.wait(1.5)

    unwatch = watch(visit)
    try:
        report = again(year, "1", "6", batch_units=3)
    finally:
        unwatch()
    assert ("completed", 6) == (report.state, len(report.done))
    assert begun.is_set()


def test_where_a_run_at_work_does_not_end_it_says_that_the_rest_is_marked(year: Made, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backfill, "_PATIENCE_SECONDS", 0.1)
    lake = Lake(year.lake)
    with held(lake, "made", new_run_id(), ttl_seconds=60), pytest.raises(LeaseHeld, match="being run already"):
        again(year, "1", "6")

    def visit(seam: Seam, _: str) -> None:
        if seam == Seam.LEASE_TAKEN:
            unwatch()
            raise Stopped

    unwatch = watch(visit)
    with pytest.raises(Stopped):
        again(year, "1", "6")
    with held(lake, "made", new_run_id(), ttl_seconds=60), pytest.raises(LeaseHeld, match="is marked"):
        again(year, "1", "6")
    assert 6 == len(read_state(lake, "made").stage("prices").stale)


def test_whoever_asks_for_a_range_does_not_wait_for_a_trigger(made: Made):
    made.csv("orders/1.csv", "at,price", ["2026-01-01,1", "2026-01-02,1"])

    def workflow() -> Workflow:
        declared = made.workflow()
        made.source(declared, "orders")
        declared.add_task("typed", typed, depends_on=["orders"], retry=AT_ONCE["retry"])
        window = {"window_size": "1 day", "time_column": "at", "trigger_interval": "1 day"}
        declared.add_task("daily", by_day, depends_on=["typed"], window=window, retry=AT_ONCE["retry"])
        return declared

    def typed(orders: pl.LazyFrame) -> pl.LazyFrame:
        return orders.with_columns(pl.col("at").str.to_date(), pl.col("price").cast(pl.Int64))

    def by_day(typed: pl.LazyFrame) -> pl.LazyFrame:
        return typed.group_by("window_start").agg(pl.col("price").sum())

    done(made.run(workflow()))

    report = Engine(runner="inline").backfill(workflow(), "daily", "2026-01-01", "2026-01-02")

    assert ("completed", ("all",)) == (report.state, report.done)


def test_a_batch_that_its_gate_refuses_is_tried_unit_by_unit(made: Made):
    for month in "123":
        made.csv(f"orders/{month}.csv", "month,price", [f"{month},{month}"])
    workflow = made.workflow()
    made.source(workflow, "orders")
    done(made.run(workflow))
    made.csv("orders/2.csv", "month,price", ["2,2", "2,2", "2,2"])
    few = {"type": "expect_table_row_count_to_be_between", "max_value": 2}
    strict = made.workflow()
    made.source(strict, "orders", gate=[{"name": "few", "expectation": few}])

    report = Engine(runner="inline").backfill(strict, "orders", "1", "3")

    assert {"1.csv", "3.csv"} == set(report.done)
    assert ["2.csv"] == list(report.failed)
    assert "few" in report.failed["2.csv"]


@pytest.mark.parametrize(
    ("stage", "since", "until", "says"),
    [
        ("price", "1", "2", "did you mean 'prices'?"),
        ("prices", None, None, "a backfill needs a range"),
        ("prices", "13", None, "no month lies from 13 on; there are 8: 1 … 8"),
        ("prices", "2", "1", "ends before it begins"),
    ],
)
def test_a_wrong_range_is_refused(year: Made, stage: str, since: str | None, until: str | None, says: str):
    before = year.files()
    with pytest.raises(ConfigError) as caught:
        again(year, since, until, stage)
    assert says in str(caught.value)
    assert before == year.files()


def test_a_stage_without_input_has_nothing_to_compute_again(made: Made):
    made.csv("orders/1.csv", "month,price", ["1,1"])
    factor(made, 1)
    with pytest.raises(ConfigError, match="it has no input yet; run the pipeline first"):
        again(made, "1", None)
