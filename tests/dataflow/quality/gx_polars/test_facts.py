"""What is known settles metrics without a scan, and every result says what it rests on."""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from great_expectations import expectations
from great_expectations.expectations.row_conditions import Column
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dataflow.quality import gx_polars
from dataflow.quality.gx_polars import Facts, KnownFrame, ParquetFiles, read_facts
from dataflow.quality.gx_polars.settle import settle
from tests.dataflow.quality.gx_polars.checkpoints import error, evidence, polars

gxe: Any = expectations
UTC = dt.UTC
FRAME = pl.DataFrame(
    {
        "i": [3, 1, 2, None],
        "d": [dt.date(2020, 1, 1), dt.date(2020, 1, 3), None, None],
        "t": [dt.datetime(2020, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)],
        "n": [Decimal("1.50"), Decimal("-2.25"), None, None],
        "s": ["b", "a" * 100, None, "z" * 100],
        "f": [1.0, float("nan"), None, 2.0],
        "k": [1, 2, 3, 4],
        "none": pl.Series([None] * 4, dtype=pl.Int64),
        "l": [[1], [2], [3, 3, 3], []],
        "st": [{"x": 1}] * 4,
        "ns": pl.Series([dt.datetime(2020, 1, 1)] * 4, dtype=pl.Datetime("ns")),
    }
)


@pytest.fixture
def files(tmp_path: Path) -> ParquetFiles:
    paths = tmp_path / "a.parquet", tmp_path / "b.parquet"
    for path, part in zip(paths, (FRAME.head(2), FRAME.tail(2)), strict=True):
        part.write_parquet(path, row_group_size=1)
    return ParquetFiles(paths)


SETTLED: list[tuple[Any, str]] = [
    (gxe.ExpectTableRowCountToEqual(value=4), "statistics"),
    (gxe.ExpectColumnToExist(column="i"), "schema"),
    (gxe.ExpectTableColumnCountToEqual(value=11), "schema"),
    (gxe.ExpectColumnValuesToNotBeNull(column="k"), "statistics"),
    (gxe.ExpectColumnValuesToBeNull(column="none"), "statistics"),
    (gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(column="i", min_value=0.7), "statistics"),
    (gxe.ExpectColumnMinToBeBetween(column="i", min_value=1, max_value=1), "statistics"),
    (gxe.ExpectColumnMaxToBeBetween(column="n", min_value=1, max_value=2), "statistics"),
    (gxe.ExpectColumnMaxToBeBetween(column="d", max_value="2020-01-03"), "statistics"),
    (gxe.ExpectColumnValuesToBeBetween(column="i", min_value=1, max_value=3), "statistics"),
    (gxe.ExpectColumnValuesToBeBetween(column="i", min_value=0, strict_min=True), "statistics"),
    (gxe.ExpectColumnValuesToBeBetween(column="d", max_value="2020-01-04", strict_max=True), "statistics"),
    (gxe.ExpectColumnValuesToBeBetween(column="t", min_value="2020-01-01T00:00:00Z"), "statistics"),
]
SCANNED: list[Any] = [
    gxe.ExpectColumnValuesToBeBetween(column="f", min_value=0),  # a NaN may be there, and it is
    gxe.ExpectColumnValuesToBeBetween(column="i", min_value=2),
    gxe.ExpectColumnValuesToBeBetween(column="i", min_value=1, strict_min=True),
    gxe.ExpectColumnValuesToBeBetween(column="n", max_value=2.5, strict_max=True),  # Polars compares through floats
    gxe.ExpectColumnValuesToBeBetween(column="ns", min_value="2020-01-01"),
    gxe.ExpectColumnValuesToBeBetween(column="none", min_value=1),
    gxe.ExpectColumnMinToBeBetween(column="f", min_value=0),
    gxe.ExpectColumnMinToBeBetween(column="none", min_value=0),
    gxe.ExpectColumnValuesToNotBeNull(column="l"),
    gxe.ExpectColumnValuesToNotBeNull(column="st"),
    gxe.ExpectColumnValuesToBeUnique(column="k"),
    gxe.ExpectColumnUniqueValueCountToBeBetween(column="k", min_value=4),
    gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(column="k", min_value=1),
    gxe.ExpectColumnMeanToBeBetween(column="i", min_value=1),
    gxe.ExpectTableRowCountToEqual(value=1, row_condition=Column("i") == 1),
    gxe.ExpectColumnValuesToNotBeNull(column="i", row_condition=Column("k") < 4),
]


