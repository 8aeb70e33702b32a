"""Examples in docstrings run."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WITH_EXAMPLES = sorted(
    path.relative_to(ROOT)
    for package in ("dataflow", "blocks", "tasks", "flows")
    for path in (ROOT / package).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_examples(path: Path, elsewhere: Path):
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    done = doctest.testmod(import_module(name), optionflags=FLAGS)
    assert 0 == done.failed
    assert 0 < done.attempted, f"{name} has examples that doctest does not find"
