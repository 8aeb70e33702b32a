from __future__ import annotations

import pytest

from dataflow.model import RuleResult
from tasks.states import final_state, summary
from tests.tasks.runs import REFUSAL, context, report, stage_report


def test_the_summary_counts_stages_by_what_became_of_them_and_rows_read_from_sources():
    stages = (
        stage_report("bronze_flights", kind="source"),
        stage_report("flights"),
        stage_report("daily_delays", "not_run"),
    )

    expected = "3 stages: 2 published, 1 not run; 12,345 rows read from sources."

    assert expected == summary(report(context(), stages=stages))


def test_a_rule_that_could_not_be_evaluated_is_told_with_its_error():
    broken = RuleResult(rule="r", severity="info", route="measure", success=False, error="no column 'x'")
    verdict = stage_report().verdict.model_copy(update={"results": (REFUSAL, broken)})  # type: ignore[union-attr]
    run = report(context(), "rejected", (stage_report(state="rejected", verdict=verdict),))

    expected = "flights was rejected by its gate: keys_unique (3 of 1,000 rows); r (no column 'x')."

    assert expected == final_state(run).message


@pytest.mark.parametrize(("reason", "expected"), [("", "The run failed."), ("lease lost", "lease lost")])
def test_a_failed_run_whose_stages_say_nothing_gives_its_own_reason(reason: str, expected: str):
    assert expected == final_state(report(context(), "failed", reason=reason)).message


def test_a_skipped_run_without_a_reason_had_nothing_new():
    assert "Nothing was new." == final_state(report(context(), "skipped")).message
