"""Parts good rows from those that break a rule which quarantines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from dataflow.errors import DataFlowError
from dataflow.quality.gate import failing_any, quarantine_columns
from dataflow.quality.rules import ValidationRule


def split(
    frame: pl.LazyFrame, rules: Sequence[ValidationRule], *, at: datetime
) -> tuple[pl.LazyFrame, pl.LazyFrame | None]:
    """Good rows, and broken ones with every rule that they broke (``_rules``), ``_reason`` and ``_quarantined_at``.

    The second is None where no rule can quarantine a row. A rule that cannot be evaluated sets no row aside:
    the gate reports it, and refuses the batch.
    Shape: (n, c) -> (m, c), (n - m, c + 3)
    """
    schema = frame.collect_schema()
    routing = [rule for rule in rules if rule.route == "quarantine" and _evaluable(rule, schema)]
    if not routing:
        return frame, None
    broken = failing_any(routing, schema)
    aside = frame.filter(broken).with_columns(
        *quarantine_columns(routing, schema).values(), pl.lit(at, pl.Datetime("us", "UTC")).alias("_quarantined_at")
    )
    return frame.filter(~broken), aside


def _evaluable(rule: ValidationRule, schema: pl.Schema) -> bool:
    try:
        rule.check(schema.names())
        # Of types that cannot be compared Polars tells only when it compares them.
        pl.LazyFrame(schema=schema).select(rule.failing(schema)).collect()
    except (DataFlowError, pl.exceptions.PolarsError):
        return False
    return True
