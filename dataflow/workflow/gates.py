"""Rules as people hand them in, and as a gate applies them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from dataflow.config import Place, RuleConfig, placed, validated
from dataflow.errors import ConfigError
from dataflow.quality.rules import ValidationRule

Rule = ValidationRule | RuleConfig | Mapping[str, Any]


def declare_rules(
    rules: Sequence[Rule] | Rule, place: Place, before: tuple[ValidationRule, ...] = ()
) -> tuple[ValidationRule, ...]:
    """The rules of ``before`` and ``rules``, in this order.

    Errors: ConfigError for a rule that cannot be read, and for a name that is given twice.
    """
    if isinstance(rules, (ValidationRule, RuleConfig, Mapping)):
        raise ConfigError(f"{place('gate')}: a list of rules is expected; put [ ] around the rule")
    gate = list(before)
    for number, rule in enumerate(rules):
        with placed(place, "gate", number):
            read = _rule(rule, partial(place, "gate", number))
            if any(read.name == other.name for other in gate):
                raise ConfigError(f"two rules are called {read.name!r}; rename one", rule=read.name)
        gate.append(read)
    return tuple(gate)


def _rule(rule: Rule, place: Place) -> ValidationRule:
    if isinstance(rule, ValidationRule):
        return rule
    return ValidationRule.from_config(validated(RuleConfig, rule, place).model_dump())
