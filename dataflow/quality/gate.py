"""The gate: rules become a verdict about exactly the staged files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import polars as pl

from dataflow.errors import ConfigError, LakeCorrupt, LakeUnavailable
from dataflow.model import RuleResult, Verdict
from dataflow.quality.batch import Batch
from dataflow.quality.breaking import first_rows
from dataflow.quality.checkpoint import Found, Outcome, load, run_checkpoint
from dataflow.quality.known import Aside
from dataflow.quality.looks import Look, looks_at
from dataflow.quality.masking import is_personal, masked_error, masked_value
from dataflow.quality.repairs import check_repairs
from dataflow.quality.routes import QuarantineLimit
from dataflow.quality.rules import SINGLE_ROWS, ValidationRule

LIMIT = "quarantine_limit"
"""The rule that a gate's limit is reported as."""


def prewarm() -> None:
    """Import Great Expectations, which takes seconds, while something else is going on."""
    load()


def audit(
    batch: Batch | pl.LazyFrame,
    rules: Sequence[ValidationRule],
    *,
    stage: str,
    batch_id: str,
    digest: str,
    limit: QuarantineLimit | None = None,
    pii: Collection[str] = (),
    on_result: Callable[[dict[str, Any]], None] | None = None,
) -> Verdict:
    """Judge a batch by its rules: one checkpoint, a result for every rule in the order of ``rules``.

    What the files' statistics and the staging have settled is not scanned for. A batch
    without rows passes every rule but those about row counts, columns and types. A rule
    that cannot be evaluated gets its error, and takes no other down. ``limit`` adds a
    result named ``quarantine_limit``. Of the columns in ``pii`` counts are told, never values.
    ``on_result`` takes Great Expectations' validation result as JSON.

    Errors: ConfigError for two rules of one name, or that repair one column; LakeCorrupt for a staged file that is
    gone or broken; LakeUnavailable when the storage did not answer.
    """
    check_gate(rules, stage)
    verdict = Verdict(stage=stage, batch_id=batch_id, digest=digest)
    if not rules and limit is None:
        return verdict
    try:
        looks, aside = looks_at(batch, rules, stage)
        outcome = run_checkpoint(looks, name=stage, cover=_Cover(rules, pii, looks))
        results = [_result(rule, looks, outcome, aside, pii) for rule in rules]
        named = first_rows(looks, [r.rule for r in results if not r.success and not r.error and not r.rows])
    except (FileNotFoundError, pl.exceptions.PolarsError) as error:
        message = f"gate of {stage!r}: staged files are gone or broken ({error}); run again, they are staged anew"
        raise LakeCorrupt(message, stage=stage) from error
    except OSError as error:
        raise LakeUnavailable(
            f"gate of {stage!r}: the staged files could not be read ({error})", stage=stage
        ) from error
    if on_result is not None and outcome.result is not None:
        on_result(dict(outcome.result))
    told = [r.model_copy(update={"rows": named[r.rule]}) if r.rule in named else r for r in results]
    limited = [] if limit is None else [_limited(limit, batch, looks)]
    return verdict.model_copy(update={"results": (*told, *limited)})


def check_gate(rules: Sequence[ValidationRule], stage: str) -> None:
    """Errors: ConfigError for two rules of one name, a name that is the gate's own, two repairs of one column."""
    names = [rule.name for rule in rules]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        message = f"gate of {stage!r}: two rules are named {twice[0]!r}; results are found by name, rename one"
        raise ConfigError(message, stage=stage, rule=twice[0])
    if own := [name for name in names if name == LIMIT or name.startswith("__")]:
        message = f"gate of {stage!r}: {own[0]!r} is a name of the gate's own; rename the rule"
        raise ConfigError(message, stage=stage, rule=own[0])
    check_repairs(rules)


class _Cover:
    """Covers what rules say of personal data."""

    def __init__(self, rules: Sequence[ValidationRule], pii: Collection[str], looks: Sequence[Look]) -> None:
        self._personal = {rule.name: rule for rule in rules if is_personal(rule, pii)}
        self._columns = {column for look in looks for column in look.schema}

    def __call__(self, name: str, observed: Any, error: str | None) -> tuple[Any, str | None]:
        rule = self._personal.get(name)
        if rule is None:
            return observed, error
        # The rule's own text is configuration, not data: it stays readable.
        parts = [] if error is None else error.split(rule.statement)
        told = rule.statement.join(masked_error(part, {*self._columns, name}) for part in parts)
        return masked_value(observed) if rule.shows_values else observed, told or None


def _result(
    rule: ValidationRule, looks: Sequence[Look], outcome: Outcome, aside: Aside, pii: Collection[str]
) -> RuleResult:
    look = next(look for look in looks if rule in look.rules)
    rows, found = outcome.rows[look.name], outcome.found.get(rule.name)
    of_rule: dict[str, Any] = {
        "rule": rule.name,
        "severity": rule.severity,
        "route": rule.route,
        "scope": rule.scope,
        "statement": rule.statement,
        "branch": rule.branch,
    }
    if found is not None and found.error is not None:
        return RuleResult(success=False, error=found.error, **of_rule)
    if found is None or (rows == 0 and not rule.judges_empty):
        return RuleResult(success=True, evidence="empty", **of_rule)
    counted = look.counted.get(rule.name)
    return RuleResult(
        success=found.success,
        checked=counted.asked if counted is not None and rule.about_key else rows,
        failed=found.failed,
        observed=_observed(rule, found),
        evidence=found.evidence,
        repaired=aside.repaired.get(rule.name, 0),
        rows=aside.rows.get(rule.name, ()) if rule.route in SINGLE_ROWS else (),
        **of_rule,
    )


def _observed(rule: ValidationRule, found: Found) -> Any:
    """What was measured; of a column without a single value, that."""
    nothing = not found.success and found.observed is None and rule.shows_values
    return f"no value in {', '.join(rule.columns)}" if nothing else found.observed


def _limited(limit: QuarantineLimit, batch: Batch | pl.LazyFrame, looks: Sequence[Look]) -> RuleResult:
    sides = (batch.good, batch.quarantined, batch.dropped) if isinstance(batch, Batch) else ()
    good, *others = [sum(file.rows for file in side.files) if side is not None else 0 for side in sides] or [0]
    aside = sum(others) + (batch.broken if isinstance(batch, Batch) else 0)
    return RuleResult(
        rule=LIMIT,
        severity="critical",
        route="fail",
        scope="batch",
        success=limit.allows(aside, good + aside),
        checked=good + aside,
        failed=aside,
        observed=aside,
        statement=limit.statement,
        evidence="statistics",
    )
