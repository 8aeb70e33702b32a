"""Reads the plan of a LazyFrame into values of our own that can be walked and compared.

Polars' visitor is a private, versioned interface: it is touched in this module only. What it does
not show (Python functions, a few rare operations) becomes an ``opaque`` node or expression.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from dataflow.lineage.plan_tree import Expression, Held, Node

SUPPORTED = (16, 0)
"""The visitor's version that this module was written for and is tested with."""

_EXPRESSION_PARTS: dict[str, tuple[str, ...]] = {
    "Agg": ("arguments",),
    "Alias": ("expr",),
    "BinaryExpr": ("left", "right"),
    "Cast": ("expr",),
    "Column": (),
    "Explode": ("expr",),
    "Filter": ("input", "by"),
    "Function": ("input",),
    "Gather": ("expr", "idx"),
    "Len": (),
    "Literal": (),
    "Rolling": ("function", "index_column"),
    "Slice": ("input", "offset", "length"),
    "Sort": ("expr",),
    "SortBy": ("expr", "by"),
    "Ternary": ("predicate", "truthy", "falsy"),
    "Window": ("function", "partition_by", "order_by"),
}
"""The expressions that are understood, and which of their attributes are expressions themselves."""

_NODE_EXPRESSIONS: dict[str, tuple[str, ...]] = {
    "Filter": ("predicate",),
    "GroupBy": ("keys", "aggs"),
    "HStack": ("exprs",),
    "Join": ("left_on", "right_on", "predicate"),
    "Select": ("expr",),
    "Sort": ("by_column",),
}

_NODE_DETAILS: dict[str, tuple[str, ...]] = {
    "DataFrameScan": ("df", "projection"),
    "Distinct": ("options",),
    "GroupBy": ("maintain_order", "options"),
    "HConcat": ("options",),
    "HStack": ("should_broadcast",),
    "Join": ("options",),
    "MapFunction": ("function",),
    "MergeSorted": ("key",),
    "PythonScan": ("options",),
    "Scan": ("paths", "scan_type", "file_options", "hive_parts"),
    "Select": ("should_broadcast",),
    "Slice": ("offset", "len"),
    "Sort": ("sort_options", "slice"),
    "Union": ("slice",),
}

_HOLDERS: dict[str, tuple[str, ...]] = {
    "DynamicGroupOptions": (
        "closed_window", "every", "include_boundaries", "index_column", "label", "offset", "period", "start_by",
    ),
    "GroupbyOptions": ("dynamic", "rolling", "slice"),
    "PyFileOptions": ("n_rows", "with_columns", "row_index", "include_file_paths"),
    "RollingGroupOptions": ("closed_window", "index_column", "offset", "period"),
    "WindowMapping": ("kind",),
}  # fmt: skip


class UnknownPlanVersion(Exception):
    """This Polars describes its plans in another way than the one known here."""


def placeholder(schema: pl.Schema, on_read: Callable[..., Any]) -> pl.LazyFrame:
    """A frame that can be planned with but not read: reading calls ``on_read``, which raises."""
    return register_io_source(on_read, schema=schema)


def reader_of(node: Node) -> Any:
    """The ``on_read`` of a placeholder's scan, else None."""
    return node.detail[0][0] if node.kind == "PythonScan" else None


def read_plan(frame: pl.LazyFrame) -> Node:
    """The plan as the user wrote it: no optimisation moves or drops anything.

    Errors: UnknownPlanVersion; whatever Polars raises for a plan that cannot work.
    """
    # Private API: the visitor is the only way to see a resolved plan without parsing text.
    visitor = frame._ldf.with_optimizations(_no_optimisations()).visit()  # pyright: ignore[reportPrivateUsage]
    version = tuple(visitor.version())
    if version != SUPPORTED:
        raise UnknownPlanVersion(f"Polars {pl.__version__} describes plans in version {version}, {SUPPORTED} is known")
    return _Reader(visitor).node(visitor.get_node())


@lru_cache(maxsize=1)
def _no_optimisations() -> Any:
    return pl.QueryOptFlags.none()._pyoptflags  # pyright: ignore[reportPrivateUsage]  # as collect() does


