"""What validation results say here beside Great Expectations' own, and errors that they keep to themselves."""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

import functools
from typing import Any

from great_expectations.expectations.core.expect_column_kl_divergence_to_be_less_than import (
    ExpectColumnKLDivergenceToBeLessThan,
)
from great_expectations.expectations.expectation import Expectation
from great_expectations.validator.metric_configuration import MetricConfiguration
from great_expectations.validator.validator import ValidationDependencies

EVIDENCE = "evidence"
UNANSWERABLE = "expectation.unanswerable"
"""A metric that has no value: an error, which is then the error of the one expectation that needs it."""


class _Used(dict[Any, Any]):
    """Metrics that remember which of them were looked at."""

    def __init__(self, metrics: dict[Any, Any]) -> None:
        super().__init__(metrics)
        self.used: list[Any] = []

    def __getitem__(self, key: Any) -> Any:
        self.used.append(key)
        return super().__getitem__(key)


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
        if "BOOLEAN_ONLY" not in (wanted, wanted.get("result_format") if isinstance(wanted, dict) else None):
            result.result[EVIDENCE] = execution_engine.strength_of(seen.used)  # pyright: ignore
        return result

    Expectation.metrics_validate = metrics_validate


def contain_errors(engine: type) -> None:
    """Let the one expectation that computes while a checkpoint is still planned fail alone.

    Great Expectations catches what goes wrong in metrics and in verdicts, but not here.
    """
    plan = ExpectColumnKLDivergenceToBeLessThan.get_validation_dependencies

    @functools.wraps(plan)
    def get_validation_dependencies(
        self: Any, execution_engine: Any = None, runtime_configuration: Any = None
    ) -> ValidationDependencies:
        try:
            return plan(self, execution_engine, runtime_configuration)
        except Exception as error:
            if not isinstance(execution_engine, engine):
                raise
            found = ValidationDependencies()
            values = {"reason": str(execution_engine.error_of(error.args[0]) or error)}  # pyright: ignore
            domain = self.configuration.get_domain_kwargs()
            found.set_metric_configuration(UNANSWERABLE, MetricConfiguration(UNANSWERABLE, domain, values))
            return found

    ExpectColumnKLDivergenceToBeLessThan.get_validation_dependencies = get_validation_dependencies
