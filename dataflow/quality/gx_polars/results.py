"""What validation results say here beside Great Expectations' own, and errors that they keep to themselves."""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

import datetime as dt
import functools
import traceback
from decimal import Decimal
from typing import Any

import polars as pl
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.expectations.expectation import Expectation
from great_expectations.util import convert_to_json_serializable
from great_expectations.validator.exception_info import ExceptionInfo
from great_expectations.validator.validator import Validator

EVIDENCE = "evidence"


class _Used(dict[Any, Any]):
    """Metrics that remember which of them were looked at."""

    def __init__(self, metrics: dict[Any, Any]) -> None:
        super().__init__(metrics)
        self.used: list[Any] = []

    def __getitem__(self, key: Any) -> Any:
        self.used.append(key)
        return super().__getitem__(key)


@functools.cache  # once, however often it is imported
def mark_results(engine: type) -> None:
    """Let the results of an engine carry their evidence, and a plain bool as verdict.

    Great Expectations hands an engine no place in its results. Its quantile expectation
    answers with numpy's bool, which no result store can write.
    """
    validate = Expectation.metrics_validate

    @functools.wraps(validate)
    def metrics_validate(
        self: Any, metrics: Any, runtime_configuration: Any = None, execution_engine: Any = None, **kwargs: Any
    ) -> Any:
        if not isinstance(execution_engine, engine):
            return validate(self, metrics, runtime_configuration, execution_engine, **kwargs)
        wanted = (runtime_configuration or {}).get("result_format")
        seen = _Used(metrics)
        result = validate(self, seen, runtime_configuration, execution_engine, **kwargs)
        result.success = bool(result.success)
        result.result = _storable(result.result)
        if "BOOLEAN_ONLY" not in (wanted, wanted.get("result_format") if isinstance(wanted, dict) else None):
            result.result[EVIDENCE] = execution_engine.strength_of(seen.used)  # pyright: ignore
        return result

    Expectation.metrics_validate = metrics_validate


def _storable(found: Any) -> Any:
    """A result that a store can write: what has no JSON (spans, above all) as text, the rest as it was."""
    if isinstance(found, dict):
        return {name: _storable(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        made = tuple if isinstance(found, tuple) else list
        return made(map(_storable, found)) if any(map(_may_fail, found)) else found
    if not _may_fail(found):
        return found
    if isinstance(found, dt.timedelta):
        return pl.Series([found]).dt.to_string("iso").item()
    try:
        convert_to_json_serializable(found)
    except (TypeError, ValueError):
        return str(found)
    return found


def _may_fail(value: Any) -> bool:
    return not isinstance(value, str | bytes | int | float | Decimal | dt.date | dt.time | None)


@functools.cache  # once, however often it is imported
def contain_errors(engine: type) -> None:
    """Let an expectation that raises while a checkpoint is still planned fail alone.

    Great Expectations catches what goes wrong in metrics and in verdicts, but not here.
    """
    plan = Validator._generate_metric_dependency_subgraphs_for_each_expectation_configuration

    @functools.wraps(plan)
    def plan_each(
        self: Any,
        expectation_configurations: list[Any],
        processed_configurations: list[Any],
        catch_exceptions: bool,
        runtime_configuration: Any = None,
    ) -> tuple[list[Any], list[ExpectationValidationResult], list[Any]]:
        if not isinstance(self._execution_engine, engine):
            return plan(
                self, expectation_configurations, processed_configurations, catch_exceptions, runtime_configuration
            )
        graphs, failed = list[Any](), list[ExpectationValidationResult]()
        for one in expectation_configurations:
            try:
                planned = plan(self, [one], processed_configurations, catch_exceptions, runtime_configuration)
            except Exception as error:
                if not catch_exceptions:
                    raise
                known: Any = self._execution_engine
                reason = (known.error_of(error.args[0]) if isinstance(error, KeyError) else None) or error
                planned = [], [_raised(one, reason)], processed_configurations
            graphs += planned[0]
            failed += planned[1]
        return graphs, failed, processed_configurations

    Validator._generate_metric_dependency_subgraphs_for_each_expectation_configuration = plan_each


def _raised(configuration: Any, error: BaseException) -> ExpectationValidationResult:
    trace = "".join(traceback.format_exception(error))
    info = ExceptionInfo(exception_traceback=trace, exception_message=str(error))
    return ExpectationValidationResult(success=False, exception_info=info, expectation_config=configuration)
