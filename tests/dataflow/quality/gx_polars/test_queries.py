"""SQL over the frame of a batch, and over nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import great_expectations as gx
import polars as pl
import pytest
from great_expectations import expectations
from great_expectations.expectations.row_conditions import Column
from great_expectations.validator.metric_configuration import MetricConfiguration

from dataflow.quality import gx_polars
from dataflow.quality.gx_polars.answers import Data
from dataflow.quality.gx_polars.queries import run_query
from tests.dataflow.quality.gx_polars.checkpoints import error, evidence, polars

gxe: Any = expectations
FRAME = pl.DataFrame({"i": [1, 2, 2, None], "s": ["a", "b", None, "it's"]})
DATA = Data(FRAME.lazy(), FRAME.schema)


def unexpected(query: str, **kwargs: Any) -> Any:
    return gxe.UnexpectedRowsExpectation(unexpected_rows_query=query, **kwargs)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT * FROM {batch} WHERE i > 1", [{"i": 2, "s": "b"}, {"i": 2, "s": None}]),
        ("SELECT * FROM {batch} WHERE i > 5;", []),
        ("SELECT i, COUNT(*) AS n FROM {batch} GROUP BY i HAVING COUNT(*) > 1", [{"i": 2, "n": 2}]),
        ("WITH w AS (SELECT i FROM {batch} WHERE i = 1) SELECT w.i FROM w JOIN {batch} AS b ON w.i = b.i", [{"i": 1}]),
        ("SELECT x.i FROM (SELECT i FROM {batch} WHERE i < 2) AS x", [{"i": 1}]),
        ("SELECT s FROM {batch} WHERE s IN (SELECT s FROM {batch} WHERE i IS NULL)", [{"s": "it's"}]),
        (
            "SELECT s FROM {batch} WHERE s = 'it''s' UNION ALL SELECT s FROM {batch} WHERE i = 9",
            [{"s": "it's"}],
        ),
        ("SELECT s FROM {batch} WHERE s = ' SCAN ['", []),
    ],
)
def test_rows_that_a_query_finds_are_unexpected(query: str, rows: list[dict[str, Any]]):
    (result,) = polars(FRAME, unexpected(query))
    assert (None, not rows) == (error(result), result.success)
    assert {"observed_value": len(rows), "details": {"unexpected_rows": rows}} == result.result
    (basic,) = polars(FRAME.lazy(), unexpected(query), result_format="BASIC")
    assert {"observed_value": len(rows)} == basic.result


def test_a_result_shows_so_many_rows_and_counts_all():
    (result,) = polars(pl.DataFrame({"i": range(1000)}), unexpected("SELECT * FROM {batch}"))
    assert (1000, 200) == (result.result["observed_value"], len(result.result["details"]["unexpected_rows"]))
    assert ["scan"] == evidence(FRAME, unexpected("SELECT * FROM {batch} WHERE i > 5"))


@pytest.mark.parametrize(
    ("query", "sign"),
    [
        ("SELECT * FROM read_csv('{path}')", "the query reads READ_CSV"),
        ("SELECT * FROM {batch} JOIN read_parquet('{path}') AS p ON TRUE", "reads "),
        ("SELECT * FROM {batch}, scan_parquet('{path}')", "reads "),
        ("SELECT i FROM {batch} WHERE i IN (SELECT i FROM read_csv('{path}'))", "reads "),
        ("WITH w AS (SELECT * FROM read_csv('{path}')) SELECT * FROM w, {batch}", "reads "),
        ("SELECT * FROM '{path}'", "the query "),
        ("SELECT * FROM other", "the query reads other; it may read {batch} only"),
        ("SELECT * FROM main.batch", "the query reads main.batch"),
        ("SELECT * FROM {batch} UNION ALL SELECT * FROM other", "the query reads other"),
        ("DROP TABLE {batch}", "not a query: write one SELECT over {batch}"),
        ("CREATE TABLE x AS SELECT * FROM {batch}", "not a query"),
        ("SELECT 1; SELECT * FROM {batch}", "not a query"),
        ("SELECT FROM WHERE {batch}", "the query cannot be read"),
        ("SELECT 'open FROM {batch}", "the query cannot be read"),
        ("SELECT x{{3}} FROM {batch}", "sql parser error"),
        ("SELECT {column} FROM {batch}", "`column` is not a placeholder"),
        ("SELECT gone FROM {batch}", "gone"),
    ],
)
def test_a_query_reads_the_batch_only(tmp_path: Path, query: str, sign: str):
    path = tmp_path / "secret.csv"
    path.write_text("i\n42\n")
    bad = unexpected(query.replace("{path}", str(path)))
    results = polars(FRAME, unexpected("SELECT * FROM {batch} WHERE i > 9"), bad)
    assert [True, False] == [result.success for result in results]
    assert sign in str(error(results[1]))
    assert error(results[0]) is None
    assert "42" not in str(results[1].result)


def test_what_slips_through_the_reading_of_the_statement_is_found_in_its_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "secret.csv"
    path.write_text("i\n42\n")
    monkeypatch.setattr("dataflow.quality.gx_polars.queries._check", lambda statement: None)
    with pytest.raises(ValueError, match="the query reads files; it may read \\{batch\\} only"):
        run_query(DATA, f"SELECT * FROM read_csv('{path}')")


def metric(frame: Any, name: str, condition: Any = None, **values: Any) -> Any:
    engine = gx_polars.PolarsExecutionEngine()
    engine.load_batch_data("one", frame)
    asked = MetricConfiguration(name, {"batch_id": "one", "row_condition": condition}, values)
    return engine.resolve_metrics([asked])[asked.id]


def test_query_metrics_for_expectations_of_ones_own():
    assert [{"i": 1}] == metric(FRAME, "query.table", query="SELECT i FROM {batch} WHERE i < 2")
    assert 3 == metric(FRAME, "query.row_count", query="SELECT i FROM {batch} WHERE i > 0")
    assert 1 == metric(FRAME, "query.row_count", Column("s") == "b", query="SELECT i FROM {batch} WHERE i > 0")


def compare(context: Any, source: str, query: str, **kwargs: Any) -> Any:
    ours = context.data_sources.add_polars("ours").add_dataframe_asset("asset")
    batch = ours.add_batch_definition_whole_dataframe("batch").get_batch({"dataframe": FRAME})
    expectation = gxe.ExpectQueryResultsToMatchComparison(
        base_query="SELECT i FROM {batch} WHERE i IS NOT NULL",
        comparison_data_source_name=source,
        comparison_query=query,
        **kwargs,
    )
    return batch.validate(expectation, result_format="COMPLETE")


def test_a_query_matches_one_over_another_frame():
    context: Any = gx.get_context(mode="ephemeral")
    other = context.data_sources.add_polars("other").add_dataframe_asset("asset")
    other.add_batch_definition_whole_dataframe("batch").get_batch({"dataframe": pl.DataFrame({"k": [2, 1, 2, 7]})})
    result = compare(context, "other", "SELECT k FROM {batch} WHERE k < 5")
    assert (True, 0) == (result.success, result.result["unexpected_count"])
    context.data_sources.delete("ours")
    result = compare(context, "other", "SELECT k FROM {batch}", mostly=0.7)
    assert (True, 1, [{"k": 7}]) == (
        result.success,
        result.result["unexpected_count"],
        result.result["details"]["missing_rows"],
    )


def test_a_query_matches_one_over_a_database(tmp_path: Path):
    context: Any = gx.get_context(mode="ephemeral")
    context.data_sources.add_sqlite("db", connection_string=f"sqlite:///{tmp_path}/x.db")
    result = compare(context, "db", "SELECT 1 AS i UNION ALL SELECT 2 UNION ALL SELECT 2")
    assert (None, True) == (error(result), result.success)


def test_there_must_be_something_to_compare_with():
    context: Any = gx.get_context(mode="ephemeral")
    context.data_sources.add_polars("other")
    assert "data source 'other' holds no Polars frame; get a batch of it first" in str(
        error(compare(context, "other", "SELECT 1"))
    )
