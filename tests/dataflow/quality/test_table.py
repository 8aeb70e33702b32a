"""Rules about the table as it will be read no more of it than can matter."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataflow.model import ROW_ID, RuleResult, Verdict
from dataflow.quality.batch import Batch, FileFacts, Files
from dataflow.quality.gate import audit
from dataflow.quality.known import Statistics, statistics
from dataflow.quality.rules import ValidationRule
from dataflow.quality.table import count_repeated, overlapping
from tests.dataflow.quality.batches import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def unique(*columns: str, **settings: Any) -> ValidationRule:
    if len(columns) == 1:
        about: dict[str, Any] = {"type": "expect_column_values_to_be_unique", "column": columns[0]}
    else:
        about = {"type": "expect_compound_columns_to_be_unique", "column_list": list(columns), **settings}
    return ValidationRule("unique", expectation=about, scope="table")


def about_table(kind: str, **arguments: Any) -> ValidationRule:
    return ValidationRule("rule", expectation={"type": kind, **arguments}, scope="table")


def judge(batch: Batch, *rules: ValidationRule) -> Verdict:
    return audit(batch, rules, stage="orders", batch_id="b", digest="d")


def only(batch: Batch, rule: ValidationRule) -> RuleResult:
    (result,) = judge(batch, rule).results
    return result


def ids(*values: Any) -> pl.DataFrame:
    return pl.DataFrame({"id": values}, schema={"id": pl.Int64})


def test_a_key_that_an_earlier_batch_has(shelf: Shelf):
    kept = shelf.files(ids(1, 2, 3), ids(10, 11), ids(20, 21))
    batch = Batch(shelf.files(ids(11, 12, 13)), kept=kept)

    result = only(batch, unique("id"))

    assert (False, "table", 3, 1, "scan of 1 of 3 files that stay") == (
        result.success,
        result.scope,
        result.checked,
        result.failed,
        result.evidence,
    )
    assert "expect_column_values_to_be_unique(column='id')" == result.statement
    assert [["1.parquet"]] == [paths for paths in shelf.scanned if paths and paths != ["3.parquet"] and len(paths) < 3]


def test_a_key_twice_in_the_batch_itself(shelf: Shelf):
    batch = Batch(shelf.files(ids(5, 5, None, None)), kept=shelf.files(ids(1, None)))
    result = only(batch, unique("id"))
    assert (False, 2, "scan of 0 of 1 files that stay") == (result.success, result.failed, result.evidence)


def test_a_deduplicated_batch_beside_other_keys_reads_nothing(shelf: Shelf):
    batch = Batch(shelf.files(ids(5, 6)), kept=shelf.files(ids(1, 2)), distinct=(("id",),))
    shelf.gone()
    result = only(batch, unique("id"))
    assert (True, 0, "deduplicated by this stage, scan of 0 of 1 files that stay") == (
        result.success,
        result.failed,
        result.evidence,
    )


def test_a_table_that_is_not_there_yet(shelf: Shelf):
    batch = Batch(shelf.files(ids(5, 6)), distinct=(("id",),))
    assert only(batch, unique("id")).success
    assert "scan of 0 of 0 files that stay" == only(Batch(shelf.files(ids(5, 6))), unique("id")).evidence


def test_an_empty_batch_adds_no_key(shelf: Shelf):
    batch = Batch(Files((), shelf.files(ids(1)).scan), kept=shelf.files(ids(1, 1)))
    result = only(batch, unique("id"))
    assert (True, 0, 0) == (result.success, result.checked, result.failed)


def test_row_ids_of_repeated_keys(shelf: Shelf):
    good = ids(1, 2, 3).with_columns(pl.Series(ROW_ID, [70, 71, 72]))
    kept = ids(2, 9).with_columns(pl.Series(ROW_ID, [1, 2]))
    assert (71,) == only(Batch(shelf.files(good), kept=shelf.files(kept)), unique("id")).rows


@pytest.mark.parametrize(
    ("ignored", "failed"), [({}, 2), ({"ignore_row_if": "any_value_is_missing"}, 1), ({"ignore_row_if": "never"}, 3)]
)
def test_keys_with_missing_parts(shelf: Shelf, ignored: dict[str, str], failed: int):
    good = pl.DataFrame({"a": [1, 1, None, 2], "b": [1, None, None, 7]})
    kept = pl.DataFrame({"a": [1, 1, None, 3], "b": [1, None, None, 7]})
    batch = Batch(shelf.files(good), kept=shelf.files(kept), distinct=(("a", "b"),))
    result = only(batch, unique("a", "b", **ignored))
    assert (failed, "scan of 1 of 1 files that stay") == (result.failed, result.evidence)


def test_only_what_is_known_of_missing_parts_spares_the_scan(shelf: Shelf):
    whole = pl.DataFrame({"a": [1, 2], "b": [1, 1]})
    holes = pl.DataFrame({"a": [1, 2], "b": [1, None]})
    for frame, ignored, evidence in (
        (whole, {}, "deduplicated by this stage, scan of 0 of 0 files that stay"),
        (holes, {}, "scan of 0 of 0 files that stay"),
        (
            holes,
            {"ignore_row_if": "any_value_is_missing"},
            "deduplicated by this stage, scan of 0 of 0 files that stay",
        ),
    ):
        batch = Batch(shelf.files(frame), distinct=(("c",), ("a", "b")))
        assert evidence == count_repeated(unique("a", "b", **ignored), batch).evidence


def test_partitions_spare_files(shelf: Shelf):
    month = pl.DataFrame({"month": ["1", "1"], "name": ["a", "b"]})
    kept = shelf.files(month, month.with_columns(month=pl.lit("2")), by=("month",))
    good = shelf.files(pl.DataFrame({"month": ["2", "2"], "name": ["b", "c"]}), by=("month",))
    found = count_repeated(unique("month", "name"), Batch(good, kept=kept))
    assert (1, "scan of 1 of 2 files that stay") == (found.rows, found.evidence)
    # Without the partition in the key, or with another partitioning, every file counts.
    assert "scan of 2 of 2 files that stay" == count_repeated(unique("name"), Batch(good, kept=kept)).evidence
    other = Files(good.files, good.scan)
    assert ["0.parquet", "1.parquet"] == overlapping(kept, other, {"month": pl.String(), "name": pl.String()})


def test_without_statistics_every_file_is_read(shelf: Shelf):
    kept = shelf.files(ids(1, 2), ids(7, 8), stats=False)
    assert "scan of 2 of 2 files that stay" == only(Batch(shelf.files(ids(5)), kept=kept), unique("id")).evidence
    silent = Batch(shelf.files(ids(5), stats=False), kept=shelf.files(ids(1, 2)))
    assert "scan of 1 of 1 files that stay" == only(silent, unique("id")).evidence


def test_files_of_missing_values_meet_only_each_other(shelf: Shelf):
    key = {"id": pl.Int64()}
    nothing, some, mixed = ids(None), ids(1, 2), ids(None, 9)
    kept = shelf.files(nothing, some, mixed)
    assert ["0.parquet", "2.parquet"] == overlapping(kept, shelf.files(nothing), key)
    assert ["1.parquet"] == overlapping(kept, shelf.files(ids(2, 3)), key)
    assert ["0.parquet", "2.parquet"] == overlapping(kept, shelf.files(ids(None, 5)), key)
    assert ["2.parquet"] == overlapping(kept, shelf.files(ids(9, 10), ids()), key)
    assert ["1.parquet"] == overlapping(kept, shelf.files(ids(None, 2)), key, whole_keys=True)
    assert [] == overlapping(kept, shelf.files(nothing), key, whole_keys=True)


def test_a_column_that_the_table_has_not_had(shelf: Shelf):
    good = pl.DataFrame({"id": [1, 2], "kind": ["a", "b"]})
    batch = Batch(shelf.files(good), kept=shelf.files(ids(1, 1)))
    assert (True, 0) == (only(batch, unique("kind")).success, only(batch, unique("id", "kind")).failed)


def test_statistics_settle_what_they_prove(shelf: Shelf):
    batch = Batch(shelf.files(ids(4, 5)), kept=shelf.files(ids(1, 2, 3)))
    rules = [
        about_table("expect_table_row_count_to_equal", value=5),
        about_table("expect_column_min_to_be_between", column="id", min_value=1),
        about_table("expect_column_max_to_be_between", column="id", max_value=4),
        about_table("expect_column_proportion_of_non_null_values_to_be_between", column="id", min_value=1),
    ]
    shelf.gone()
    results = [only(batch, rule) for rule in rules]
    assert [(True, 5), (True, 1), (False, 5), (True, 1.0)] == [(r.success, r.observed) for r in results]
    assert ["statistics"] * 4 == [r.evidence for r in results]
    assert [5] * 4 == [r.checked for r in results]


def test_other_expectations_read_the_whole_table(shelf: Shelf):
    batch = Batch(shelf.files(ids(5, 6)), kept=shelf.files(ids(1, 2, 3), ids(7)))
    result = only(batch, about_table("expect_column_mean_to_be_between", column="id", min_value=5))
    assert (False, 4.0, "scan", 6) == (result.success, result.observed, result.evidence, result.checked)


def test_a_column_that_is_nowhere(shelf: Shelf):
    verdict = judge(Batch(shelf.files(ids(1)), kept=shelf.files(ids(1))), unique("idd"))
    assert "rule 'unique': unknown column 'idd' in expect_column_values_to_be_unique(column='idd'); did you mean 'id'? accepted: id" == verdict.results[0].error  # fmt: skip
    assert "rejected" == verdict.outcome


def test_statistics_as_the_log_spells_them():
    schema = {"n": pl.Int64(), "on": pl.Date(), "at": pl.Datetime("us", "UTC"), "local": pl.Datetime("us"),
              "t": pl.String(), "f": pl.Float64(), "p": pl.Int32(), "odd": pl.Date()}  # fmt: skip
    stats = (
        '{"minValues": {"n": 1, "on": "2020-01-01", "at": "2020-01-01T00:00:00.000Z", "local": "2020-01-01T00:00:00", '
        '"t": "a", "f": 1.5, "odd": "long ago"}, "maxValues": {"n": 3, "on": "2020-01-02", '
        '"at": "2020-01-02T00:00:00.000Z", "local": "2020-01-02T00:00:00Z", "t": "b", "f": 2.5, "odd": "soon"}, '
        '"nullCount": {"n": 1, "t": 0}}'
    )
    known = statistics([FileFacts("a", 2, stats, {"p": "7"}), FileFacts("b", 0, "{}")], schema)
    instant = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    assert (
        Statistics(
            2,
            {"n": 1, "t": 0, "p": 0},
            {"n": 1, "on": dt.date(2020, 1, 1), "at": instant, "p": 7},
            {"n": 3, "on": dt.date(2020, 1, 2), "at": instant + dt.timedelta(days=1), "p": 7},
        )
        == known
    )
    missing = FileFacts("c", 3, "{}", {"p": None})
    both = statistics([FileFacts("a", 2, stats, {"p": "7"}), missing], schema)
    assert (5, {"p": 3}, {"p": 7}) == (both.rows, both.nulls, both.low)
    assert Statistics(0, {"n": 0}) == statistics([], {"n": pl.Int64()})
