"""What a function may do, and what is said of what it may not."""

from __future__ import annotations

import polars as pl
import pytest

from dataflow import Workflow
from dataflow.lake.seams import Seam
from tests.dataflow.engine.made import Function, Made, done, failed, nonzero
from tests.faults.harness import Fault, injected


def stage(made: Made, function: Function, **options: object) -> Workflow:
    workflow = made.workflow()
    made.source(workflow, "orders", storage={"partition_by": ["month"]})
    workflow.add_task("made", function, ["orders"], retry={"delay_seconds": 0}, **options)  # pyright: ignore
    return workflow


BY_MONTH = {"partition_by": ["month"], "storage": {"partition_by": ["month"]}}


@pytest.fixture
def orders(made: Made) -> Made:
    made.csv("orders/1.csv", "month,id", ["1,a", "1,b", "2,c"])
    return made


def test_a_data_frame_will_do(orders: Made):
    done(orders.run(stage(orders, lambda orders: orders.collect().with_columns(n=pl.lit(1)))))

    assert [("a", 1), ("b", 1), ("c", 1)] == orders.rows("made", "id", "n")


def test_a_function_that_forgets_to_return(orders: Made):
    said = failed(orders.run(stage(orders, lambda orders: None)), "made")

    assert "stage 'made': its function returned NoneType; return a polars LazyFrame" == said


def test_an_error_in_the_function_is_told_with_the_stage(orders: Made):
    def breaks(orders: pl.LazyFrame) -> pl.LazyFrame:
        raise KeyError("nothing of the kind")

    said = failed(orders.run(stage(orders, breaks)), "made")
    assert "stage 'made': its function raised KeyError: 'nothing of the kind'" in said


def test_an_error_while_computing_is_told_with_the_unit(orders: Made):
    def breaks(orders: pl.LazyFrame) -> pl.LazyFrame:
        return orders.with_columns(pl.col("id").cast(pl.Int64))

    said = failed(orders.run(stage(orders, breaks, **BY_MONTH)), "made")

    assert said.startswith(("stage 'made', month=1: InvalidOperationError: ", "stage 'made', month=2: InvalidOp"))
    assert "conversion from `str` to `i64` failed" in said
    assert "\n" not in said


def test_an_unknown_column_is_told_with_the_unit(orders: Made):
    said = failed(orders.run(stage(orders, lambda orders: orders.select("idd"))), "made")

    assert "stage 'made', all: ColumnNotFoundError:" in said
    assert "idd" in said


def test_a_panic_of_polars_is_the_stage_s_failure(orders: Made):
    def panics(orders: pl.LazyFrame) -> pl.LazyFrame:
        orders.collect()
        raise pl.exceptions.PanicException("index out of bounds")

    said = failed(orders.run(stage(orders, panics)), "made")

    assert "stage 'made', all: PanicException: index out of bounds" in said


def test_a_column_of_ours_may_not_be_returned(orders: Made):
    said = failed(orders.run(stage(orders, lambda orders: orders.with_columns(_batch_id=pl.lit("x")))), "made")

    assert "its function returns '_batch_id', a name that dataflow keeps for itself; rename the column" in said


def test_system_columns_are_not_shown(orders: Made):
    seen: list[list[str]] = []

    def looks(orders: pl.LazyFrame) -> pl.LazyFrame:
        seen.append([c for c in orders.collect_schema() if not c.endswith("_row_id")])
        return orders

    done(orders.run(stage(orders, looks)))

    assert [["month", "id"]] * len(seen) == seen


def test_no_input_rows_are_no_output_rows(orders: Made):
    orders.csv("orders/1.csv", "month,id", [])

    report = done(orders.run(stage(orders, lambda orders: orders)))

    assert {} == nonzero(report.stage("made")) == nonzero(report.stage("orders"))
    assert [] == orders.rows("made", "id")
    orders.csv("orders/2.csv", "month,id", ["1,a"])
    done(orders.run(stage(orders, lambda orders: orders)))
    assert [("a",)] == orders.rows("made", "id")


def test_a_stage_may_filter_all_its_rows(orders: Made):
    report = done(orders.run(stage(orders, lambda orders: orders.filter(id="z"), **BY_MONTH)))

    assert {"read": 3, "filtered": 3} == nonzero(report.stage("made"))
    assert "skipped" == orders.run(stage(orders, lambda orders: orders.filter(id="z"), **BY_MONTH)).state


