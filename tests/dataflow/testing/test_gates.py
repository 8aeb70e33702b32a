"""A frame before rules, without a lake."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dataflow import ConfigError, ValidationRule
from dataflow.testing import orders, run_gate

POSITIVE = ValidationRule("positive", "n > 0")
UNIQUE = ValidationRule("unique", expectation={"type": "expect_column_values_to_be_unique", "column": "n"})


def test_rows_are_conserved_and_the_good_ones_are_those_without_a_defect():
    sample = orders(200, seed=5, defects={"null_key": 3, "late": 4, "swapped_times": 5, "orphan_reference": 6})
    run = run_gate(sample.frame.lazy(), sample.rules())

    broken = {row for defect in sample.defects for row in defect.failing}
    assert_frame_equal(sample.frame[[row for row in range(200) if row not in broken]], run.good)
    assert_frame_equal(sample.frame[sorted(broken)], run.quarantined.select(sample.frame.columns))
    assert "quarantined" == run.verdict.outcome


def test_rules_about_the_batch_judge_what_is_left_of_it():
    run = run_gate(pl.DataFrame({"n": [-1, -1, 2, 2, 3]}), [UNIQUE, POSITIVE])
    assert {"unique": 2, "positive": 2} == run.failed
    assert ["unique", "positive"] == [result.rule for result in run.verdict.results]
    assert "rejected" == run.verdict.outcome


def test_without_rules_about_rows_nothing_is_set_aside():
    run = run_gate(pl.DataFrame({"n": [1, 2]}), [UNIQUE])
    assert ("passed", 2, 0) == (run.verdict.outcome, run.good.height, run.quarantined.height)


def test_two_rules_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="two rules are named 'positive'"):
        run_gate(pl.DataFrame({"n": [1]}), [POSITIVE, POSITIVE])
