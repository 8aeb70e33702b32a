from __future__ import annotations

import json
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from dataflow.model import RunReport
from tasks.artifacts import artifacts, efficiency, markdown, show, verdicts
from tasks.runner import PrefectRunner
from tests.tasks.runs import REFUSAL, context, flow_run_of, report, stage_report


def made(state: Any = "completed", **more: Any) -> RunReport:
    stages = (
        stage_report("bronze_flights", kind="source", verdict=None, notes=(), reason="4 new files"),
        stage_report("flights"),
        stage_report("daily_delays", "skipped", verdict=None, notes=(), units=0, seconds=0.0),
    )
    return report(context(), state, stages, **more)


def test_the_report_says_in_words_and_as_a_table_what_the_run_did():
    run = made(repaired=("2 staged files of run a1",))

    expected = f"""# Flights

**Completed.** 3 stages: 2 published, 1 skipped; 12,345 rows read from sources. \
Run `{run.run_id}` took 3.2 s; the lake is at `/lake`.

| Stage | State | Read | Published | Deduplicated | Filtered | Quarantined | Late | Seconds | Gate |
| --- | --- | --: | --: | --: | --: | --: | --: | --: | --- |
| bronze_flights | published | 12,345 | 12,343 | 0 | 0 | 2 | 0 | 1.2 | no gate |
| flights | published | 12,345 | 12,343 | 0 | 0 | 2 | 0 | 1.2 | quarantined |
| daily_delays | skipped | 12,345 | 12,343 | 0 | 0 | 2 | 0 | 0.0 | no gate |

## Repaired

What an earlier, interrupted run had left:

- 2 staged files of run a1

## Notes

- **bronze_flights**: 4 new files
- **flights**: 2 rows broke delay_in_range
"""

    assert expected == markdown(run)


def test_a_cell_or_note_cannot_break_the_page():
    run = report(context(), stages=(stage_report("a|b", "published", notes=("one\ntwo",)),))

    text = markdown(run)

    assert "| a\\|b |" in text
    assert "- **a|b**: one two" in text


def test_trouble_comes_first_among_the_notes():
    verdict = stage_report().verdict.model_copy(update={"results": (REFUSAL,)})  # type: ignore[union-attr]
    run = report(context(), "rejected", (stage_report(state="rejected", reason="4 new files", verdict=verdict),))

    expected = (
        "- **flights**: flights was rejected by its gate: keys_unique (3 of 1,000 rows broke it).\n"
        "- **flights**: 2 rows broke delay_in_range\n"
    )

    assert markdown(run).endswith(expected)


def test_verdicts_have_one_row_for_each_stage_and_rule():
    first, second = verdicts(made())

    assert {
        "stage": "flights",
        "rule": "delay_in_range",
        "severity": "critical",
        "route": "quarantine",
        "success": False,
        "checked": 100,
        "failed": 2,
        "statement": "dep_delay BETWEEN -120 AND 2000 | null",
    } == first
    assert ("rows", True) == (second["rule"], second["success"])


def test_efficiency_sets_what_was_done_beside_what_was_not():
    assert {
        "stage": "flights",
        "units_run": 3,
        "units_fresh": 9,
        "rows_read": 12345,
        "rows_fresh": 1000,
        "bytes_written": 4096,
        "bytes_fresh": 2048,
        "seconds": 1.25,
    } == efficiency(made())[1]


def test_without_gates_there_are_no_verdicts_to_show():
    run = report(context("daily_delays"), stages=(stage_report(verdict=None),))

    assert ["daily-delays-report", "daily-delays-efficiency"] == [artifact.key for artifact in artifacts(run)]


@pytest.mark.prefect
@pytest.mark.usefixtures("prefect_server")
def test_a_run_that_did_something_shows_three_artifacts_and_a_skipped_one_none():
    run = context("shown")
    worked, skipped = report(run), report(run, "skipped")

    PrefectRunner().run(context("shown"), lambda: skipped)
    assert {} == kept("shown")

    PrefectRunner().run(run, lambda: worked)
    found = kept("shown")
    assert {"shown-report", "shown-verdicts", "shown-efficiency"} == set(found)
    assert markdown(worked) == found["shown-report"].data
    assert verdicts(worked) == json.loads(found["shown-verdicts"].data)
    assert efficiency(worked) == json.loads(found["shown-efficiency"].data)
    assert {flow_run_of(run).id} == {artifact.flow_run_id for artifact in found.values()}


def kept(pipeline: str) -> dict[str, Any]:
    """The pipeline's artifacts as the server has them."""
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(like_=f"{pipeline}-%"))
        return {str(artifact.key): artifact for artifact in client.read_artifacts(artifact_filter=wanted)}


def test_artifacts_that_prefect_does_not_take_cost_a_warning_only(caplog: pytest.LogCaptureFixture):
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        show(made())

    assert [
        "flights-report",
        "flights-efficiency",
        "flights-verdicts",
    ] == [str(record.args[0]) for record in caplog.records if "could not be made" in record.msg]  # type: ignore[index]
