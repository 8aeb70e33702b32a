"""The execution engine: Great Expectations asks for metrics, Polars answers them together."""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any

import polars as pl
from great_expectations.core.batch import BatchData, BatchMarkers
from great_expectations.core.batch_spec import RuntimeDataBatchSpec
from great_expectations.exceptions.exceptions import ExecutionEngineError, MetricResolutionError
from great_expectations.execution_engine.execution_engine import ExecutionEngine
from great_expectations.expectations.row_conditions import (
    AndCondition,
    ComparisonCondition,
    Condition,
    NullityCondition,
    Operator,
    OrCondition,
    deserialize_row_condition,
)
from great_expectations.validator.metric_configuration import MetricConfiguration
from great_expectations.validator.validation_graph import MAX_METRIC_COMPUTATION_RETRIES

from .answers import Answers, Ask, Data, Id, answer
from .conditions import Schema, aligned, bound, column, members
from .facts import STRENGTH, Evidence
from .files import BATCHES, Batch, known
from .metrics import ask

COMPARE: dict[str, Callable[[Any, Any], pl.Expr]] = {
    "==": operator.eq,
    "!=": pl.Expr.ne_missing,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class PolarsBatchData(BatchData):
    """A batch: one lazy frame, its schema, and what is known of its rows."""

    def __init__(self, execution_engine: ExecutionEngine, batch: Batch) -> None:
        super().__init__(execution_engine=execution_engine)
        found = known(batch)
        self.facts = found.facts
        self.frame = found.frame.lazy()
        self.schema: Schema = self.frame.collect_schema()


class PolarsExecutionEngine(ExecutionEngine):
    """Answers all metrics of a checkpoint with one streaming collect, and samples with a second."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._answers = Answers()
        self.latest: PolarsBatchData | None = None
        super().__init__(*args, **kwargs)

    @property
    def unreadable(self) -> BaseException | None:
        """Why the data of the last batch could not be read; None when it could."""
        return self._answers.unreadable

    def load_batch_data(self, batch_id: str, batch_data: Any) -> None:
        """Load a batch; what was known of earlier ones is forgotten, because batch ids do not name the frame."""
        if not isinstance(batch_data, PolarsBatchData):
            batch_data = PolarsBatchData(self, batch_data)
        self._answers = Answers()
        super().load_batch_data(batch_id=batch_id, batch_data=batch_data)

    def get_batch_data_and_markers(self, batch_spec: Any) -> tuple[PolarsBatchData, BatchMarkers]:
        """The batch of a batch specification.

        Errors: ExecutionEngineError for a specification that holds no Polars frame.
        """
        if not isinstance(batch_spec, RuntimeDataBatchSpec) or not isinstance(batch_spec.batch_data, BATCHES):
            raise ExecutionEngineError(
                "PolarsExecutionEngine needs a polars DataFrame or LazyFrame, a KnownFrame or ParquetFiles"
            )
        data = self.latest = PolarsBatchData(self, batch_spec.batch_data)
        batch_spec.batch_data = "PolarsLazyFrame"
        loaded = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        return data, BatchMarkers({"ge_load_time": loaded})

    def resolve_metrics(
        self,
        metrics_to_resolve: Iterable[MetricConfiguration],
        metrics: Any = None,
        runtime_configuration: Any = None,
    ) -> dict[Any, Any]:
        """The values of the metrics.

        Errors: MetricResolutionError for the first that has none, and those that have none for the same reason; the
        others are kept, so asking again costs nothing.
        """
        wanted = sorted(metrics_to_resolve, key=lambda metric: str(metric.id))
        new = [m for m in wanted if m.id not in self._answers.values and m.id not in self._answers.errors]
        for batch_id in {m.metric_domain_kwargs.get("batch_id") for m in new}:
            self._resolve(self._batch(batch_id), [m for m in new if m.metric_domain_kwargs.get("batch_id") == batch_id])
        for metric in wanted:
            if error := self._answers.errors.get(metric.id):
                # Great Expectations takes a metric for failed at the third time, and looks at all of them each time.
                failed = [one for one in wanted if str(self._answers.errors.get(one.id)) == str(error)]
                again = tuple(failed) * MAX_METRIC_COMPUTATION_RETRIES
                raise MetricResolutionError(message=str(error), failed_metrics=again) from error
        return {metric.id: self._answers.values[metric.id] for metric in wanted}

    def _resolve(self, data: PolarsBatchData, metrics: list[MetricConfiguration]) -> None:
        asks: dict[Id, Ask] = {}
        for metric in metrics:
            try:
                mask = self._mask(metric.metric_domain_kwargs.get("row_condition"), data.schema)
                asks[metric.id] = ask(metric, Data(data.frame, data.schema, mask, data.facts), self._answers)
            except Exception as error:
                self._answers.errors[metric.id] = error
        answer(data.frame, data.schema, asks, self._answers)

    def strength_of(self, metrics: Iterable[Any]) -> Evidence:
        """What the metrics of these ids rest on together."""
        return STRENGTH[max((STRENGTH.index(self._answers.evidence[one]) for one in metrics), default=0)]

    def error_of(self, metric: Any) -> BaseException | None:
        """Why the metric of this id has no value."""
        return self._answers.errors.get(metric)

    def evidence(self, expectation: Any) -> Evidence:
        """What the verdict about an expectation (or its configuration) rests on, after it was validated.

        Errors: KeyError where it was not validated on the last batch, or could not be.
        """
        configuration = getattr(expectation, "configuration", expectation)
        made = configuration.to_domain_obj()
        wanted = made.get_validation_dependencies(self, {"result_format": "BOOLEAN_ONLY"})
        return self.strength_of(self._of_batch(metric) for metric in wanted.get_metric_configurations())

    def _of_batch(self, metric: MetricConfiguration) -> Id:
        domain = {**metric.metric_domain_kwargs, "batch_id": self.batch_manager.active_batch_data_id}
        return MetricConfiguration(metric.metric_name, domain, metric.metric_value_kwargs).id

    def _batch(self, batch_id: str | None) -> PolarsBatchData:
        known: Mapping[str, Any] = self.batch_manager.batch_data_cache
        data = known.get(batch_id) if batch_id else self.batch_manager.active_batch_data
        if not isinstance(data, PolarsBatchData):
            raise ExecutionEngineError(f"Unable to find batch with batch_id {batch_id}")
        return data

    def get_domain_records(self, domain_kwargs: Mapping[str, Any]) -> pl.LazyFrame:
        """The rows of a domain, its row condition applied."""
        data = self._batch(domain_kwargs.get("batch_id"))
        mask = self._mask(domain_kwargs.get("row_condition"), data.schema)
        return data.frame if mask is None else data.frame.filter(mask)

    def _mask(self, row_condition: Any, schema: Schema) -> pl.Expr | None:
        if not row_condition:
            return None
        condition = deserialize_row_condition(row_condition)
        if not isinstance(condition, Condition):
            raise ExecutionEngineError(
                f"row_condition {row_condition!r}: use Condition objects such as Column('a') > 0"
            )
        self._schema = schema
        return self.condition_to_filter_clause(condition).fill_null(value=False)

    def _comparison_condition_to_filter_clause(self, condition: ComparisonCondition) -> pl.Expr:
        asked = column(self._schema, condition.column.name)
        if condition.operator in (Operator.IN, Operator.NOT_IN):
            found = asked.expr.is_in(members(asked, condition.parameter).implode())
            # As in pandas, a missing value differs from every value.
            return found if condition.operator == Operator.IN else found.not_().fill_null(value=True)
        value, limit = aligned(asked.expr, asked.dtype, bound(asked, condition.parameter))
        found = COMPARE[str(condition.operator)](value, limit)
        # Polars sorts NaN above every number.
        above = asked.dtype.is_float() and condition.operator in (Operator.GREATER_THAN, Operator.GREATER_THAN_OR_EQUAL)
        return found & asked.expr.is_not_nan() if above else found

    def _nullity_condition_to_filter_clause(self, condition: NullityCondition) -> pl.Expr:
        asked = column(self._schema, condition.column.name)
        return asked.expr.is_null() if condition.is_null else asked.expr.is_not_null()

    def _and_condition_to_filter_clause(self, condition: AndCondition) -> pl.Expr:
        return reduce(operator.and_, map(self.condition_to_filter_clause, condition.conditions))

    def _or_condition_to_filter_clause(self, condition: OrCondition) -> pl.Expr:
        return reduce(operator.or_, map(self.condition_to_filter_clause, condition.conditions))
