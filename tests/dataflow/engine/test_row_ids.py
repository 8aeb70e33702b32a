"""Row ids: one for every row ever landed, and each leads back to a line of a file."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from deltalake import DeltaTable

from dataflow import Workflow
from dataflow.lake.lake import Lake
from dataflow.lake.lease import read_state
from tests.dataflow.engine.made import Made, done

LINE = 1 << 40


def landing(made: Made) -> Workflow:
    workflow = made.workflow()
    made.source(workflow, "orders", storage={"partition_by": ["month"]})
    made.source(workflow, "names")
    workflow.add_task("joined", lambda orders, names: orders.join(names, on="id", how="left"), ["orders", "names"])
    workflow.add_task("picked", lambda joined: joined.select("id", "name"), ["joined"])
    workflow.add_task("summed", lambda joined: joined.group_by("name").agg(pl.len()), ["joined"])
    return workflow


def deliver(made: Made) -> None:
    made.csv("orders/1.csv", "month,id", ["1,a", "2,b", "1,c"])
    made.csv("orders/2.csv", "month,id", ["2,d", "1,a"])
    made.csv("names/1.csv", "id,name", ["a,Anna", "b,Bo"])


def line_of(made: Made, row_id: int) -> str:
    """The line that a row id leads to, by way of what the journal knows of files."""
    (name,) = [f.name for f in read_state(Lake(made.lake), "made").files.values() if f.file_id == row_id // LINE]
    return Path(name).read_text().split("\n")[1 + row_id % LINE]


def test_ids_are_unique_and_lead_to_the_line(made: Made):
    deliver(made)

    done(made.run(landing(made)))

    orders = made.frame("orders").select("_row_id", "_source_file", pl.concat_str("month", "id", separator=","))
    assert 5 == orders["_row_id"].n_unique()
    for row_id, file, text in orders.rows():
        assert text == Path(file).read_text().split("\n")[1 + row_id % LINE] == line_of(made, row_id)
    ids = orders["_row_id"].to_list() + made.frame("names")["_row_id"].to_list()
    assert len(ids) == len(set(ids)), "unique over all sources of the lake"


def test_ids_ride_through_joins_and_selects(made: Made):
    deliver(made)

    done(made.run(landing(made)))

    joined = made.frame("joined").select("id", "name", "_row_id", "_names_row_id")
    assert 5 == joined.height
    for key, name, row_id, names_row_id in joined.rows():
        assert key == line_of(made, row_id).split(",")[1]
        assert (names_row_id is None) == (name is None)
        assert name is None or f"{key},{name}" == line_of(made, names_row_id)


def test_groups_have_no_row_id(made: Made):
    deliver(made)

    report = done(made.run(landing(made)))

    assert ["name", "len", "_batch_id"] == made.frame("summed").columns
    assert () == report.stage("summed").notes, "that goes without saying"


def test_where_ids_cannot_ride_the_report_says_why(made: Made):
    deliver(made)
    workflow = landing(made)
    workflow.add_task("collected", lambda orders: orders.collect().lazy(), ["orders"])

    report = done(made.run(workflow))

    assert ["month", "id", "_batch_id"] == made.frame("collected").columns
    (note,) = report.stage("collected").notes
    assert "row ids are not carried: it collects its input instead of returning a plan" == note


def test_a_corrected_file_gets_new_ids_and_none_is_used_again(made: Made):
    deliver(made)
    done(made.run(landing(made)))
    before = set(made.frame("orders")["_row_id"])
    made.csv("orders/1.csv", "month,id", ["1,a", "2,b"])

    done(made.run(landing(made)))

    after = set(made.frame("orders")["_row_id"])
    assert {2 * LINE, 2 * LINE + 1} == before & after, "the file that stayed"
    assert min(after - before) > max(before)
    assert [
        f.file_id for f in read_state(Lake(made.lake), "made").files.values() if f.name.endswith("orders/1.csv")
    ] == [4]


def test_rows_say_which_batch_and_file_they_came_with(made: Made):
    deliver(made)
    done(made.run(landing(made)))
    made.csv("orders/3.csv", "month,id", ["3,z"])

    report = done(made.run(landing(made)))

    batches = set(made.rows("orders", "_batch_id", "month"))
    assert {("orders.0.1", "1"), ("orders.0.1", "2"), ("orders.0.2", "3")} == batches
    assert "orders.0.2" == report.stage("orders").batch_id
    commits = DeltaTable(str(made.lake / "orders")).history()
    assert ["orders.0.2", "orders.0.1"] == [commit["dataflow_batch"] for commit in commits]
    assert {str(made.root / "in" / "orders" / "3.csv")} == {
        file for file, month in made.rows("orders", "_source_file", "month") if month == "3"
    }
