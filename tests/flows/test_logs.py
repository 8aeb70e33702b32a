from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataflow.engine.logs import log, within
from dataflow.errors import ConfigError, SourceCorrupt
from dataflow.model.secrets import hide
from flows.command import main
from flows.logs import start_logging

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - (\S+) - ([A-Z]+) - (.*)")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _logging_is_restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("dataflow")
    before = root.handlers[:], root.level, ours.level
    yield
    for handler in {*root.handlers} - {*before[0]}:
        handler.close()
    root.handlers[:], root.level, ours.level = before
    logging.Logger.manager._clear_cache()  # type: ignore[attr-defined]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "run.log"


def lines(text: str) -> list[tuple[str, ...]]:
    found = [LINE.fullmatch(line) for line in text.splitlines()]
    assert all(found), text
    return [each.groups() for each in found if each]


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def fail(error: Exception, logger: str = "shop") -> None:
    try:
        raise error
    except Exception:
        logging.getLogger(logger).exception("it went wrong")


def test_a_line_is_time_logger_level_message_and_place(capsys: pytest.CaptureFixture[str]):
    start_logging("INFO")
    log.info("before")
    with within(run="r1", stage="orders"):
        log.warning("in %s", "a stage")
        with within(unit="month=3"):
            logging.getLogger("shop.functions").info("in a unit")

    assert [
        ("dataflow", "INFO", "before"),
        ("dataflow", "WARNING", "in a stage [run=r1 stage=orders]"),
        ("shop.functions", "INFO", "in a unit [run=r1 stage=orders unit=month=3]"),
    ] == lines(capsys.readouterr().err)


def test_a_message_of_several_lines_is_one(capsys: pytest.CaptureFixture[str]):
    start_logging("INFO")
    log.info("one\ntwo")
    assert [("dataflow", "INFO", "one two")] == lines(capsys.readouterr().err)


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]):
    start_logging("INFO", "json")
    with within(run="r1", stage="orders", unit="all"):
        log.info("read %d rows\nof «all»", 3, extra={"rows": 3})
    (found,) = objects(capsys.readouterr().err)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", found.pop("timestamp"))
    expected = {"logger": "dataflow", "level": "INFO", "message": "read 3 rows\nof «all»", "run": "r1"}
    assert {**expected, "stage": "orders", "unit": "all", "rows": 3} == found


def test_an_error_of_ours_is_told_by_the_names_of_what_it_concerned(capsys: pytest.CaptureFixture[str]):
    start_logging("INFO", "json")
    fail(SourceCorrupt("file a.csv cannot be read", file="a.csv", source="orders", count=1, value="4711"))
    (found,) = objects(capsys.readouterr().err)
    names = {"type": "SourceCorrupt", "code": "source.corrupt", "source": "orders", "file": "a.csv"}
    assert {**names, "message": "file a.csv cannot be read"} == found["exception"]


def test_an_error_has_no_traceback_but_at_level_debug(capsys: pytest.CaptureFixture[str]):
    start_logging("INFO")
    fail(ValueError("no number"))
    assert [("shop", "ERROR", "it went wrong: ValueError: no number")] == lines(capsys.readouterr().err)

    start_logging("DEBUG")
    fail(ValueError("no number"))
    first, *more = capsys.readouterr().err.splitlines()
    assert [("shop", "ERROR", "it went wrong: ValueError: no number")] == lines(first)
    assert ("Traceback (most recent call last):", "ValueError: no number") == (more[0], more[-1])


