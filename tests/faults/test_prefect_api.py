"""Prefect's API behind a proxy: it answers 500 and 503, is slow, drops connections, and is gone in the middle of a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from dataflow.errors import ConfigError, DataFlowError
from dataflow.lake.seams import Seam, watch
from tasks.artifacts import artifacts
from tests.conftest import ROOT
from tests.faults.flow_runs import ended
from tests.faults.harness import Case
from tests.faults.kills import CleanRuns
from tests.faults.sample import parameters
from tests.faults.soundness import assert_equal, assert_sound
from tests.services.proxy import Proxy, Rule, proxied

pytestmark = [pytest.mark.faults, pytest.mark.prefect]
AWAY_SECONDS = 3.0
GOT_OVER = [
    Rule("503", every=6, first=2),
    Rule("slow", every=15),
    Rule("500", methods=("POST",), path="/artifacts"),
    Rule("500", path="/block_documents", first=3),
    Rule("refused", every=10, first=5),
]


@pytest.fixture
def proxy(prefect_server: str) -> Iterator[Proxy]:
    """Stands between the run and the server that the whole test run has."""
    with proxied(prefect_server) as proxy:
        _point_to(proxy.url)
        yield proxy
    _point_to(prefect_server)


def _point_to(url: str) -> None:
    os.environ["PREFECT_API_URL"] = url
    if "prefect.context" in sys.modules:
        sys.modules["prefect.context"].refresh_global_settings_context()


@pytest.fixture
def case(clean: CleanRuns, runway_inputs: Path, tmp_path: Path) -> Case:
    return Case("runways", runway_inputs, tmp_path / "lake", 1, runner="prefect")


@pytest.mark.parametrize("rule", parameters("prefect api", GOT_OVER))
def test_a_troubled_api_costs_a_run_nothing(clean: CleanRuns, proxy: Proxy, case: Case, rule: Rule):
    proxy.obey(rule)

    report = case.run()
    happened = proxy.happened
    proxy.obey()

    assert happened[rule.trouble] > 0
    assert ("completed", "") == (report.state, report.reason)
    assert_equal(clean("runways", 0, 1).tables, case.lake)
    assert_sound(case)
    assert "skipped" == case.run().state


@pytest.mark.parametrize(
    ("seam", "retries"), [(Seam.STAGE_PLANNED, 0), (Seam.TABLE_PUBLISHED, 0), (Seam.STAGE_STAGED, 1)]
)
def test_an_api_that_is_gone_in_the_middle_leaves_a_lake_that_the_next_run_makes_whole(
    clean: CleanRuns, proxy: Proxy, case: Case, seam: Seam, retries: int
):
    def go(reached: Seam, what: str) -> None:
        if reached is seam and what == "runways":
            proxy.obey(Rule("refused"))

    unwatch = watch(go)
    try:
        # That Prefect is gone may well be all that is told. Of retries the first comes after 2 s, the fifth after 62 s.
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: retries}), suppress(DataFlowError):
            case.run()
    finally:
        unwatch()
    assert proxy.happened["refused"] > 0
    proxy.obey()

    assert case.run().state in ("completed", "skipped")
    assert_equal(clean("runways", 0, 1).tables, case.lake)
    assert_sound(case)


@pytest.mark.parametrize("seam", [Seam.STAGE_PLANNED, Seam.PUBLICATION_RECORDED])
def test_an_api_that_comes_back_is_waited_for_with_the_retries_that_prefect_has(
    clean: CleanRuns, proxy: Proxy, case: Case, seam: Seam
):
    """As where the server is started again while a run is under way."""
    back = threading.Timer(AWAY_SECONDS, proxy.obey)

    def go(reached: Seam, what: str) -> None:
        if reached is seam and what == "runways":
            proxy.obey(Rule("refused"))
            back.start()

    unwatch = watch(go)
    try:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):
            report = case.run()
    finally:
        unwatch()
        back.join()

    assert ("completed", "") == (report.state, report.reason)
    assert_equal(clean("runways", 0, 1).tables, case.lake)
    assert_sound(case)
    assert "Completed" == ended("runways", report.run_id)[0]
    assert "skipped" == case.run().state


def test_an_api_that_is_gone_is_waited_for_once(clean: CleanRuns, proxy: Proxy, case: Case):
    """Each artifact would have the client's retries for itself."""
    proxy.obey(Rule("refused", path="/artifacts"))

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 2}):
        report = case.run()

    assert len(artifacts(report)) + 2 == proxy.happened["refused"]
    assert ("completed", "Completed") == (report.state, ended("runways", report.run_id)[0])
    assert_equal(clean("runways", 0, 1).tables, case.lake)


def test_who_interrupts_a_run_whose_api_is_gone_does_not_wait_for_it(proxy: Proxy, case: Case):
    def go(reached: Seam, what: str) -> None:
        if reached is Seam.STAGE_STAGED:
            proxy.obey(Rule("refused"))
            signal.raise_signal(signal.SIGINT)

    unwatch = watch(go)
    try:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}), pytest.raises(KeyboardInterrupt):
            case.run()
    finally:
        unwatch()
    assert 1 == proxy.happened["refused"]
    proxy.obey()

    assert case.run().state in ("completed", "skipped")
    assert_sound(case)


def test_the_command_line_ends_though_prefect_does_not_take_its_events(proxy: Proxy, tmp_path: Path):
    """It tries for seven seconds with each of some eighty."""
    proxy.obey(Rule("refused", path="/events"))
    command = [sys.executable, "flows/etl.py", "--lake", str(tmp_path / "lake")]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)

    assert 0 == ended.returncode, ended.stderr
    assert "flights completed" in ended.stdout
    assert 1 == ended.stderr.count("Unable to connect to 'ws://")


def test_an_api_that_is_gone_at_the_start_is_said(proxy: Proxy, case: Case):
    proxy.obey(Rule("500"))

    with pytest.raises(ConfigError, match=r"Prefect at http://127\.0\.0\.1:\d+/api did not start the run"):
        case.run()

    proxy.obey()
    assert "completed" == case.run().state
