"""Bounds of instants: the log rounds them outwards, so they prove that all lie between two, but not which is the least."""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from dataflow.quality.looks import Counted, Look
from dataflow.quality.rules import ValidationRule

BETWEEN = "expect_column_values_to_be_between"


def with_proofs(look: Look) -> Look:
    """With the answers of the rules that the bounds of instants prove to be kept.

    Great Expectations has to be imported.
    """
    proved = [rule for rule in look.judged if rule.name not in look.problems and _proved(rule, look)]
    counted = {rule.name: Counted(look.rows or 0, 0, "statistics") for rule in proved}
    return replace(look, counted={**counted, **look.counted})


def _proved(rule: ValidationRule, look: Look) -> bool:
    kind, arguments = look.expectation(rule)
    name = arguments.get("column", "")
    known = look.statistics
    if kind != BETWEEN or known is None or name not in known.low or not isinstance(look.schema[name], pl.Datetime):
        return False
    from dataflow.quality.gx_polars.conditions import bound, column

    asked = column(look.schema, name)
    least, most = (bound(asked, arguments.get(side)) for side in ("min_value", "max_value"))
    try:
        inside = _above(known.low[name], least, arguments.get("strict_min")) and _above(
            most, known.high[name], arguments.get("strict_max")
        )
    except TypeError:
        return False  # no instants: the checkpoint says what does not fit
    return inside and (least is None or most is None or least <= most)


def _above(high: Any, low: Any, strict: Any) -> bool:
    return high is None or low is None or (high > low if strict else high >= low)