def test_what_the_footers_settle_is_not_scanned(files: ParquetFiles):
    checks = [check for check, _ in SETTLED]
    known = KnownFrame(pl.scan_parquet(list(map(str, files.paths))), read_facts(files.paths))
    assert [True] * len(checks) == [result.success for result in polars(files, *checks)]
    assert [expected for _, expected in SETTLED] == evidence(files, *checks)
    schema = known.frame.collect_schema()
    for path in files.paths:
        Path(path).unlink()
    gone = ParquetFiles(files.paths, schema=schema, facts=known.facts)
    assert [(True, None)] * len(checks) == [(result.success, error(result)) for result in polars(gone, *checks)]


def test_what_the_footers_do_not_settle_is_scanned(files: ParquetFiles):
    expected = [str(result.result) for result in polars(FRAME, *SCANNED, result_format="SUMMARY")]
    assert expected == [str(result.result) for result in polars(files, *SCANNED, result_format="SUMMARY")]
    assert {"scan"} == set(evidence(files, *SCANNED))


def test_what_does_not_fit_is_told_as_without_facts(files: ParquetFiles):
    wrong = [
        gxe.ExpectColumnValuesToBeBetween(column="d", min_value=5),
        gxe.ExpectColumnValuesToBeBetween(column="gone", min_value=9),
        gxe.ExpectColumnMinToBeBetween(column="gone", min_value=9),
        gxe.ExpectColumnValuesToNotBeNull(column="gone"),
    ]
    expected = [str(error(result)) for result in polars(FRAME, *wrong)]
    assert expected == [str(error(result)) for result in polars(files, *wrong)]
    assert ["None"] == expected[:1]  # Polars compares days with numbers
    assert "None" not in expected[1:]


def test_samples_of_a_settled_failure_are_read_and_do_not_change_its_evidence(files: ParquetFiles):
    nulls = gxe.ExpectColumnValuesToNotBeNull(column="i")
    (result,) = polars(files, nulls)
    assert (False, 1, [3]) == (
        result.success,
        result.result["unexpected_count"],
        result.result["partial_unexpected_index_list"],
    )
    assert ["statistics"] == evidence(files, nulls, result_format="COMPLETE")


def test_a_key_that_is_known_to_be_distinct_is_not_looked_for(files: ParquetFiles):
    facts = read_facts(files.paths) | Facts(unique=frozenset({("k",), ("i", "d")}))
    unique: Any = gxe.ExpectCompoundColumnsToBeUnique
    checks = [
        gxe.ExpectColumnValuesToBeUnique(column="k"),
        gxe.ExpectColumnUniqueValueCountToBeBetween(column="k", min_value=4, max_value=4),
        gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(column="k", min_value=1, max_value=1),
        unique(column_list=["k", "f"], ignore_row_if="never"),
        unique(column_list=["k", "i"]),
        unique(column_list=["i", "d", "k"], ignore_row_if="all_values_are_missing"),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="k", column_B="i", or_equal=True, ignore_row_if="either_value_is_missing"
        ),
        unique(column_list=["i", "d"], ignore_row_if="any_value_is_missing"),
        unique(column_list=["i", "d"], ignore_row_if="never"),
        gxe.ExpectColumnValuesToBeUnique(column="i"),
    ]
    known = ParquetFiles(files.paths, facts=facts)
    assert ["known"] * 6 + ["scan"] * 2 + ["hashes", "scan"] == evidence(known, *checks)
    expected = [result.success for result in polars(FRAME, *checks)]
    assert expected == [result.success for result in polars(known, *checks)]
    (empty,) = polars(KnownFrame(FRAME.clear(), Facts(rows=0, nulls={"k": 0}, unique=frozenset({("k",)}))), checks[2])
    assert 0 == empty.result["observed_value"]


def test_nothing_of_no_rows():
    share = gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(column="k", min_value=1)
    (result,) = polars(KnownFrame(FRAME.clear(), Facts(rows=0, nulls={"k": 0})), share)
    assert 0 == result.result["observed_value"]


def test_distinct_hashes_prove_a_text_key_and_equal_ones_nothing():
    frame = pl.DataFrame({"s": ["a", "b", None, None], "t": ["a", "a", "b", None], "f": [0.0, -0.0, None, 1.0]})
    unique = [gxe.ExpectColumnValuesToBeUnique(column=name) for name in frame.columns]
    assert ["hashes", "scan", "scan"] == evidence(frame, *unique)
    assert [True, False, False] == [result.success for result in polars(frame, *unique)]
    both = gxe.ExpectCompoundColumnsToBeUnique(column_list=["s", "t"])
    assert ["hashes"] == evidence(frame, both)
    assert polars(frame, both)[0].success


