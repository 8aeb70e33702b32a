"""Proves that row ids ride through a plan without touching anything else in it.

Two plans of one function are compared node by node: the plain one, and the one whose inputs have
an id column more. The proof holds where the second, with the ids left out, is the first, and where
no key, filter, expression or row count of it looks at an id. What is not known is not proven.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

from dataflow.lineage.comparison import (
    NotProven,
    equal,
    listed,
    same_details,
    same_expressions,
    untouched,
    without_idle,
)
from dataflow.lineage.plan_tree import Expression, Node
from dataflow.lineage.polars_plan import reader_of
from dataflow.lineage.row_effect import as_long_as_the_frame

Ids = dict[str, str]
"""Column → the input whose unchanged id it holds."""


@dataclass(frozen=True)
class Ride:
    """Where the ids are after an operation."""

    ids: Ids = field(default_factory=dict[str, str])
    absent: frozenset[str] = frozenset()
    """Id columns that are null for every row (filled in by a diagonal concat)."""
    lost: dict[str, str] = field(default_factory=dict[str, str])
    """Input → what became of its id, in words."""

    @property
    def columns(self) -> frozenset[str]:
        """All columns of the second plan that the first does not have."""
        return frozenset(self.ids) | self.absent


@dataclass(frozen=True)
class Placeholders:
    """The scans that stand for the inputs."""

    readers: Mapping[str, object]
    """Input → the reader of its placeholder."""
    id_columns: Mapping[str, str]
    """Input → its id column, where it has one."""

    def input_of(self, scan: Node) -> str | None:
        """The input that a scan stands for; None for a scan of the function's own."""
        found = reader_of(scan)
        return next((name for name, reader in self.readers.items() if reader is found), None)


def prove(plain: Node, with_ids: Node, placeholders: Placeholders) -> Ride:
    """Where the ids are in the result of ``with_ids``.

    Errors: NotProven, with the first reason found.
    """
    unknown = plain.unknown or with_ids.unknown
    if unknown:
        raise NotProven(f"the plan contains {unknown}")
    return _Proof(placeholders).at(plain, with_ids)


