"""Units that are marked stale stay published, whatever was begun meanwhile, and new epochs begin where one is given."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.errors import LakeCorrupt
from dataflow.lake.fold import fold
from dataflow.lake.journal import Entry
from dataflow.lake.lake import Lake
from dataflow.lake.lease import acquire, read_state
from dataflow.lake.state import PipelineState, Stale, UnitState
from dataflow.model import Unit
from tests.dataflow.lake.test_journal import begun, done, entry, intent, outputs


def unit(name: str, key: str = "k", seq: int = 1) -> UnitState:
    return UnitState(unit=Unit(stage="t", partition=(("month", name),)), key=key, batch_id=f"t.0.{seq}")


A, B, C = unit("a"), unit("b"), unit("c")
FIRST = intent(units=(A, B, C))


def stale(*units: UnitState, stage: str = "t", epoch: int | None = None, wish: str = "") -> Entry:
    ids = tuple(u.unit.id for u in units) or None
    return entry("stale", Stale(stage=stage, units=ids, epoch=epoch, reason="asked for", wish=wish), stage=stage)


def keys(state: PipelineState, stage: str = "t") -> dict[str, str]:
    return {str(u.unit.partition[0][1]): u.key for u in state.stage(stage).units.values()}


def test_units_lose_their_key_and_stay_published():
    before = fold([begun(FIRST), done(FIRST)])["p"].stage("t")

    state = fold([begun(FIRST), done(FIRST), stale(A, C)])["p"]

    assert {"a": "", "b": "k", "c": ""} == keys(state)
    assert ["a", "c"] == [u.unit.partition[0][1] for u in state.stage("t").stale]
    assert before == state.stage("t").model_copy(update={"units": before.units}), "nothing else has changed"


def test_without_a_choice_all_units_of_the_stage_are_meant_and_of_no_other():
    other = intent(
        "u", units=(UnitState(unit=Unit(stage="u", partition=(("month", "a"),)), key="k", batch_id="u.0.1"),)
    )

    state = fold([begun(FIRST), done(FIRST), begun(other), done(other), stale()])["p"]

    assert {"a": "", "b": "", "c": ""} == keys(state)
    assert {"a": "k"} == keys(state, "u")


def test_a_batch_makes_the_units_fresh_that_it_holds():
    second = intent(seq=2, units=(unit("a", "new", 2),))

    state = fold([begun(FIRST), done(FIRST), stale(A, B), begun(second), done(second)])["p"]

    assert {"a": "new", "b": "", "c": "k"} == keys(state)


def test_what_was_begun_before_does_not_make_units_fresh_when_it_is_finished():
    second = intent(seq=2, units=(unit("a", "begun", 2), unit("b", "begun", 2)))

    state = fold([begun(FIRST), done(FIRST), begun(second), stale(A), done(second)])["p"]

    assert {"a": "", "b": "begun", "c": "k"} == keys(state)


def test_units_that_are_not_published_are_passed_over():
    state = fold([begun(FIRST), done(FIRST), stale(unit("gone"))])["p"]

    assert {"a": "k", "b": "k", "c": "k"} == keys(state)
    assert {} == fold([stale()])["p"].stage("t").units


def test_a_new_epoch_keeps_the_units_and_the_numbers_of_batches_go_on():
    state = fold([begun(FIRST), done(FIRST), stale(B, epoch=1, wish="w")])["p"]

    published = state.stage("t")
    assert (1, 1, "w") == (published.epoch, published.seq, published.wish)
    assert {"a": "k", "b": "", "c": "k"} == keys(state)
    second = intent(seq=2, epoch=1, batch_id="t.1.2", units=(unit("b", "new", 2),))
    later = fold([begun(FIRST), done(FIRST), stale(B, epoch=1, wish="w"), begun(second), done(second)])["p"]
    assert (1, 2, "w", "t.1.2") == tuple(getattr(later.stage("t"), n) for n in ("epoch", "seq", "wish", "batch_id"))
    assert {"a": "k", "b": "new", "c": "k"} == keys(later)


def test_an_epoch_never_goes_back_when_an_older_batch_is_finished():
    state = fold([begun(FIRST), stale(epoch=3), done(FIRST)])["p"]

    assert 3 == state.stage("t").epoch
    assert {"a": "", "b": "", "c": ""} == keys(state)


def test_stale_units_are_dropped_with_their_batch():
    second = intent(seq=2, units=(), dropped=(A.unit,))

    state = fold([begun(FIRST), done(FIRST), stale(A), begun(second), done(second)])["p"]

    assert {"b": "k", "c": "k"} == keys(state)


def test_a_batch_that_sends_quarantined_rows_again_leaves_units_stale():
    second = intent(seq=2, units=(unit("a", "again", 2),), replays=True)

    state = fold([begun(FIRST), done(FIRST), stale(A), begun(second), done(second)])["p"]

    assert {"a": "", "b": "k", "c": "k"} == keys(state)


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from(["publish a", "publish b", "begin a", "finish", "stale a", "stale", "epoch"]), max_size=12)
)
def test_a_unit_is_stale_from_its_mark_to_the_next_batch_that_was_begun_after_it(steps: list[str]):
    entries, seq, epoch, open_intents = [begun(FIRST), done(FIRST)], 1, 0, list[str]()
    marked: dict[str, bool] = {"a": False, "b": False, "c": False}
    pending: dict[str, dict[str, bool]] = {}
    made = {}
    for step in steps:
        if step.startswith(("publish", "begin")):
            seq += 1
            name = step[-1]
            batch = made[f"t.{seq}"] = intent(
                seq=seq, epoch=epoch, batch_id=f"t.{seq}", units=(unit(name, "new", seq),)
            )
            entries.append(begun(batch))
            pending[f"t.{seq}"] = {name: False}
            open_intents.append(f"t.{seq}")
        if step.startswith(("publish", "finish")):
            for batch_id in open_intents:
                entries.append(done(made[batch_id]))
                marked |= pending.pop(batch_id)
            open_intents.clear()
        if step.startswith(("stale", "epoch")):
            chosen = [A] if step == "stale a" else []
            epoch += step == "epoch"
            entries.append(stale(*chosen, epoch=epoch if step == "epoch" else None))
            names = ["a"] if chosen else ["a", "b", "c"]
            for group in (marked, *pending.values()):
                group |= {name: True for name in names if name in group}

    state = fold(entries)["p"]

    assert marked == {name: not key for name, key in keys(state).items()}
    assert epoch == state.stage("t").epoch


def test_marks_outlive_the_run_and_the_archiving_of_the_journal(tmp_path: Path):
    lake = Lake(tmp_path / "lake")
    held = acquire(lake, "p", "r1", ttl_seconds=60)
    held.record("intent", FIRST, stage="t", batch_id=FIRST.batch_id)
    held.record("published", outputs(), stage="t", batch_id=FIRST.batch_id)
    held.record("stale", Stale(stage="t", units=(A.unit.id,), epoch=1, reason="asked for", wish="w"), stage="t")
    for _ in range(70):
        held.record("beat", outputs())
    held.release(clean=True)

    state = read_state(lake, "p")

    assert {"a": "", "b": "k", "c": "k"} == keys(state)
    assert (1, "w") == (state.stage("t").epoch, state.stage("t").wish)


@pytest.mark.parametrize("body", ['{"units": [], "reason": "no stage"}', '{"stage": "t"}'])
def test_an_entry_that_cannot_be_understood_is_told(body: str):
    with pytest.raises(LakeCorrupt, match="stale of pipeline 'p'"):
        fold([Entry(kind="stale", pipeline="p", run_id="r", body=body)])