def test_what_somebody_counted_is_believed():
    gx_polars.register_dialect("facts", lambda statement: pl.col("i") > int(statement))
    arguments = {"statement": "0", "dialect": "facts", "column_list": ["i"]}
    satisfy: Any = gx_polars.ExpectRowsToSatisfy(**arguments)
    pair = {"column_A": "k", "column_B": "i", "ignore_row_if": "either_value_is_missing"}
    between = {"column": "i", "min_value": 1, "strict_min": True}
    masked = {**between, "row_condition": Column("k") > 1}
    facts = (
        Facts(rows=400, nulls={"i": 100})
        | Facts.of_expectation("expect_rows_to_satisfy", arguments, asked=300, breaking=2)
        | Facts.of_expectation("expect_column_pair_values_a_to_be_greater_than_b", pair, asked=300, breaking=3)
        | Facts.of_expectation("expect_column_values_to_be_between", between, asked=300, breaking=4)
        | Facts.of_expectation("expect_column_values_to_be_between", masked, asked=2, breaking=2)
    )
    checks = [
        satisfy,
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(**pair),
        gxe.ExpectColumnValuesToBeBetween(**between),
        gxe.ExpectColumnValuesToBeBetween(**masked),
        gxe.ExpectColumnValuesToBeBetween(column="i", min_value=1),
    ]
    known = KnownFrame(FRAME, facts)
    hidden = {"result_format": "BASIC", "partial_unexpected_count": 0}
    results = polars(known, *checks, result_format=hidden)
    assert [2, 3, 4, 2, 0] == [result.result["unexpected_count"] for result in results]
    assert [400, 400, 400] == [result.result["element_count"] for result in results[:3]]
    assert ["known", "known", "known", "scan", "scan"] == evidence(known, *checks, result_format=hidden)


def test_only_expectations_about_rows_can_be_counted():
    with pytest.raises(ValueError, match="expect_column_mean_to_be_between is about the batch"):
        Facts.of_expectation("expect_column_mean_to_be_between", {"column": "i", "min_value": 1}, asked=1, breaking=0)
    with pytest.raises(ValueError, match="min_valu"):
        Facts.of_expectation("expect_column_values_to_be_between", {"column": "i", "min_valu": 1}, asked=1, breaking=0)


def test_a_result_that_is_only_a_verdict_says_no_more():
    mean = gxe.ExpectColumnMeanToBeBetween(column="i", min_value=1)
    assert [None] == evidence(FRAME, mean, result_format="BOOLEAN_ONLY")
    assert [None] == evidence(FRAME, mean, result_format={"result_format": "BOOLEAN_ONLY"})


def test_facts_join():
    key = ("c", (), ())
    left = Facts(1, {"a": 1, "b": 2}, {"a": 1}, {"a": 2}, frozenset({("a",)}), {key: (1, 1)})
    right = Facts(None, {"b": 3}, {"a": 0}, {}, frozenset({("b",)}), {key: (2, 0)})
    joined = Facts(1, {"a": 1, "b": 3}, {"a": 0}, {"a": 2}, frozenset({("a",), ("b",)}), {key: (2, 0)})
    assert joined == left | right
    assert left == left | Facts() == Facts() | left


def test_the_engine_tells_the_evidence_of_an_expectation(files: ParquetFiles):
    import great_expectations as gx

    source: Any = gx.get_context(mode="ephemeral").data_sources.add_polars("source")  # pyright: ignore
    batch = source.add_dataframe_asset("asset").add_batch_definition_whole_dataframe("batch")
    checks = [
        gxe.ExpectTableRowCountToEqual(value=4),
        gxe.ExpectColumnMeanToBeBetween(column="i", min_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="i", min_value=1, row_condition=Column("i").is_not_null()),
    ]
    suite = gx.ExpectationSuite(name="suite", expectations=checks)
    assert batch.get_batch({"dataframe": files}).validate(suite, result_format="BOOLEAN_ONLY").success
    engine = source.get_execution_engine()
    assert ["statistics", "scan", "scan"] == [engine.evidence(check) for check in checks]
    assert "scan" == engine.evidence(checks[1].configuration)
    with pytest.raises(KeyError):
        engine.evidence(gxe.ExpectTableColumnCountToEqual(value=3))


