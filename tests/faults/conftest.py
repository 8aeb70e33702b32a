"""Clean runs, which every killed one is compared with."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from dataflow.engine.seams import Seam
from tests.faults.harness import Case, injected
from tests.faults.pipelines import write_messages, write_shop
from tests.faults.soundness import assert_sound, contents


@dataclass(frozen=True)
class Clean:
    """A lake after undisturbed runs, and what they did."""

    before: Path
    """The lake as it was before the last of them."""
    tables: dict[str, pl.DataFrame]
    visits: Counter[Seam]
    """How often the last run reached each seam."""


@pytest.fixture(scope="session")
def shop_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    return folder


@pytest.fixture(scope="session")
def message_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("messages")
    write_messages(folder)
    return folder


@pytest.fixture(scope="session")
def clean(
    tmp_path_factory: pytest.TempPathFactory, shop_inputs: Path, flights_data: Path, message_inputs: Path
) -> Callable[..., Clean]:
    """``clean(pipeline, first, last)``: deliveries up to ``first`` were run before, up to ``last`` are in the last run."""
    known: dict[tuple[str, int, int], Clean] = {}
    inputs = {"shop": shop_inputs, "flights": flights_data, "messages": message_inputs}

    def run(pipeline: str, first: int, last: int) -> Clean:
        if (pipeline, first, last) not in known:
            folder = tmp_path_factory.mktemp(pipeline)
            lake, before = folder / "lake", folder / "before"
            before.mkdir()
            if first:
                assert "completed" == Case(pipeline, inputs[pipeline], lake, first).run().state
                shutil.copytree(lake, before, dirs_exist_ok=True)
            case = Case(pipeline, inputs[pipeline], lake, last)
            with injected() as reached:
                assert "completed" == case.run().state
            assert_sound(case)
            visits = Counter(seam for seam, _ in reached)
            known[pipeline, first, last] = Clean(before, contents(lake), visits)
        return known[pipeline, first, last]

    return run
