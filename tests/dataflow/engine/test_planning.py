"""``Engine.plan``: what would run and why, without touching a byte."""

from __future__ import annotations

import shutil
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from dataflow import LakeError, PlanError, SourceError, Workflow
from dataflow.lake.damage import check_whole
from dataflow.lake.lake import Lake, Snapshot
from dataflow.lake.state import StageState
from dataflow.plan import Plan
from tests.dataflow.engine.made import Made, done, failed, same


def pipeline(made: Made, name: str = "made") -> Workflow:
    workflow = made.workflow(name)
    month = {"partition_by": ["month"]}
    made.source(workflow, "orders", storage=month)
    workflow.add_task("clean", same, ["orders"], storage=month, **month)  # pyright: ignore[reportArgumentType]
    workflow.add_task("whole", same, ["clean"])
    return workflow


def said(plan: Plan) -> dict[str, tuple[str, str, int, int]]:
    return {s.stage: (s.action, s.reason, len(s.units), s.units_fresh) for s in plan.stages}


@pytest.fixture
def orders(made: Made) -> Made:
    made.csv("orders/1.csv", "month,id", ["1,a", "1,b", "2,c"])
    return made


def test_a_plan_of_a_new_lake_makes_none(orders: Made):
    plan = orders.plan(pipeline(orders))

    assert {
        "orders": ("run", "1 new file", 1, 0),
        "clean": ("depends", "after orders: what changes there tells which partitions are stale", 0, 0),
        "whole": ("depends", "after clean: what changes there tells which partitions are stale", 0, 0),
    } == said(plan)
    assert not orders.lake.exists()


def test_a_plan_touches_nothing(orders: Made):
    done(orders.run(pipeline(orders)))
    orders.csv("orders/2.csv", "month,id", ["2,d"])
    orders.csv("orders/1.csv", "month,id", ["1,a"])
    before = orders.files()

    plan = orders.plan(pipeline(orders))
    full = orders.plan(pipeline(orders), incremental=False)

    assert ("run", "1 new file, 1 changed file", 2, 0) == said(plan)["orders"]
    assert ("run", "asked for in full: 2 files", 2, 0) == said(full)["orders"]
    assert before == orders.files()


def test_a_plan_of_what_is_fresh_says_so(orders: Made):
    done(orders.run(pipeline(orders)))

    assert {
        "orders": ("skip", "no new or changed files", 0, 1),
        "clean": ("skip", "its inputs have not changed", 0, 2),
        "whole": ("skip", "its inputs have not changed", 0, 1),
    } == said(orders.plan(pipeline(orders)))


def test_a_plan_of_a_selection_says_what_it_would_do_alone(orders: Made):
    done(orders.run(pipeline(orders), select="orders"))

    plan = orders.plan(pipeline(orders), select="clean")

    assert {"clean": ("run", "never run before", 2, 0)} == said(plan)


def test_a_plan_says_what_the_run_then_does(orders: Made):
    done(orders.run(pipeline(orders)))
    orders.csv("orders/2.csv", "month,id", ["2,d"])
    done(orders.run(pipeline(orders), select="orders"))
    plan = orders.plan(pipeline(orders))

    report = done(orders.run(pipeline(orders)))

    assert ("run", "1 partition of orders changed", 1, 1) == said(plan)["clean"]
    assert (1, 1, "1 partition of orders changed") == tuple(
        getattr(report.stage("clean"), name) for name in ("units", "units_fresh", "reason")
    )


def test_a_table_is_listed_once_however_many_stages_read_it(orders: Made, monkeypatch: pytest.MonkeyPatch):
    done(orders.run(pipeline(orders)))
    looked_at: list[str] = []

    def counted(lake: Lake, snapshot: Snapshot, state: StageState) -> None:
        looked_at.append(snapshot.version.table)
        check_whole(lake, snapshot, state)

    monkeypatch.setattr("dataflow.engine.planning.check_whole", counted)
    orders.plan(pipeline(orders))

    assert ["clean", "orders", "whole"] == sorted(looked_at)


