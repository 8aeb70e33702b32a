"""A source that is moved back, and a range that is computed again, killed on the way: in the end the tables are the same."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataflow.lake.lake import Lake
from dataflow.lake.lease import read_state
from tests.faults.harness import Case, injected
from tests.faults.kills import CleanRuns, kill
from tests.faults.sample import fault_at, parameters
from tests.faults.soundness import assert_equal, assert_sound

WISHES: dict[str, dict[str, Any]] = {
    "move": {"moves": "orders"},
    "backfill": {"backfills": ("clean_orders", "1", "2")},
}
POINTS = 12


@pytest.mark.parametrize(("wish", "number"), parameters("wishes", [(w, n) for w in WISHES for n in range(POINTS)]))
def test_a_wish_killed_on_its_way(shop_inputs: Path, clean: CleanRuns, tmp_path: Path, wish: str, number: int):
    expected = clean("shop", 1, 2)
    case = Case("shop", shop_inputs, tmp_path / "lake", 2)
    shutil.copytree(expected.case.lake, case.lake)
    wished = replace(case, **WISHES[wish])
    tried = replace(wished, lake=tmp_path / "tried")
    shutil.copytree(case.lake, tried.lake)
    with injected() as reached:
        assert "completed" == tried.run().state
    assert_equal(expected.tables, tried.lake)
    assert_sound(replace(case, lake=tried.lake))

    kill(wished, fault_at(f"{wish}", number, reached))

    assert case.run().state in ("completed", "skipped")
    assert_equal(expected.tables, case.lake)
    assert_sound(case)
    assert "skipped" == case.run().state
    state = read_state(Lake(case.lake), "shop")
    assert [] == [unit for stage in state.stages.values() for unit in stage.units.values() if not unit.key]
