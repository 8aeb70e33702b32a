"""Rules as people hand them in, and as a gate applies them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dataflow.config import (
    Place,
    QuarantineLimitConfig,
    RouteConfig,
    RuleConfig,
    SuiteConfig,
    placed,
    validated,
)
from dataflow.errors import ConfigError
from dataflow.quality.routes import Branch, OnFail, QuarantineLimit, Repair
from dataflow.quality.rules import ValidationRule
from dataflow.quality.suites import load_suite
from dataflow.workflow.functions import find_function

Rule = ValidationRule | RuleConfig | SuiteConfig | Path | Mapping[str, Any]
"""A rule, or a suite of rules: ``{"suite": path}``, or its path."""
Limit = QuarantineLimit | QuarantineLimitConfig | Mapping[str, Any]


def declare_rules(
    rules: Sequence[Rule] | Rule, place: Place, before: tuple[ValidationRule, ...] = ()
) -> tuple[ValidationRule, ...]:
    """The rules of ``before`` and ``rules``, in this order.

    Errors: ConfigError for a rule or suite that cannot be read, and for a name that is given twice.
    """
    if isinstance(rules, (ValidationRule, RuleConfig, SuiteConfig, Path, Mapping)):
        raise ConfigError(f"{place('gate')}: a list of rules is expected; put [ ] around the rule")
    gate = list(before)
    for number, entry in enumerate(rules):
        with placed(place, "gate", number):
            for rule in _rules(entry, partial(place, "gate", number)):
                if any(rule.name == other.name for other in gate):
                    raise ConfigError(f"two rules are called {rule.name!r}; rename one", rule=rule.name)
                gate.append(rule)
    return tuple(gate)


def declare_limit(limit: Limit | None, place: Place) -> QuarantineLimit | None:
    """The limit, however it was handed in.

    Errors: ConfigError for one that cannot be read.
    """
    if limit is None:
        return None
    read = validated(QuarantineLimitConfig, limit, lambda *key: place("quarantine_limit", *key))
    return QuarantineLimit(read.rows, read.share)


def _rules(entry: Rule, place: Place) -> tuple[ValidationRule, ...]:
    if isinstance(entry, ValidationRule):
        return (entry,)
    given = SuiteConfig(suite=str(entry)) if isinstance(entry, Path) else entry
    if isinstance(given, SuiteConfig) or (isinstance(given, Mapping) and "suite" in given):
        return _suite(given, place)
    return (_rule(given, place),)


def _suite(given: SuiteConfig | Mapping[str, Any], place: Place) -> tuple[ValidationRule, ...]:
    if isinstance(given, Mapping) and isinstance(given["suite"], Path):
        given = {**given, "suite": str(given["suite"])}
    suite = validated(SuiteConfig, given, place).suite
    with placed(place, "suite"):
        return load_suite(suite)


def _rule(given: RuleConfig | Mapping[str, Any], place: Place) -> ValidationRule:
    made = given.get("on_fail") if isinstance(given, Mapping) else None
    if isinstance(given, Mapping) and isinstance(made, Repair | Branch):
        given = {key: value for key, value in given.items() if key != "on_fail"}
    config = validated(RuleConfig, given, place)
    fields = {key: getattr(config, key) for key in RuleConfig.model_fields}
    if isinstance(made, Repair | Branch):
        fields["on_fail"] = made
    elif isinstance(config.on_fail, RouteConfig):
        fields["on_fail"] = _route(config.on_fail, partial(place, "on_fail"))
    return ValidationRule(**fields)


def _route(config: RouteConfig, place: Place) -> OnFail:
    if config.repair is None:
        return Branch(str(config.branch))
    with placed(partial(place, "repair")):
        return Repair(config.repair.column, find_function(config.repair.function, "an expression"))
