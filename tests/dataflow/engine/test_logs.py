from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

from dataflow import Engine
from dataflow.engine import Event
from dataflow.engine.logs import about, log, place, within
from dataflow.errors import DataFlowError, LakeUnavailable, SourceCorrupt, StageFailed
from tests.dataflow.engine.made import Made, done, same

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged from now on, from level INFO."""
    caplog.set_level("INFO", "dataflow")
    caplog.set_level("INFO", "shop")
    return caplog


def troubles(logged: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in logged.records if record.levelno >= logging.WARNING]


def placed(records: list[logging.LogRecord]) -> list[tuple[str, str | None, str | None, str]]:
    return [(r.levelname, getattr(r, "stage", "?"), getattr(r, "unit", "?"), r.getMessage()) for r in records]


def test_importing_the_library_installs_no_handler_and_prints_nothing():
    script = """
import logging
from dataflow import Engine
root, ours = logging.getLogger(), logging.getLogger("dataflow")
assert [] == root.handlers, root.handlers
assert ["NullHandler"] == [type(h).__name__ for h in ours.handlers], ours.handlers
assert (logging.WARNING, logging.NOTSET, True) == (root.level, ours.level, ours.propagate)
from dataflow.engine.logs import log
log.error("nobody listens")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ("", "") == (done.stdout, done.stderr)


def test_a_run_tells_its_steps_and_where_they_happen(made: Made, logged: pytest.LogCaptureFixture):
    for name in ("a", "b"):
        made.csv(f"orders/{name}.csv", "id", ["1", "2", "3"])
    workflow = made.workflow(threads=1)
    made.source(workflow, "orders")

    def chosen(orders: pl.LazyFrame) -> pl.LazyFrame:
        logging.getLogger("shop").info("choosing, at %s", place().unit)
        return orders.filter(pl.col("id") > "1")

    workflow.add_task("chosen", chosen)
    report = done(made.run(workflow))

    ours = [r for r in logged.records if r.name == "dataflow"]
    seconds = [f"{s.seconds:.1f}" for s in (report, *report.stages)]
    assert [
        ("INFO", None, None, "run started, 2 stages"),
        ("INFO", "orders", None, "orders: started, 2 units to do: 2 new files"),
        ("INFO", "orders", "a.csv", "orders, a.csv: staged 3 of 3 rows"),
        ("INFO", "orders", "b.csv", "orders, b.csv: staged 3 of 3 rows"),
        ("INFO", "orders", None, "orders: judged: passed"),
        ("INFO", "orders", None, f"orders: published 6 of 6 rows in {seconds[1]} s"),
        ("INFO", "chosen", None, "chosen: started, 1 unit to do: never run before; full"),
        ("INFO", "chosen", "all", "chosen, all: staged 4 of 6 rows"),
        ("INFO", "chosen", None, "chosen: judged: passed"),
        ("INFO", "chosen", None, f"chosen: published 4 of 6 rows in {seconds[2]} s"),
        ("INFO", None, None, f"run completed after {seconds[0]} s"),
    ] == placed(ours)
    assert {report.run_id} == {r.__dict__["run"] for r in ours}
    assert "choosing, at all" in [r.getMessage() for r in logged.records if r.name == "shop"]
    ended = next(r.__dict__ for r in ours if r.getMessage().startswith("chosen: published"))
    stage = report.stage("chosen")
    assert ("stage_finished", "published", "chosen.0.1") == (ended["event"], ended["state"], ended["batch"])
    assert (6, 2, 4) == (ended["rows_read"], ended["rows_filtered"], ended["rows_published"])
    assert (stage.peak_memory_bytes, stage.bytes_read) == (ended["peak_memory_bytes"], ended["bytes_read"])


def test_a_failure_is_told_once_with_what_it_concerned(made: Made, logged: pytest.LogCaptureFixture):
    made.csv("orders/a.csv", "id", ["1"])
    workflow = made.workflow()
    made.source(workflow, "orders")

    def broken(orders: pl.LazyFrame) -> pl.LazyFrame:
        raise SourceCorrupt("file rates.csv is cut short", file="rates.csv", value="17")

    workflow.add_task("broken", broken)
    workflow.add_task("after", same, depends_on=["broken"])
    report = made.run(workflow)

    failed, skipped, ended = troubles(logged)
    seconds = f"{report.stage('broken').seconds:.1f}"
    assert f"broken: failed after {seconds} s: file rates.csv is cut short" == failed.getMessage()
    told = {"type": "SourceCorrupt", "code": "source.corrupt", "message": "file rates.csv is cut short"}
    assert {**told, "file": "rates.csv"} == failed.__dict__["exception"]
    assert failed.exc_info is None
    assert ("WARNING", "after: not run after 0.0 s: broken failed") == (skipped.levelname, skipped.getMessage())
    assert ("ERROR", "failed") == (ended.levelname, ended.__dict__["state"])


def test_a_refused_batch_is_an_error(made: Made, logged: pytest.LogCaptureFixture):
    made.csv("orders/a.csv", "id", ["1", "1"])
    workflow = made.workflow()
    made.source(workflow, "orders", gate=[{"name": "id_is_two", "predicate": "id = '2'", "on_fail": "fail"}])
    made.run(workflow)
    refused = troubles(logged)[0]
    assert ("ERROR", "orders") == (refused.levelname, refused.__dict__["stage"])
    assert ("rejected", "rejected") == (refused.__dict__["state"], refused.__dict__["verdict"])


