"""What the README shows, runs: Python blocks as one program, commands in a copy of the project."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository.readme_blocks import blocks, python_program, shell_commands, shim

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = Path(sys.executable).parent


def run(*command: str, cwd: Path, path: Path = PYTHON) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{path}:{PYTHON}:{os.environ['PATH']}", "PYTHONPATH": str(cwd)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)


@pytest.mark.prefect
@pytest.mark.timeout(600)
def test_python_blocks_run(prefect_server: str, tmp_path: Path):
    (tmp_path / "README.py").write_text(python_program(README), encoding="utf-8")
    done = run("python", "README.py", cwd=tmp_path)
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.prefect
@pytest.mark.timeout(900)
def test_commands_run(prefect_server: str, tmp_path: Path):
    project = tmp_path / "project"
    for part in ("flows", "config", "data"):
        shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("prefect.toml", "pyproject.toml"):
        shutil.copy(ROOT / part, project)
    bin = shim(tmp_path / "bin")
    for number, command in shell_commands(README):
        done = run("bash", "-euo", "pipefail", "-c", command, cwd=project, path=bin)
        assert 0 == done.returncode, f"README.md:{number}: {command}\n{done.stdout}{done.stderr}"


def test_the_readme_shows_the_library_and_the_main_job():
    assert "python" in {language for language, _, _ in blocks(README)}
    assert [] != shell_commands(README)


PAGE = """\
# Page
```python
x = 1
```
words
```text
not run
```
```python
y = x + 1
```
```bash
pip install uv && uv run python flows/etl.py
uv run pytest
uv run python flows/etl.py --json | head -c 1  # one object
```
"""


def test_python_blocks_keep_their_lines():
    assert ["", "", "x = 1", "", "", "", "", "", "", "y = x + 1"] == python_program(PAGE).splitlines()[:10]
    with pytest.raises(NameError):
        exec(python_program("```python\nx = 1\n```\n```python\nz\n```\n"), {})


def test_commands_of_the_main_job_are_found():
    expected = [(13, "uv run python flows/etl.py"), (15, "uv run python flows/etl.py --json | head -c 1")]
    assert expected == shell_commands(PAGE)


def test_an_open_block_is_named():
    with pytest.raises(ValueError, match="begins at line 3 is not closed"):
        list(blocks("# Page\n```python\nx = 1\n"))


def test_the_shim_runs_in_the_environment_at_hand(tmp_path: Path):
    bin = shim(tmp_path / "bin")
    done = run("bash", "-c", "uv run python -c 'import sys; print(sys.prefix)'", cwd=tmp_path, path=bin)
    assert sys.prefix == done.stdout.strip()
    assert 2 == run("bash", "-c", "uv sync", cwd=tmp_path, path=bin).returncode
