"""Where values, names, facts and errors are at their worst: exact answers, and errors that stay where they belong."""

from __future__ import annotations

import datetime as dt
import gc
import importlib
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import great_expectations as gx
import polars as pl
import pytest
from great_expectations import expectations
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.exceptions.exceptions import MetricResolutionError
from great_expectations.expectations.registry import _registered_expectations
from great_expectations.expectations.row_conditions import Column
from great_expectations.validator.metric_configuration import MetricConfiguration
from great_expectations.validator.validator import Validator

from dataflow.quality import gx_polars
from dataflow.quality.gx_polars import ParquetFiles, read_facts
from dataflow.quality.gx_polars.conditions import bound, column, members
from dataflow.quality.gx_polars.engine import PolarsBatchData
from tests.dataflow.quality.gx_polars.checkpoints import error, evidence, pandas, polars

gxe: Any = expectations
MIDNIGHT, FINE = dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, 0, 0, 0, 500)
UNITS = pl.DataFrame(
    {
        "ms": pl.Series([MIDNIGHT, MIDNIGHT + dt.timedelta(milliseconds=1)], dtype=pl.Datetime("ms")),
        "us": [FINE, FINE],
        "ns": pl.Series([1_577_836_800_000_000_500, 1_577_836_800_000_000_000]).cast(pl.Datetime("ns")),
        "far": pl.Series([dt.datetime(9999, 1, 1), MIDNIGHT], dtype=pl.Datetime("ms")),
    }
)


def failing(result: Any) -> tuple[Any, ...]:
    return (
        result.success,
        result.result.get("unexpected_index_list"),
        result.result.get("observed_value"),
        error(result),
    )


def test_units_of_time_are_not_cut():
    checks = [
        gxe.ExpectColumnValuesToBeBetween(column="ms", min_value=FINE),
        gxe.ExpectColumnValuesToBeBetween(column="ms", max_value=FINE, strict_max=True),
        gxe.ExpectColumnValuesToBeBetween(column="ns", max_value=MIDNIGHT),
        gxe.ExpectColumnValuesToBeBetween(column="ns", min_value=MIDNIGHT, max_value=dt.datetime(2261, 1, 1)),
        gxe.ExpectColumnValuesToBeInSet(column="ms", value_set=[FINE]),
        gxe.ExpectColumnValuesToNotBeInSet(column="ms", value_set=[FINE]),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="ms", column_B="us", or_equal=True),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="ns", column_B="ms"),
        gxe.ExpectColumnPairValuesToBeEqual(column_A="ms", column_B="us"),
        gxe.ExpectColumnPairValuesToBeEqual(column_A="ns", column_B="ms"),
        gxe.ExpectTableRowCountToEqual(value=1, row_condition=Column("ms") >= FINE),
        gxe.ExpectTableRowCountToEqual(value=1, row_condition=Column("ns") > MIDNIGHT),
    ]
    assert [failing(r) for r in pandas(UNITS, *checks)] == [failing(r) for r in polars(UNITS, *checks)]
    checks = [
        gxe.ExpectColumnValuesToBeBetween(column="ns", max_value=dt.datetime(9999, 1, 1)),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="far", column_B="ns"),
    ]
    assert [[], [1]] == [r.result["unexpected_index_list"] for r in polars(UNITS, *checks)]


def test_what_a_type_would_cut_is_not_in_it():
    noon, day = dt.datetime(2020, 1, 1, 12), dt.date(2020, 1, 1)
    schema = {**UNITS.schema, "d": pl.Date(), "u": pl.Duration("ms"), "t": pl.Time()}
    held = {
        name: members(column(schema, name), values).to_list()
        for name, values in {
            "ms": [FINE, MIDNIGHT],
            "ns": [dt.datetime(9999, 1, 1), MIDNIGHT],
            "d": [noon, MIDNIGHT, "2020-01-01T12:00"],
            "u": [dt.timedelta(microseconds=1), dt.timedelta(days=1)],
            "t": [dt.time(1)],
        }.items()
    }
    expected = {"ms": [MIDNIGHT], "ns": [MIDNIGHT], "d": [day], "u": [dt.timedelta(days=1)], "t": [dt.time(1)]}
    assert expected == held
    assert [day, noon] == [bound(column(schema, "d"), one) for one in (MIDNIGHT, noon)]


