"""The main job: runs a pipeline, New York's flights of 2013 unless --config names another.

uv run python flows/etl.py --help
uv run python flows/etl.py config show
"""

# Only the standard library up here: where nothing is installed, this file still says what to do.
from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import shutil
import sys

SCRIPT = "flows/etl.py"
PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NEEDED = (
    "deltalake",
    "dotenv",
    "great_expectations",
    "polars",
    "prefect",
    "pydantic",
    "pythonjsonlogger",
    "rich",
    "ruamel",
    "sqlglot",
    "typer",
)


def start(script: str, module: str) -> None:
    """End the process as the command line in ``module`` does; where it cannot be loaded, ``script`` says what to do."""
    if PROJECT not in sys.path:
        sys.path.insert(0, PROJECT)
    if line := way_out(script):
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(2)
    command, terminal = importlib.import_module(module), importlib.import_module("flows.terminal")
    terminal.leave(command.main())


def way_out(script: str) -> str | None:
    """The command that would work, where this interpreter lacks what ``script`` needs."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not missing and sys.version_info >= (3, 11):
        return None
    lacks = f"{', '.join(missing)} not installed" if missing else "Python is older than 3.11"
    inside = os.path.realpath(os.getcwd()) == os.path.realpath(PROJECT)
    uv = "uv run" if inside else f"uv run --project {shlex.quote(PROJECT)}"
    script = script if inside else shlex.quote(os.path.join(PROJECT, *script.split("/")))
    first = "" if shutil.which("uv") else "pip install uv && "
    return f"{lacks}; run: {' '.join([f'{first}{uv} python {script}', *map(shlex.quote, sys.argv[1:])])}"


if __name__ == "__main__":
    start(SCRIPT, "flows.command")