def test_a_new_column_comes_with_changed_code(orders: Made):
    done(orders.run(stage(orders, lambda orders: orders, **BY_MONTH)))

    done(orders.run(stage(orders, lambda orders: orders.with_columns(more=pl.lit(1)), **BY_MONTH)))

    assert [("a", 1), ("b", 1), ("c", 1)] == orders.rows("made", "id", "more")


def typed_by(place: object) -> Function:
    """A function whose result depends on something that no fingerprint sees."""

    def function(orders: pl.LazyFrame) -> pl.LazyFrame:
        from pathlib import Path

        what = Path(str(place)).read_text()
        if what == "more":
            return orders.with_columns(more=pl.lit(1))
        if what == "less":
            return orders.select("month")
        return orders.with_columns(id=pl.lit(1)) if what == "other" else orders

    return function


def test_a_column_may_be_added_to_some_partitions(orders: Made):
    place = orders.root / "what"
    place.write_text("")
    done(orders.run(stage(orders, typed_by(place), **BY_MONTH)))
    place.write_text("more")
    orders.csv("orders/2.csv", "month,id", ["3,d"])

    done(orders.run(stage(orders, typed_by(place), **BY_MONTH)))

    assert [("a", None), ("b", None), ("c", None), ("d", 1)] == orders.rows("made", "id", "more")


@pytest.mark.parametrize(("what", "says"), [("less", "'id' is gone"), ("other", "'id' was String, is Int32")])
def test_other_columns_are_refused_and_the_way_out_leads_out(orders: Made, what: str, says: str):
    place = orders.root / "what"
    place.write_text("")
    done(orders.run(stage(orders, typed_by(place), **BY_MONTH)))
    before = orders.rows("made", "month", "id")
    place.write_text(what)
    orders.csv("orders/2.csv", "month,id", ["3,d"])

    for _ in range(2):
        said = failed(orders.run(stage(orders, typed_by(place), **BY_MONTH)), "made")
        assert says in said
        assert "run with --full to write the table anew" in said
        assert before == orders.rows("made", "month", "id")

    done(orders.run(stage(orders, typed_by(place), **BY_MONTH), incremental=False))
    assert 4 == orders.frame("made").height


def test_units_that_return_different_columns_are_refused(orders: Made):
    def differs(orders: pl.LazyFrame) -> pl.LazyFrame:
        frame = orders.collect()
        return frame.lazy().with_columns(pl.lit(1).alias(f"of_{frame['month'][0]}"))

    said = failed(orders.run(stage(orders, differs, **BY_MONTH)), "made")

    assert said.startswith(
        "stage 'made': its units return different columns or types: 'of_1' is Int32 in one and missing"
    )
    assert said.endswith("return the same from every call")


def test_units_that_return_different_columns_are_refused_before_a_gate(orders: Made):
    def differs(orders: pl.LazyFrame) -> pl.LazyFrame:
        frame = orders.collect()
        return frame.lazy().with_columns(pl.lit(1).alias(f"of_{frame['month'][0]}"))

    rule = {"name": "id", "predicate": "id IS NOT NULL"}
    said = failed(orders.run(stage(orders, differs, gate=[rule], **BY_MONTH)), "made")

    assert said.startswith(
        "stage 'made': its units return different columns or types: 'of_1' is Int32 in one and missing"
    )
    assert said.endswith("return the same from every call")


def test_a_table_that_lost_staged_files_is_told_and_mended(orders: Made):
    workflow = stage(orders, lambda orders: orders)
    with injected(Fault(Seam.INTENT_RECORDED, 2, "fail")):
        assert "failed" == orders.run(workflow).state
    for path in (orders.lake / "made").rglob("*.parquet"):
        path.unlink()

    report = done(orders.run(workflow))

    assert any("could not be finished and is done again" in text for text in report.repaired)
    assert [("a",), ("b",), ("c",)] == orders.rows("made", "id")


def test_what_partitioning_needs_is_said(made: Made):
    made.csv("orders/1.csv", "month,id", ["1,a"])
    workflow = made.workflow()
    made.source(workflow, "orders")
    workflow.add_task("made", lambda orders: orders, ["orders"], **BY_MONTH)  # pyright: ignore[reportArgumentType]

    said = failed(made.run(workflow), "made")

    assert "stage 'made' runs by month, but its first input 'orders' is partitioned by nothing" in said
    assert "give 'orders' `storage: {partition_by: [month]}`" in said