def test_zones_and_spans_of_two_units():
    frame = pl.DataFrame(
        {
            "a": pl.Series([dt.timedelta(milliseconds=1)], dtype=pl.Duration("ms")),
            "b": [dt.timedelta(microseconds=1500)],
            "z": pl.Series([FINE.replace(tzinfo=dt.UTC)], dtype=pl.Datetime("ns", "Europe/Prague")),
        }
    )
    checks = [
        gxe.ExpectColumnPairValuesToBeEqual(column_A="a", column_B="b"),
        gxe.ExpectColumnValuesToBeBetween(column="z", min_value=FINE, max_value=FINE),
        gxe.ExpectColumnValuesToBeBetween(column="z", max_value=FINE, strict_max=True),
        gxe.ExpectTableRowCountToEqual(value=0, row_condition=Column("z") < "2020-01-01T00:00:00.000500Z"),
    ]
    assert [False, True, False, True] == [result.success for result in polars(frame, *checks, result_format="BASIC")]


def test_nan_is_above_nothing():
    frame = pl.DataFrame({"f": [float("nan"), 1.0, 2.0], "g": [0.0, float("nan"), 1.0]})
    checks = [
        gxe.ExpectTableRowCountToEqual(value=2, row_condition=Column("f") > 0),
        gxe.ExpectTableRowCountToEqual(value=2, row_condition=Column("f") >= 0),
        gxe.ExpectTableRowCountToEqual(value=0, row_condition=Column("f") < 0),
    ]
    assert [failing(r) for r in pandas(frame, *checks)] == [failing(r) for r in polars(frame, *checks)]
    (result,) = polars(frame, gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="f", column_B="g"))
    assert [0, 1] == result.result["unexpected_index_list"]


def test_a_name_that_polars_takes_for_a_pattern_is_refused():
    frame = pl.DataFrame({"i": [1], "^i$": [9], "*": [0]})
    checks = [gxe.ExpectColumnMaxToBeBetween(column=name, max_value=1) for name in frame.columns]
    first, *others = polars(frame, *checks)
    assert (None, True) == (error(first), first.success)
    assert ["rename this column"] * 2 == [str(error(one)).rpartition(": ")[2] for one in others]


OUT_OF_RANGE = pl.DataFrame(
    {
        "ok": [1, 2],
        "day": pl.Series([5_000_000, 0], dtype=pl.Int32).cast(pl.Date),
        "span": [dt.timedelta(days=1), dt.timedelta(days=2)],
        "spans": [[dt.timedelta(days=1)], [dt.timedelta(days=2)]],
        "object": pl.Series([object(), object()], dtype=pl.Object),
    }
)


def test_what_python_or_polars_cannot_do_harms_its_own_expectation_only():
    checks = [
        gxe.ExpectColumnValuesToNotBeNull(column="ok"),
        gxe.ExpectColumnMaxToBeBetween(column="day"),  # the year 15659
        gxe.ExpectColumnValuesToBeNull(column="day"),  # its samples
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["object", "ok"]),  # Polars panics
        gxe.ExpectColumnValuesToBeNull(column="ok"),
    ]
    results = polars(OUT_OF_RANGE, *checks)
    assert [None, "year 15659", "year 15659", "nested objects", None] == [
        next((sign for sign in ("year 15659", "nested objects") if sign in str(error(result))), error(result))
        for result in results
    ]
    assert [True, False] == [results[0].success, results[-1].success]


def test_what_has_no_json_is_stored_as_text():
    checks = [
        gxe.ExpectColumnMinToBeBetween(column="span", min_value=None),
        gxe.ExpectColumnValuesToBeNull(column="spans"),
        gxe.UnexpectedRowsExpectation(unexpected_rows_query="SELECT span FROM {batch}"),
    ]
    least, nested, rows = polars(OUT_OF_RANGE, *checks)
    assert "P1D" == least.result["observed_value"]
    assert [["P1D"], ["P2D"]] == nested.result["unexpected_list"]
    assert [{"span": "P1D"}, {"span": "P2D"}] == rows.result["details"]["unexpected_rows"]
    (result,) = polars(OUT_OF_RANGE, gxe.ExpectColumnValuesToBeNull(column="object"))
    assert ["<object object at"] * 2 == [text[:17] for text in result.result["unexpected_list"]]