class _Proof:
    def __init__(self, placeholders: Placeholders) -> None:
        self.placeholders = placeholders
        self.names = frozenset(placeholders.id_columns.values())
        self.rules: dict[str, Callable[[Node, Node, list[Ride]], Ride]] = {
            "Cache": self._cache,
            "DataFrameScan": self._foreign,
            "Distinct": self._distinct,
            "Filter": self._pass,
            "GroupBy": self._group,
            "HConcat": self._side_by_side,
            "HStack": self._compute,
            "Join": self._join,
            "MapFunction": self._function,
            "MergeSorted": self._stack,
            "PythonScan": self._scan,
            "Scan": self._foreign,
            "Select": self._compute,
            "SimpleProjection": self._project,
            "Slice": self._pass,
            "Sort": self._pass,
            "Union": self._stack,
        }

    def at(self, plain: Node, with_ids: Node) -> Ride:
        plain, with_ids = without_idle(plain, frozenset()), without_idle(with_ids, self.names)
        filled = self._filled_in(with_ids)
        if filled:
            before = self.at(plain, with_ids.inputs[0])
            return Ride(before.ids, before.absent | filled, before.lost)
        if plain.kind != with_ids.kind or len(plain.inputs) != len(with_ids.inputs):
            raise NotProven("its plan is another one when a column is added to an input")
        if plain.kind not in self.rules:
            raise NotProven(f"the plan has an operation that is not known here ({plain.kind})")
        below = [self.at(p, w) for p, w in zip(plain.inputs, with_ids.inputs, strict=True)]
        ride = self.rules[plain.kind](plain, with_ids, below)
        _check_schemas(plain, with_ids, ride)
        return ride

    def _filled_in(self, node: Node) -> frozenset[str]:
        """The id columns that ``node`` adds as nulls, where it does nothing else: a diagonal concat."""
        named = node.of("exprs") if node.kind == "HStack" else ()
        nulls = frozenset(n for n, e in named if n in self.names and e.is_null and n not in node.inputs[0].schema)
        return nulls if len(nulls) == len(named) else frozenset()

    def _scan(self, plain: Node, with_ids: Node, below: list[Ride]) -> Ride:
        name = self.placeholders.input_of(with_ids)
        if name is None:
            return self._foreign(plain, with_ids, below)
        if self.placeholders.input_of(plain) != name:
            raise NotProven("it reads its inputs in another order when a column is added to one")
        column = self.placeholders.id_columns.get(name)
        return Ride({column: name} if column in with_ids.schema and column else {})

    def _foreign(self, plain: Node, with_ids: Node, below: list[Ride]) -> Ride:
        same_details(plain, with_ids)
        return Ride()

    def _pass(self, plain: Node, with_ids: Node, below: list[Ride]) -> Ride:
        same_expressions(plain, with_ids, _columns(below))
        same_details(plain, with_ids)
        return below[0]

    def _cache(self, plain: Node, with_ids: Node, below: list[Ride]) -> Ride:
        # Nothing depends on the ids here, but Polars 2.1 panics on some plans with a cache() once they
        # have another column (optimizer/cse/cache_states.rs): the function would fail through our doing.
        raise NotProven("it uses cache(), on which Polars may fail when a column is added")

    def _distinct(self, plain: Node, with_ids: Node, below: list[Ride]) -> Ride:
        if with_ids.detail[0][1] is None and below[0].columns:
            raise NotProven("unique() without a subset compares whole rows, so the ids would take part")
        return self._pass(plain, with_ids, below)

    def _group(self, plain: Node, with_ids: Node, below: list[Ride]) -> Ride:
        same_details(plain, with_ids)
        try:
            same_expressions(plain, with_ids, _columns(below))
        except NotProven as reason:
            raise NotProven(f"rows are grouped (group_by), and {reason}") from reason
        return Ride(lost=_lost(below, "rows are grouped (group_by), so no single row stands for a result"))

    def _join(self, plain: Node, with_ids: Node, below: list[Ride]) -> Ride:
        same_details(plain, with_ids)
        same_expressions(plain, with_ids, _columns(below))
        left, right = below
        if with_ids.detail[0][0] in ("Semi", "Anti"):
            return Ride(
                left.ids, left.absent, {**_lost([right], "a semi or anti join only filters by it"), **left.lost}
            )
        twice = right.columns & set(with_ids.inputs[0].schema)
        if twice:
            raise NotProven(f"a frame is joined to itself, so {listed(twice)} would come out twice")
        return _together(below)

    def _side_by_side(self, plain: Node, with_ids: Node, below: list[Ride]) -> Ride:
        same_details(plain, with_ids)
        return _together(below)

    def _stack(self, plain: Node, with_ids: Node, below: list[Ride]) -> Ride:
        same_details(plain, with_ids)
        if with_ids.kind == "MergeSorted" and set(with_ids.detail[0]) & _together(below).columns:
            raise NotProven("frames are merged by a row id")
        together = _together(below)
        for ride in below:
            if ride.columns != together.columns:
                raise NotProven("frames are stacked of which only some have the ids")
            if any(together.ids[column] != source for column, source in ride.ids.items()):
                raise NotProven("frames are stacked whose ids come from different inputs")
        return Ride(together.ids, together.absent - set(together.ids), together.lost)

    def _compute(self, plain: Node, with_ids: Node, below: list[Ride]) -> Ride:
        """Select and with_columns."""
        same_details(plain, with_ids)
        adds = with_ids.kind == "HStack"
        before, role = below[0], "exprs" if adds else "expr"
        ids, absent = (dict(before.ids), set(before.absent)) if adds else ({}, set[str]())
        own: list[tuple[str, Expression]] = []
        for name, expression in with_ids.of(role):
            source = expression.column
            if source in before.ids:
                ids[name] = before.ids[source]
            elif source in before.absent or (name in self.names and expression.is_null and name not in before.ids):
                absent.add(name)
            else:
                untouched(expression, before.columns)
                own.append((name, expression))
        equal(plain.of(role), tuple(own))
        if not adds and ids and not any(as_long_as_the_frame(e) for _, e in own):
            raise NotProven("a select of aggregates would have more rows with the ids in it")
        gone = {
            s: "a select names its columns and leaves the id out" for s in before.ids.values() if s not in ids.values()
        }
        return Ride(ids, frozenset(absent), {**before.lost, **gone})

    def _project(self, plain: Node, with_ids: Node, below: list[Ride]) -> Ride:
        kept = {c: s for c, s in below[0].ids.items() if c in with_ids.schema}
        gone = {s: "a select names its columns and leaves the id out" for c, s in below[0].ids.items() if c not in kept}
        return Ride(kept, below[0].absent & set(with_ids.schema), {**below[0].lost, **gone})

    def _function(self, plain: Node, with_ids: Node, below: list[Ride]) -> Ride:
        (name, *told), (name_with_ids, *told_with_ids) = plain.detail[0], with_ids.detail[0]
        ride = below[0]
        if name != name_with_ids:
            raise NotProven("its plan is another one when a column is added to an input")
        if name == "unpivot":
            (index, *rest), (index_with_ids, *rest_with_ids) = told, told_with_ids
            kept = {c: s for c, s in ride.ids.items() if c in index_with_ids}
            if rest != rest_with_ids or tuple(c for c in index_with_ids if c not in ride.columns) != index:
                raise NotProven("unpivot without named columns would melt the ids")
            gone = "unpivot leaves the id out of its index"
            lost = {s: gone for c, s in ride.ids.items() if c not in kept}
            return Ride(kept, ride.absent & set(index_with_ids), {**ride.lost, **lost})
        if name not in ("explode", "hint_sorted", "rechunk", "row_index", "unnest"):
            raise NotProven(f"the plan has an operation that is not known here ({name})")
        if told != told_with_ids:
            raise NotProven(f"{name} would take the ids in")
        return ride


def _columns(rides: list[Ride]) -> frozenset[str]:
    return frozenset[str]().union(*(ride.columns for ride in rides))


def _together(rides: list[Ride]) -> Ride:
    ids, lost = dict[str, str](), dict[str, str]()
    for ride in rides:
        ids.update({c: s for c, s in ride.ids.items() if c not in ids})
        lost.update(ride.lost)
    return Ride(ids, frozenset[str]().union(*(ride.absent for ride in rides)), lost)


def _lost(rides: list[Ride], reason: str) -> dict[str, str]:
    return {source: reason for ride in rides for source in ride.ids.values()}


def _check_schemas(plain: Node, with_ids: Node, ride: Ride) -> None:
    """The last word: whatever was reasoned, the columns other than ids are the same."""
    own = [(name, dtype) for name, dtype in with_ids.schema.items() if name not in ride.columns]
    if own != list(plain.schema.items()):
        raise NotProven("its columns are others when a column is added to an input")
    if ride.ids and not own:
        raise NotProven("no column but the ids would be left")
    if any(with_ids.schema.get(column) != pl.Int64() for column in ride.ids):
        raise NotProven("the type of an id would change")
