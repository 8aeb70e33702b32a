"""A source that a person moves back is read again from there, and what it then holds replaces what was read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from dataflow import Engine, RunReport, Workflow
from dataflow.engine.epochs import Move
from dataflow.engine.inline import InlineRunner
from dataflow.engine.positions import Wish
from dataflow.engine.runner import RunContext
from dataflow.errors import ConfigError, LeaseHeld, SourceUnavailable
from dataflow.lake.lake import Lake
from dataflow.lake.lease import acquire, read_state
from dataflow.lake.seams import Seam
from dataflow.lake.state import Stale
from tests.dataflow.engine.made import Made, done, states
from tests.dataflow.engine.test_incremental import by_month, three_months
from tests.dataflow.engine.test_windows import days, deliver, late, windowed
from tests.faults.harness import Fault, injected

INLINE = Engine(runner="inline")


def mark(workflow: Workflow, source: str = "orders") -> tuple[Any, ...]:
    found = INLINE.watermarks(workflow)[source]
    return found["position"], found["epoch"], found["batch_id"]


def names(found: Move) -> list[str]:
    return [Path(name).name for name in found.files]


@pytest.fixture
def shop(made: Made) -> Workflow:
    three_months(made)
    workflow = by_month(made)
    done(made.run(workflow))
    return workflow


def test_what_lies_beyond_is_read_again_and_replaced(made: Made, shop: Workflow):
    before, tables = made.rows("rated", "amount", "rate"), ("orders", "doubled", "rated")
    assert ({"files": 3, "file_id": 3}, 0, "orders.0.1") == mark(shop)

    found = INLINE.move(shop, "orders", {"file_id": 1})

    assert (["2.csv", "3.csv"], 4, 1) == (names(found), found.rows, found.epoch)
    assert sum((made.root / "in" / "orders" / name).stat().st_size for name in names(found)) == found.size_bytes
    assert ("doubled", "rated") == found.downstream
    assert ({"files": 1, "file_id": 1}, 1, "orders.0.1") == mark(shop)
    assert {"files": 1, "file_id": 1} == found.position
    report = done(made.run(shop))
    orders = report.stage("orders")
    assert (2, 1, "orders.1.2") == (orders.units, orders.units_fresh, orders.batch_id)
    assert '2 files to land again (its position was moved back to {"file_id": 1} (epoch 1))' == orders.reason
    assert ({"files": 3, "file_id": 3}, 1, "orders.1.2") == mark(shop)
    assert before == made.rows("rated", "amount", "rate")
    assert [6] * 3 == [made.frame(table).height for table in tables]
    assert "skipped" == made.run(shop).state


def test_batches_of_an_epoch_are_counted_on_and_the_tables_know_them(made: Made, shop: Workflow):
    for _ in range(2):
        INLINE.move(shop, "orders")
        done(made.run(shop))
    made.csv("orders/4.csv", "month,amount", ["4,40"])
    done(made.run(shop))

    assert ({"files": 4, "file_id": 5}, 2, "orders.2.4") == mark(shop), "the one file of rates has id 4"
    handle = DeltaTable(str(made.lake / "orders"))
    assert [1, 2, 4] == [handle.transaction_version(f"orders@{epoch}") for epoch in range(3)]
    told = [(c["dataflow_epoch"], c["dataflow_position"]) for c in reversed(handle.history())]
    assert [
        ("0", '{"files": 3, "file_id": 3}'),
        ("1", '{"files": 3, "file_id": 3}'),
        ("2", '{"files": 3, "file_id": 3}'),
        ("2", '{"files": 4, "file_id": 5}'),
    ] == told
    assert "0" == DeltaTable(str(made.lake / "doubled")).history()[0]["dataflow_epoch"]
    assert 7 == made.frame("orders").height


def test_what_a_file_holds_by_then_is_what_is_there(made: Made, shop: Workflow):
    made.csv("orders/2.csv", "month,amount", ["2,99"])

    INLINE.move(shop, "orders", {"file": "1.csv"})
    done(made.run(shop))

    assert [("10",), ("11",), ("30",), ("31",), ("99",)] == made.rows("orders", "amount")
    assert [("10",), ("11",), ("30",), ("31",), ("99",)] == made.rows("rated", "amount")


def test_a_day_is_back_to_what_arrived_from_then_on(made: Made, shop: Workflow):
    for month, day in ((1, 10), (2, 20), (3, 30)):
        moment = 1_700_000_000 + day * 86_400
        os.utime(made.root / "in" / "orders" / f"{month}.csv", (moment, moment))
    done(made.run(shop, incremental=False))

    # 1,700,000,000 is 14 November 2023, 22:13:20.
    assert ["2.csv", "3.csv"] == names(INLINE.move(shop, "orders", {"since": "2023-12-04"}, plan=True))
    assert ["3.csv"] == names(INLINE.move(shop, "orders", {"since": "2023-12-05"}, plan=True))
    assert ["2.csv", "3.csv"] == names(INLINE.move(shop, "orders", {"since": "2023-12-04T22:13:20"}, plan=True))
    assert ["3.csv"] == names(INLINE.move(shop, "orders", {"since": "2023-12-04T22:13:21Z"}, plan=True))
    assert ["2.csv", "3.csv"] == names(INLINE.move(shop, "orders", {"since": "2023-12-05T00:13:20+02:00"}, plan=True))


@pytest.mark.parametrize("position", [None, {}, {"file_id": 0}, {"files": 0, "file_id": 0}])
def test_the_beginning_has_several_names(made: Made, shop: Workflow, position: Any):
    found = INLINE.move(shop, "orders", position)

    assert (["1.csv", "2.csv", "3.csv"], {"files": 0, "file_id": 0}) == (names(found), found.position)


def test_with_plan_nothing_is_touched(made: Made, shop: Workflow):
    before = made.files()

    planned = INLINE.move(shop, "orders", {"file_id": 2}, plan=True)

    assert before == made.files()
    assert planned == INLINE.move(shop, "orders", {"file_id": 2})


def test_moved_twice_the_ranges_add_up(made: Made, shop: Workflow):
    INLINE.move(shop, "orders", {"file_id": 2})
    INLINE.move(shop, "orders", {"file_id": 1})

    assert ({"files": 1, "file_id": 1}, 2, "orders.0.1") == mark(shop)
    report = done(made.run(shop))
    assert (2, "orders.2.2") == (report.stage("orders").units, report.stage("orders").batch_id)
    assert 6 == made.frame("orders").height


def test_an_epoch_concerns_its_source_alone(made: Made, shop: Workflow):
    INLINE.move(shop, "rates")

    report = done(made.run(shop))

    assert {"orders": "skipped", "rates": "published", "doubled": "skipped"} == {
        name: state for name, state in states(report).items() if name != "rated"
    }
    assert 0 == INLINE.watermarks(shop)["orders"]["epoch"]
    assert 1 == INLINE.watermarks(shop)["rates"]["epoch"]


def test_new_files_come_with_those_that_are_read_again(made: Made, shop: Workflow):
    INLINE.move(shop, "orders", {"file_id": 2})
    made.csv("orders/4.csv", "month,amount", ["4,40"])

    report = done(made.run(shop))

    assert report.stage("orders").reason.startswith("1 new file, 1 file to land again (its position was moved back")
    assert 7 == made.frame("orders").height
    assert ({"files": 4, "file_id": 5}, 1, "orders.1.2") == mark(shop)


def test_a_run_that_leaves_the_source_out_leaves_the_wish_to_the_next(made: Made, shop: Workflow):
    INLINE.move(shop, "orders", {"file_id": 2})
    assert "skipped" == made.run(shop, select="rates").state

    assert 1 == done(made.run(shop)).stage("orders").units


def test_a_batch_that_is_refused_leaves_the_rows_and_the_wish(made: Made):
    made.csv("orders/1.csv", "amount", ["1"])
    workflow = made.workflow()
    few = {"type": "expect_table_row_count_to_be_between", "max_value": 1}
    gate = [{"name": "few", "expectation": few, "on_fail": "fail"}]
    made.source(workflow, "orders", gate=gate)
    done(made.run(workflow))
    made.csv("orders/1.csv", "amount", ["1", "2"])
    INLINE.move(workflow, "orders")

    assert "rejected" == made.run(workflow).state

    assert [("1",)] == made.rows("orders", "amount")
    assert ({"files": 0, "file_id": 0}, 1, "orders.0.1") == mark(workflow)
    made.csv("orders/1.csv", "amount", ["7"])
    done(made.run(workflow))
    assert [("7",)] == made.rows("orders", "amount")


# ---------------------------------------------------------------- refused


REFUSED: list[tuple[Any, str]] = [
    ({"file_id": 4}, "it lies ahead of what was read, which ends with file id 3"),
    ({"file_id": 3}, 'nothing was read after it, the source is at {"files": 3, "file_id": 3}'),
    ({"file_id": -1}, "a file id is a whole number, from 0 for the beginning"),
    ({"file_id": True}, "a file id is a whole number"),
    ({"file_id": "2"}, "a file id is a whole number"),
    ({"file": "2.cvs"}, "no such file was read; did you mean '2.csv'?"),
    ({"file": 2}, "no such file was read"),
    ({"file": "3.csv"}, "nothing was read after it"),
    ({"since": "yesterday"}, 'it is no date and no time: write "2026-01-31"'),
    ({"since": "2026-13-01"}, "it is no date and no time"),
    ({"since": "2999-01-01"}, "nothing was read after it"),
    ({"files": 2}, 'a position is null or {} for the beginning, {"file_id": 3}'),
    ({"files": 2, "file_id": 3}, "nothing was read after it"),
    ({"file_id": 1, "file": "1.csv"}, "a position is null or {}"),
    ({"cursor": 4}, "a position is null or {}"),
    ({"id": 1}, "a position is null or {}"),
    (3, "a position is null or {}"),
    ("1.csv", "a position is null or {}"),
    ([], "a position is null or {}"),
]


def test_a_position_that_does_not_fit_is_refused_with_the_reason(made: Made, shop: Workflow, subtests: pytest.Subtests):
    before = made.files()
    for position, why in REFUSED:
        with subtests.test(position=position):
            with pytest.raises(ConfigError) as caught:
                INLINE.move(shop, "orders", position)
            assert caught.value.message.startswith("source 'orders': position ")
            assert why in caught.value.message
    assert before == made.files()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("doubled", "stage 'doubled' is computed, only sources have a position: orders, rates"),
        ("order", "unknown source 'order'; did you mean 'orders'?"),
    ],
)
def test_only_sources_are_moved(made: Made, shop: Workflow, source: str, why: str):
    with pytest.raises(ConfigError, match=why):
        INLINE.move(shop, source)


def test_a_source_that_was_never_read_is_at_its_beginning(made: Made):
    three_months(made)

    with pytest.raises(ConfigError, match="nothing of it is published yet, the next run reads it from its beginning"):
        INLINE.move(by_month(made), "orders")

    assert not made.lake.exists()


@pytest.mark.parametrize(
    ("gone", "position", "why"),
    [
        (
            (2,),
            None,
            r"1 file of 3 is not there any more \(.*/2.csv\), and its rows could not be read again; put it back; back to file id 2,",
        ),
        (
            (1, 2),
            None,
            r"2 files of 3 are not there any more \(.*1.csv, .*2.csv\), and their rows could .*; back to file id 2, after the last",
        ),
        (
            (3,),
            {"file_id": 1},
            r"1 file of 2 is not there any more \(.*/3.csv\), and its rows could not be read again; put it back$",
        ),
    ],
)
def test_a_source_that_no_longer_has_the_files_is_not_moved(
    made: Made, shop: Workflow, gone: tuple[int, ...], position: Any, why: str
):
    for month in gone:
        (made.root / "in" / "orders" / f"{month}.csv").unlink()
    before = made.files()

    with pytest.raises(ConfigError, match=f"source 'orders' can no longer be read that far back: {why}"):
        INLINE.move(shop, "orders", position)

    assert before == made.files()
    assert 6 == made.frame("orders").height


def test_files_that_are_gone_before_the_range_do_not_matter(made: Made, shop: Workflow):
    (made.root / "in" / "orders" / "1.csv").unlink()

    INLINE.move(shop, "orders", {"file_id": 1})

    done(made.run(shop))
    assert 6 == made.frame("orders").height


def test_a_source_that_does_not_answer_is_not_moved(made: Made, shop: Workflow):
    (made.root / "in" / "orders").rename(made.root / "in" / "unmounted")

    with pytest.raises(SourceUnavailable):
        INLINE.move(shop, "orders")

    assert 0 == INLINE.watermarks(shop)["orders"]["epoch"]


def test_two_files_of_one_name_are_told_apart(made: Made):
    for folder in ("a", "b"):
        made.csv(f"orders/{folder}/1.csv", "n", ["1"])
    workflow = made.workflow()
    workflow.add_source("orders", {"path": [str(made.root / "in" / "orders" / f) for f in ("a", "b")]})
    done(made.run(workflow))

    with pytest.raises(ConfigError, match=r"2 files have this name: .*a/1.csv, .*b/1.csv; name one in full"):
        INLINE.move(workflow, "orders", {"file": "1.csv"})

    full = str(made.root / "in" / "orders" / "a" / "1.csv")
    assert [str(made.root / "in" / "orders" / "b" / "1.csv")] == [
        *INLINE.move(workflow, "orders", {"file": full}).files
    ]


def test_while_a_run_is_at_work_nothing_is_moved(made: Made, shop: Workflow):
    held = acquire(Lake(str(made.lake)), "made", "other", ttl_seconds=60)

    with pytest.raises(LeaseHeld, match="pipeline 'made' is being run already: run other"):
        INLINE.move(shop, "orders")

    held.release(clean=True)
    assert 1 == INLINE.move(shop, "orders").epoch


def test_what_an_interrupted_run_had_begun_is_finished_before(made: Made, shop: Workflow):
    made.csv("orders/4.csv", "month,amount", ["4,40"])
    with injected(Fault(Seam.INTENT_RECORDED, act="fail")):
        assert "failed" == made.run(shop).state
    assert 1 == len(read_state(Lake(str(made.lake)), "made").intents)

    found = INLINE.move(shop, "orders", {"file_id": 3})

    assert ["4.csv"] == names(found)
    assert 7 == made.frame("orders").height
    assert {"files": 3, "file_id": 3} == mark(shop)[0]


def test_a_stage_marked_stale_without_an_epoch_is_run_again_in_its_epoch(made: Made, shop: Workflow):
    lake = Lake(str(made.lake))
    lease = acquire(lake, "made", "r", ttl_seconds=60)
    unit = next(iter(read_state(lake, "made").stage("orders").units))
    lease.record("stale", Stale(stage="orders", units=(unit,), reason="somebody wants it"), stage="orders")
    lease.release(clean=True)

    report = done(made.run(shop))

    assert (1, "orders.0.2") == (report.stage("orders").units, report.stage("orders").batch_id)
    assert "1 file to land again (somebody wants it)" == report.stage("orders").reason


# ---------------------------------------------------------------- wishes that a run is told of


class Wishing(InlineRunner):
    """Tells a run what people wish, as Prefect's runner does that finds it in blocks."""

    def __init__(self, *wishes: Wish) -> None:
        super().__init__()
        self.wishes = wishes

    def run(self, run: RunContext, body: Callable[[], RunReport]) -> RunReport:
        for wish in self.wishes:
            run.wish(wish)
        return super().run(run, body)


