"""What happens around a run: interrupted, run twice at once, its output closed, started from anywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import polars as pl
import pytest

from tests.flows.bad_input.shop import GOOD, UNGATED, Shop, assert_equal, contents, finish

WAITING = """\
import time, pathlib
    if items.collect().height:
        pathlib.Path("{place}/begun").touch()
        while pathlib.Path("{place}/begun").exists():
            time.sleep(0.01)
"""


@pytest.fixture
def waiting(shop: Shop) -> Shop:
    """The shop with a stage that is under way for as long as a file ``begun`` is there."""
    shop.deliver()
    shop.program("def names(items):\n", "def names(items):\n    " + WAITING.format(place=shop.folder))
    return shop


def begin(shop: Shop, *arguments: str) -> subprocess.Popen[str]:
    process = shop.start(*arguments, *UNGATED)
    while not (shop.folder / "begun").exists():
        assert process.poll() is None, process.communicate()
    return process


def test_a_second_run_at_the_same_time_is_skipped_and_says_which_one_is_at_it(
    waiting: Shop, delivered: dict[str, pl.DataFrame]
) -> None:
    first = begin(waiting)

    second = waiting.run(*UNGATED)
    in_json = waiting.run("--json", *UNGATED).report

    assert 0 == second.code
    assert second.told.startswith("shop skipped: pipeline 'shop' is being run already: run 20")
    assert f"process {first.pid} on " in second.told
    assert ("skipped", 0) == (in_json["state"], in_json["exit_code"])
    (waiting.folder / "begun").unlink()
    assert 0 == finish(first).code
    assert_equal(delivered, contents(waiting.lake))


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_ctrl_c_ends_in_one_line_and_the_next_run_completes(
    waiting: Shop, delivered: dict[str, pl.DataFrame], arguments: list[str]
) -> None:
    process = begin(waiting, *arguments)
    process.send_signal(signal.SIGINT)
    (waiting.folder / "begun").unlink()

    said = finish(process)

    assert 130 == said.code
    assert "interrupted; what is published stays, the next run finishes or sweeps the rest" == said.err.splitlines()[-1]
    if arguments:
        assert (130, "failed") == (said.report["exit_code"], said.report["state"])
    else:
        assert 1 == len(said.err.splitlines())
    waiting.program(WAITING.format(place=waiting.folder), "pass\n")
    assert 0 == waiting.run().code
    assert_equal(delivered, contents(waiting.lake))


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--plan"]])
def test_nobody_reads_the_output(shop: Shop, delivered: dict[str, pl.DataFrame], arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    shop.deliver()

    process = shop.start(*UNGATED, *arguments, stdout=writer)
    os.close(writer)
    said = finish(process)

    assert 0 == said.code
    assert "error" not in said.err
    if "--plan" not in arguments:
        assert_equal(delivered, contents(shop.lake))


def test_the_output_is_on_a_full_disk(shop: Shop, delivered: dict[str, pl.DataFrame]) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full on this machine")
    shop.deliver()

    with full.open("w") as out:
        said = finish(shop.start(*UNGATED, stdout=out))

    assert (0, 1) == (said.code, len(said.err.splitlines()))
    assert "warning: the output cannot be written (No space left on device); the run goes on\n" == said.err
    assert_equal(delivered, contents(shop.lake))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--set", "sources.items.path=none.csv"], 1, "source 'items': no file "),
        (["--lake", "shop.yaml"], 1, "a file stands where a folder is needed"),
        (["--set", "x=1"], 2, "--set x: unknown key"),
        (["--select", "totl"], 2, "--select totl: unknown stage 'totl'"),
        (["--plan", "--select", "totl"], 2, "--select totl: unknown stage 'totl'"),
    ],
)
def test_json_is_one_object_also_of_a_run_that_fails(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, says: str
) -> None:
    monkeypatch.chdir(shop.folder)

    said = shop.run("--json", *arguments)

    assert code == said.code
    assert 1 == len(said.out.splitlines())
    assert ("failed", code) == (said.report["state"], said.report["exit_code"])
    assert says in json.dumps(said.report["reason"])


def test_from_any_folder_with_a_lake_that_counts_from_there(
    shop: Shop, delivered: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    shop.deliver(GOOD)

    said = finish(shop.start(*UNGATED, "--lake", "a lake/ü", cwd=tmp_path))

    assert 0 == said.code
    assert f"lake: {tmp_path}/a lake/ü" in said.out.splitlines()
    assert_equal(delivered, contents(tmp_path / "a lake" / "ü"))
