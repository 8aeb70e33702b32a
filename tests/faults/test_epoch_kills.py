"""Moving a source back, killed at every entry that it writes, and the run after it at every seam: rows are there once."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dataflow import Engine
from dataflow.lake.lake import Lake
from dataflow.lake.lease import read_state
from dataflow.lake.seams import Seam
from tests.faults.conftest import Clean
from tests.faults.harness import Case, Child, Fault, injected
from tests.faults.kills import CleanRuns, assert_repaired, kill
from tests.faults.soundness import assert_sound, contents

WITHIN = [Seam.UNIT_STAGED, Seam.INTENT_RECORDED, Seam.SIDE_TABLE_PUBLISHED, Seam.TABLE_PUBLISHED, Seam.LEASE_RELEASED]


@dataclass(frozen=True)
class Back(Case):
    """A source that is moved back, instead of a run."""

    source: str = "orders"
    position: Any = None

    def run(self) -> Any:
        return Engine(runner="inline").move(self.workflow(), self.source, self.position)


@pytest.fixture
def expected(clean: CleanRuns) -> Clean:
    return clean("shop", 1, 2)


@pytest.fixture
def back(expected: Clean, tmp_path: Path) -> Back:
    """The shop after its second run, which left nothing to do."""
    shutil.copytree(expected.case.lake, tmp_path / "lake")
    return Back("shop", expected.case.inputs, tmp_path / "lake", 2, position={"file_id": 0})


def run(back: Back) -> Case:
    return Case(back.pipeline, back.inputs, back.lake, back.deliveries)


def epoch(back: Back) -> int:
    return read_state(Lake(back.lake), "shop").stage("orders").epoch


@pytest.mark.faults
def test_a_move_that_is_killed_has_happened_or_not(
    back: Back, expected: Clean, tmp_path: Path, subtests: pytest.Subtests
):
    tried = Back(back.pipeline, back.inputs, tmp_path / "tried", 2, position=back.position)
    shutil.copytree(back.lake, tried.lake)
    with injected() as reached:
        tried.run()
    entries = [place.what for place in reached if place.seam is Seam.ENTRY_WRITTEN]
    assert ["lease", "stale", "released"] == entries

    for visit, (entry, epochs) in enumerate(zip(entries, (0, 0, 1), strict=True), 1):
        with subtests.test(killed_before=entry):
            case = Back(back.pipeline, back.inputs, tmp_path / entry, 2, position=back.position)
            shutil.copytree(back.lake, case.lake)

            kill(case, Fault(Seam.ENTRY_WRITTEN, visit))

            assert epochs == epoch(case)
            case.run()
            assert epochs + 1 == epoch(case)
            assert_repaired(run(case), expected)


@pytest.mark.faults
@pytest.mark.parametrize("seam", WITHIN)
def test_a_run_that_grants_a_wish_is_killed_and_the_next_replaces_the_rows_once(
    back: Back, expected: Clean, seam: Seam
):
    back.run()

    kill(run(back), Fault(seam))

    assert_repaired(run(back), expected)
    assert 1 == epoch(back)


def test_killed_in_the_epoch_and_again_while_it_is_repaired(back: Back, expected: Clean):
    back.run()
    kill(run(back), Fault(Seam.TABLE_PUBLISHED))
    Child(run(back), Fault(Seam.INTENT_ROLLED_FORWARD)).end()

    back.run()

    assert 2 == epoch(back)
    assert_repaired(run(back), expected)


def test_moving_back_while_a_batch_is_begun_finishes_it_first(clean: CleanRuns, tmp_path: Path):
    expected = clean("shop", 1, 2)
    shutil.copytree(expected.before, tmp_path / "lake")
    case = Back("shop", expected.case.inputs, tmp_path / "lake", 2, position={"file_id": 1})
    kill(run(case), Fault(Seam.INTENT_RECORDED))

    case.run()

    assert {} == read_state(Lake(case.lake), "shop").intents
    assert "completed" == run(case).run().state
    assert_sound(run(case))
    # Downstream both batches come in one: of a key that both have, what lost is a duplicate, as in a full run.
    found = contents(case.lake)
    for table in expected.tables.keys() - {"latest_orders__duplicates"}:
        assert expected.tables[table].equals(found[table]), table
    assert "skipped" == run(case).run().state