def wish(position: Any, source: str = "orders", name: str = "w1") -> Wish:
    return Wish(source=source, position=position, name=name, place="a note on the door", undo="take it off")


def test_a_wish_is_granted_when_the_run_begins_and_told(made: Made, shop: Workflow):
    report = done(Engine(runner=Wishing(wish({"file_id": 2})), observer=made.events.append).execute(shop))

    told = (
        "a note on the door: source 'orders' begins epoch 1: 1 file (2 rows) read again, and replaced by what it holds"
    )
    assert (told,) == report.notes
    assert [told] == [event.text for event in made.events if event.kind == "granted"]
    assert (1, "orders.1.2") == (report.stage("orders").units, report.stage("orders").batch_id)
    assert "w1" == INLINE.watermarks(shop)["orders"]["wish"]


def test_a_wish_is_granted_once_however_often_it_is_told(made: Made, shop: Workflow):
    note = wish({"file_id": 2})
    done(Engine(runner=Wishing(note)).execute(shop))

    again = Engine(runner=Wishing(note)).execute(shop)

    assert ("skipped", ()) == (again.state, again.notes)
    assert 1 == INLINE.watermarks(shop)["orders"]["epoch"]
    INLINE.move(shop, "orders", {"file_id": 2})
    assert ("completed", ()) == (done(Engine(runner=Wishing(note)).execute(shop)).state, again.notes)
    assert 2 == INLINE.watermarks(shop)["orders"]["epoch"], "also where somebody else moved it since"