def test_a_log_that_was_cleaned_up_means_everything(orders: Made):
    done(orders.run(pipeline(orders)))
    orders.csv("orders/2.csv", "month,id", ["2,d"])
    done(orders.run(pipeline(orders), select="orders"))
    table = DeltaTable(str(orders.lake / "orders"))
    table.create_checkpoint()
    (orders.lake / "orders" / "_delta_log" / f"{1:020d}.json").unlink()

    plan = orders.plan(pipeline(orders))

    assert ("run", "orders has other columns since version 0, or its log no longer tells what changed", 2, 0) == said(
        plan
    )["clean"]


def test_a_missing_source_is_told(made: Made):
    with pytest.raises(SourceError, match=r"source 'orders': no file .*in/orders; check `path` or wait"):
        made.plan(pipeline(made))

    assert "source 'orders': no file" in failed(made.run(pipeline(made)), "orders")


def test_another_pipeline_s_tables_are_left_alone(orders: Made):
    done(orders.run(pipeline(orders)))
    before = {name: data for name, data in orders.files().items() if not name.startswith("_journal")}

    for act in (orders.plan, orders.run):
        with pytest.raises(LakeError, match="table 'clean' belongs to pipeline 'made', not to pipeline 'other'"):
            act(pipeline(orders, "other"))

    assert before == {name: data for name, data in orders.files().items() if not name.startswith("_journal")}
    assert "skipped" == orders.run(pipeline(orders)).state


def test_a_table_that_is_not_ours_is_left_alone(orders: Made):
    write_deltalake(str(orders.lake / "whole"), pl.DataFrame({"x": [1]}).to_arrow())

    with pytest.raises(LakeError, match="table 'whole' belongs to another program, not to pipeline 'made'"):
        orders.run(pipeline(orders))

    assert [(1,)] == orders.rows("whole", "x")


def test_a_lake_without_its_journal_is_not_taken_for_new(orders: Made):
    done(orders.run(pipeline(orders)))
    (orders.lake / "_journal").rename(orders.root / "aside")
    orders.csv("orders/2.csv", "month,id", ["2,d"])

    with pytest.raises(LakeError, match=r"its journal knows nothing of table 'clean', .*; restore the lake's _journal"):
        orders.run(pipeline(orders))

    shutil.rmtree(orders.lake / "_journal")
    (orders.root / "aside").rename(orders.lake / "_journal")
    done(orders.run(pipeline(orders)))
    assert 4 == orders.frame("whole").height


def test_files_that_another_program_rearranged_are_not_doubled(orders: Made):
    orders.csv("orders/2.csv", "month,id", ["1,d"])
    done(orders.run(pipeline(orders)))
    DeltaTable(str(orders.lake / "orders")).optimize.compact()
    orders.csv("orders/1.csv", "month,id", ["1,x"])

    error = failed(orders.run(pipeline(orders)), "orders")
    again = failed(orders.run(pipeline(orders)), "orders")

    assert "another program wrote or rearranged" in error
    assert error == again
    assert 4 == orders.frame("orders").height
    done(orders.run(pipeline(orders), incremental=False))
    assert [("d",), ("x",)] == orders.rows("orders", "id") == orders.rows("whole", "id")


def test_a_cycle_is_a_plan_error(made: Made):
    workflow = made.workflow()
    made.source(workflow, "orders")
    workflow.add_task("a", lambda orders, b: orders, ["orders", "b"])
    workflow.add_task("b", same, ["a"])

    with pytest.raises(PlanError, match="in a circle: a → b → a"):
        made.run(workflow)
    assert not made.lake.exists()


def test_what_other_settings_cannot_land_again_is_told(made: Made) -> None:
    def run(batch_size: int, **options: Any) -> str:
        workflow = made.workflow()
        workflow.add_source("events", {"type": "polars_synthetic", "scale": 25, "batch_size": batch_size})
        return done(made.run(workflow, **options)).stage("events").reason

    assert "3 new files" == run(10)
    assert "its settings changed: 5 files to land again" == run(5)
    assert "its settings changed: 3 files to land again; 2 files are not there any more and stay as landed" == run(10)
    assert "asked for in full: 3 files; 2 files are not there any more and stay as landed" == run(10, incremental=False)
    assert "its settings changed: 4 files to land again; 1 file is not there any more and stays as landed" == run(7)