def test_files_that_are_not_there_or_broken(tmp_path: Path):
    path = tmp_path / "x.parquet"
    with pytest.raises(FileNotFoundError):
        read_facts([path])
    path.write_text("not parquet")
    assert Facts() == read_facts([path])
    with pytest.raises(pl.exceptions.ComputeError, match="parquet"):
        polars(ParquetFiles([path]), gxe.ExpectTableRowCountToEqual(value=0))
    assert Facts() == read_facts(["s3://bucket/x.parquet"])


def test_no_files_are_an_empty_batch():
    (result,) = polars(ParquetFiles([], schema=FRAME.schema), gxe.ExpectTableRowCountToEqual(value=0))
    assert result.success
    with pytest.raises(ValueError, match="ParquetFiles has no paths: say which columns"):
        polars(ParquetFiles([]), gxe.ExpectTableRowCountToEqual(value=0))


def test_a_name_with_a_star_is_one_file(tmp_path: Path):
    for name in ("a*.parquet", "ab.parquet"):
        FRAME.write_parquet(tmp_path / name)
    files = ParquetFiles([tmp_path / "a*.parquet"], storage_options={})
    (result,) = polars(files, gxe.ExpectColumnMeanToBeBetween(column="k", min_value=0))
    assert [4] == [r.result["observed_value"] for r in polars(files, gxe.ExpectTableRowCountToEqual(value=4))]
    assert result.success


def test_statistics_that_a_file_does_not_keep_are_unknown(tmp_path: Path):
    frame = pl.DataFrame({"i": [1, 2], "s": ["a", "b"]})
    paths = tmp_path / "a.parquet", tmp_path / "b.parquet"
    frame.write_parquet(paths[0])
    pq.write_table(frame.to_arrow(), paths[1], write_statistics=["s"])  # pyright: ignore[reportArgumentType]
    facts = read_facts(paths)
    assert (4, {"s": 0}, {"s": "a"}) == (facts.rows, facts.nulls, facts.minimum)
    frame.drop("s").write_parquet(paths[1], statistics={"min": True, "max": False, "null_count": False})
    assert (4, {}, {}) == (read_facts(paths).rows, read_facts(paths).nulls, read_facts(paths).maximum)


DTYPES: dict[str, tuple[pl.DataType, st.SearchStrategy[Any]]] = {
    "i8": (pl.Int8(), st.integers(-128, 127)),
    "u64": (pl.UInt64(), st.integers(0, 2**64 - 1)),
    "i64": (pl.Int64(), st.integers(-(2**63), 2**63 - 1)),
    "d": (pl.Date(), st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1))),
    "ms": (pl.Datetime("ms"), st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))),
    "us": (pl.Datetime("us", "Europe/Rome"), st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))),
    "dec": (pl.Decimal(12, 2), st.decimals(-1000, 1000, places=2)),
    "b": (pl.Boolean(), st.booleans()),
    "s": (pl.String(), st.text(max_size=3).map(lambda text: text * 40)),
    "f": (pl.Float64(), st.floats()),
    "c": (pl.Categorical(), st.sampled_from(["x", "y"])),
    "t": (pl.Time(), st.times()),
}


@settings(
    max_examples=12,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_settled_values_are_those_of_the_rows(tmp_path: Path, data: st.DataObject):
    size = data.draw(st.integers(0, 6))
    frame = pl.DataFrame(
        {
            name: _series(data.draw(st.lists(st.none() | values, min_size=size, max_size=size)), dtype)
            for name, (dtype, values) in DTYPES.items()
        }
    )
    path = tmp_path / "x.parquet"
    frame.write_parquet(path, row_group_size=2)
    facts = read_facts([path])
    assert size == facts.rows
    proven: list[Any] = []
    for name, what in itertools.product(frame.columns, ("min", "max")):
        domain, held = {"column": name}, frame[name]
        assert held.null_count() == facts.nulls[name]
        if settled := settle(facts, f"column.{what}", domain, {}, frame.schema):
            assert getattr(held, what)() == settled.value
        for bound in held.drop_nulls().to_list()[:3]:
            between = {f"{what}_value": bound, f"strict_{what}": data.draw(st.booleans())}
            if settle(facts, "column_values.between.unexpected_count", domain, between, frame.schema):
                proven.append(gxe.ExpectColumnValuesToBeBetween(column=name, **between))
    assert [(True, None)] * len(proven) == [(result.success, error(result)) for result in polars(frame, *proven)]


def _series(values: list[Any], dtype: pl.DataType) -> pl.Series:
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        return (
            pl.Series(values, dtype=pl.Datetime("us")).dt.replace_time_zone("UTC").dt.convert_time_zone(dtype.time_zone)
        )
    return pl.Series(values, dtype=dtype)
