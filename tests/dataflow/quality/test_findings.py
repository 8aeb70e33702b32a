from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataflow.model import RowCounts, RuleResult, StageReport, Verdict
from dataflow.quality.findings import findings, found


def result(name: str = "known", route: str = "quarantine", **more: Any) -> RuleResult:
    values: dict[str, Any] = {"severity": "critical", "success": False, "checked": 1200, "failed": 50}
    return RuleResult.model_validate({"rule": name, "route": route, **values, **more})


def told(
    *results: RuleResult, state: Any = "published", lake: str = "/lake/", **counts: int
) -> list[tuple[str, str | None]]:
    verdict = Verdict(stage="orders", batch_id="b", digest="d", results=results)
    report = StageReport(stage="orders", kind="task", state=state, verdict=verdict, counts=RowCounts(**counts))
    return [(finding.text, finding.see) for finding in findings(report, lake)]


def of_rule(table: str) -> str:
    return f"pl.read_delta('/lake/orders__{table}').filter(pl.col('_rules').list.contains('known'))"


@pytest.mark.parametrize(
    ("rule", "text", "see"),
    [
        (result(), "quarantined by known: 50 of 1,200 rows", of_rule("quarantine")),
        (result(route="drop", failed=1, checked=1), "dropped by known: 1 of 1 row", of_rule("dropped")),
        (result(route="warn"), "warning known: 50 of 1,200 rows", None),
        (
            result(route="warn", failed=2, rows=(4, 8), statement="id > 0"),
            "warning known: 2 of 1,200 rows (id > 0)",
            "pl.read_delta('/lake/orders').filter(pl.col('_row_id').is_in([4, 8]))",
        ),
        (result(route="warn", failed=0, observed=3), "warning known: found 3", None),
        (result(route="warn", failed=0), "warning known: not met", None),
    ],
)
def test_what_a_rule_did_is_told_with_how_to_see_the_rows(rule: RuleResult, text: str, see: str | None):
    assert [(text, see)] == told(rule)


def test_of_many_rows_the_first_are_shown_and_called_so():
    ((_, see),) = told(result(route="warn", rows=(4, 8)))
    assert "pl.read_delta('/lake/orders').filter(pl.col('_row_id').is_in([4, 8]))  # the first 2" == see


def test_a_repair_tells_what_was_made_good_and_what_was_not():
    assert [
        ("repaired for known: 7 rows (id > 0)", of_rule("repaired")),
        ("not repaired, and quarantined, by known: 50 of 1,200 rows (id > 0)", of_rule("quarantine")),
    ] == told(result(route="repair", repaired=7, statement="id > 0"))
    assert [("repaired for known: 1 row", of_rule("repaired"))] == told(
        result(route="repair", repaired=1, success=True, failed=0)
    )


def test_a_batch_that_is_not_published_is_in_no_table():
    results = (
        result(),
        result(route="repair", repaired=3),
        result(route="fail", rows=(4, 8)),
        result(route="branch", branch="triage"),
    )
    assert [
        ("not met known: 50 of 1,200 rows", None),
        ("not met known: 50 of 1,200 rows", None),
        ("refused by known: 50 of 1,200 rows; the first row ids: 4, 8", None),
        ("branched to triage by known: 50 of 1,200 rows", None),
    ] == told(*results, state="rejected")


def test_what_passes_or_is_only_measured_is_no_finding_and_an_error_always_is():
    error = "rule 'known' could not be evaluated: no column 'x'"
    assert [("rule known could not be evaluated: no column 'x'", None)] == told(
        result(success=True), result(route="measure"), result(route="measure", error=error)
    )
    assert () == findings(StageReport(stage="orders", kind="task", state="published"), "/lake")


def test_a_share_needs_no_rows():
    assert "found 0" == found(result(failed=0, observed=0))


def test_the_expressions_give_the_rows(tmp_path: Path):
    lake = f"{tmp_path}/it's_a_lake"
    rows = pl.DataFrame({"_row_id": [1, 2, 3], "_rules": [["known"], ["known", "other"], ["other"]]})
    for table in ("orders", "orders__quarantine"):
        rows.write_delta(f"{lake}/{table}")

    rows.write_delta(f"{lake}/orders__dropped")
    warned = told(result(failed=2), result(route="warn", rows=(3,)), lake=lake)
    aside = told(result(route="warn", rows=(3,)), lake=lake, quarantined=3, dropped=3)
    sees = [see for _, see in warned + aside]

    assert [[1, 2], [3], [3, 3, 3]] == [eval(str(see), {"pl": pl})["_row_id"].sort().to_list() for see in sees]
