"""Whether a plan's result depends on the order of its inputs' rows, and whether that order is one to rely on.

The order of a table's rows is a matter of history: what is computed again comes to lie behind the rest. A function that
looks at it is therefore given rows in an order that stays: by their ids, or by their content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from dataflow.lineage.elementwise import spoken
from dataflow.lineage.plan_tree import Expression, Node
from dataflow.lineage.polars_plan import reader_of

_PASSING = ("Cache", "Filter", "HStack", "Select", "SimpleProjection")
_BY_ROW = ("explode", "hint_sorted", "rechunk", "unnest", "unpivot")
_IN_ORDER = frozenset(
    {
        "ConcatVertical", "IsFirstDistinct", "IsLastDistinct", "arg_max", "arg_min", "cum_count", "cum_max", "cum_min",
        "cum_prod", "cum_sum", "diff", "fill_null_with_strategy", "interpolate", "pct_change", "reverse", "shift",
    }
)  # fmt: skip
"""Functions whose values hang on the order of the rows that they are given."""
_FAMILIES_IN_ORDER = ("EwmFunction", "RollingFunction")
_AGGREGATES_IN_ORDER = ("first", "implode", "item", "last")
_YES = ("bool", "True")
Rule = Callable[["Node", "list[_Order]"], "_Order"]


@dataclass(frozen=True)
class RowOrder:
    """What a result has to do with the order of rows."""

    of: frozenset[str] = frozenset()
    """The inputs on the order of whose rows the result depends."""
    unsorted: frozenset[str] = frozenset()
    """Those of them whose order is looked at as it is, and not only where a sort finds rows alike."""
    reason: str = ""
    """Why an order is none to rely on, in words: a full run may well come to something else than increments."""
    sorts: bool = False
    """The result is sorted by some of its columns."""
    is_open: bool = False
    """Nothing tells in which order the result's own rows lie."""


@dataclass(frozen=True)
class _Order:
    """By what rows are in order after an operation."""

    by: tuple[frozenset[str], ...] = ()
    """Sorted by these columns first, each under all names that it has."""
    of: frozenset[str] = frozenset()
    """Then as the rows of these inputs came."""
    left_open_by: str = ""
    """Else by nothing: which operation left it open, in words."""

    def decides(self, keys: frozenset[str]) -> bool:
        """Whether it is sorted by something in which rows of the same ``keys`` may differ."""
        return any(keys.isdisjoint(names) for names in self.by)


def row_order(plan: Node, names: Mapping[int, str]) -> RowOrder:
    """What the plan's result has to do with the order of rows; ``names`` are the inputs by the ids of their readers."""
    walk = _Walk(names)
    result = walk.at(plan)
    return RowOrder(walk.of, walk.unsorted, walk.reason, sorts=bool(result.by), is_open=bool(result.left_open_by))


