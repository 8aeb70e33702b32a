"""A Great Expectations checkpoint over one frame: quiet, one at a time, its results as plain values."""
# pyright: basic
# Great Expectations' own annotations are incomplete, and what it is asked for here is built by name.

from __future__ import annotations

import logging
import os
import re
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from dataflow.quality.predicate import parse_predicate
from dataflow.quality.rules import ValidationRule

_LOCK = threading.RLock()
"""Great Expectations keeps global state: one checkpoint at a time."""
ROWS = "__rows"
DIALECT = "dataflow"
COUNTS_ONLY = {"result_format": "BASIC", "partial_unexpected_count": 0, "exclude_unexpected_values": True}
"""Counts and observed values, but no values of rows: verdicts travel further than the data may."""
WAYS_OUT = {
    "to a string value": "; write DATE '2013-01-31' or TIMESTAMP '2013-01-31 05:00'",
    "Datetime('": "; write TIMESTAMPTZ '2013-01-31 05:00Z' for columns of instants, TIMESTAMP for local times",
    "cannot compare string with numeric": "; compare text with 'text', or CAST one side",
}
"""What helps, by a sign in Polars' message."""


@dataclass(frozen=True)
class Found:
    """What one expectation found."""

    success: bool
    checked: int | None = None
    """Rows with an answer; None where the expectation is about the batch."""
    failed: int = 0
    observed: Any = None
    error: str | None = None


def load() -> Any:
    """Import Great Expectations and the Polars engine, once, without telemetry."""
    with _LOCK:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        shown = warnings.showwarning
        import great_expectations as gx

        from dataflow.quality import gx_polars

        if warnings.showwarning is not shown:
            # Importing it sends everyone's warnings to the log. (A process of its own tests this.)
            logging.captureWarnings(capture=False)  # pragma: no cover
        # It sets itself to INFO and tells of every temporary folder that it makes, eight of them in a run.
        logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
        gx_polars.register_dialect(DIALECT, lambda statement: parse_predicate(statement).expr)
        return gx


def run_checkpoint(frame: pl.LazyFrame, rules: Sequence[ValidationRule], *, name: str) -> tuple[int, dict[str, Found]]:
    """The number of rows, and what each rule found, by its name.

    Errors: OSError or PolarsError when the frame cannot be read; whatever else goes wrong is the error of its own rule.
    """
    with _LOCK:
        gx = load()
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        source = context.data_sources.add_polars("staged")
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("batch")
        expectations, refused = _expectations(rules)
        expectations.append(gx.expectations.ExpectTableRowCountToBeBetween(min_value=0, meta={"rule": ROWS}))
        suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
        checkpoint = gx.Checkpoint(name=name, validation_definitions=[definition], result_format=COUNTS_ONLY)
        outcome = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": frame})
        if error := source.get_execution_engine().unreadable:
            raise error
    results = [result for run in outcome.run_results.values() for result in run.results]
    by_rule = {result.expectation_config.meta["rule"]: result for result in results}
    rows = int(by_rule.pop(ROWS).result["observed_value"])
    return rows, {rule.name: refused.get(rule.name) or _found(rule, by_rule[rule.name]) for rule in rules}


def _expectations(rules: Sequence[ValidationRule]) -> tuple[list[Any], dict[str, Found]]:
    """The rules as expectations, and those whose arguments Great Expectations does not take."""
    made: list[Any] = []
    refused: dict[str, Found] = {}
    for rule in rules:
        try:
            made.append(_expectation(rule))
        except (ValueError, TypeError) as error:
            refused[rule.name] = _unevaluated(rule, str(error))
    return made, refused


def _expectation(rule: ValidationRule) -> Any:
    from dataflow.quality.gx_polars import make_expectation

    arguments = rule.arguments
    if rule.predicate is not None:
        arguments = {"statement": rule.predicate, "dialect": DIALECT, "column_list": list(rule.columns)}
    if rule.takes_mostly:
        arguments["mostly"] = rule.mostly
    return make_expectation(rule.kind, **arguments, severity=rule.severity, meta={"rule": rule.name})


def _found(rule: ValidationRule, result: Any) -> Found:
    if error := _exception(result.exception_info):
        return _unevaluated(rule, error)
    values = result.result
    checked = values["element_count"] - (values.get("missing_count") or 0) if "element_count" in values else None
    failed = values.get("unexpected_count") or 0
    return Found(bool(result.success), checked, failed, values.get("observed_value"))


def _unevaluated(rule: ValidationRule, error: str) -> Found:
    return Found(success=False, error=f"rule {rule.name!r} could not be evaluated: {rule.statement}: {error}")


def _exception(info: dict[str, Any]) -> str | None:
    """What went wrong in one expectation: Great Expectations keeps one message, or one a metric."""
    each = [info] if "raised_exception" in info else list(info.values())
    messages = [one["exception_message"] for one in each if one["raised_exception"]]
    if not messages:
        return None
    # Polars lists the values that it could not convert: those stay where they are.
    message = re.sub(r": \[.*\]", "", messages[0].split("\n\n")[0].strip())
    return message + next((way_out for sign, way_out in WAYS_OUT.items() if sign in message), "")