def test_a_wish_that_cannot_be_granted_stops_the_run_and_grants_no_other(made: Made, shop: Workflow):
    made.csv("orders/4.csv", "month,amount", ["4,40"])

    with pytest.raises(ConfigError) as caught:
        Engine(runner=Wishing(wish({}), wish({"file_id": 9}, "rates", "w2"))).execute(shop)

    assert caught.value.message.startswith(
        "a note on the door: source 'rates': position {\"file_id\": 9} is not taken: "
    )
    assert caught.value.message.endswith("; take it off")
    assert [0, 0] == [mark["epoch"] for mark in INLINE.watermarks(shop).values()]
    assert 6 == made.frame("orders").height


# ---------------------------------------------------------------- event time


def test_going_back_makes_no_row_late(made: Made):
    deliver(made, 1, "2024-03-01 00:00")
    done(made.run(windowed(made)))
    deliver(made, 2, "2024-03-20 09:00")
    done(made.run(windowed(made)))
    deliver(made, 3, "2024-03-02 00:00", "2024-03-21 00:00")
    done(made.run(windowed(made)))
    before = days(made), late(made)
    assert ([("03-01", "a", 1), ("03-20", "a", 1), ("03-21", "a", 1)], ["03-02 00:00"]) == before
    marks = INLINE.watermarks(windowed(made))["events"]
    assert "2024-03-19T00:00:00+00:00" == marks["event_time"]
    assert marks["event_time"] == DeltaTable(str(made.lake / "daily")).history()[0]["dataflow_event_time"]

    INLINE.move(windowed(made), "events")
    done(made.run(windowed(made)))

    assert before == (days(made), late(made)), "the first file's row lies long before the watermark by now"
    assert {**marks, "batch_id": "events.1.4", "epoch": 1} == INLINE.watermarks(windowed(made))["events"]


def test_a_file_that_came_to_hold_more_is_a_correction_also_after_going_back(made: Made):
    deliver(made, 1, "2024-03-01 00:00")
    done(made.run(windowed(made)))
    deliver(made, 2, "2024-03-20 09:00")
    done(made.run(windowed(made)))
    INLINE.move(windowed(made), "events")
    deliver(made, 1, "2024-03-01 00:00", "2024-03-01 12:00")

    done(made.run(windowed(made)))

    assert ([("03-01", "a", 2), ("03-20", "a", 1)]) == days(made)