@pytest.mark.parametrize("form", ["text", "json"])
def test_errors_in_a_stage_with_personal_data_quote_nothing(form: Any, capsys: pytest.CaptureFixture[str]):
    start_logging("DEBUG", form)
    with within(private=True):
        fail(ValueError("could not convert 'Ada Lovelace'"))
    told = capsys.readouterr().err
    assert "ValueError" in told
    assert "Ada" not in told
    assert "Traceback" not in told


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_not_shown(form: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WAREHOUSE_PASSWORD", 'hunter"2\\é')
    start_logging("INFO", form)
    hide(["postgres://ada:pw@db"])
    log.info('login with hunter"2\\é', extra={"at": "postgres://ada:pw@db/shop"})
    fail(ValueError("cannot reach postgres://ada:pw@db/shop"))
    told = capsys.readouterr().err
    assert "•••" in told
    assert not re.search(r"hunter|ada:pw", told)


NOISY = ("prefect.engine", "websockets.client", "httpx", "httpcore.connection")


def test_noise_is_kept_out_and_warnings_are_not(capsys: pytest.CaptureFixture[str]):
    start_logging("DEBUG")
    for name in NOISY:
        logging.getLogger(name).setLevel("DEBUG")
        logging.getLogger(name).info("noise")
        logging.getLogger(name).warning("trouble")
    # Straight to the handlers: Prefect's loggers of runs want a run to log from.
    for name, level in (("prefect.flow_runs", logging.ERROR), ("EventsWorker", logging.WARNING)):
        logging.getLogger().handle(logging.LogRecord(name, level, __file__, 1, "repeated", None, None))

    assert [(name, "WARNING", "trouble") for name in NOISY] == lines(capsys.readouterr().err)


def test_the_file_gets_info_where_the_terminal_shows_warnings(file: Path, capsys: pytest.CaptureFixture[str]):
    start_logging(None, "text", file)
    log.debug("detail")
    log.info("progress")
    log.warning("trouble")
    log.error("displayed", extra={"event": "stage_finished"})

    assert ["trouble"] == [message for *_, message in lines(capsys.readouterr().err)]
    assert ["progress", "trouble", "displayed"] == [message for *_, message in lines(file.read_text())]


def test_the_file_gets_no_less_than_the_terminal(file: Path, capsys: pytest.CaptureFixture[str]):
    start_logging("DEBUG", "text", file)
    log.debug("detail")
    start_logging("ERROR", "text", file)
    log.info("progress")

    assert ["detail", "progress"] == [message for *_, message in lines(file.read_text())]
    assert ["detail"] == [message for *_, message in lines(capsys.readouterr().err)]


def test_a_file_that_was_moved_away_is_begun_anew(file: Path):
    start_logging("INFO", "text", file)
    log.info("one")
    file.rename(file.with_suffix(".1"))
    log.info("two")
    assert [("dataflow", "INFO", "two")] == lines(file.read_text())


def test_a_second_start_replaces_the_first(capsys: pytest.CaptureFixture[str], file: Path):
    start_logging("INFO", "text", file)
    start_logging("INFO")
    log.info("once")
    assert [("dataflow", "INFO", "once")] == lines(capsys.readouterr().err)
    assert "" == file.read_text()


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "plain").write_text("")
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "plain" / "run.log", "Not a directory|File exists")):
        told = rf"the log file {re.escape(str(path))} cannot be written \(({reason})\); name another with --log-file"
        with pytest.raises(ConfigError, match=told):
            start_logging("INFO", "text", path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_costs_the_lines_and_is_told_once(capsys: pytest.CaptureFixture[str]):
    start_logging("ERROR", "text", Path("/dev/full"))
    log.info("one")
    log.info("two")
    assert (
        "warning: /dev/full cannot be written (No space left on device); the run goes on\n" == capsys.readouterr().err
    )


def test_what_a_library_says_over_and_over_is_one_line_in_ten_minutes(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    start_logging(file=file)
    now = [1000.0]
    monkeypatch.setattr("time.time", lambda: now[0])

    for seconds in (0, 7, 7, 600):
        now[0] += seconds
        logging.getLogger("prefect.events.clients").warning("Unable to connect to %s", "ws://away")
        logging.getLogger("prefect.events.clients").warning("Unable to connect to %s", f"ws://{now[0]}")
        logging.getLogger("shop").warning("ours")

    said = [message for _, _, message in lines(capsys.readouterr().err)]
    assert (2, 4, 4) == (said.count("Unable to connect to ws://away"), said.count("ours"), len({*said}) - 2)
    assert said == [message for _, _, message in lines(file.read_text())]


def test_what_prefect_sets_up_later_leaves_ours_alone(file: Path):
    script = f"""
import logging
from pathlib import Path
from flows.logs import start_logging
start_logging("INFO", "text", Path({str(file)!r}))
import prefect
logging.getLogger("dataflow").info("ours")
logging.getLogger("prefect").info("noise")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert [("dataflow", "INFO", "ours")] == lines(done.stderr) == lines(file.read_text())
    assert "" == done.stdout


def test_a_run_with_json_leaves_stdout_to_the_report(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], flights_data: Path
):
    config, lake = ROOT / "config" / "flights.yaml", tmp_path / "lake"
    about = ["--config", str(config), "--lake", str(lake), "--select", "bronze_airlines", "--runner", "inline"]
    assert 0 == main([*about, "--json", "--log-level", "info"])
    out, err = capfd.readouterr()
    report = json.loads(out)
    messages = [
        m for name, _, m in lines("\n".join(x for x in err.splitlines() if LINE.match(x))) if name == "dataflow"
    ]
    assert f"run started, 1 stage [run={report['run_id']}]" == messages[0]
    (stage,) = report["stages"]
    assert {"cpu_seconds", "peak_memory_bytes", "bytes_read", "bytes_written", "rows_per_second"} <= set(stage)
    assert (flights_data / "airlines.csv.gz").stat().st_size == stage["bytes_read"]
    assert 0 < stage["rows_per_second"]
