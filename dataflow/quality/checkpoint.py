"""A Great Expectations checkpoint over the looks at a batch: quiet, one at a time, its results as plain values."""
# pyright: basic
# Great Expectations' own annotations are incomplete, and what it is asked for here is built by name.

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from typing import Any

import polars as pl

from dataflow.quality.bounds import with_proofs
from dataflow.quality.causes import unevaluated
from dataflow.quality.looks import BESIDE, DIALECT, WHILE_STAGING, Look
from dataflow.quality.predicate import parse_predicate
from dataflow.quality.rules import ValidationRule

_LOCK = threading.RLock()
"""Great Expectations keeps global state: one checkpoint at a time."""
ROWS = "__rows"
COUNTS_ONLY = {"result_format": "BASIC", "partial_unexpected_count": 0, "exclude_unexpected_values": True}
"""Counts and observed values, but no values of rows: verdicts travel further than the data may."""
SHOWN = 20
"""As many of the values that an expectation observes are told."""
Cover = Callable[[str, Any, str | None], tuple[Any, str | None]]
"""Rule, observed value, error -> the same as they may be told."""


@dataclass(frozen=True)
class Found:
    """What one expectation found."""

    success: bool
    failed: int = 0
    observed: Any = None
    evidence: str = "scan"
    error: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What a checkpoint found."""

    found: Mapping[str, Found] = field(default_factory=dict[str, Found])
    """By rule."""
    rows: Mapping[str, int] = field(default_factory=dict[str, int])
    """By look."""
    result: Mapping[str, Any] | None = None
    """Great Expectations' validation result as JSON, that of all looks together; None where nothing was asked."""


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
        # Counted beside the checkpoint: no frame of it holds the other table.
        gx_polars.register_dialect(BESIDE, lambda _: pl.lit(value=True))
        return gx


def run_checkpoint(looks: Sequence[Look], *, name: str, cover: Cover) -> Outcome:
    """What every rule found, from one checkpoint with a validation for each look.

    ``cover`` sees every observed value and error before anyone else does.
    Errors: OSError or PolarsError when the rows cannot be read; whatever else goes wrong is the error of its own rule.
    """
    known = {look.name: look.rows for look in looks if look.rows is not None}
    asked = [look for look in looks if look.judged]
    if not asked:
        return Outcome(rows=known)
    with _LOCK:
        gx = load()
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        refused: dict[str, Found] = {}
        asked = [with_proofs(look) for look in asked]
        definitions = [_definition(gx, context, look, refused) for look in asked]
        checkpoint = gx.Checkpoint(name=name, validation_definitions=definitions, result_format=COUNTS_ONLY)
        kept = context.checkpoints.add(checkpoint)
        kept.validation_definitions = definitions  # its own come from the store, and without their frames
        outcome = kept.run()
        for definition in definitions:
            if error := definition.data_source.get_execution_engine().unreadable:
                raise error
        problems = {rule: problem for look in asked for rule, problem in look.problems.items()}
        found, rows = dict(refused), dict(known)
        for look, suite_result in zip(asked, outcome.run_results.values(), strict=True):
            for result in suite_result.results:
                rule = result.expectation_config.meta["rule"]
                if rule == ROWS:
                    rows[look.name] = int(result.result["observed_value"])
                else:
                    found[rule] = _found(result, look, problems.get(rule), cover)
    return Outcome(found, rows, _merged(list(outcome.run_results.values())))


def _definition(gx: Any, context: Any, look: Look, refused: dict[str, Found]) -> Any:
    """The rules of a look as a validation definition; ``refused`` takes those that Great Expectations does not."""
    from dataflow.quality.gx_polars import KnownFrame
    from dataflow.quality.validation import StagedValidation

    facts, made = _facts(look), list[Any]()
    for rule in look.judged:
        kind, arguments = look.expectation(rule)
        try:
            made.append(_make(rule, kind, arguments))
            if counted := look.counted.get(rule.name):
                facts |= type(facts).of_expectation(kind, arguments, asked=counted.asked, breaking=counted.breaking)
        except (ValueError, TypeError) as error:
            refused[rule.name] = Found(
                success=False, error=look.problems.get(rule.name) or unevaluated(rule, str(error))
            )
    if look.rows is None:
        made.append(gx.expectations.ExpectTableRowCountToBeBetween(min_value=0, meta={"rule": ROWS}))
    asset = context.data_sources.add_polars(look.name).add_dataframe_asset(look.name)
    data = asset.add_batch_definition_whole_dataframe("batch")
    suite = context.suites.add(gx.ExpectationSuite(name=look.name, expectations=made))
    definition = StagedValidation(name=look.name, data=data, suite=suite)
    return context.validation_definitions.add(definition).bring(KnownFrame(look.frame, facts))


