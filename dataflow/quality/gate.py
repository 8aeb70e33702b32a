"""The gate: rules become a verdict about exactly the staged files, and failing rows get their reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import polars as pl

from dataflow.errors import ConfigError, LakeCorrupt, LakeUnavailable
from dataflow.model import RuleResult, Verdict
from dataflow.quality.checkpoint import Found, load, run_checkpoint
from dataflow.quality.rules import ValidationRule


def prewarm() -> None:
    """Import Great Expectations, which takes seconds, while something else is going on."""
    load()


def audit(frame: pl.LazyFrame, rules: Sequence[ValidationRule], *, stage: str, batch_id: str, digest: str) -> Verdict:
    """Judge a batch by its rules: one checkpoint, one scan, a result for every rule in the order of ``rules``.

    A batch without rows passes every rule but those about row counts and columns. A
    rule that cannot be evaluated gets its error, and takes no other down.

    Errors: ConfigError for two rules of one name; LakeCorrupt for a staged file that is gone or broken;
    LakeUnavailable when the storage did not answer.
    """
    _check_names(rules, stage)
    if not rules:
        return Verdict(stage=stage, batch_id=batch_id, digest=digest)
    try:
        errors = _missing_columns(rules, frame)
        rows, found = run_checkpoint(frame, [rule for rule in rules if rule.name not in errors], name=stage)
    except (FileNotFoundError, pl.exceptions.PolarsError) as error:
        message = f"gate of {stage!r}: staged files are gone or broken ({error}); run again, they are staged anew"
        raise LakeCorrupt(message, stage=stage) from error
    except OSError as error:
        raise LakeUnavailable(
            f"gate of {stage!r}: the staged files could not be read ({error})", stage=stage
        ) from error
    found.update((name, Found(success=False, error=error)) for name, error in errors.items())
    results = tuple(_result(rule, found[rule.name], rows) for rule in rules)
    return Verdict(stage=stage, batch_id=batch_id, digest=digest, results=results)


def failing_any(rules: Sequence[ValidationRule], schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """True of rows that break at least one of the rules; never null."""
    return reduce(pl.Expr.__or__, (rule.failing(schema) for rule in rules), pl.lit(value=False))


def quarantine_columns(rules: Sequence[ValidationRule], schema: Mapping[str, pl.DataType]) -> dict[str, pl.Expr]:
    """``_rules``, the names of all rules that a row breaks, and ``_reason``, the same in words."""
    broken = [(rule, pl.when(rule.failing(schema))) for rule in rules]
    names = [when.then(pl.lit(rule.name)) for rule, when in broken]
    reasons = [when.then(pl.lit(f"{rule.name}: {rule.statement}")) for rule, when in broken]
    none = pl.lit(None, dtype=pl.String)
    return {
        "_rules": pl.concat_list(*(names or [none])).list.drop_nulls().alias("_rules"),
        "_reason": pl.concat_str(*(reasons or [none]), separator="; ", ignore_nulls=True).alias("_reason"),
    }


def _check_names(rules: Sequence[ValidationRule], stage: str) -> None:
    names = [rule.name for rule in rules]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        message = f"gate of {stage!r}: two rules are named {twice[0]!r}; results are found by name, rename one"
        raise ConfigError(message, stage=stage, rule=twice[0])


def _missing_columns(rules: Sequence[ValidationRule], frame: pl.LazyFrame) -> dict[str, str]:
    columns, errors = frame.collect_schema().names(), dict[str, str]()
    for rule in rules:
        try:
            rule.check(columns)
        except ConfigError as error:
            errors[rule.name] = error.message
    return errors


def _result(rule: ValidationRule, found: Found, rows: int) -> RuleResult:
    of_rule = RuleResult(
        rule=rule.name, severity=rule.severity, route=rule.route, success=found.success, statement=rule.statement
    )
    if found.error is not None:
        return of_rule.model_copy(update={"error": found.error})
    if rows == 0 and not rule.judges_empty:
        return of_rule.model_copy(update={"success": True})
    return of_rule.model_copy(
        update={
            "checked": rows if found.checked is None else found.checked,
            "failed": found.failed,
            "observed": found.observed,
        }
    )
