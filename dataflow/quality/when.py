"""Conditions of stages: questions to what the gates of earlier stages found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import polars as pl
from sqlglot import exp

from dataflow.errors import ConfigError, QualityError, hint
from dataflow.model import RowCounts, RuleResult, Verdict
from dataflow.quality.functions import VALUES
from dataflow.quality.patterns import RefusedError
from dataflow.quality.predicate import tree_of
from dataflow.quality.syntax import Node, build

QualityMetrics: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Of each gated stage and rule: success, rows checked, rows failed and so on, as ``RunReport.quality_metrics``."""
Condition: TypeAlias = Callable[[QualityMetrics], bool]

OUTCOMES = ("passed", "warned", "quarantined", "branched", "rejected")
OBSERVED = "observed"
OF_RULE: dict[str, Any] = {
    "success": pl.Boolean(),
    **dict.fromkeys(("checked", "failed", "repaired"), pl.Int64()),
    "share": pl.Float64(),
    OBSERVED: None,
}
"""Metrics of a rule, and their types; what a rule observes may be anything."""
OF_STAGE: dict[str, Any] = {**dict.fromkeys(RowCounts.model_fields, pl.Int64()), "outcome": pl.String()}
_SHAPE = "write stage.rule.metric or stage.metric, as in flights.plane_is_listed.failed > 0"


@dataclass(frozen=True)
class StageMetrics:
    """What is known of a stage's last batch."""

    counts: RowCounts
    verdict: Verdict | None

    def value(self, rule: str | None, metric: str) -> Any:
        """A metric of the stage, or of one of its rules; None where there is none."""
        results = self.verdict.results if self.verdict is not None else ()
        if rule is not None:
            return next((_of_rule(result, metric) for result in results if result.rule == rule), None)
        if metric != "outcome":
            return getattr(self.counts, metric)
        return self.verdict.outcome if self.verdict is not None else None


def _of_rule(result: RuleResult, metric: str) -> Any:
    if metric == "share":
        return result.failed / result.checked if result.checked else None
    return getattr(result, metric)


@dataclass(frozen=True)
class _Metric:
    stage: str
    rule: str | None
    name: str

    @property
    def dotted(self) -> str:
        return ".".join(part for part in (self.stage, self.rule, self.name) if part is not None)

    @property
    def dtype(self) -> pl.DataType | None:
        return OF_STAGE[self.name] if self.rule is None else OF_RULE[self.name]


@dataclass(frozen=True)
class _Question:
    metrics: tuple[_Metric, ...]
    answer: pl.Expr


