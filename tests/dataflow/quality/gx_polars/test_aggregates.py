"""Metrics of a column that no expectation of Great Expectations asks for, or asks in one way only."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import great_expectations as gx
import polars as pl
import pytest
from great_expectations import expectations
from great_expectations.exceptions.exceptions import MetricResolutionError
from great_expectations.validator.metric_configuration import MetricConfiguration

from dataflow.quality import gx_polars
from tests.dataflow.quality.gx_polars.checkpoints import error, pandas, polars

gxe: Any = expectations
FRAME = pl.DataFrame(
    {
        "i": [3, 1, None, 3],
        "f": [0.5, float("nan"), None, 2.0],
        "s": ["abc", "b", None, "žluť"],
        "c": pl.Series(["x", "y", None, "x"], dtype=pl.Categorical),
        "none": pl.Series([None] * 4, dtype=pl.Int64),
    }
)


def metric(name: str, column: str, **values: Any) -> Any:
    engine = gx_polars.PolarsExecutionEngine()
    engine.load_batch_data("one", FRAME)
    asked = MetricConfiguration(name, {"batch_id": "one", "column": column}, values)
    return engine.resolve_metrics([asked])[asked.id]


@pytest.mark.parametrize(
    ("name", "column", "expected"),
    [
        ("column.distinct_values", "i", {1, 3, None}),
        ("column.distinct_values.count", "i", 2),
        ("column.non_null_count", "i", 3),
        ("column_values.nonnull.count", "i", 3),
        ("column_values.null.count", "i", 1),
        ("column_values.length.min", "s", 1),
        ("column_values.length.max", "s", 4),
        ("column.most_common_value", "none", []),
        ("column.most_common_value", "c", ["x"]),
    ],
)
def test_values(name: str, column: str, expected: Any):
    assert expected == metric(name, column)


def test_values_with_arguments():
    assert metric("column.distinct_values.count.under_threshold", "i", threshold=3)
    assert not metric("column.distinct_values.count.under_threshold", "i", threshold=2)
    assert ["y"] == metric("column.distinct_values.not_in_set", "c", value_set=["x"])
    assert ["b"] == metric("column.distinct_values.not_in_set", "s", value_set=["abc"], limit=1)
    assert ["q", 1] == metric("column.distinct_values.missing_from_column", "c", value_set=["x", "q", 1])
    assert 1 == metric("column_values.between.count", "i", max_value=3, strict_max=True)
    assert 2 == metric("column_values.between.count", "f", min_value=0)  # a NaN lies between no bounds
    assert [1, 0, 1] == metric("column.histogram", "f", bins=(0, 1, 2, 3))
    assert [3, 1] == metric("column.value_counts", "i", sort="count").index.to_list()
    assert {1: 1, 3: 2} == metric("column.value_counts", "i", sort="none").to_dict()
    assert [1.0, 2.0, 3.0] == metric("column.partition", "i", n_bins=2)
    assert [1, 3, 3] == metric("column.partition", "i", bins="ntile", n_bins=2)


def test_a_description():
    described = metric("column.descriptive_stats", "i")
    assert (1, 3) == (described.min, described.max)
    assert math.isclose(7 / 3, described.mean)


@pytest.mark.parametrize(
    ("name", "values", "sign"),
    [
        ("column.value_counts", {"sort": "x"}, "sort must be either"),
        ("column.value_counts", {"collate": "cs"}, "collate is not supported"),
        (
            "column.quantile_values",
            {"quantiles": [0.5], "allow_relative_error": "x"},
            "accepted: higher, linear, lower",
        ),
        ("column.histogram", {"bins": (2, 1)}, "must increase"),
        ("column.partition", {"bins": "x", "n_bins": 2}, "Invalid parameter for bins"),
    ],
)
def test_arguments_that_make_no_sense(name: str, values: dict[str, Any], sign: str):
    with pytest.raises(MetricResolutionError, match=sign):
        metric(name, "i", **values)


GOOD = gxe.ExpectTableRowCountToEqual(value=4)


@pytest.mark.parametrize(
    ("bad", "sign"),
    [
        (gxe.ExpectColumnKLDivergenceToBeLessThan(column="gone", threshold=1), 'The column "gone" in BatchData'),
        (
            gxe.ExpectColumnKLDivergenceToBeLessThan(column="s", threshold=1),
            "column 's' holds String: only numbers can be cut into bins",
        ),
        (
            gxe.ExpectColumnKLDivergenceToBeLessThan(column="i", threshold=1, partition_object={"x": 1}),
            "Invalid partition_object provided",
        ),
        (gxe.ExpectTableRowCountToEqualOtherTable(other_table_name="x"), "there is no other table 'x'"),
        (gxe.ExpectColumnMeanToBeBetween(column="gone", min_value=1), 'The column "gone" in BatchData'),
        (gxe.ExpectColumnSumToBeBetween(column="s", min_value=1), "sum"),
    ],
)
def test_an_expectation_that_cannot_be_evaluated_fails_alone(bad: Any, sign: str):
    results = polars(FRAME, GOOD, bad, GOOD)
    assert [True, False, True] == [result.success for result in results]
    assert sign in str(error(results[1]))


def test_other_engines_fail_as_before():
    with pytest.raises(ValueError, match="Invalid partition_object provided"):
        pandas(FRAME, gxe.ExpectColumnKLDivergenceToBeLessThan(column="i", threshold=1, partition_object={"x": 1}))


def test_the_head_of_a_batch():
    source: Any = gx.get_context(mode="ephemeral").data_sources.add_polars("source")  # pyright: ignore
    batch = source.add_dataframe_asset("asset").add_batch_definition_whole_dataframe("batch")
    loaded = batch.get_batch({"dataframe": pl.DataFrame({"i": range(9), "t": [dt.date(2020, 1, 1)] * 9})})
    assert [0, 1, 2, 3, 4] == loaded.head().data["i"].to_list()
    assert [0, 1] == loaded.head(n_rows=2).data["i"].to_list()
    assert [0, 1] == loaded.head(n_rows=-7).data["i"].to_list()
    assert 9 == len(loaded.head(fetch_all=True).data)
