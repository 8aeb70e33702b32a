"""What the gates of a run found, in words, and how a person sees the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.model import RuleResult, StageReport

_ASIDE = {"quarantine": "quarantine", "repair": "quarantine", "drop": "dropped"}
"""Where the rows are that a rule set aside, by its route."""


@dataclass(frozen=True)
class Finding:
    """A rule that was not met, or that rows were repaired for."""

    result: RuleResult
    text: str
    """What happened: ``quarantined by known: 50 of 1,200 rows (id IS NOT NULL)``."""
    see: str | None = None
    """A Polars expression that gives the rows; None where no table has them."""


def findings(report: StageReport, lake: str) -> tuple[Finding, ...]:
    """What a stage's gate found, in the order of its rules; what was only measured is no finding.

    Example:
        >>> from dataflow.model import Verdict
        >>> known = RuleResult(rule="known", severity="critical", route="drop", success=False, checked=9, failed=1)
        >>> verdict = Verdict(stage="orders", batch_id="b", digest="d", results=(known,))
        >>> report = StageReport(stage="orders", kind="task", state="published", verdict=verdict)
        >>> findings(report, "/lake")[0].see
        "pl.read_delta('/lake/orders__dropped').filter(pl.col('_rules').list.contains('known'))"
    """
    results = report.verdict.results if report.verdict else ()
    return tuple(finding for result in results for finding in _findings(report, result, lake.rstrip("/")))


def found(result: RuleResult) -> str:
    """What a rule found: ``3 of 1,000 rows``, or the value that it observed."""
    if result.failed:
        return f"{result.failed:,} of {_rows(result.checked)}"
    return f"found {result.observed}" if result.observed is not None else "not met"


def see_rows(report: StageReport, result: RuleResult, lake: str) -> str | None:
    """A Polars expression for the rows that broke a rule; None where no table has them, or none of them is known."""
    if report.state != "published" or result.success or result.error is not None or not result.failed:
        return None
    if result.route in _ASIDE:
        return _of_rule(lake, f"{report.stage}__{_ASIDE[result.route]}", result.rule)
    if not result.rows:
        return None
    first = "" if result.failed == len(result.rows) else f"  # the first {len(result.rows)}"
    return f"{_anywhere(report, lake)}.filter(pl.col('_row_id').is_in({list(result.rows)})){first}"


def _anywhere(report: StageReport, lake: str) -> str:
    """The stage's rows, with those that another rule may have set aside."""
    tables = [f"{lake}/{report.stage}"]
    tables += [f"{tables[0]}__quarantine"] if report.counts.quarantined else []
    tables += [f"{tables[0]}__dropped"] if report.counts.dropped else []
    if len(tables) == 1:
        return f"pl.read_delta({tables[0]!r})"
    return f"pl.concat([pl.read_delta(t) for t in {tables}], how='diagonal')"


def _findings(report: StageReport, result: RuleResult, lake: str) -> Iterator[Finding]:
    if result.error is not None:
        why = result.error.removeprefix(f"rule {result.rule!r}").removeprefix(" could not be evaluated")
        yield Finding(result, f"rule {result.rule} could not be evaluated: {why.removeprefix(': ')}")
        return
    published = report.state == "published"
    if result.repaired and published:
        told = f"repaired for {result.rule}: {_rows(result.repaired)}{_words(result)}"
        table = f"{report.stage}__repaired"
        yield Finding(result, told, _of_rule(lake, table, result.rule))
    if not result.success and result.route != "measure":
        become = _become(result) if published or result.route in ("fail", "branch") else "not met"
        text = f"{become} {result.rule}: {found(result)}{_words(result)}{'' if published else _ids(result)}"
        yield Finding(result, text, see_rows(report, result, lake))


def _become(result: RuleResult) -> str:
    words = {
        "quarantine": "quarantined by",
        "repair": "not repaired, and quarantined, by",
        "drop": "dropped by",
        "warn": "warning",
        "fail": "refused by",
        "branch": f"branched to {result.branch} by",
    }
    return words[result.route]


def _of_rule(lake: str, table: str, rule: str) -> str:
    return f"pl.read_delta({f'{lake}/{table}'!r}).filter(pl.col('_rules').list.contains({rule!r}))"


def _words(result: RuleResult) -> str:
    return f" ({result.statement})" if result.statement else ""


def _ids(result: RuleResult) -> str:
    """The rows of a batch that no table has: their ids lead to the stage's input."""
    return f"; the first row ids: {', '.join(map(str, result.rows))}" if result.rows else ""


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
