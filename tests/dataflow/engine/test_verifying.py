"""``verify`` computes increments in full as well, and publishes nothing where the two differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.dataflow.engine.made import Made, done, failed, same
from tests.dataflow.engine.shelves import Shelves
from tests.dataflow.engine.test_increments_declared import opaque_totals, pipeline


def test_increments_that_are_right_are_published_and_told(tmp_path: Path):
    shelves = Shelves(tmp_path)
    shelves.labels(["a,Apples"])
    shelves.deliver(1, ["1,x,a,2026-01-01T10,5", "2,y,b,2026-01-02T11,7", "3,z,b,2026-01-02T09,-2"])
    assert {()} == {s.notes for s in done(shelves.run(shelves.pipeline(), verify=True)).stages if s.stage != "ranked"}
    shelves.deliver(2, ["4,x,b,2026-01-02T10,6", "5,w,c,2026-01-04T00,9"])
    shelves.deliver(1, ["1,x,a,2026-01-01T10,5", "3,z,b,2026-01-02T09,2"])

    report = done(shelves.run(shelves.pipeline(), verify=True))

    told = {s.stage: [n for n in s.notes if n.startswith("verified")] for s in report.stages if s.kind == "task"}
    assert {
        "read": ["verified: a full computation comes to the same 4 rows"],
        "labelled": ["verified: a full computation comes to the same 4 rows"],
        "shelves": ["verified: a full computation comes to the same 3 rows"],
        "days": ["verified: a full computation comes to the same 3 rows"],
        "latest": ["verified: a full computation comes to the same 3 rows"],
        "latest_shelves": ["verified: a full computation comes to the same 2 rows"],
        "ranked": ["verified: a full computation comes to the same 4 rows"],
    } == told
    assert shelves.clean().told() == shelves.told()


@pytest.mark.parametrize(
    ("pii", "example"), [((), "shelf='b', amount=3"), (("shelf", "amount"), "(its values are not told)")]
)
def test_what_is_declared_and_wrong_is_found(made: Made, pii: tuple[str, ...], example: str):
    made.csv("sales/1.csv", "shelf,amount", ["a,1", "b,2"])
    workflow = pipeline(made, opaque_totals, "append", pii=pii)
    done(made.run(workflow))
    made.csv("sales/2.csv", "shelf,amount", ["b,3"])

    found = failed(made.run(workflow, verify=True), "out")

    assert found.startswith(
        "stage 'out': its increment (append: declared) is not what a full computation comes to: 1 row missing, 2 rows too "
        "many; "
    )
    assert found.endswith(
        ". Nothing is published; run with --full, and declare incremental: full where the function does not go by what is "
        "declared or proven"
    )
    assert ("shelf='b'" in found, "not told" in found) == ((True, False) if not pii else (False, True)), example
    assert [("a", 1), ("b", 2)] == made.rows("out", "shelf", "amount")


def means(sales: pl.LazyFrame) -> pl.LazyFrame:
    return sales.group_by("shelf").agg(
        pl.col("amount").cast(pl.Float64).sum() / 3, pl.lit(None, pl.Float64).alias("none")
    )


def test_the_last_digits_of_fractions_may_differ(made: Made):
    from dataflow.engine.verifying import _is_near  # pyright: ignore[reportPrivateUsage]

    rows = {"shelf": ["a", "a", "b", "b"], "mean": [0.1 + 0.2, 0.3, None, None], "_verify_side": [1, -1, 2, -2]}
    near = pl.DataFrame(rows).with_columns(shelf=pl.Series(["a", "a", "b", "b"]))
    assert _is_near(near, ["shelf", "mean"])
    assert not _is_near(near.with_columns(mean=pl.Series([0.1, 0.2, None, None])), ["shelf", "mean"])
    assert not _is_near(near.with_columns(shelf=pl.Series(["a", "c", "b", "b"])), ["shelf", "mean"])
    assert not _is_near(near.with_columns(_verify_side=pl.Series([2, -1, 2, -2])), ["shelf", "mean"])
    assert not _is_near(near.drop("mean"), ["shelf"])


def test_units_of_partitions_are_compared_together(made: Made):
    by: dict[str, Any] = {"partition_by": ["shelf"]}
    made.csv("sales/1.csv", "shelf,amount", ["a,1", "b,2"])
    workflow = made.workflow()
    made.source(workflow, "sales", storage=by)
    workflow.add_task("out", means, ["sales"], storage=by, **by)
    done(made.run(workflow))
    made.csv("sales/2.csv", "shelf,amount", ["b,3"])

    notes = done(made.run(workflow, verify=True)).stage("out").notes

    assert ("verified: a full computation comes to the same 2 rows",) == notes


@pytest.mark.parametrize(
    "strategy",
    [
        {"type": "bronze_append"},
        {"type": "scd2", "key": ["key"], "effective_at": "day"},
        {"type": "snapshot", "key": ["key"], "min_share": 0},
    ],
    ids=lambda strategy: strategy["type"],
)
def test_what_a_strategy_notes_of_batches_is_not_compared(tmp_path: Path, strategy: dict[str, Any]):
    made = Made(tmp_path)
    workflow = made.workflow()
    made.source(workflow, "events")
    workflow.add_task("kept", same, ["events"])
    workflow.add_task("settled", None, ["kept"], strategy=strategy)
    made.csv("events/1.csv", "key,day,value", ["a,2026-01-01,1", "b,2026-01-02,2"])
    made.csv("events/2.csv", "key,day,value", ["c,2026-01-02,3"])
    done(made.run(workflow))
    # Copies of rows of an earlier batch, which a full computation marks, and dumps that it takes one after the other.
    made.csv("events/3.csv", "key,day,value", ["a,2026-01-01,1", "b,2026-01-02,2"])
    done(made.run(workflow, verify=True))
    made.csv("events/4.csv", "key,day,value", ["a,2026-01-01,1", "b,2026-01-03,2"])
    done(made.run(workflow, verify=True))


def shuffled(sales: pl.LazyFrame) -> pl.LazyFrame:
    return sales.map_batches(lambda frame: frame.sample(fraction=1, shuffle=True))


def test_a_function_whose_rows_come_in_another_order_each_time_is_asked_once(made: Made):
    newest = {"type": "polars_merge", "dedup_key": ["shelf"], "sort_by": ["amount"]}
    workflow = pipeline(made, shuffled, strategy=newest)
    made.csv("sales/1.csv", "shelf,amount", [f"{n % 9},{n}" for n in range(60)])
    done(made.run(workflow))
    made.csv("sales/2.csv", "shelf,amount", ["1,99"])

    report = done(made.run(workflow, verify=True))

    assert "verified: a full computation comes to the same 9 rows" in report.stage("out").notes
