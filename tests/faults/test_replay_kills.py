"""A replay of quarantined rows is killed between every two of its effects: rows are sent once, or not yet."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from dataflow.lake.seams import Seam
from tests.faults.harness import Case, Fault, injected
from tests.faults.kills import OF_A_RUN, CleanRuns, kill
from tests.faults.sample import parameters
from tests.faults.soundness import assert_equal, assert_sound, contents

STAGE = "clean_orders"
Ready = Callable[[str], Case]


@pytest.fixture
def ready(shop_inputs: Path, clean: CleanRuns, tmp_path: Path) -> Ready:
    """A lake with quarantined rows, and the order to send them again."""
    before = clean("shop", 1, 2).before

    def case(name: str) -> Case:
        shutil.copytree(before, tmp_path / name)
        return Case("shop", shop_inputs, tmp_path / name, 1, replays=STAGE)

    return case


def seams(case: Case) -> list[Seam]:
    with injected() as reached:
        assert "completed" == case.run().state
    return [place.seam for place in reached]


REACHED = [seam for seam in OF_A_RUN if seam is not Seam.FILES_RESERVED]


@pytest.mark.parametrize("seam", parameters("replay", REACHED))
def test_a_replay_killed_at_every_seam(ready: Ready, seam: Seam):
    undisturbed = ready("undisturbed")
    assert set(REACHED) == set(seams(undisturbed))
    assert_sound(undisturbed)
    case = ready("killed")

    kill(case, Fault(seam))

    usual = Case(case.pipeline, case.inputs, case.lake, case.deliveries)
    assert usual.run().state in ("completed", "skipped")
    if not DeltaTable.is_deltatable(str(case.lake / f"{STAGE}__replayed")):
        assert "completed" == case.run().state
    Case(case.pipeline, case.inputs, undisturbed.lake, case.deliveries).run()
    usual.run()
    assert_equal(contents(undisturbed.lake), case.lake)
    assert_sound(usual)


def test_a_run_killed_when_its_gate_has_refused_tells_it_once(shop_inputs: Path, tmp_path: Path):
    case = Case("refused", shop_inputs, tmp_path / "lake")

    kill(case, Fault(Seam.REFUSAL_RECORDED))

    assert "rejected" == case.run().state
    told = pl.read_delta(str(case.lake / "_quality_batches"))
    assert 2 == told["run_id"].n_unique() == told.height
