"""The gate judges exactly the staged rows, by real checkpoints, and says why."""

from __future__ import annotations

import datetime as dt
import itertools
import logging
import os
import socket
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataflow.errors import ConfigError, LakeCorrupt, LakeUnavailable
from dataflow.model import Verdict
from dataflow.quality.gate import audit, prewarm
from dataflow.quality.rules import ValidationRule

EMAIL = r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$"
FRAME = pl.DataFrame(
    {
        "id": [1, None, 3, 3],
        "email": ["a@b.cc", "x", None, "d@e.org"],
        "day": [dt.date(2020, 1, 1), None, dt.date(2021, 1, 1), dt.date(2022, 1, 1)],
    }
)
NO_NULL_IDS = ValidationRule("no_null_ids", "id IS NOT NULL", severity="critical")
VALID_EMAIL = ValidationRule("valid_email", f"email MATCHES '{EMAIL}'", severity="warning")


def expecting(
    name: str, kind: str, severity: Any = "critical", mostly: float = 1.0, **arguments: Any
) -> ValidationRule:
    return ValidationRule(name, severity=severity, expectation={"type": kind, **arguments}, mostly=mostly)


UNIQUE = expecting("unique", "expect_column_values_to_be_unique", column="id")
ROWS = expecting("rows", "expect_table_row_count_to_be_between", min_value=1)
MEAN = expecting("mean", "expect_column_mean_to_be_between", column="id", min_value=0)
LATE = expecting("late", "expect_column_values_to_be_between", column="day", min_value="2020-06-01")


def judge(*rules: ValidationRule, frame: pl.DataFrame | pl.LazyFrame = FRAME) -> Verdict:
    return audit(frame.lazy(), rules, stage="customers", batch_id="b1", digest="d1")


def found(verdict: Verdict) -> list[tuple[str, bool, int, int, Any]]:
    return [(r.rule, r.success, r.checked, r.failed, r.observed) for r in verdict.results]


def test_every_rule_gets_its_result_in_declared_order():
    verdict = judge(MEAN, VALID_EMAIL, UNIQUE, NO_NULL_IDS, LATE, ROWS)
    assert [
        ("mean", True, 4, 0, 7 / 3),
        ("valid_email", False, 4, 1, None),
        ("unique", False, 4, 2, None),
        ("no_null_ids", False, 4, 1, None),
        ("late", False, 4, 1, None),
        ("rows", True, 4, 0, 4),
    ] == found(verdict)
    assert ("customers", "b1", "d1", "rejected") == (
        verdict.stage,
        verdict.batch_id,
        verdict.digest,
        verdict.outcome,
    )
    assert ["warn", "fail", "quarantine"] == [r.route for r in verdict.results[1:4]]
    assert [None] * 6 == [r.error for r in verdict.results]
    assert verdict == Verdict.model_validate_json(verdict.model_dump_json())


def test_the_order_of_rules_does_not_matter():
    rules = (NO_NULL_IDS, VALID_EMAIL, UNIQUE, MEAN)
    expected = sorted(found(judge(*rules)))
    for order in itertools.islice(itertools.permutations(rules), 1, None, 5):
        assert expected == sorted(found(judge(*order)))


def test_no_rules_no_questions():
    assert Verdict(stage="customers", batch_id="b1", digest="d1") == judge()
    assert "passed" == judge().outcome


@pytest.mark.parametrize(("mostly", "success"), [(0.66, True), (0.67, False)])
def test_mostly_is_a_share_of_the_rows_with_an_answer(mostly: float, success: bool):
    # Two of the three ids that are there are above 1.
    rules = (
        ValidationRule("predicate", "id > 1", mostly=mostly),
        expecting("expectation", "expect_column_values_to_be_between", column="id", min_value=2, mostly=mostly),
    )
    assert [("predicate", success, 4, 1, None), ("expectation", success, 4, 1, None)] == found(judge(*rules))


