"""House rules about source files that no linter knows."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dataflow", "blocks", "tasks", "flows", "deployments", "templates", "benchmarks", "tests")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MOST_LINES = 300
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


def complaints(path: Path, text: str) -> Iterator[str]:
    """What is wrong with a module, in words."""
    lines = text.splitlines()
    # A table of cases may be long; what has to be understood may not.
    if len(lines) > MOST_LINES and path.parts[0] != "tests":
        yield f"{len(lines)} lines: split it by what it serves, {MOST_LINES} is the end"
    if vague := VAGUE & {part.removesuffix(".py") for part in path.parts}:
        yield f"named {', '.join(vague)}: say what it serves"
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and re.search(r"\b(TODO|FIXME|XXX)\b", token.string):
            yield f"line {token.start[0]}: finish it, or write an issue"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node):
            yield f"line {node.lineno}: a stub; raise an error of dataflow/errors.py that says what to do"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module(path: Path):
    assert [] == list(complaints(path.relative_to(ROOT), path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("dataflow/lake/long.py", "x = 1\n" * 301),
        ("dataflow/lake/utils.py", ""),
        ("dataflow/common/lake.py", ""),
        ("dataflow/lake/log.py", "x = 1  # TODO later\n"),
        ("dataflow/lake/log.py", "def f():\n    raise NotImplementedError\n"),
        ("dataflow/lake/log.py", "def f():\n    raise NotImplementedError('later')\n"),
    ],
)
def test_each_rule_goes_red(path: str, text: str):
    assert 1 == len(list(complaints(Path(path), text)))


def git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode > 1:
        pytest.skip(f"not a git checkout: {done.stderr.strip()}")
    return done.stdout.splitlines()


def test_git_ignores_no_source():
    """A pattern without a leading slash once would have dropped ``dataflow/lake`` from the repository."""
    assert [] == git("check-ignore", "--no-index", *(str(path.relative_to(ROOT)) for path in MODULES))


def test_the_lock_names_no_registry_but_pypi():
    lock = (ROOT / "uv.lock").read_text()
    hosts = set(re.findall(r"https?://([^/\"]+)", lock))
    assert {"pypi.org", "files.pythonhosted.org"} == hosts
    assert "file://" not in lock
