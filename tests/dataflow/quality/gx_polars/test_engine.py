"""What the Polars engine adds: one pass, errors that stay where they belong, samples only of what failed."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import great_expectations as gx
import polars as pl
import pytest
from great_expectations import expectations
from great_expectations.datasource.fluent.batch_request import BatchRequest
from great_expectations.exceptions.exceptions import (
    BuildBatchRequestError,
    ExecutionEngineError,
    InvalidBatchRequestError,
    MetricResolutionError,
)
from great_expectations.expectations.row_conditions import Column
from great_expectations.validator.metric_configuration import MetricConfiguration

from dataflow.quality import gx_polars
from dataflow.quality.gx_polars.answers import Ask, _ask
from dataflow.quality.gx_polars.conditions import CONDITIONS, Rows, bound, column, considered, members, within
from tests.dataflow.quality.gx_polars.checkpoints import error, polars, run

gxe: Any = expectations
FRAME = pl.DataFrame({"i": [1, 2, 2, None], "s": ["a", "b", None, "d"]})


class Passes:
    """A frame that counts how often it is read."""

    def __init__(self, frame: pl.DataFrame = FRAME) -> None:
        self.reads = 0
        self.frame = frame.lazy().map_batches(self._read, schema=frame.schema)

    def _read(self, frame: pl.DataFrame) -> pl.DataFrame:
        self.reads += 1
        return frame


PASSING = [
    gxe.ExpectColumnValuesToBeBetween(column="i", min_value=1, max_value=2),
    gxe.ExpectColumnValuesToMatchRegex(column="s", regex="^[a-z]$"),
    gxe.ExpectColumnValuesToBeUnique(column="s"),
    gxe.ExpectCompoundColumnsToBeUnique(column_list=["i", "s"]),
    gxe.ExpectColumnMeanToBeBetween(column="i", min_value=1),
    gxe.ExpectTableRowCountToEqual(value=4),
]


def test_all_metrics_come_from_one_pass():
    passes = Passes()
    assert [True] * 6 == [r.success for r in polars(passes.frame, *PASSING)]
    assert 1 == passes.reads


def test_counts_of_failures_cost_no_second_pass_and_samples_cost_one():
    failing = [gxe.ExpectColumnValuesToNotBeNull(column="i"), gxe.ExpectColumnValuesToNotBeNull(column="s")]
    passes = Passes()
    polars(passes.frame, *PASSING, *failing, result_format="BOOLEAN_ONLY")
    assert 1 == passes.reads
    hidden = {"result_format": "BASIC", "partial_unexpected_count": 0, "exclude_unexpected_values": True}
    passes = Passes()
    results = polars(passes.frame, *PASSING, *failing, result_format=hidden)
    assert 1 == passes.reads
    assert [1, 1] == [r.result["unexpected_count"] for r in results[-2:]]
    passes = Passes()
    polars(passes.frame, *PASSING, failing[0], result_format="COMPLETE")
    assert 2 == passes.reads


def test_a_failed_key_is_counted_exactly_by_a_second_look():
    passes = Passes()
    (result,) = polars(passes.frame, gxe.ExpectColumnValuesToBeUnique(column="i"), result_format="BOOLEAN_ONLY")
    assert (False, 2) == (result.success, passes.reads)


def test_a_second_look_that_fails_harms_no_other():
    def read(frame: pl.DataFrame) -> pl.DataFrame:
        reads.append(frame)
        if len(reads) == 2:
            raise pl.exceptions.ComputeError("not this time")
        return frame

    reads: list[pl.DataFrame] = []
    frame = FRAME.lazy().map_batches(read, schema=FRAME.schema)
    unique = gxe.ExpectColumnValuesToBeUnique(column="i")
    (result,) = polars(frame, unique, result_format="BOOLEAN_ONLY")
    assert "not this time" in str(error(result))
    reads.clear()
    both = [unique, gxe.ExpectCompoundColumnsToBeUnique(column_list=["i", "k"])]
    frame = FRAME.with_columns(k=1).lazy().map_batches(read, schema={**FRAME.schema, "k": pl.Int32})
    results = polars(frame, *both, result_format="BOOLEAN_ONLY")
    assert [(False, None), (False, None)] == [(r.success, error(r)) for r in results]


def test_data_that_goes_between_the_looks_is_nobodys_fault(tmp_path: Path):
    def read(frame: pl.DataFrame) -> pl.DataFrame:
        path.unlink(missing_ok=True)
        return frame

    path = tmp_path / "part.parquet"
    FRAME.write_parquet(path)
    engine = gx_polars.PolarsExecutionEngine()
    engine.load_batch_data("one", pl.scan_parquet(path).map_batches(read, schema=FRAME.schema))
    assert engine.unreadable is None
    domain = {"batch_id": "one", "column": "i"}
    count = MetricConfiguration("column_values.unique.unexpected_count", domain)
    with pytest.raises(MetricResolutionError, match="No such file"):
        engine.resolve_metrics([count])
    assert isinstance(engine.unreadable, FileNotFoundError)


def test_conditions_refuse_what_makes_no_sense():
    with pytest.raises(ValueError, match="cannot both be None"):
        within(pl.col("i"), None, None, None, None)
    with pytest.raises(ValueError, match='Unrecognized value of ignore_row_if \\("x"\\); accepted: a, b, c'):
        considered({"ignore_row_if": "x"}, ["i"], any_missing="a", all_missing="b", never="c")


def test_no_set_no_question():
    for name in ("column_values.in_set", "column_values.not_in_set"):
        question = CONDITIONS[name]({"column": "i"}, {"value_set": None}, FRAME.schema)
        assert isinstance(question, Rows)
        assert [False] * 4 == FRAME.select(question.breaks).to_series().to_list()


@pytest.mark.parametrize(
    ("bad", "sign"),
    [
        (
            gxe.ExpectColumnValuesToNotBeNull(column="ii"),
            "The column \"ii\" in BatchData does not exist. Did you mean 'i'?",
        ),
        (
            gxe.ExpectColumnMeanToBeBetween(column="x", min_value=1),
            'The column "x" in BatchData does not exist. Columns',
        ),
        (gxe.ExpectColumnValuesToBeBetween(column="s", min_value=1), "cannot compare string with numeric type"),
        (gxe.ExpectColumnValuesToMatchRegex(column="s", regex="(a"), "does not compile: missing )"),
        (gxe.ExpectColumnValuesToNotBeNull(column="i", row_condition=Column("gone") > 1), '"gone" in BatchData'),
        (
            gx_polars.ExpectRowsToSatisfy(statement="i > 0", dialect="klingon", column_list=["i"]),
            "unknown dialect 'klingon'",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_reported_in_its_own_result(bad: Any, sign: str):
    results = polars(FRAME, PASSING[0], bad, PASSING[-1], bad, result_format="SUMMARY")
    assert [True, False, True, False] == [r.success for r in results]
    assert [None, None] == [error(results[0]), error(results[2])]
    for result in (results[1], results[3]):
        assert sign in str(error(result))


def test_two_errors_keep_their_own_messages():
    results = polars(
        FRAME, gxe.ExpectColumnValuesToNotBeNull(column="x"), gxe.ExpectColumnValuesToNotBeNull(column="y"), *PASSING
    )
    assert ['The column "x" in', 'The column "y" in'] == [str(error(r))[:17] for r in results[:2]]
    assert [None] * 6 == [error(r) for r in results[2:]]


def test_an_error_in_the_middle_of_the_scan_harms_no_other():
    # The plan is sound; only the values of one column cannot be converted.
    gx_polars.register_dialect("cast", lambda statement: pl.col(statement).cast(pl.Int64) > 0)
    bad = gx_polars.ExpectRowsToSatisfy(statement="s", dialect="cast", column_list=["s"])
    results = polars(FRAME, *PASSING, bad, result_format="BASIC")
    assert [True] * 6 == [r.success for r in results[:6]]
    assert "conversion from `str` to `i64` failed" in str(error(results[6]))


def test_what_does_not_fit_the_columns_is_known_before_the_scan():
    passes = Passes()
    results = polars(passes.frame, *PASSING, gxe.ExpectColumnValuesToBeBetween(column="s", min_value=1))
    assert [True] * 6 == [r.success for r in results[:6]]
    assert "cannot compare string" in str(error(results[6]))
    assert 1 == passes.reads


def test_statements_in_the_callers_language():
    gx_polars.register_dialect("above", lambda statement: pl.col("i") > int(statement))
    expectation: Any = gx_polars.ExpectRowsToSatisfy
    ours = expectation(statement="1", dialect="above", column_list=["i", "s"])
    some = expectation(statement="1", dialect="above", column_list=["i", "s"], mostly=0.6)
    first, second = polars(FRAME, ours, some)
    assert (False, True) == (first.success, second.success)
    assert {
        "element_count": 4,
        "unexpected_count": 1,
        "missing_count": 1,
        "unexpected_list": [{"i": 1, "s": "a"}],
        "unexpected_index_list": [0],
    }.items() <= first.result.items()
    with pytest.raises(ValueError, match="column_list must name the columns"):
        expectation(statement="1", dialect="above", column_list=[])


def test_a_statement_must_be_a_question():
    gx_polars.register_dialect("number", lambda statement: pl.col(statement))
    question: Any = gx_polars.ExpectRowsToSatisfy(statement="i", dialect="number", column_list=["i"])
    (result,) = polars(FRAME, question)
    assert "the statement 'i' answers with Int64, not with yes or no" == error(result)


def test_samples_show_index_columns_rows_and_a_query():
    result_format = {
        "result_format": "COMPLETE",
        "unexpected_index_column_names": ["s"],
        "include_unexpected_rows": True,
    }
    expectation = gxe.ExpectColumnValuesToBeBetween(column="i", min_value=2)
    (result,) = polars(FRAME, expectation, result_format=result_format)
    assert {
        "unexpected_list": [1],
        "unexpected_index_list": [{"i": 1, "s": "a"}],
        "unexpected_rows": [{"i": 1, "s": "a"}],
        "unexpected_index_query": 'df.with_row_index().filter(pl.col("index").is_in([0]))',
    }.items() <= result.result.items()
    hidden = {**result_format, "exclude_unexpected_values": True, "return_unexpected_index_query": False}
    (result,) = polars(FRAME, expectation, result_format=hidden)
    assert [{"s": ["a"]}] == result.result["unexpected_index_list"]
    assert "unexpected_list" not in result.result
    assert "unexpected_index_query" not in result.result


def test_samples_are_limited():
    frame = pl.DataFrame({"i": range(1000)})
    expectation = gxe.ExpectColumnValuesToBeNull(column="i")
    (summary,) = polars(frame, expectation, result_format={"result_format": "SUMMARY", "partial_unexpected_count": 3})
    assert ([0, 1, 2], 1000) == (summary.result["partial_unexpected_list"], summary.result["unexpected_count"])
    (complete,) = polars(frame, expectation)
    assert (200, 1000) == (len(complete.result["unexpected_list"]), len(complete.result["unexpected_index_list"]))


def test_nan_is_a_value_that_lies_between_no_bounds():
    frame = pl.DataFrame({"f": [1.0, float("nan"), None]})
    for bounds in ({"min_value": 0}, {"max_value": 2}, {"min_value": 0, "max_value": 2}):
        (result,) = polars(frame, gxe.ExpectColumnValuesToBeBetween(column="f", **bounds))
        assert (False, 1, 1) == (result.success, result.result["unexpected_count"], result.result["missing_count"])


def test_categories_decimals_and_instants():
    frame = pl.DataFrame(
        {
            "c": pl.Series(["x", "y", None], dtype=pl.Categorical),
            "e": pl.Series(["x", "y", None], dtype=pl.Enum(["x", "y"])),
            "n": pl.Series([Decimal("1.5"), Decimal("2.5"), None]),
            "t": pl.Series([dt.datetime(2013, 1, 1, h, tzinfo=dt.UTC) for h in (1, 2, 3)]),
            "day": [dt.date(2013, 1, d) for d in (1, 2, 3)],
            "u": pl.Series([1, 255, None], dtype=pl.UInt8),
        }
    )
    results = polars(
        frame,
        gxe.ExpectColumnValuesToBeInSet(column="c", value_set=["x"]),
        gxe.ExpectColumnValuesToBeInSet(column="e", value_set=["x", "z"]),
        gxe.ExpectColumnValuesToMatchRegex(column="c", regex="x"),
        gxe.ExpectColumnValueLengthsToEqual(column="u", value=3),
        gxe.ExpectColumnValuesToBeInSet(column="n", value_set=[1.5]),
        gxe.ExpectColumnValuesToBeBetween(column="t", max_value="2013-01-01T02:00:00"),
        gxe.ExpectColumnValuesToBeBetween(column="t", min_value="2013-01-01T03:00:00+01:00", strict_min=True),
        gxe.ExpectColumnValuesToBeBetween(column="day", min_value="2013-01-02", strict_min=True),
        gxe.ExpectColumnValuesToBeInSet(column="day", value_set=["2013-01-01", "2013-01-02"]),
        gxe.ExpectColumnValuesToBeInSet(column="u", value_set=[1, 300, -1]),
    )
    assert [None] * 10 == [error(r) for r in results]
    assert [1, 1, 1, 1, 1, 1, 2, 2, 1, 1] == [r.result["unexpected_count"] for r in results]


def test_bounds_take_the_columns_type():
    schema = {"t": pl.Datetime("us"), "z": pl.Datetime("us", "Europe/Rome"), "d": pl.Date(), "i": pl.Int64()}
    instant = dt.datetime(2013, 1, 1, 5, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert dt.datetime(2013, 1, 1, 4) == bound(column(schema, "t"), instant)
    assert dt.datetime(2013, 1, 1) == bound(column(schema, "t"), dt.date(2013, 1, 1))
    assert dt.datetime(2013, 1, 1, 5, tzinfo=dt.UTC) == bound(column(schema, "z"), "2013-01-01 05:00")
    assert instant == bound(column(schema, "z"), instant)
    assert dt.date(2013, 1, 1) == bound(column(schema, "d"), "2013-01-01")
    assert dt.datetime(2013, 1, 1, 5) == bound(column(schema, "d"), "2013-01-01 05:00")
    assert "5" == bound(column(schema, "i"), "5")


def test_members_are_what_the_type_can_hold():
    schema = {"i": pl.Int8(), "b": pl.Boolean(), "s": pl.String(), "f": pl.Float64()}
    values = [1, 2.0, 2.5, 300, True, "x", None, 2**80]
    assert [1, 2, 1] == members(column(schema, "i"), values).to_list()
    assert [True, True] == members(column(schema, "b"), values).to_list()
    assert ["x"] == members(column(schema, "s"), values).to_list()
    assert [1.0, 2.0, 2.5, 300.0, 1.0, float(2**80)] == members(column(schema, "f"), values).to_list()


def test_a_second_batch_is_not_taken_for_the_first():
    context = gx.get_context(mode="ephemeral")
    source: Any = context.data_sources.add_polars("source")  # pyright: ignore
    batch = source.add_dataframe_asset("asset").add_batch_definition_whole_dataframe("batch")
    expectation = gxe.ExpectTableRowCountToEqual(value=4)
    assert batch.get_batch({"dataframe": FRAME}).validate(expectation).success
    assert not batch.get_batch({"dataframe": FRAME.head(1)}).validate(expectation).success


def test_the_data_source_is_kept_by_its_context():
    context = gx.get_context(mode="ephemeral")
    source: Any = context.data_sources.add_polars("source")  # pyright: ignore
    source.add_dataframe_asset("asset", batch_metadata={"origin": "test"})
    again: Any = context.data_sources.get("source")
    assert ("polars", ["asset"]) == (again.type, [asset.name for asset in again.assets])
    assert "polars" == json.loads(source.json())["type"]
    again.test_connection()
    again.get_asset("asset").test_connection()
    assert ("dataframe",) == again.get_asset("asset").get_batch_parameters_keys()


@pytest.mark.parametrize("options", [None, {}, {"frame": FRAME}, {"dataframe": [1]}, {"dataframe": FRAME, "x": 1}])
def test_a_batch_is_one_polars_frame(options: Any):
    source: Any = gx.get_context(mode="ephemeral").data_sources.add_polars("source")  # pyright: ignore
    asset = source.add_dataframe_asset("asset")
    with pytest.raises(BuildBatchRequestError, match="a polars DataFrame or LazyFrame"):
        asset.build_batch_request(options=options)
    with pytest.raises(BuildBatchRequestError, match="do not apply to a Polars frame"):
        asset.build_batch_request(options={"dataframe": FRAME}, batch_slice="0")
    foreign = BatchRequest(datasource_name="other", data_asset_name="asset", options={"dataframe": FRAME})
    with pytest.raises(InvalidBatchRequestError, match="is not one for asset 'asset' of 'source'"):
        asset.get_batch(foreign)
    request = asset.build_batch_request(options={"dataframe": FRAME})
    assert [{"dataframe"}] == [set(one) for one in asset.get_batch_identifiers_list(request)]


def test_the_engine_takes_polars_only():
    engine = gx_polars.PolarsExecutionEngine()
    with pytest.raises(ExecutionEngineError, match="needs a polars DataFrame or LazyFrame"):
        engine.get_batch_data_and_markers({"path": "x.csv"})
    with pytest.raises(ExecutionEngineError, match="Unable to find batch"):
        engine.get_domain_records({"batch_id": "none"})


def test_the_records_of_a_domain():
    engine = gx_polars.PolarsExecutionEngine()
    engine.load_batch_data("one", FRAME)
    assert FRAME.equals(engine.get_domain_records({}).collect())
    condition = (Column("i") > 1) & (Column("s").is_not_null())
    assert [(2, "b")] == engine.get_domain_records({"row_condition": condition}).collect().rows()
    with pytest.raises(ExecutionEngineError, match="use Condition objects"):
        engine.get_domain_records({"row_condition": "i > 1"})


def test_failing_rows_stand_alone():
    breaks = gx_polars.failing_rows(
        "expect_column_values_to_be_between", {"column": "i", "min_value": "2"}, FRAME.schema
    )
    assert [True, False, False, False] == FRAME.select(breaks).to_series().to_list()
    for kind, arguments in (
        ("expect_column_values_to_be_unique", {"column": "i"}),
        ("expect_column_mean_to_be_between", {"column": "i", "min_value": 1}),
    ):
        with pytest.raises(ValueError, match="no single row breaks it"):
            gx_polars.failing_rows(kind, arguments, FRAME.schema)


def test_pandas_is_left_as_it_was():
    (result,) = run("pandas", FRAME.to_pandas(), [gxe.ExpectColumnValuesToBeUnique(column="i")], "SUMMARY")
    assert (False, 2) == (result.success, result.result["unexpected_count"])


def test_what_two_metrics_ask_is_asked_once():
    asks = [
        Ask((pl.col("i").sum(), pl.len()), lambda found: found),
        Ask((pl.len(), pl.col("i").is_in([1]).sum()), lambda found: found),
        Ask((pl.col("i").is_in([2]).sum(), pl.col("i").is_in([1]).sum()), lambda found: found),
        Ask((), lambda found: found),
    ]
    asked, places = _ask(FRAME.lazy(), asks)
    assert ([(0, 1), (1, 2), (3, 2), ()], 4) == (places, asked.collect().width)