@pytest.fixture
def trouble() -> Iterator[Any]:
    """An expectation that raises while the checkpoint is planned."""

    class ExpectNothingButTrouble(gxe.ExpectColumnMaxToBeBetween):
        library_metadata: ClassVar[Any] = {}

        def get_validation_dependencies(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("no plan")

    yield ExpectNothingButTrouble(column="i")
    del _registered_expectations["expect_nothing_but_trouble"]


def test_one_that_raises_while_it_is_planned_fails_alone(trouble: Any):
    frame = pl.DataFrame({"i": [1]})
    bad, fine = polars(frame, trouble, gxe.ExpectColumnMaxToBeBetween(column="i"))
    assert (False, "no plan", True) == (bad.success, error(bad), fine.success)
    with pytest.raises(RuntimeError, match="no plan"):
        pandas(frame, trouble)


def batch_of(frame: Any) -> Any:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset: Any = context.data_sources.add_polars("source").add_dataframe_asset("asset")
    return asset.add_batch_definition_whole_dataframe("batch").get_batch({"dataframe": frame})


def test_who_wants_no_errors_caught_gets_them(trouble: Any):
    batch = batch_of(pl.DataFrame({"i": [1]}))
    engine = batch.datasource.get_execution_engine()
    validator = Validator(execution_engine=engine, batches=[batch])
    with pytest.raises(RuntimeError, match="no plan"):
        validator.graph_validate([trouble.configuration], runtime_configuration={"catch_exceptions": False})


def test_importing_it_again_changes_nothing():
    frame = pl.DataFrame({"i": [1, None]})
    nulls = gxe.ExpectColumnValuesToNotBeNull(column="i")
    before = [failing(one) for one in (*polars(frame, nulls), *pandas(frame, nulls))]
    importlib.reload(gx_polars)
    assert before == [failing(one) for one in (*polars(frame, nulls), *pandas(frame, nulls))]
    assert ["scan"] == evidence(frame, nulls)


def test_a_later_look_is_not_limited_by_an_earlier_one():
    batch = batch_of(pl.DataFrame({"i": range(100)}))
    nulls = gxe.ExpectColumnValuesToBeNull(column="i")
    few = {"result_format": "SUMMARY", "partial_unexpected_count": 3}
    assert 3 == len(batch.validate(nulls, result_format=few).result["partial_unexpected_list"])
    assert 100 == len(batch.validate(nulls, result_format="COMPLETE").result["unexpected_list"])


def test_metrics_that_fail_alike_are_told_at_once():
    engine = gx_polars.PolarsExecutionEngine()
    engine.load_batch_data("one", pl.DataFrame({"i": [1]}))
    asked = [
        MetricConfiguration(name, {"batch_id": "one", "column": gone}, {})
        for gone in ("gone", "lost")
        for name in ("column.min", "column.max")
    ]
    with pytest.raises(MetricResolutionError) as caught:
        engine.resolve_metrics(asked)
    told = Counter((one.metric_name, one.metric_domain_kwargs["column"]) for one in caught.value.failed_metrics)
    (column,) = {column for _, column in told}
    assert {("column.min", column): 3, ("column.max", column): 3} == told


def test_footers_of_the_year_20000_say_nothing_of_it(tmp_path: Path):
    frame = pl.DataFrame({"day": pl.Series([7_000_000], dtype=pl.Int32).cast(pl.Date), "i": [1]})
    frame.write_parquet(tmp_path / "a.parquet")
    facts = read_facts([tmp_path / "a.parquet"])
    assert (1, {"day": 0, "i": 0}, {"i": 1}) == (facts.rows, facts.nulls, facts.minimum)
    check = gxe.ExpectColumnValuesToNotBeNull(column="day")
    assert ["statistics"] == evidence(ParquetFiles([tmp_path / "a.parquet"]), check)


def test_two_checkpoints_in_two_threads():
    found: dict[int, list[bool]] = {}

    def work(number: int) -> None:
        frame = pl.DataFrame({"i": [number]})
        checks = [gxe.ExpectColumnMaxToBeBetween(column="i", min_value=n, max_value=n) for n in range(4)]
        batch = batch_of(frame)
        found[number] = [batch.validate(check).success for check in checks]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: [n == number for n in range(4)] for number in range(4)} == found


def test_a_batch_is_let_go_with_its_context():
    batch = batch_of(pl.DataFrame({"i": [1]}))
    batch.validate(gxe.ExpectColumnValuesToBeNull(column="i"))
    held = [weakref.ref(one) for one in gc.get_objects() if isinstance(one, PolarsBatchData)]
    assert held
    del batch
    gx.get_context(mode="ephemeral")
    gc.collect()
    assert [] == [one() for one in held if one() is not None]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM {batch} CROSS JOIN (read_csv('{path}'))",
        "SELECT * FROM (read_csv('{path}'))",
        "SELECT (SELECT max(i) FROM read_csv('{path}')) AS x FROM {batch}",
        "WITH batch AS (SELECT * FROM read_csv('{path}')) SELECT * FROM batch",
        "SELECT * FROM {batch} b CROSS JOIN LATERAL read_csv('{path}')",
        "SELECT 'a\\' AS x FROM read_csv('{path}') --'",
        "TABLE read_csv",
        'SELECT * FROM "{path}"',
    ],
)
def test_a_file_is_refused_before_it_is_touched(query: str):
    missing = "/nowhere/secret.csv"  # looked for, it would be an OSError
    bad = gxe.UnexpectedRowsExpectation(unexpected_rows_query=query.replace("{path}", missing))
    (result,) = polars(pl.DataFrame({"i": [1]}), bad)
    assert "it may read {batch} only" in str(error(result))
