from __future__ import annotations

import json
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from dataflow.model import How, RuleResult, RunReport, Verdict
from tasks.artifacts import artifacts, efficiency, gate, markdown, show
from tasks.runner import PrefectRunner
from tests.tasks.runs import REFUSAL, context, flow_run_of, report, stage_report


def made(state: Any = "completed", **more: Any) -> RunReport:
    stages = (
        stage_report("bronze_flights", kind="source", verdict=None, notes=(), reason="4 new files"),
        stage_report("flights"),
        stage_report(
            "daily_delays",
            "skipped",
            verdict=None,
            notes=(),
            units=0,
            seconds=0.0,
            cpu_seconds=0.0,
            peak_memory_bytes=0,
        ),
    )
    return report(context(), state, stages, **more)


def test_the_report_says_in_words_and_as_a_table_what_the_run_did():
    run = made(repaired=("2 staged files of run a1",))

    expected = f"""# Flights

**Completed.** 3 stages: 2 published, 1 skipped; 12,345 rows read from sources. \
Run `{run.run_id}` took 3.2 s; the lake is at `/lake`.

| Stage | State | Gate | Read | Published | Quarantined | Seconds | CPU s | Peak MB |
| --- | --- | --- | --: | --: | --: | --: | --: | --: |
| bronze_flights | published | no gate | 12,345 | 12,343 | 2 | 1.2 | 2.5 | 812 |
| flights | published | quarantined | 12,345 | 12,343 | 2 | 1.2 | 2.5 | 812 |
| daily_delays | skipped | – | – | – | – | – | – | – |

## Repaired

What an earlier, interrupted run had left:

- 2 staged files of run a1

## Notes

- **bronze_flights**: 4 new files
- **flights**: quarantined by delay\\_in\\_range: 2 of 100 rows (dep\\_delay BETWEEN -120 AND 2000 \\| null): \
`pl.read_delta('/lake/flights__quarantine').filter(pl.col('_rules').list.contains('delay_in_range'))`
- **flights**: 2 rows broke delay_in_range
"""

    assert expected == markdown(run)


def test_the_report_says_where_the_data_docs_are():
    assert "the lake is at `/lake`, what its gates found on `/lake/index.html`.\n" in markdown(
        made(data_docs="/lake/index.html")
    )


@pytest.mark.parametrize("state", ["rejected", "branched"])
def test_what_a_gate_refuses_is_not_published(state: Any):
    run = report(context(), stages=(stage_report(state=state),))

    assert f"| flights | {state} | quarantined | 12,345 | 0 | 2 | 1.2 | 2.5 | 812 |" in markdown(run)


def test_of_a_stage_that_failed_the_time_is_told():
    run = report(context(), stages=(stage_report(state="failed", units=0, verdict=None),))

    assert "| flights | failed | – | – | – | 1.2 | 2.5 | 812 |" in markdown(run)


def test_what_was_spared_is_told_above_both_tables():
    spared = {"rows_skipped": 331_000, "bytes_skipped": 70_000_000, "full_seconds": 9.75}
    run = report(context(), stages=(stage_report(**spared),))

    told = "pared: 331,000 rows and 70.0 MB not read; stages took 8.5 s less than when they last ran in full"

    assert f"\n\nS{told}.\n\n## Notes" in markdown(run)
    assert str(artifacts(run)[1].description).endswith(f" and what it did not have to do again (s{told})")


def test_a_cell_or_note_cannot_break_the_page():
    run = report(context(), stages=(stage_report("a|b", "published", notes=("one\ntwo",)),))

    text = markdown(run)

    assert "| a\\|b |" in text
    assert "- **a|b**: one two" in text


def test_trouble_comes_first_among_the_notes():
    verdict = stage_report().verdict.model_copy(update={"results": (REFUSAL,)})  # type: ignore[union-attr]
    run = report(context(), "rejected", (stage_report(state="rejected", reason="4 new files", verdict=verdict),))

    expected = (
        "- **flights**: flights was rejected by its gate: keys_unique (3 of 1,000 rows).\n"
        "- **flights**: refused by keys\\_unique: 3 of 1,000 rows\n"
        "- **flights**: 2 rows broke delay_in_range\n"
    )

    assert markdown(run).endswith(expected)