def test_two_rules_that_say_the_same_are_two_results():
    rules = [ValidationRule(name, "id > 1") for name in ("first", "second")]
    broken = [ValidationRule(name, "id > email") for name in ("third", "fourth")]
    verdict = judge(*rules, *broken)
    assert ["first", "second", "third", "fourth"] == [r.rule for r in verdict.results]
    assert [False, False, True, True] == [r.error is not None for r in verdict.results]


def test_an_empty_batch_passes_all_but_rules_about_row_counts_and_columns():
    exists = expecting("exists", "expect_column_to_exist", column="gone")
    distinct = expecting("distinct", "expect_column_unique_value_count_to_be_between", column="id", min_value=1)
    verdict = judge(NO_NULL_IDS, VALID_EMAIL, UNIQUE, MEAN, distinct, ROWS, exists, frame=FRAME.clear())
    assert [
        ("no_null_ids", True, 0, 0, None),
        ("valid_email", True, 0, 0, None),
        ("unique", True, 0, 0, None),
        ("mean", True, 0, 0, None),
        ("distinct", True, 0, 0, None),
        ("rows", False, 0, 0, 0),
        ("exists", False, 0, 0, None),
    ] == found(verdict)
    assert "passed" == judge(NO_NULL_IDS, UNIQUE, MEAN, frame=FRAME.clear()).outcome
    assert ["empty"] * 5 + ["scan", "schema"] == [result.evidence for result in verdict.results]


def test_an_all_null_column_has_no_mean():
    nulls = FRAME.with_columns(id=pl.lit(None, dtype=pl.Int64))
    assert [
        ("mean", False, 4, 0, "no value in id"),
        ("unique", True, 4, 0, None),
        ("positive", True, 4, 0, None),
        ("no_null_ids", False, 4, 4, None),
    ] == found(judge(MEAN, UNIQUE, ValidationRule("positive", "id > 0"), NO_NULL_IDS, frame=nulls))


@pytest.mark.parametrize(
    ("predicate", "error"),
    [
        ("idd > 0", "rule 'bad': unknown column 'idd' in idd > 0; did you mean 'id'? accepted: day, email, id"),
        (
            "email > 1",
            "rule 'bad' could not be evaluated: email > 1: cannot compare string with numeric type (i32); "
            "compare text with 'text', or CAST one side",
        ),
        ("day > '2020-01-01'", "write DATE '2013-01-31' or TIMESTAMP '2013-01-31 05:00'"),
        ("id", "the statement 'id' answers with Int64, not with yes or no"),
    ],
)
def test_a_rule_that_cannot_be_evaluated_rejects_and_takes_no_other_down(predicate: str, error: str):
    verdict = judge(ValidationRule("bad", predicate, severity="info"), NO_NULL_IDS, ROWS)
    bad, *others = verdict.results
    assert ("bad", False, "measure") == (bad.rule, bad.success, bad.route)
    assert bad.error is not None
    assert bad.error.endswith(error)
    assert [(False, 1, None), (True, 0, None)] == [(r.success, r.failed, r.error) for r in others]
    assert (bad,) == verdict.rejected_by


def test_values_that_fail_to_convert_do_not_leave_the_batch():
    verdict = judge(ValidationRule("bad", "CAST(email AS BIGINT) > 0"), NO_NULL_IDS)
    error = verdict.results[0].error
    assert error is not None
    assert "conversion from `str` to `i64` failed in column 'email'" in error
    assert "a@b.cc" not in verdict.model_dump_json()
    assert verdict.results[1].error is None


def test_arguments_that_great_expectations_does_not_take():
    bad = expecting("bad", "expect_column_values_to_be_between", column="id", min_value="many")
    verdict = judge(bad, NO_NULL_IDS)
    assert (
        "rule 'bad' could not be evaluated: expect_column_values_to_be_between(column='id', min_value='many'): "
        "min_value: value is not a valid float"
    ) == verdict.results[0].error
    assert (1, None) == (verdict.results[1].failed, verdict.results[1].error)


def test_two_rules_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="gate of 'customers': two rules are named 'no_null_ids'"):
        judge(NO_NULL_IDS, VALID_EMAIL, NO_NULL_IDS)


