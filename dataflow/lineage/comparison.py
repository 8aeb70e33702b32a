"""Whether an operation is the same one in two plans, of which the second has id columns more."""

from __future__ import annotations

from dataflow.lineage.plan_tree import Expression, Node


class NotProven(Exception):
    """Why the ids cannot be carried, in words."""


def without_idle(node: Node, ids: frozenset[str]) -> Node:
    """Skips operations that pass every column on as it is; the order of ``ids`` does not matter."""
    while len(node.inputs) == 1:
        before = node.inputs[0]
        same = set(node.schema) == set(before.schema) and _own(node, ids) == _own(before, ids)
        passes = node.kind == "SimpleProjection" or (
            node.kind == "HStack" and all(expression.column == name for name, expression in node.of("exprs"))
        )
        if not (same and passes):
            break
        node = before
    return node


def _own(node: Node, ids: frozenset[str]) -> list[str]:
    return [name for name in node.schema if name not in ids]


def same_details(plain: Node, with_ids: Node) -> None:
    """Errors: NotProven where the settings of the two operations differ."""
    if plain.detail != with_ids.detail:
        raise NotProven("the settings of an operation differ when a column is added to an input")


def same_expressions(plain: Node, with_ids: Node, ids: frozenset[str]) -> None:
    """Errors: NotProven where the expressions of the two operations differ, or look at ``ids``."""
    for role, named in with_ids.expressions:
        for _, expression in named:
            untouched(expression, ids)
        equal(plain.of(role), named)


def equal(plain: tuple[tuple[str, Expression], ...], with_ids: tuple[tuple[str, Expression], ...]) -> None:
    """Errors: NotProven where expressions or their names differ."""
    if plain != with_ids:
        raise NotProven("an expression is another one when a column is added to an input")


def untouched(expression: Expression, ids: frozenset[str]) -> None:
    """Errors: NotProven where the expression looks at ``ids``."""
    touched = expression.columns & ids
    if touched:
        raise NotProven(
            f"{expression.name} is applied to columns that are not named one by one, {listed(touched)} among them"
        )


def listed(columns: frozenset[str] | set[str]) -> str:
    """Names in a sentence."""
    return ", ".join(sorted(columns))
