"""What a plan does to the rows of one input: keeps each, drops some, groups them."""

from __future__ import annotations

from typing import Literal

from dataflow.lineage.plan_tree import Expression, Node
from dataflow.lineage.polars_plan import reader_of

RowEffect = Literal["preserved", "subset", "any", "grouped"]
"""``preserved``: one row out for each row in. ``subset``: at most one. ``grouped``: rows of the input
reach the result only through a group_by or an aggregate. ``any``: everything else."""

_PASSING = ("Cache", "HStack", "SimpleProjection", "Sort")
_DROPPING = ("Distinct", "Filter", "Slice")
_BY_ROW = ("hint_sorted", "rechunk", "row_index", "unnest")


def row_effect(node: Node, reader: object) -> RowEffect | None:
    """The effect on the rows of the placeholder that ``reader`` belongs to; None where it is not used."""
    if node.kind == "PythonScan":
        return "preserved" if reader_of(node) is reader else None
    below: list[RowEffect | None] = [row_effect(before, reader) for before in node.inputs]
    used: list[RowEffect] = [effect for effect in below if effect is not None]
    if node.kind == "Join":
        return _of_join(node.detail[0][0], below)
    if not used:
        return None
    if node.kind == "GroupBy" or (node.kind == "Select" and _is_aggregate(node)):
        return "grouped"
    if node.kind in _PASSING or (node.kind == "MapFunction" and node.detail[0][0] in _BY_ROW):
        return used[0]
    if node.kind in _DROPPING:
        return "subset" if used[0] == "preserved" else used[0]
    if node.kind == "Select" and any(as_long_as_the_frame(e) for _, e in node.of("expr")):
        return used[0]
    return _mixed(used)


def _of_join(how: object, below: list[RowEffect | None]) -> RowEffect | None:
    left, right = below
    if how in ("Semi", "Anti"):
        return "subset" if left == "preserved" else left
    used: list[RowEffect] = [effect for effect in (left, right) if effect is not None]
    if isinstance(how, tuple) and "AsOf" in how and left is not None and right is None:
        return left  # an as-of join finds at most one match for each row on the left
    return _mixed(used) if used else None


def _mixed(used: list[RowEffect]) -> RowEffect:
    return "grouped" if all(effect == "grouped" for effect in used) else "any"


def _is_aggregate(node: Node) -> bool:
    """Whether a select yields one row, whatever its input."""
    named = [expression for _, expression in node.of("expr")]
    return any(_has_aggregate(e) for e in named) and all(_is_scalar(e) for e in named)


def _has_aggregate(expression: Expression) -> bool:
    return any(part.kind in ("Agg", "Len") for part in expression.walk())


def _is_scalar(expression: Expression) -> bool:
    if expression.kind in ("Agg", "Len", "Literal"):
        return True
    return expression.kind in ("Alias", "BinaryExpr", "Cast", "Ternary") and all(map(_is_scalar, expression.parts))


def as_long_as_the_frame(expression: Expression) -> bool:
    """Whether a selected expression certainly has one value per row of its frame."""
    if expression.kind == "Column":
        return True
    if expression.kind == "Window":
        return ("WindowMapping", "explode") not in expression.detail
    family, name = expression.function
    by_row = family in ("StringFunction", "TemporalFunction") and name != "ConcatVertical"
    by_row = by_row or expression.kind in ("Alias", "BinaryExpr", "Cast", "Ternary")
    return by_row and any(map(as_long_as_the_frame, expression.parts))
