"""The judge of every killed run goes red itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from dataflow.lake.seams import Seam
from tests.faults.harness import Case, Child, Fault
from tests.faults.soundness import assert_equal, assert_sound, contents


def leave_a_file(lake: Path) -> None:
    pl.DataFrame({"x": [1]}).write_parquet(lake / "orders" / "stray.parquet")


def leave_a_manifest(lake: Path) -> None:
    (lake / "_staged" / "orders").mkdir(parents=True)
    (lake / "_staged" / "orders" / "x.json").write_text("{}")


def double_rows(lake: Path) -> None:
    table = DeltaTable(str(lake / "customers"))
    write_deltalake(table, pl.read_delta(str(lake / "customers")).to_arrow(), mode="append")


def lose_rows(lake: Path) -> None:
    DeltaTable(str(lake / "customers")).delete("customer = 'c1'")


@pytest.fixture
def sound(shop_inputs: Path, tmp_path: Path) -> Case:
    case = Case("shop", shop_inputs, tmp_path / "lake")
    assert "completed" == case.run().state
    assert_sound(case)
    return case


@pytest.mark.parametrize("damage", [leave_a_file, leave_a_manifest, double_rows, lose_rows])
def test_damage_is_seen(sound: Case, damage: Callable[[Path], None]):
    expected = contents(sound.lake)
    damage(sound.lake)

    with pytest.raises(AssertionError):
        assert_sound(sound)
    if damage in (double_rows, lose_rows):
        with pytest.raises(AssertionError, match="customers: 7 rows expected"):
            assert_equal(expected, sound.lake)


@pytest.mark.parametrize("seam", [Seam.LEASE_TAKEN, Seam.UNIT_WRITTEN, Seam.INTENT_RECORDED])
def test_a_killed_run_is_not_sound_before_it_is_repaired(shop_inputs: Path, tmp_path: Path, seam: Seam):
    case = Case("shop", shop_inputs, tmp_path / "lake")
    assert None is Child(case, Fault(seam)).end()

    with pytest.raises(AssertionError):
        assert_sound(case)
