"""Clean runs, which every killed one is compared with."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import polars as pl
import pytest

from dataflow.lake.seams import Seam
from tests.conftest import ROOT
from tests.faults.commands import COMMANDS
from tests.faults.harness import Case, Reached, injected
from tests.faults.pipelines import write_events
from tests.faults.runways import write_runways
from tests.faults.shop import write_shop
from tests.faults.soundness import assert_sound, contents
from tests.faults.stock import write_stock


@dataclass(frozen=True)
class Clean:
    """A lake after undisturbed runs, and what they did."""

    case: Case
    before: Path
    """The lake as it was before the last of them."""
    tables: dict[str, pl.DataFrame]
    reached: tuple[Reached, ...]
    """The seams that the last run came by."""

    @property
    def visits(self) -> Counter[Seam]:
        """How often the last run reached each seam."""
        return Counter(place.seam for place in self.reached)


@pytest.fixture(scope="session")
def shop_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    return folder


@pytest.fixture(scope="session")
def event_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("events")
    write_events(folder)
    return folder


@pytest.fixture(scope="session")
def runway_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runways")
    write_runways(folder, Path(os.environ.get("DATAFLOW_SHARED_DATA", ROOT.parent / "shared" / "data")) / "runways")
    return folder


@pytest.fixture(scope="session")
def stock_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stock")
    write_stock(folder)
    return folder


@pytest.fixture(scope="session")
def inputs(
    shop_inputs: Path, flights_data: Path, event_inputs: Path, runway_inputs: Path, stock_inputs: Path
) -> dict[str, Path]:
    """Where each pipeline reads from."""
    return {
        "shop": shop_inputs,
        "flights": flights_data,
        "events": event_inputs,
        "runways": runway_inputs,
        "stock": stock_inputs,
    }


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory, inputs: dict[str, Path]) -> Callable[..., Clean]:
    """``clean(pipeline, first, last)``: deliveries up to ``first`` were run before, up to ``last`` are in the last run."""
    known: dict[tuple[str, int, int, str], Clean] = {}

    def run(pipeline: str, first: int, last: int, runner: Literal["inline", "prefect"] = "inline") -> Clean:
        if (pipeline, first, last, runner) not in known:
            folder = tmp_path_factory.mktemp(pipeline)
            lake, before = folder / "lake", folder / "before"
            before.mkdir()
            if first:
                assert "completed" == Case(pipeline, inputs[pipeline], lake, first).run().state
                shutil.copytree(lake, before, dirs_exist_ok=True)
            case = Case(pipeline, inputs[pipeline], lake, last, runner=runner)
            with injected() as reached:
                assert "completed" == case.run().state
            assert_sound(case)
            known[pipeline, first, last, runner] = Clean(case, before, contents(lake), tuple(reached))
        return known[pipeline, first, last, runner]

    return run


@pytest.fixture(scope="session")
def commanded(
    tmp_path_factory: pytest.TempPathFactory, shop_inputs: Path, clean: Callable[..., Clean]
) -> Callable[[str], Clean]:
    """``commanded(name)``: the command was given, on a lake that was damaged as it says, and a run came after it."""
    known: dict[str, Clean] = {}

    def give(name: str) -> Clean:
        if name not in known:
            folder, command = tmp_path_factory.mktemp(name), COMMANDS[name]
            before = clean("shop", 1, 2).before if command.deliveries == 1 else clean("shop", 1, 2).case.lake
            shutil.copytree(before, folder / "before")
            if command.damage:
                command.damage(folder / "before")
            shutil.copytree(folder / "before", folder / "lake")
            case = Case("shop", shop_inputs, folder / "lake", 2)
            given = replace(case, **command.asked)
            with injected() as reached:
                assert "completed" == given.run().state
            case.run()
            assert_sound(case)
            known[name] = Clean(given, folder / "before", contents(case.lake), tuple(reached))
        return known[name]

    return give
