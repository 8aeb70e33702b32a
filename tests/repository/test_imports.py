"""Who may import whom: the contracts of pyproject.toml hold, and each goes red when it is broken."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dataflow", "blocks", "tasks", "flows", "deployments")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_contracts_hold():
    done = lint(ROOT)
    assert 0 == done.returncode, done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("blocks/trespass.py", "import tasks.settings", "The shell stands on the library"),
        ("dataflow/model.py", "import dataflow.engine", "Layers of the library"),
        ("dataflow/windows/trespass.py", "import dataflow.dedup", "Layers of the library"),
        ("dataflow/strange.py", "", "Layers of the library"),
        ("dataflow/engine/trespass.py", "import great_expectations", "Great Expectations is known to quality only"),
        ("flows/trespass.py", "import deltalake", "The Delta library is known to the lake only"),
        ("dataflow/engine/trespass.py", "import prefect.tasks", "The library does not know Prefect"),
    ],
)
def test_each_contract_goes_red(copy: Path, module: str, line: str, contract: str):
    path = copy / module
    before = path.read_text() if path.exists() else None
    try:
        path.write_text((before or "") + f"\n{line}\n")
        done = lint(copy)
    finally:
        path.unlink() if before is None else path.write_text(before)
    broken = [row for row in done.stdout.splitlines() if row.endswith("BROKEN")]
    assert 1 == done.returncode, done.stdout + done.stderr
    assert [True] == [row.startswith(contract) for row in broken], done.stdout


def test_the_execution_engine_for_great_expectations_stands_alone():
    graph = grimp.build_graph("dataflow", cache_dir=None)
    home = "dataflow.quality.gx_polars"
    modules = {home, *graph.find_descendants(home)}
    leaks = {m: graph.find_modules_directly_imported_by(m) - modules for m in modules}
    assert {m: set() for m in modules} == leaks
