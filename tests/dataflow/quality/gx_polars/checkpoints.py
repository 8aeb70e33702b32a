"""One expectation or suite on the Polars engine and on Great Expectations' own pandas engine."""

from __future__ import annotations

from typing import Any

import great_expectations as gx
import polars as pl
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.data_context.types.base import ProgressBarsConfig

from dataflow.quality.gx_polars.results import EVIDENCE

SUMMARY = {"result_format": "SUMMARY"}


def run(
    source: str, data: Any, expectations: list[Any], result_format: Any = "COMPLETE"
) -> list[ExpectationValidationResult]:
    """The results in the order of the expectations, from a whole checkpoint on ``source`` (polars or pandas).

    Without their evidence, which pandas has not; see ``evidence``.
    """
    results = _run(source, data, expectations, result_format)
    for result in results:
        result.result.pop(EVIDENCE, None)
    return results


def evidence(data: Any, *expectations: Any, result_format: Any = "BASIC") -> list[str | None]:
    """What the verdict about each expectation rests on; None where the result does not say."""
    return [result.result.get(EVIDENCE) for result in _run("polars", data, list(expectations), result_format)]


def _run(source: str, data: Any, expectations: list[Any], result_format: Any) -> list[ExpectationValidationResult]:
    context, batch = _batch(source)
    suite = context.suites.add(_suite(expectations))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="definition", data=batch, suite=suite))
    checkpoint: Any = gx.Checkpoint(name="checkpoint", validation_definitions=[definition], result_format=result_format)
    outcome = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": data})
    (results,) = outcome.run_results.values()
    return sorted(results.results, key=_position)


def _batch(source: str) -> tuple[Any, Any]:
    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    datasource: Any = getattr(context.data_sources, f"add_{source}")("source")
    return context, datasource.add_dataframe_asset("asset").add_batch_definition_whole_dataframe("batch")


def _suite(expectations: list[Any]) -> gx.ExpectationSuite:
    numbered = [e.copy(update={"meta": {"position": position}}) for position, e in enumerate(expectations)]
    return gx.ExpectationSuite(name="suite", expectations=numbered)


def _position(result: Any) -> int:
    return result.expectation_config.meta["position"]


def polars(frame: Any, *expectations: Any, result_format: Any = "COMPLETE"):
    return run("polars", frame, list(expectations), result_format)


def pandas(frame: pl.DataFrame, *expectations: Any, result_format: Any = "COMPLETE"):
    return judged("pandas", frame.to_pandas(), *expectations, result_format=result_format)


def judged(
    source: str, data: Any, *expectations: Any, result_format: Any = "COMPLETE"
) -> list[ExpectationValidationResult]:
    """As ``run``, without the checkpoint, which takes as long again to store what is the same."""
    _, batch = _batch(source)
    found = batch.get_batch({"dataframe": data}).validate(_suite(list(expectations)), result_format=result_format)
    for result in found.results:
        result.result.pop(EVIDENCE, None)
    return sorted(found.results, key=_position)


def error(result: ExpectationValidationResult) -> str | None:
    """What an expectation raised; None when it was evaluated."""
    info: dict[str, Any] = result.exception_info  # pyright: ignore[reportAssignmentType]
    each = [info] if "raised_exception" in info else list(info.values())
    messages = [one["exception_message"] for one in each if one["raised_exception"]]
    return messages[0] if messages else None