def test_a_gate_is_a_table_of_its_rules():
    first, second = gate(stage_report(), "/lake")

    assert {
        "rule": "delay_in_range",
        "says": "dep_delay BETWEEN -120 AND 2000 | null",
        "severity": "critical",
        "scope": "row",
        "route": "quarantine",
        "evidence": "scan",
        "checked": 100,
        "failed": 2,
        "repaired": 0,
        "share": 0.02,
        "found": None,
        "result": "failed",
        "rows": "",
        "see": "pl.read_delta('/lake/flights__quarantine').filter(pl.col('_rules').list.contains('delay_in_range'))",
    } == first
    assert ("rows", "passed", 100, 0, "") == tuple(second[key] for key in ("rule", "result", "found", "share", "see"))


def test_a_gate_tells_branches_row_ids_and_rules_that_could_not_be_evaluated():
    results = (
        RuleResult(rule="urgent", severity="critical", route="branch", branch="triage", success=False, rows=(7, 9)),
        RuleResult(rule="broken", severity="info", route="measure", success=False, error="no column 'x'"),
    )
    verdict = Verdict(stage="flights", batch_id="b", digest="d", results=results)
    first, second = gate(stage_report(state="branched", verdict=verdict), "/lake")

    assert ("branch to triage", "7, 9") == (first["route"], first["rows"])
    assert "could not be evaluated: no column 'x'" == second["result"]
    assert [] == gate(stage_report(verdict=None), "/lake")


def test_efficiency_sets_what_was_done_beside_what_was_not():
    appended = How(kind="append", why="every row depends on one row of bronze_flights")
    spared = {"rows_skipped": 331_000, "bytes_skipped": 70_000, "full_seconds": 9.75}
    assert {
        "stage": "flights",
        "how": "append",
        "why": "every row depends on one row of bronze_flights",
        "in_full": False,
        "units_run": 3,
        "units_fresh": 9,
        "rows_read": 12345,
        "rows_skipped": 331_000,
        "rows_fresh": 1000,
        "bytes_read": 8192,
        "bytes_skipped": 70_000,
        "bytes_written": 4096,
        "bytes_fresh": 2048,
        "seconds": 1.25,
        "full_seconds": 9.75,
        "seconds_saved": 8.5,
        "cpu_seconds": 2.5,
        "peak_memory_mb": 812,
        "rows_per_second": 9876,
    } == efficiency(report(context(), stages=(stage_report(how=appended, **spared),)))[0]


def test_of_a_stage_without_an_increment_the_reason_is_told():
    (told,) = efficiency(report(context(), stages=(stage_report(reason="4 new files", in_full=True, full_seconds=9),)))
    assert ("full", "4 new files", 0.0) == (told["how"], told["why"], told["seconds_saved"])


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"how": How(kind="partition", why="by month"), "reason": "nothing new", "units": 0}, "published"),
        ({"state": "skipped", "units": 0}, "skipped"),
        ({"state": "not_run", "units": 0}, "not run"),
        ({"kind": "source"}, "files"),
        ({}, "–"),
    ],
)
def test_how_a_stage_was_brought_up_to_date_is_told_of_each(told: dict[str, Any], expected: str):
    (found,) = efficiency(report(context(), stages=(stage_report(**told),)))
    assert expected == found["how"]


def test_the_columns_that_say_most_come_first():
    (found,) = efficiency(report(context(), stages=(stage_report(),)))
    expected = ["stage", "how", "rows_read", "rows_skipped", "seconds", "full_seconds", "seconds_saved", "why"]
    assert expected == list(found)[:8]


def test_a_stage_without_a_gate_or_rules_has_no_table():
    empty = Verdict(stage="flights", batch_id="b", digest="d")
    run = report(context("daily_delays"), stages=(stage_report(verdict=None), stage_report(verdict=empty)))

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
    assert {"shown-report", "shown-flights-gate", "shown-efficiency"} == set(found)
    assert markdown(worked) == found["shown-report"].data
    assert gate(worked.stages[0], worked.lake) == json.loads(found["shown-flights-gate"].data)
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

    (said,) = caplog.messages
    assert said.startswith("The artifact flights-report (and 2 more) could not be made: ")