@dataclass(frozen=True)
class When:
    """A condition on what gates found: SQL over ``stage.rule.metric`` and ``stage.metric``, or a function.

    Metrics of a rule are success, checked, failed, repaired, observed and share (failed of checked); those of a
    stage are the terms of its books (``RowCounts``) and outcome. A function is called with the quality metrics of
    all stages upstream, and answers with a bool. What a stage that never ran found is unknown, and unknown does
    not hold.

    Errors: ConfigError at construction for what is no question, and for a metric that there is not.
    Example:
        >>> When("flights.plane_is_listed.failed > 0 OR weather.outcome = 'passed'").stages
        ('flights', 'weather')
    """

    condition: str | Condition

    def __post_init__(self) -> None:
        if not isinstance(self.condition, str) and not callable(self.condition):
            raise ConfigError(f"{self.condition!r} is neither a text nor a function; {_SHAPE}", key="when")
        _ = self._question

    @property
    def text(self) -> str:
        """The condition in words: its text, or the function's name."""
        if isinstance(self.condition, str):
            return self.condition
        return getattr(self.condition, "__qualname__", None) or repr(self.condition)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that the condition reads, in its order; none for a function, which does not say."""
        return tuple(dict.fromkeys(metric.stage for metric in self._question.metrics)) if self._question else ()

    @property
    def is_function(self) -> bool:
        """Whether the condition may read every stage upstream."""
        return not isinstance(self.condition, str)

    def check(self, gates: Mapping[str, Collection[str]]) -> None:
        """Whether the condition's stages and rules are there; ``gates`` are the names of each stage's rules.

        Errors: ConfigError for the first that is not, with the nearest.
        """
        for metric in self._question.metrics if self._question else ():
            if metric.stage not in gates:
                raise self._refusal(f"unknown stage {metric.stage!r}{hint(metric.stage, gates)}")
            if metric.rule is not None and metric.rule not in gates[metric.stage]:
                known = gates[metric.stage]
                raise self._refusal(f"{metric.stage!r} has no rule {metric.rule!r}{hint(metric.rule, known)}")

    def holds(self, metrics: Mapping[str, StageMetrics]) -> bool:
        """Whether the condition holds, by the last batch of each stage.

        Errors: QualityError where an observed value is of another type than the condition asks for, and for a
        function that does not answer with a bool.
        """
        if not isinstance(self.condition, str):
            return self._call(self.condition, metrics)
        assert self._question is not None
        known = {
            metric.dotted: pl.Series([metrics[metric.stage].value(metric.rule, metric.name)], dtype=metric.dtype)
            if metric.stage in metrics
            else pl.Series([None], dtype=metric.dtype)
            for metric in self._question.metrics
        }
        try:
            return pl.DataFrame(known).select(self._question.answer).item() is True
        except pl.exceptions.PolarsError as error:
            raise QualityError(f"the condition {self.text!r} cannot be told: {_first_line(error)}") from error

    def _call(self, function: Condition, metrics: Mapping[str, StageMetrics]) -> bool:
        known = {name: found.verdict.metrics for name, found in metrics.items() if found.verdict is not None}
        answer: Any = function(known)
        if not isinstance(answer, bool):
            raise QualityError(f"the condition {self.text} answers with {answer!r}, not with True or False")
        return answer

    @cached_property
    def _question(self) -> _Question | None:
        if not isinstance(self.condition, str):
            return None
        try:
            return _read(self.condition)
        except RefusedError as error:
            raise self._refusal(str(error)) from None
        except RecursionError:
            raise self._refusal("it is nested too deeply; write a function instead") from None

    def _refusal(self, why: str) -> ConfigError:
        return ConfigError(f"condition {self.text!r}: {why}", key="when", condition=self.text)


def _read(text: str) -> _Question:
    tree = tree_of(text)
    metrics = {id(column): _metric(column) for column in tree.find_all(exp.Column)}
    if not metrics:
        raise RefusedError(f"no metric is named, so the answer is always the same; {_SHAPE}")
    for comparison in tree.find_all(exp.EQ, exp.NEQ, exp.In):
        _check_outcome(comparison)

    def flat(node: Node) -> Node:
        return exp.column(_metric(node).dotted, quoted=True) if isinstance(node, exp.Column) else node

    answer = build(tree.transform(flat))
    if isinstance(tree.unnest(), VALUES):
        raise RefusedError("this is a value, not a question with the answer yes or no")
    asked = tuple(dict.fromkeys(metrics.values()))
    _try(asked, answer)
    return _Question(asked, answer)


def _metric(column: exp.Column) -> _Metric:
    stage, *rule, name = (part.name for part in column.parts) if len(column.parts) > 1 else ("", "", "", "")
    if len(rule) > 1:
        raise RefusedError(f"{column.sql()!r} is no metric; {_SHAPE}")
    accepted = OF_RULE if rule else OF_STAGE
    if name not in accepted:
        of = f"a rule ({stage}.{rule[0]})" if rule else f"a stage ({stage})"
        raise RefusedError(f"unknown metric {name!r} of {of}{hint(name, accepted)}")
    return _Metric(stage, rule[0] if rule else None, name)


def _check_outcome(comparison: Node) -> None:
    sides = [side.unnest() for side in comparison.iter_expressions()]
    if not any(isinstance(side, exp.Column) and side.name == "outcome" for side in sides):
        return
    for side in sides:
        if isinstance(side, exp.Literal) and side.name not in OUTCOMES:
            raise RefusedError(f"unknown outcome {side.name!r}{hint(side.name, OUTCOMES)}")


def _try(metrics: tuple[_Metric, ...], answer: pl.Expr) -> None:
    """Ask about nothing, to see whether the types fit; what rules observe has no type yet."""
    if any(metric.dtype is None for metric in metrics):
        return
    empty = pl.LazyFrame(schema={metric.dotted: metric.dtype for metric in metrics})
    try:
        kind = empty.select(answer=answer).collect().schema["answer"]
    except pl.exceptions.PolarsError as error:
        raise RefusedError(_first_line(error)) from None
    if kind != pl.Boolean:
        raise RefusedError("this is a value, not a question with the answer yes or no")


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]
