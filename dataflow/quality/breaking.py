"""The first rows that break a rule, by their ids: from a report a person follows them to the table."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl

from dataflow.model import ROW_ID
from dataflow.quality.known import FEW
from dataflow.quality.looks import FLAG, Look
from dataflow.quality.routing import mark
from dataflow.quality.rules import ValidationRule
from dataflow.quality.table import repeated_in


def first_rows(looks: Sequence[Look], rules: Collection[str]) -> dict[str, tuple[int, ...]]:
    """The ids of the first rows that break each of the rules; nothing where rows have none, or no single row breaks it."""
    plans: dict[str, pl.LazyFrame] = {}
    for look in looks:
        if ROW_ID in look.schema:
            wanted = [rule for rule in look.rules if rule.name in rules]
            found = {rule.name: _breaking(rule, look) for rule in wanted}
            plans.update({name: rows for name, rows in found.items() if rows is not None})
    # The least, not those that come first: files are staged in no order.
    least = [rows.select(pl.col(ROW_ID).drop_nulls().bottom_k(FEW).sort()) for rows in plans.values()]
    collected = pl.collect_all(least, engine="streaming")
    return {name: tuple(ids.to_series()) for name, ids in zip(plans, collected, strict=True)}


def _breaking(rule: ValidationRule, look: Look) -> pl.LazyFrame | None:
    if rule.parts_rows:
        return mark(look.frame, rule, look.schema, look.references, FLAG).filter(FLAG)
    if not rule.about_key:
        return None
    counted = look.counted.get(rule.name)
    return repeated_in(look.frame, rule) if counted is None else counted.rows
