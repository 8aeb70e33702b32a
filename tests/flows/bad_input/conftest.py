"""One shop that has run once, put back as it was for every test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.flows.bad_input.shop import Shop, contents, prepare, restore


@pytest.fixture(scope="session")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bad-input") / "shop"


@pytest.fixture(scope="session")
def _before(_place: Path) -> Path:
    before = _place.with_name("before")
    # At its place, where every test finds it: the journal knows files by their whole path.
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(_place))
        patch.setattr(sys, "dont_write_bytecode", True)
        prepare(_place)
    shutil.copytree(_place, before)
    return before


@pytest.fixture
def shop(_place: Path, _before: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.syspath_prepend(str(_place))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return restore(_before, _place)


@pytest.fixture(scope="session")
def _delivered(_place: Path, _before: Path) -> dict[str, pl.DataFrame]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(_place))
        patch.setattr(sys, "dont_write_bytecode", True)
        clean = restore(_before, _place)
        clean.deliver()
        assert 0 == clean.run("--lake", str(clean.folder / "clean")).code
        return contents(clean.folder / "clean")


@pytest.fixture
def delivered(_delivered: dict[str, pl.DataFrame], shop: Shop) -> dict[str, pl.DataFrame]:
    """The tables of an undisturbed run, with the delivery as it should be."""
    return _delivered


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own; skips where none may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=160k", "tmpfs", str(place))
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def mount(*arguments: str) -> None:
    """Call mount, or skip the test with what it said."""
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount on this machine")
    if done.returncode:
        pytest.skip(f"nothing may be mounted here: {done.stderr.strip()}")