def _make(rule: ValidationRule, kind: str, arguments: Mapping[str, Any]) -> Any:
    from dataflow.quality.gx_polars import make_expectation

    mostly = {"mostly": rule.mostly} if rule.takes_mostly else {}
    return make_expectation(kind, **arguments, **mostly, severity=rule.severity, meta={"rule": rule.name})


def _facts(look: Look) -> Any:
    """What is known of a look's rows, in the engine's words."""
    from dataflow.quality.gx_polars import Facts

    known = look.statistics
    if known is None:
        return Facts()
    # The engine takes bounds for values that are there: those of instants are rounded outwards.
    exact = [name for name, value in known.low.items() if not isinstance(value, datetime)]
    low, high = ({name: bounds[name] for name in exact} for bounds in (known.low, known.high))
    return Facts(known.rows, known.nulls, low, high, frozenset(look.distinct))


def _found(result: Any, look: Look, problem: str | None, cover: Cover) -> Found:
    """What a result says, and the result itself made to say no more than may be told."""
    rule = next(rule for rule in look.rules if rule.name == result.expectation_config.meta["rule"])
    values, raised = result.result, _exception(result.exception_info)
    error = problem or (unevaluated(rule, raised) if raised is not None else None)
    observed, error = cover(rule.name, _few(result.to_json_dict()["result"].get("observed_value")), error)
    for name in ("details", "partial_unexpected_list", "partial_unexpected_counts"):
        values.pop(name, None)
    if "observed_value" in values:
        values["observed_value"] = observed
    if error is not None:
        result.exception_info = {"raised_exception": True, "exception_message": error, "exception_traceback": ""}
        return Found(success=False, error=error)
    evidence = _evidence(rule, look, values.get("evidence", "scan"))
    count = values.get("unexpected_count")
    if rule.takes_mostly:
        return Found(bool(result.success), count or 0, observed, evidence)
    # Of sets of values Great Expectations tells how many are not as expected: none of these is a row.
    return Found(bool(result.success), 0, count if observed is None else observed, evidence)


def _evidence(rule: ValidationRule, look: Look, found: str) -> str:
    """What an answer rests on; what the gate knew beforehand, the engine calls ``known``."""
    counted = look.counted.get(rule.name)
    if counted is not None:
        return counted.evidence
    known = "deduplicated by this stage" if "unique" in rule.kind else WHILE_STAGING
    return known if found == "known" else found


def _few(observed: Any) -> Any:
    return [*observed[:SHOWN], "…"] if isinstance(observed, list) and len(observed) > SHOWN else observed


def _exception(info: Mapping[str, Any]) -> str | None:
    """What went wrong in one expectation: Great Expectations keeps one message, or one a metric."""
    each = [info] if "raised_exception" in info else list(info.values())
    return next((str(one["exception_message"]) for one in each if one["raised_exception"]), None)


def _merged(results: Sequence[Any]) -> dict[str, Any]:
    """The results of all looks as that of one suite."""
    first, *others = [result.to_json_dict() for result in results]
    each = reduce(lambda all_of, other: [*all_of, *other["results"]], others, list(first["results"]))
    met = sum(bool(result["success"]) for result in each)
    statistics = {
        "evaluated_expectations": len(each),
        "successful_expectations": met,
        "unsuccessful_expectations": len(each) - met,
        "success_percent": 100 * met / len(each) if each else None,
    }
    return {**first, "results": each, "statistics": statistics, "success": met == len(each)}
