"""What all tests share: settings of their own, hypothesis profiles, data, one Prefect server a run."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from dataflow.lake import lease
from tests.prefect_server import PrefectServer

ROOT = Path(__file__).resolve().parent.parent
_RUN_FOLDER = "DATAFLOW_TEST_RUN"  # inherited by the workers of xdist: what they share is here


def _isolate() -> Path:
    """Nothing of the machine's settings reaches the tests, nothing of the tests reaches the machine."""
    if _RUN_FOLDER not in os.environ:
        os.environ[_RUN_FOLDER] = tempfile.mkdtemp(prefix="dataflow-tests-")
        for name in [n for n in os.environ if n.startswith("PREFECT_")]:
            del os.environ[name]
    folder = Path(os.environ[_RUN_FOLDER])
    os.environ["PREFECT_HOME"] = str(folder / f"prefect-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    os.environ.setdefault("COLUMNS", "160")  # tables of the command line do not depend on the terminal
    return folder


RUN_FOLDER = _isolate()

settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(autouse=True)
def _secrets_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test hides from logs, the next one shows."""
    monkeypatch.setattr("dataflow.model.secrets._hidden", set[str]())


@pytest.fixture(autouse=True)
def _runs_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run id that one test gave to a run that ended, the next one may give to one at work."""
    monkeypatch.setattr(lease, "_over", {*lease._over})


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The whole suite runs on two workers or more, single files in one process: quicker, and debuggers work."""
    whole = all(Path(arg).resolve() in (ROOT, ROOT / "tests") for arg in config.args)
    return min(max(os.cpu_count() or 2, 2), 4) if whole else 0


_LONG = ("slow", "prefect", "faults", "services", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long, or wait for servers, begin: at the end no worker is alone with one of them."""
    long = {item.path for item in items if any(item.get_closest_marker(mark) for mark in _LONG)}
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish() -> None:
    """What was imported and collected lives to the end: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the server when the whole run is over, not when the first worker is."""
    if not hasattr(session.config, "workerinput"):
        PrefectServer(RUN_FOLDER).stop()
        shutil.rmtree(RUN_FOLDER, ignore_errors=True)


def pytest_unconfigure() -> None:
    """Prefect stops a server that it has started at exit, and logs it to a terminal that pytest has closed by then."""
    logging.raiseExceptions = False


def _point_prefect_to(url: str | None) -> None:
    if url is None:
        os.environ.pop("PREFECT_API_URL", None)
    else:
        os.environ["PREFECT_API_URL"] = url
    if "prefect.context" in sys.modules:
        sys.modules["prefect.context"].refresh_global_settings_context()


@pytest.fixture(autouse=True)
def _log_level_is_restored() -> Iterator[None]:
    """The command line hands ``--log-level`` on by the environment: what one test asked for is not the next one's."""
    before = os.environ.get("PREFECT_LOGGING_LEVEL")
    yield
    os.environ.pop("PREFECT_LOGGING_LEVEL", None)
    if before is not None:
        os.environ["PREFECT_LOGGING_LEVEL"] = before


@pytest.fixture(scope="session")
def prefect_server_url() -> str:
    """The address of the run's real Prefect server, started by whoever asks first."""
    return PrefectServer(RUN_FOLDER).start()


@pytest.fixture(scope="module")
def prefect_server(prefect_server_url: str) -> Iterator[str]:
    """The run's real Prefect server, used by everything in the module; answers its address."""
    _point_prefect_to(prefect_server_url)
    yield prefect_server_url
    _point_prefect_to(None)


@pytest.fixture
def no_prefect_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No server is known, as on a fresh machine: a run starts its own."""
    before = os.environ.get("PREFECT_API_URL")
    _point_prefect_to(None)
    yield
    _point_prefect_to(before)


@pytest.fixture
def tmp_lake(tmp_path: Path) -> str:
    """The path of a lake that does not exist yet."""
    return str(tmp_path / "lake")


@pytest.fixture(scope="session")
def flights_data() -> Path:
    """New York's flights of 2013, as the repository ships them."""
    return ROOT / "data" / "nycflights13"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that is not copied into the repository."""
    folder = Path(os.environ.get("DATAFLOW_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is not on this machine")
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A working directory outside the project."""
    with contextlib.chdir(tmp_path):
        yield tmp_path