def test_a_staged_file_that_is_gone(tmp_path: Path):
    with pytest.raises(LakeCorrupt, match="gate of 'customers': staged files are gone"):
        judge(NO_NULL_IDS, frame=pl.scan_parquet(tmp_path / "gone.parquet"))


def test_a_staged_file_that_goes_while_it_is_judged(tmp_path: Path):
    path = tmp_path / "part.parquet"
    FRAME.write_parquet(path)
    frame = pl.scan_parquet(path)
    assert ["id", "email", "day"] == frame.collect_schema().names()
    path.unlink()
    with pytest.raises(LakeCorrupt, match="staged files are gone"):
        judge(NO_NULL_IDS, frame=frame)


def test_a_staged_file_that_is_broken(tmp_path: Path):
    path = tmp_path / "part.parquet"
    FRAME.write_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * 40 + whole[44:])
    with pytest.raises(LakeCorrupt, match=r"gate of 'customers': staged files are gone or broken .*run again"):
        judge(ROWS, NO_NULL_IDS, frame=pl.scan_parquet(path))
    path.write_bytes(b"PAR1 is not enough")
    with pytest.raises(LakeCorrupt, match="gone or broken"):
        judge(ROWS, frame=pl.scan_parquet(path))


def test_storage_that_does_not_answer_may_be_asked_again():
    with socket.socket() as reserved:  # a port that nobody listens on
        reserved.bind(("127.0.0.1", 0))
        options: dict[str, Any] = {
            "aws_endpoint_url": f"http://127.0.0.1:{reserved.getsockname()[1]}",
            "aws_access_key_id": "x",
            "aws_secret_access_key": "x",
            "aws_region": "us-east-1",
            "max_retries": 0,
        }
        frame = pl.scan_parquet("s3://bucket/part.parquet", storage_options=options)
        with pytest.raises(LakeUnavailable, match="gate of 'customers': the staged files could not be read") as caught:
            judge(NO_NULL_IDS, frame=frame)
    assert caught.value.retryable


def test_staged_files_are_judged_where_they_are(tmp_path: Path):
    for name, part in (("a", FRAME.head(2)), ("b", FRAME.tail(2))):
        part.write_parquet(tmp_path / f"{name}.parquet")
    scanned = pl.scan_parquet([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert found(judge(NO_NULL_IDS, UNIQUE, MEAN)) == found(judge(NO_NULL_IDS, UNIQUE, MEAN, frame=scanned))


def test_audits_on_many_threads_do_not_meet():
    prewarm()
    verdicts: dict[int, Verdict] = {}

    def work(least: int) -> None:
        verdicts[least] = judge(ValidationRule("least", f"id >= {least}"))

    threads = [threading.Thread(target=work, args=(least,)) for least in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [0, 0, 1, 1, 3] == [verdicts[least].results[0].failed for least in range(5)]


def test_a_gate_is_silent(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        judge(NO_NULL_IDS, UNIQUE, ValidationRule("bad", "email > 1"))
    out, err = capfd.readouterr()
    assert ("", "") == (out, err)
    assert [] == [record.message for record in caplog.records if record.levelno > logging.INFO]


def test_importing_great_expectations_leaves_warnings_and_telemetry_alone():
    code = (
        "import warnings, logging, os, socket\n"
        "warnings.filterwarnings('ignore', 'module .sre_', DeprecationWarning)  # a dependency of theirs\n"
        "socket.socket.connect = lambda *a: (_ for _ in ()).throw(AssertionError('telemetry'))\n"
        "import dataflow.quality.gate as gate, sys\n"
        "assert 'great_expectations' not in sys.modules\n"
        "before = warnings.showwarning\n"
        "gate.prewarm()\n"
        "assert warnings.showwarning is before\n"
        "assert os.environ['GX_ANALYTICS_ENABLED'] == 'false'\n"
        "assert 'great_expectations' in sys.modules\n"
    )
    env = {k: v for k, v in os.environ.items() if k != "GX_ANALYTICS_ENABLED"}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=env)
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_prewarming_twice_costs_nothing_and_keeps_warnings():
    before = warnings.showwarning
    prewarm()
    prewarm()
    assert warnings.showwarning is before