class _Reader:
    """One walk over one plan; nodes that are used twice are read once."""

    def __init__(self, visitor: Any) -> None:
        self.visitor = visitor
        self.nodes: dict[int, Node] = {}
        self.seen: dict[int, Expression] = {}

    def node(self, number: int) -> Node:
        if number not in self.nodes:
            self.visitor.set_node(number)
            schema = dict(self.visitor.get_schema())
            below: list[int] = self.visitor.get_inputs()
            shape = self._shape()
            inputs = tuple(self.node(i) for i in below)
            self.nodes[number] = Node(shape[0], inputs, shape[1], shape[2], schema)
        return self.nodes[number]

    def _shape(self) -> tuple[str, Any, tuple[Any, ...]]:
        try:
            view = self.visitor.view_current_node()
        except NotImplementedError as hidden:
            return "opaque", (), (_in_words(hidden),)
        kind = type(view).__name__
        expressions = tuple((role, self._named(getattr(view, role))) for role in _NODE_EXPRESSIONS.get(kind, ()))
        return kind, expressions, tuple(_plain(getattr(view, name)) for name in _NODE_DETAILS.get(kind, ()))

    def _named(self, found: Any) -> tuple[tuple[str, Expression], ...]:
        return tuple((e.output_name, self.expression(e.node)) for e in _as_list(found))

    def expression(self, number: int) -> Expression:
        if number not in self.seen:
            self.seen[number] = self._expression(number)
        return self.seen[number]

    def _expression(self, number: int) -> Expression:
        try:
            view = self.visitor.view_expression(number)
        except NotImplementedError as hidden:
            return Expression("opaque", (_in_words(hidden),))
        kind = type(view).__name__
        if kind not in _EXPRESSION_PARTS:
            return Expression("opaque", (f"an expression of kind {kind}",))
        roles, names = _EXPRESSION_PARTS[kind], _attributes(type(view))  # pyright: ignore[reportUnknownArgumentType]
        told = tuple(_plain(getattr(view, name)) for name in names if name not in roles)
        parts = [self._parts(getattr(view, role)) for role in roles]
        # How many parts each role has is told too: partition_by=x is not order_by=x.
        return Expression(kind, (*told, *(len(found) for found in parts)), tuple(e for found in parts for e in found))

    def _parts(self, found: Any) -> tuple[Expression, ...]:
        listed: list[int] = _as_list(found)
        return tuple(self.expression(n) for n in listed)


def _as_list(found: Any) -> list[Any]:
    """Polars gives one, several or none; here it is always a list."""
    if found is None:
        return []
    return list(found) if type(found) in (list, tuple) else [found]


@lru_cache(maxsize=64)
def _attributes(kind: type[Any]) -> tuple[str, ...]:
    # Column's name and Function's data come first in detail: Expression.column and .name count on it.
    names = sorted(name for name in dir(kind) if not name.startswith("_"))
    return tuple(sorted(names, key=lambda name: name not in ("name", "function_data", "value")))


def _in_words(hidden: NotImplementedError) -> str:
    """Polars' own word for what it does not show, made readable."""
    word = str(hidden)
    if "python" in word or word in ("anonymousfunction", "fold", "reduce"):
        return "a Python function, whose inputs the plan does not show"
    return f"an operation that Polars does not show in its plans ({word})"


def _plain(value: Any) -> Any:
    """A value that can be compared; Polars' own holders have no equality."""
    kind = type(value).__name__
    if kind == "PyDataFrame":
        return Held(pl.DataFrame._from_pydf(value))  # pyright: ignore[reportPrivateUsage]  # no public way back
    if kind == "PySeries":
        return Held(pl.Series._from_pyseries(value))  # pyright: ignore[reportPrivateUsage]  # no public way back
    if kind in _HOLDERS:
        return (kind, *(_plain(getattr(value, name)) for name in _HOLDERS[kind]))
    if kind in ("tuple", "list"):
        return tuple(map(_plain, value))
    if value is None or isinstance(value, str):
        return value
    # Told with its type: 1, True and "1" are three values. Functions are compared by identity.
    return getattr(value, "io_source", value) if callable(value) else (kind, repr(value))
