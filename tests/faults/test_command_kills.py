"""Commands beside a run are killed where the seed says: a source moved back, a range computed again, a table mended.

Whoever goes on, with a plain run or with the same command once more, comes to the tables of a command that nothing
disturbed; a run that meets damage which is not mended yet says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dataflow import Engine
from dataflow.engine.mending import Damage
from dataflow.errors import LakeCorrupt
from dataflow.lake.errors import WAY_OUT
from dataflow.lake.lake import Lake
from dataflow.lake.lease import read_state
from tests.faults.commands import COMMANDS
from tests.faults.conftest import Clean
from tests.faults.harness import Case
from tests.faults.kills import CleanRuns, kill_drawn
from tests.faults.sample import Point, parameters, points
from tests.faults.soundness import assert_equal, assert_sound

Commanded = Callable[[str], Clean]
MERGED_AT_ONCE = "latest_orders__duplicates"
"""Where both deliveries are merged in one batch, what the second replaces is a duplicate."""


@pytest.mark.parametrize("point", points("shop"))
def test_a_command_killed_on_its_way(commanded: Commanded, tmp_path: Path, point: Point):
    expected = commanded(point.command)

    case = kill_drawn(point, expected, tmp_path / "lake")

    if point.number % 2 or not goes_on(case.usual) or damage(case):
        assert case.run().state in ("completed", "skipped")
    assert case.usual.run().state in ("completed", "skipped")
    assert_equal(expected.tables, case.lake)
    assert_sound(case.usual)
    assert () == damage(case)
    assert "skipped" == case.usual.run().state
    stages = read_state(Lake(case.lake), "shop").stages.values()
    assert [] == [unit for stage in stages for unit in stage.stale]


def goes_on(usual: Case) -> bool:
    """Whether a plain run goes on; one that does not names the damage and the way out."""
    try:
        report = usual.run()
    except LakeCorrupt as error:
        told = str(error)
    else:
        told = report.reason if report.state == "failed" else ""
    assert not told or WAY_OUT in told, told
    return not told


def damage(case: Case) -> tuple[Damage, ...]:
    """What is told by ``table.py check``, of tables beside a stage's own by nothing else."""
    return Engine(runner="inline").damage(case.workflow())


@pytest.mark.parametrize("command", parameters("commands", list(COMMANDS)))
def test_a_command_that_nothing_disturbs_brings_the_tables_of_clean_runs(
    clean: CleanRuns, commanded: Commanded, command: str
):
    expected, found = clean("shop", 1, 2).tables, commanded(command).tables

    assert sorted(expected) == sorted(found)
    for table in expected.keys() - {MERGED_AT_ONCE}:
        assert expected[table].equals(found[table]), table
