from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dataflow.engine.coalesce import coalesce
from dataflow.model import Unit
from dataflow.plan import PlannedUnit


def units(sizes: list[int]) -> list[PlannedUnit]:
    return [PlannedUnit(Unit(stage="s", partition=(("n", str(n)),)), str(n), size_bytes=b) for n, b in enumerate(sizes)]


@given(st.lists(st.integers(0, 10**12), max_size=300), st.integers(1, 64))
def test_every_unit_is_in_one_group_in_order(sizes: list[int], most: int):
    planned = units(sizes)

    groups = coalesce(planned, most)

    assert planned == [unit for group in groups for unit in group]
    assert len(groups) <= most
    assert all(groups)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300), st.integers(1, 64))
def test_no_group_is_larger_than_its_share_and_one_unit(sizes: list[int], most: int):
    groups = coalesce(units(sizes), most)

    share = sum(sizes) / min(most, len(sizes))
    assert max(sum(u.size_bytes for u in group) for group in groups) <= share + max(sizes) + 1


def test_few_units_are_groups_of_their_own():
    planned = units([1, 10**9, 1])

    assert [(unit,) for unit in planned] == coalesce(planned, 3)
