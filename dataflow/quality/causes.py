"""Why a rule could not be evaluated, in words that help, without the values that were in the way."""

from __future__ import annotations

import re

from dataflow.quality.rules import ValidationRule

WAYS_OUT = {
    "to a string value": "; write DATE '2013-01-31' or TIMESTAMP '2013-01-31 05:00'",
    "Datetime('": "; write TIMESTAMPTZ '2013-01-31 05:00Z' for columns of instants, TIMESTAMP for local times",
    "cannot compare string with numeric": "; compare text with 'text', or CAST one side",
    "casting from string to date": "; make dates and times of text in the stage's function",
}
"""What helps, by a sign in Polars' message."""


def unevaluated(rule: ValidationRule, message: str) -> str:
    """What is said of a rule that ended in an error."""
    return f"rule {rule.name!r} could not be evaluated: {rule.statement}: {cause(message)}"


def cause(message: str) -> str:
    """The first paragraph of a message, with a way out where one is known."""
    # Polars lists the values that it could not convert: those stay where they are.
    told = re.sub(r": \[.*\]", "", " ".join(message.strip().split("\n\n")[0].splitlines()))
    told = re.sub(r"\. It was removed in Polars .*", "", told)  # what it says to use, predicates do not have
    return told + next((way_out for sign, way_out in WAYS_OUT.items() if sign in told), "")
