import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from flows.command import PROJECT, main

SCRIPT = PROJECT / "flows" / "etl.py"
FUNCTIONS = """\
import sys
import time

import polars as pl


def totals(orders):
    print("a function that talks")
    return orders.group_by("item").agg(pl.len().alias("members"), pl.col("price").cast(pl.Int64).sum())


def broken(orders):
    return 1 / 0


def slow(orders):
    return orders.map_batches(wait)


def wait(rows):
    time.sleep(90)
    return rows
"""
YAML = """\
pipeline: shop
lake: lake
sources:
  orders:
    path: orders/*.csv
    gate:
      - {name: known, predicate: item IS NOT NULL}
stages:
  totals: {function: "shop_stages:totals", rows: grouped, members: members}
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "1.csv").write_text("item,price\na,1\na,2\nb,3\n")
    (tmp_path / "shop_stages.py").write_text(FUNCTIONS)
    (tmp_path / "shop.yaml").write_text(YAML)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shop_stages", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def etl(*arguments: str) -> int:
    return main(["--config", "shop.yaml", "--runner", "inline", *arguments])


def test_a_run_shows_progress_a_table_and_the_lake(shop: Path, capfd: pytest.CaptureFixture[str]):
    assert 0 == etl()
    out, err = capfd.readouterr()
    assert "" == err
    assert "shop: starting" in out.splitlines()[0]
    assert "orders: published 3 rows, passed (1 of 2 stages)" in out
    assert "shop completed (" in out
    assert f"lake: {shop / 'lake'}" in out.splitlines()
    assert {"a": 3, "b": 3} == dict(pl.read_delta(str(shop / "lake" / "totals")).select("item", "price").iter_rows())


def test_a_second_run_is_skipped_in_one_line(shop: Path, capfd: pytest.CaptureFixture[str]):
    assert 0 == etl("--json")
    capfd.readouterr()
    assert 0 == etl()
    assert capfd.readouterr().out.splitlines()[-1].startswith("shop skipped: nothing new (")


def test_json_is_one_object_whatever_else_is_printed(shop: Path, capfd: pytest.CaptureFixture[str]):
    assert 0 == etl("--json")
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert ("completed", 3, 0) == (document["state"], document["processed_records"], document["exit_code"])
    assert "a function that talks" in err
    assert "orders: published 3 rows" in err


def test_a_plan_touches_nothing(shop: Path, capfd: pytest.CaptureFixture[str]):
    assert 0 == etl("--plan")
    out, _ = capfd.readouterr()
    assert "orders" in out
    assert "nothing was run and nothing was written" in out
    assert not (shop / "lake").exists()


def test_a_plan_as_json(shop: Path, capfd: pytest.CaptureFixture[str]):
    assert 0 == etl("--plan", "--json", "--lake", "elsewhere")
    document = json.loads(capfd.readouterr().out)
    assert str(shop / "elsewhere") == document["lake"]
    assert {"orders": "run", "totals": "depends"} == {each["stage"]: each["action"] for each in document["stages"]}


def test_a_lake_of_the_command_line_counts_from_the_working_directory(shop: Path, monkeypatch: pytest.MonkeyPatch):
    (shop / "work").mkdir()
    monkeypatch.chdir(shop / "work")
    assert 0 == main(["--config", "../shop.yaml", "--runner", "inline", "--lake", "mine", "--select", "orders"])
    assert (shop / "work" / "mine" / "orders").is_dir()
    assert not (shop / "work" / "mine" / "totals").exists()


def test_full_runs_everything_again(shop: Path, capfd: pytest.CaptureFixture[str]):
    assert 0 == etl("--json")
    capfd.readouterr()
    assert 0 == etl("--json", "--full")
    assert "completed" == json.loads(capfd.readouterr().out)["state"]


def test_a_gate_that_refuses_ends_with_1(shop: Path, capfd: pytest.CaptureFixture[str]):
    gate = "sources.orders.gate=[{name: cheap, predicate: item = 'a', on_fail: fail}]"
    assert 1 == etl("--set", gate)
    out, _ = capfd.readouterr()
    assert "shop rejected: stage 'orders': its gate refused the batch: cheap (1 of 3 rows)" in out
    assert "orders: refused by cheap: 1 of 3 rows (item = 'a')" in out
    assert "totals: not run: orders was rejected" in out


def test_a_function_that_raises_ends_with_1_and_no_traceback(shop: Path, capfd: pytest.CaptureFixture[str]):
    assert 1 == etl("--set", "stages.totals.function=shop_stages:broken")
    out, err = capfd.readouterr()
    assert "division by zero" in out
    assert "Traceback" not in out + err


def test_bad_usage_is_json_where_json_is_asked_for(shop: Path, capfd: pytest.CaptureFixture[str]):
    assert 2 == etl("--json", "--jsno")
    out, err = capfd.readouterr()
    assert err == f"error: {json.loads(out)['reason']}\n"
    assert 2 == json.loads(out)["exit_code"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "run.thread=1"], "error: --set run.thread: unknown key; did you mean 'threads'?"),
        (["--set", "stages.totals.function=shop_stages:total"], "error: --set stages.totals.function: shop_stages:total: no"),
        (["--config", "none.yaml"], "error: none.yaml: there is no such configuration file; name one with --config"),
        (["--select", "total"], "error: --select total: unknown stage 'total'; did you mean 'totals'?"),
        (["--runner", "inlin"], "error: unknown runner 'inlin'; did you mean 'inline'?"),
        (["--plan", "--runner", "inlin"], "error: unknown runner 'inlin'; did you mean 'inline'?"),
        (["--jsno"], "error: No such option: --jsno"),
        (["--log-level", "loud"], "error: Invalid value for '--log-level': 'loud' is not one of"),
        (["extra"], "error: No such command 'extra' (--help lists the options)"),
        (["a.csv"], "error: No such command 'a.csv'; put quotes around a pattern, as in --path 'landing/*.jsonl'"),
    ],
)  # fmt: skip
def test_bad_usage_ends_with_2_and_one_line(
    shop: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    assert 2 == etl(*arguments)
    out, err = capfd.readouterr()
    assert err.startswith(message)
    assert 1 == len(err.splitlines())
    assert not [line for line in out.splitlines() if "starting" not in line]
    assert not (shop / "lake").exists()


def test_each_problem_of_a_configuration_is_a_line(shop: Path, capfd: pytest.CaptureFixture[str]):
    assert 2 == etl("--set", "run.thread=1", "--set", "stages.totals.rowz=any")
    lines = capfd.readouterr().err.splitlines()
    assert [True, True] == [line.startswith("error: --set ") for line in lines]


def test_debug_shows_where(shop: Path, capfd: pytest.CaptureFixture[str]):
    assert 2 == etl("--log-level", "debug", "--set", "run.thread=1")
    err = capfd.readouterr().err
    assert err.startswith("error: --set run.thread: unknown key")
    assert "Traceback (most recent call last)" in err


def test_the_configuration_may_come_from_the_environment(shop: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIPELINE_CONFIG", "shop.yaml")
    assert 0 == main(["--runner", "inline", "--plan"])


def test_help_lists_the_options(capfd: pytest.CaptureFixture[str]):
    assert 0 == main(["--help"])
    out, _ = capfd.readouterr()
    for option in ("--config", "--lake", "--full", "--select", "--set", "--plan", "--json", "--runner", "--log-level"):
        assert option in out


def bare(*arguments: str, cwd: Path, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    # Isolated and without site-packages: an interpreter in which nothing is installed.
    command = [sys.executable, "-I", "-S", str(script), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


STARTED = ["etl", *(f"maintenance/{name}" for name in ("backfill", "replay_quarantine", "table", "watermark"))]


@pytest.mark.parametrize("name", STARTED)
def test_bare_python_is_told_the_line_that_works(name: str):
    done = bare("--full", cwd=PROJECT, script=PROJECT / "flows" / f"{name}.py")
    assert (2, "") == (done.returncode, done.stdout)
    assert 1 == len(done.stderr.splitlines())
    assert "prefect, pydantic" in done.stderr
    assert done.stderr.endswith(f"uv run python flows/{name}.py --full\n")


@pytest.mark.parametrize("name", STARTED)
def test_each_script_starts_its_own_command_line(name: str, tmp_path: Path):
    command = [sys.executable, str(PROJECT / "flows" / f"{name}.py"), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith(f"Usage: flows/{name}.py [OPTIONS]")


def test_bare_python_elsewhere_is_told_so_too(tmp_path: Path):
    done = bare("--set", "a=b c", cwd=tmp_path)
    assert 2 == done.returncode
    assert done.stderr.endswith(f"uv run --project {PROJECT} python {SCRIPT} --set 'a=b c'\n")


def test_the_script_runs_from_anywhere_and_ends_cleanly_when_interrupted(shop: Path):
    (shop / "work").mkdir()
    command = [sys.executable, SCRIPT, "--config", "../shop.yaml", "--runner", "inline"]
    function = ["--set", "stages.totals={function: 'shop_stages:slow'}"]
    process = subprocess.Popen(
        [*command, *function],
        cwd=shop / "work",
        env={**os.environ, "PYTHONPATH": str(shop)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "totals: 1 to do" in line:
            process.send_signal(signal.SIGINT)
            break
    _, err = process.communicate(timeout=60)
    assert 130 == process.returncode, err
    assert "interrupted; what is published stays, the next run finishes or sweeps the rest\n" == err