@dataclass
class _Walk:
    names: Mapping[int, str]
    of: frozenset[str] = frozenset()
    unsorted: frozenset[str] = frozenset()
    reason: str = ""
    _seen: dict[int, _Order] = field(default_factory=dict[int, _Order])

    def at(self, node: Node) -> _Order:
        if id(node) not in self._seen:
            below = [self.at(before) for before in node.inputs]
            self._seen[id(node)] = self._rule(node)(node, below)
        return self._seen[id(node)]

    def _rule(self, node: Node) -> Rule:
        if node.kind in _PASSING or (node.kind == "MapFunction" and node.detail[0][0] in _BY_ROW):
            return self._pass
        rules: dict[str, Rule] = {
            "DataFrameScan": self._constant,
            "Distinct": self._distinct,
            "GroupBy": self._group,
            "Join": self._join,
            "PythonScan": self._scan,
            "Sort": self._sort,
            "Union": self._union,
        }
        return rules.get(node.kind, self._other)

    def _constant(self, node: Node, below: list[_Order]) -> _Order:
        return _Order()

    def _scan(self, node: Node, below: list[_Order]) -> _Order:
        name = self.names.get(id(reader_of(node)))
        return _Order(of=frozenset() if name is None else frozenset({name}))

    def _pass(self, node: Node, below: list[_Order]) -> _Order:
        order = below[0]
        for _, expression in (pair for _, named in node.expressions for pair in named):
            self._check(expression, order, frozenset())
        carried = node.carried
        return replace(order, by=tuple(frozenset(n for c in names for n in carried.get(c, ())) for names in order.by))

    def _distinct(self, node: Node, below: list[_Order]) -> _Order:
        keep, subset, maintains, _ = node.detail[0]
        if keep in ("first", "last") and subset is not None:
            self._look(f"unique(keep={keep!r})", below[0], frozenset(subset))
        return below[0] if maintains == _YES else _Order(left_open_by="unique() without maintain_order")

    def _group(self, node: Node, below: list[_Order]) -> _Order:
        keys = frozenset(name for _, e in node.of("keys") if (name := e.bare) is not None)
        for _, expression in node.of("aggs"):
            self._check(expression, below[0], keys)
        left_open = _Order(left_open_by="group_by() without maintain_order")
        return replace(below[0], by=()) if node.detail[0] == _YES else left_open

    def _join(self, node: Node, below: list[_Order]) -> _Order:
        left, right = below
        # Of rows that meet several of the other side these lie one after the other as they lay there.
        both = left.of | right.of
        match node.detail[0][-1]:
            case "left" | "left_right":
                return replace(left, of=both)
            case "right" | "right_left":
                return replace(right, of=both)
            case _:
                return _Order(left_open_by="a join without maintain_order")

    def _sort(self, node: Node, below: list[_Order]) -> _Order:
        by = tuple(frozenset({e.bare or f"={name}"}) for name, e in node.of("by_column"))
        if node.detail[0][0] == _YES:
            return replace(below[0], by=(*by, *below[0].by))
        return _Order(by, left_open_by="sort() without maintain_order")

    def _union(self, node: Node, below: list[_Order]) -> _Order:
        left_open = next((order.left_open_by for order in below if order.left_open_by), "")
        return _Order(of=frozenset[str]().union(*(order.of for order in below)), left_open_by=left_open)

    def _other(self, node: Node, below: list[_Order]) -> _Order:
        """An operation that is not known here may look at anything."""
        together = self._union(node, below)
        self._look("an operation in it", together, frozenset())
        return together

    def _check(self, expression: Expression, order: _Order, keys: frozenset[str]) -> None:
        for window in _outermost(expression, "Window"):
            *_, functions, by, sorts = window.detail
            inside = frozenset(name for e in window.parts[functions : functions + by] if (name := e.bare) is not None)
            if ("WindowMapping", "join") in window.detail:
                self._look("over(mapping_strategy='join')", order, inside)
            if sorts:
                self._matters(order)
                continue
            for part in window.parts[:functions]:
                self._check(part, order, inside)
        if any(part.kind == "SortBy" for part in expression.walk()):
            # By what is left to it where rows are sorted alike.
            self._matters(order)
        if (looks := next(_looking(expression), None)) is not None:
            self._look(spoken(looks), order, keys)

    def _matters(self, order: _Order) -> None:
        self.of |= order.of

    def _look(self, what: str, order: _Order, keys: frozenset[str]) -> None:
        """Take note of an operation that looks at the order of rows which are alike in ``keys``."""
        self._matters(order)
        if order.decides(keys):
            return
        self.unsorted |= order.of
        if order.left_open_by and not self.reason:
            self.reason = f"{what} looks at the order of rows, which {order.left_open_by} leaves open"


def _looking(expression: Expression) -> Iterator[Expression]:
    """The parts of an expression that look at the order of rows which nothing in it has sorted."""
    if expression.kind == "Window":
        return
    family, name = expression.function
    aggregate = expression.detail[0] if expression.kind == "Agg" else None
    if (
        name in _IN_ORDER
        or family in _FAMILIES_IN_ORDER
        or aggregate in _AGGREGATES_IN_ORDER
        or expression.kind in ("Gather", "Slice")
        or (name == "rank" and expression.detail[0][1] == "ordinal")
    ) and not _is_sorted(expression.parts[0]):
        yield expression
    for part in expression.parts:
        yield from _looking(part)


def _is_sorted(expression: Expression) -> bool:
    """Whether the values of an expression are in an order that it says itself."""
    if expression.kind in ("Sort", "SortBy"):
        return True
    family, name = expression.function
    steps = expression.kind in ("Alias", "Cast", "Filter", "Gather", "Slice")
    steps = steps or (name in _IN_ORDER or family in _FAMILIES_IN_ORDER or name in ("drop_nulls", "drop_nans"))
    return steps and _is_sorted(expression.parts[0])


def _outermost(expression: Expression, kind: str) -> Iterator[Expression]:
    if expression.kind == kind:
        yield expression
        return
    for part in expression.parts:
        yield from _outermost(part, kind)