def test_an_attempt_that_is_repeated_is_a_warning(made: Made, logged: pytest.LogCaptureFixture):
    made.csv("orders/a.csv", "id", ["1"])
    workflow = made.workflow()
    made.source(workflow, "orders")
    calls: list[int] = []

    def shaky(orders: pl.LazyFrame) -> pl.LazyFrame:
        if threading.current_thread() is not threading.main_thread():
            calls.append(1)
            if len(calls) < 3:
                raise LakeUnavailable("the storage did not answer", table="rates")
        return orders

    workflow.add_task("shaky", shaky, retry={"delay_seconds": 0})
    done(made.run(workflow))

    first, second = troubles(logged)
    for record in (first, second):
        assert ("WARNING", "shaky", "all") == placed([record])[0][:3]
        assert record.getMessage().startswith("shaky.stage [all] failed after ")
        assert record.getMessage().endswith("; it is tried at most 3 times")
        assert ("LakeUnavailable", "rates") == (
            record.__dict__["exception"]["type"],
            record.__dict__["exception"]["table"],
        )


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_no_record_of_a_stage_with_personal_data_quotes_a_value(
    level: str, made: Made, caplog: pytest.LogCaptureFixture
):
    made.csv("people/a.csv", "name", ["Ada Lovelace"])
    workflow = made.workflow()
    made.source(workflow, "people", pii=["name"])

    def parsed(people: pl.LazyFrame) -> pl.LazyFrame:
        return people.with_columns(pl.col("name").map_elements(int, pl.Int64))

    workflow.add_task("parsed", parsed, pii=["name"])
    caplog.set_level(level, "dataflow")
    assert "failed" == made.run(workflow).state

    formatter = logging.Formatter("%(message)s %(exception)s", defaults={"exception": ""})
    text = "\n".join(formatter.format(record) for record in caplog.records)
    assert "parsed: failed after" in text
    assert "Ada" not in text


def test_at_level_debug_errors_come_with_their_traceback(made: Made, caplog: pytest.LogCaptureFixture):
    made.csv("orders/a.csv", "id", ["1"])
    workflow = made.workflow()
    made.source(workflow, "orders")

    def broken(orders: pl.LazyFrame) -> pl.LazyFrame:
        raise ZeroDivisionError("no")

    workflow.add_task("broken", broken)
    caplog.set_level("DEBUG", "dataflow")
    made.run(workflow)
    (failed,) = [r for r in caplog.records if r.getMessage().startswith("broken: failed")]
    assert failed.exc_info is not None
    assert isinstance(failed.exc_info[1], StageFailed)


def test_a_run_that_had_nothing_to_do_says_so(made: Made, logged: pytest.LogCaptureFixture):
    made.csv("orders/a.csv", "id", ["1"])
    workflow = made.workflow()
    made.source(workflow, "orders")
    done(made.run(workflow))
    logged.clear()
    report = made.run(workflow)
    assert [
        "run started, 1 stage",
        f"orders: skipped after 0.0 s: {report.stages[0].reason}",
        f"run skipped after {report.seconds:.1f} s: nothing new",
    ] == [record.getMessage() for record in logged.records]


def test_a_run_that_ends_early_says_why(made: Made, logged: pytest.LogCaptureFixture):
    made.csv("orders/a.csv", "id", ["1"])
    workflow = made.workflow()
    made.source(workflow, "orders")

    def observe(event: Event) -> None:
        if event.kind == "stage_audited":
            raise RuntimeError("nobody is watching any more")

    with pytest.raises(RuntimeError):
        Engine(runner="inline", observer=observe).execute(workflow)
    (last,) = troubles(logged)
    assert "run ended early: RuntimeError: nobody is watching any more" == last.getMessage()
    assert ("run_failed", "RuntimeError") == (last.__dict__["event"], last.__dict__["exception"]["type"])


def test_places_nest_and_end_and_are_of_one_thread_only():
    seen: list[str | None] = []
    with within(run="r"):
        with within(stage="s", unit="u"):
            assert ("r", "s", "u") == (place().run, place().stage, place().unit)
            thread = threading.Thread(target=lambda: seen.append(place().run))
            thread.start()
            thread.join()
        assert ("r", None) == (place().run, place().stage)
    assert place().run is None
    assert [None] == seen


def test_what_is_given_with_a_record_wins_over_its_place(caplog: pytest.LogCaptureFixture):
    with within(run="r", stage="s"):
        log.error("it", extra={"stage": "other", "rows": 3})
    (record,) = caplog.records
    assert ("r", "other", 3) == tuple(record.__dict__[name] for name in ("run", "stage", "rows"))


def test_of_an_error_names_are_told_and_values_are_not():
    error = DataFlowError("what it says", stage="orders", table=None, value=17, predicate="x = 3", frame=object())
    expected = {"type": "DataFlowError", "code": "dataflow", "message": "what it says", "stage": "orders"}
    assert expected == about(error, private=False) == about(error, private=True)
    polars = pl.exceptions.ComputeError("cannot parse '17'\n\nResolved plan until failure:\n FILTER x > 17")
    assert {"type": "ComputeError", "message": "cannot parse '17'"} == about(polars, private=False)
    assert {"type": "ComputeError"} == about(polars, private=True)
