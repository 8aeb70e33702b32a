"""Which metrics the engine answers, and how each becomes something to ask the data."""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
from great_expectations.expectations.metrics.metric_provider import MetricProvider
from great_expectations.expectations.registry import _registered_metrics, register_metric
from great_expectations.validator.metric_configuration import MetricConfiguration

from . import distributions  # noqa: F401 - registers its metrics
from .aggregates import AGGREGATES, aggregate
from .answers import Answers, Ask, Data, breaking_rows, count_asked, count_breaking
from .conditions import CONDITIONS, Column, Kwargs, Schema, column
from .queries import QUERIES
from .samples import SAMPLES, Sample, head, sample, wanted
from .settle import settle

COUNT, ASKED = "unexpected_count", "filtered_row_count"
SCHEMA: dict[str, Callable[[Schema], Any]] = {
    "table.columns": list,
    "table.column_count": len,
    "table.column_types": lambda schema: [{"name": name, "type": dtype} for name, dtype in schema.items()],
}
"""Metrics that the schema answers."""
QUERIED: dict[str, Callable[[Data, Kwargs], Any]] = {
    **QUERIES,
    "table.head": lambda data, values: head(data, **values),
}
"""Metrics that are rows of their own."""
OUR_DOMAIN = ("batch_id", "table", "column_list", "row_condition", "condition_parser", "ignore_row_if")
OUR_VALUES = ("statement", "dialect")


class Counted(MetricProvider):
    """Metrics that need nothing but the data: all of them are asked at once."""

    @classmethod
    def _get_evaluation_dependencies(cls, *_: Any, **__: Any) -> dict[str, MetricConfiguration]:
        return {}


class Sampled(MetricProvider):
    """Rows that break a condition: asked for only when their count is known, and is not zero."""

    @classmethod
    def _get_evaluation_dependencies(
        cls, metric: MetricConfiguration, *_: Any, **__: Any
    ) -> dict[str, MetricConfiguration]:
        values = {name: value for name, value in metric.metric_value_kwargs.items() if name != "result_format"}
        count = f"{split(metric.metric_name)[0]}.{COUNT}"
        return {COUNT: MetricConfiguration(count, metric.metric_domain_kwargs, values)}


def split(name: str) -> tuple[str, str]:
    """A metric's name as condition and what is asked of it."""
    condition, _, what = name.rpartition(".")
    return condition, what


def ask(metric: MetricConfiguration, data: Data, answers: Answers) -> Ask:
    """What to ask the data for a metric.

    Errors: ValueError and the like for arguments that do not fit the data.
    """
    schema, mask = data.schema, data.mask
    name, domain, values = metric.metric_name, metric.metric_domain_kwargs, dict(metric.metric_value_kwargs)
    values.pop("result_format", None)
    if domain.get("table"):
        raise ValueError(f"the batch is one frame: there is no other table {domain['table']!r} to compare it with")
    if known := settle(data.facts, name, domain, values, schema):
        return Ask((), lambda _: known.value, evidence=known.evidence)
    if name == "table.row_count":
        return Ask((pl.len() if mask is None else mask.sum(),), lambda found: int(found[0] or 0))
    if name in SCHEMA:
        return Ask((), lambda _: SCHEMA[name](schema), evidence="schema")
    if name in QUERIED:
        return Ask((), lambda _: QUERIED[name](data, values))
    if name in AGGREGATES:
        asked = column(schema, domain["column"])
        filtered = asked if mask is None else Column(asked.name, asked.dtype, asked.expr.filter(mask))
        return aggregate(name, filtered, values)
    return _ask_rows(metric, data, answers)


def _ask_rows(metric: MetricConfiguration, data: Data, answers: Answers) -> Ask:
    domain, values = metric.metric_domain_kwargs, dict(metric.metric_value_kwargs)
    result_format = values.pop("result_format", None)
    condition, what = split(metric.metric_name)
    count = metric.metric_dependencies[COUNT].id if what in SAMPLES else None
    if count and not answers.values[count]:
        return Ask((), lambda _: sample(what, Sample(None, (), domain, result_format)), evidence="schema")
    question = CONDITIONS[condition](domain, values, data.schema)
    if what == COUNT:
        return count_breaking(question, data)
    if what == ASKED:
        return count_asked(question, data)
    # Values, positions and query of one check are read from one frame.
    limit = wanted(result_format)
    rows = answers.breaking.setdefault((count, limit), breaking_rows(question, data, limit=limit))
    return Ask((), lambda _: sample(what, Sample(rows, question.columns, domain, result_format)), evidence="schema")


def register(engine: type) -> None:
    """Make every metric known to Great Expectations as answered by ``engine``."""
    for name in ("table.row_count", *SCHEMA, *QUERIED, *AGGREGATES):
        _register(engine, name, Counted)
    for condition in CONDITIONS:
        for what in (COUNT, ASKED):
            _register(engine, f"{condition}.{what}", Counted)
        for what in SAMPLES:
            _register(engine, f"{condition}.{what}", Sampled)


def value_keys(name: str) -> tuple[str, ...]:
    """The value arguments of a metric."""
    return _registered_metrics[name]["metric_value_keys"]


def _register(engine: type, name: str, provider: type[MetricProvider]) -> None:
    known: dict[str, Any] | None = _registered_metrics.get(name)
    ours = name.startswith("rows.")
    if known is None and not ours:
        return  # no engine has this combination (a count of asked rows, for questions to one column)
    values = OUR_VALUES + (("result_format",) if provider is Sampled or name.endswith(ASKED) else ())
    register_metric(
        metric_name=name,
        metric_domain_keys=OUR_DOMAIN if known is None else known["metric_domain_keys"],
        metric_value_keys=values if known is None else known["metric_value_keys"],
        execution_engine=engine,
        metric_class=provider,
        metric_provider=ask,
    )
