"""Proves from a function's plan that its result can be computed piece by piece.

Row-wise in an input: the result for two sets of its rows is what the one gives and what the other gives.
By a cut: a column of one or more inputs, so that rows with different values in it never meet in a result; the result
carries the value unchanged, so that what a piece gave before is found again. Inputs that a cut does not name are read
whole. What is not known is not proven.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from dataflow.lineage.comparison import NotProven
from dataflow.lineage.elementwise import NotLocal, check_aggregate, groups_of
from dataflow.lineage.plan_tree import Node, names_of
from dataflow.lineage.polars_plan import reader_of
from dataflow.lineage.row_effect import as_long_as_the_frame
from dataflow.lineage.row_ids import Trial
from dataflow.lineage.row_order import RowOrder, row_order

_PASSING = ("Cache", "Filter", "HStack", "Select", "SimpleProjection", "Sort")
_JOINS = ("Anti", "Inner", "Left", "Semi")


@dataclass(frozen=True)
class Cut:
    """A column by which inputs are cut, and the column of the result that carries its value."""

    inputs: tuple[tuple[str, str], ...]
    """Input and its column, sorted; the other inputs are read whole."""
    column: str

    @property
    def domain(self) -> frozenset[str]:
        """The inputs that are cut."""
        return frozenset(name for name, _ in self.inputs)

    def of(self, name: str) -> str:
        """The column of an input."""
        return dict(self.inputs)[name]


@dataclass(frozen=True)
class Locality:
    """In which pieces a function's result can be computed."""

    row_wise: bool = False
    """Every row of the result depends on one row of the first input, and on the others as a whole."""
    cuts: tuple[Cut, ...] = ()
    reason: str = ""
    """Why it is not row-wise, in words."""
    known: bool = False
    """Whether it is certain that it is not row-wise, rather than unproven."""
    reads: bool = True
    """Whether the plan can be read at all."""
    order: RowOrder = field(default_factory=RowOrder)
    """What the result has to do with the order of its inputs' rows; where that is left open, no piece is proven."""

    def cuts_for(self, changed: Iterable[str]) -> tuple[Cut, ...]:
        """The cuts that go with changes in these inputs: all of the same inputs, as fine as can be."""
        needed, by_domain = frozenset(changed), dict[frozenset[str], list[Cut]]()
        for cut in self.cuts:
            if needed <= cut.domain:
                by_domain.setdefault(cut.domain, []).append(cut)
        # Among equals the one that cuts more inputs reads less of them.
        ranked = sorted(by_domain, key=lambda d: (len(by_domain[d]), len(d), sorted(d)))
        return tuple(by_domain[ranked[-1]]) if ranked else ()


def locality(function: Callable[..., Any], inputs: Mapping[str, pl.Schema]) -> Locality:
    """In which pieces the result of ``function`` can be computed.

    Shape: ``inputs`` in the order of the function's parameters, with the columns that it is shown.
    Errors: none for what the function does: it is then not proven, with the reason.
    """
    trial = Trial(function, inputs)
    # What cannot be read may look at anything.
    anything = RowOrder(of=frozenset(inputs))
    try:
        plan = trial.plan(())
    except NotProven as reason:
        return Locality(reason=str(reason), reads=False, order=anything)
    if plan.unknown:
        return Locality(reason=f"its plan contains {plan.unknown}", reads=False, order=anything)
    if not trial.repeats(plan):
        return Locality(reason="its plan differs from one call to the next", reads=False, order=anything)
    names = {id(reader): name for name, reader in trial.readers.items()}
    try:
        order = row_order(plan, names)
        try:
            piece = _Walk(names).at(plan)
        except NotLocal as reason:
            return Locality(reason=str(reason), known=reason.known, order=order)
    except RecursionError:
        return Locality(reason="its plan is nested too deeply to be read", reads=False, order=anything)
    first = next(iter(inputs), "")
    cuts = [Cut(inputs, min(columns)) for inputs, columns in piece.cuts.items()]
    row_wise = first in piece.row_wise
    reason, known = ("", False) if row_wise else piece.why(first)
    return Locality(row_wise, tuple(sorted(cuts, key=lambda c: (c.column, c.inputs))), reason, known, order=order)


_Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Piece:
    """What is known after an operation."""

    inputs: frozenset[str] = frozenset()
    row_wise: frozenset[str] = frozenset()
    cuts: Mapping[_Key, frozenset[str]] = field(default_factory=dict[_Key, frozenset[str]])
    """By input columns: the columns that carry their value now, at least one."""
    lost: Mapping[str, tuple[str, bool]] = field(default_factory=dict[str, tuple[str, bool]])
    """Why it is not row-wise any more, by input, and whether that is certain."""

    def why(self, name: str) -> tuple[str, bool]:
        return self.lost.get(name, ("its first input is not used", True))

    def together(self, columns: frozenset[str], reason: str) -> _Piece:
        """After an operation that looks at all rows that are alike in ``columns``."""
        cuts = {key: held for key, held in self.cuts.items() if held & columns}
        return _Piece(self.inputs, frozenset(), cuts, {**dict.fromkeys(self.row_wise, (reason, True)), **self.lost})

    def renamed(self, carried: Mapping[str, frozenset[str]]) -> _Piece:
        """With each column under the names in ``carried``; cuts that no column carries are gone."""
        found = {key: frozenset(n for c in held for n in carried.get(c, ())) for key, held in self.cuts.items()}
        return _Piece(self.inputs, self.row_wise, {key: held for key, held in found.items() if held}, self.lost)


class _Walk:
    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names
        self._rules: dict[str, Callable[[Node, list[_Piece]], _Piece]] = {
            "DataFrameScan": lambda node, below: _Piece(),
            "Distinct": self._distinct,
            "GroupBy": self._group,
            "Join": self._join,
            "MapFunction": self._function,
            "PythonScan": self._scan,
            "Union": self._union,
            **dict.fromkeys(_PASSING, self._pass),
        }
        self._seen: dict[int, _Piece] = {}

    def at(self, node: Node) -> _Piece:
        if id(node) not in self._seen:
            if node.kind not in self._rules:
                raise _unknown(node)
            below = [self.at(before) for before in node.inputs]
            self._seen[id(node)] = self._rules[node.kind](node, below)
        return self._seen[id(node)]

    def _scan(self, node: Node, below: list[_Piece]) -> _Piece:
        name = self._names.get(id(reader_of(node)))
        if name is None:
            raise NotLocal("it reads something beside its inputs")
        cuts = {((name, c),): frozenset({c}) for c, dtype in node.schema.items() if _is_key(dtype)}
        return _Piece(frozenset({name}), frozenset({name}), cuts)

    def _pass(self, node: Node, below: list[_Piece]) -> _Piece:
        """Operations that compute columns, or leave rows out; where rows must be together, those cuts alone stay."""
        piece = below[0]
        if node.kind == "Sort" and node.detail[-1] is not None:
            raise NotLocal("a sort keeps only its first rows", known=True)
        for _, expression in (pair for _, named in node.expressions for pair in named):
            for group in groups_of(expression):
                piece = piece.together(group, "over() looks at other rows")
        if node.kind == "Select" and not any(as_long_as_the_frame(e) for _, e in node.of("expr")):
            raise NotLocal("a select gives rows that are not those of its input", known=True)
        return piece.renamed(node.carried)

    def _distinct(self, node: Node, below: list[_Piece]) -> _Piece:
        _, subset, _, cut = node.detail[0]
        if cut is not None:
            raise _unknown(node)
        return below[0].together(frozenset(subset or node.schema), "unique() looks at other rows")

    def _group(self, node: Node, below: list[_Piece]) -> _Piece:
        _, dynamic, rolling, cut = node.detail[1]
        if dynamic is not None or rolling is not None or cut is not None:
            raise NotLocal("rows are grouped by moving windows", known=True)
        for _, expression in node.of("keys"):
            groups_of(expression)
        for _, expression in node.of("aggs"):
            check_aggregate(expression)
        keys = frozenset(name for _, e in node.of("keys") if (name := e.bare) is not None)
        return below[0].together(keys, "rows are grouped (group_by)").renamed(names_of(node.of("keys")))

    def _function(self, node: Node, below: list[_Piece]) -> _Piece:
        name, *told = node.detail[0]
        if name in ("hint_sorted", "rechunk"):
            return below[0]
        if name in ("explode", "unnest"):
            gone = set(told[0])
            return below[0].renamed({c: frozenset({c}) for c in node.schema if c not in gone})
        if name == "unpivot":
            return below[0].renamed({c: frozenset({c}) for c in told[0]})
        if name == "row_index":
            raise NotLocal("rows are numbered", known=True)
        raise NotLocal(f"{name} is not known here")

    def _join(self, node: Node, below: list[_Piece]) -> _Piece:
        how, _, cut, *_ = node.detail[0]
        if how not in _JOINS or cut is not None or node.of("predicate"):
            kind = how if isinstance(how, str) else "as-of or inequality"
            raise NotLocal(f"a join of kind {kind.lower()} is not known here")
        left, right = below
        on = [(a.bare, b.bare) for (_, a), (_, b) in zip(node.of("left_on"), node.of("right_on"), strict=True)]
        for _, expression in (*node.of("left_on"), *node.of("right_on")):
            groups_of(expression)
        cuts = {key: held for key, held in left.cuts.items() if right.inputs.isdisjoint(_domain(key))}
        schemas = [before.schema for before in node.inputs]
        for a, b in on:
            if a is not None and b is not None and schemas[0][a] == schemas[1][b]:
                cuts.update(_merged((left, a), (right, b)))
        joined = "it is joined from the right, or with itself"
        lost = {name: (joined, True) for name in (left.row_wise | right.inputs) if name in right.inputs}
        inputs = left.inputs | right.inputs
        return _Piece(inputs, left.row_wise - right.inputs, cuts, {**lost, **right.lost, **left.lost})

    def _union(self, node: Node, below: list[_Piece]) -> _Piece:
        if node.detail[0] is not None:
            raise _unknown(node)
        first, *others = below
        inputs, row_wise = first.inputs, first.row_wise
        cuts, lost = dict(first.cuts), dict(first.lost)
        seen = first
        for other in others:
            cuts = dict[_Key, frozenset[str]]()
            for column in node.schema:
                for key, held in _merged((seen, column), (other, column)).items():
                    cuts[key] = cuts.get(key, frozenset[str]()) | (held & {column})
            lost.update(other.lost)
            inputs, row_wise = inputs | other.inputs, row_wise & other.row_wise
            seen = _Piece(inputs, row_wise, cuts, lost)
        told = dict.fromkeys(inputs - row_wise, ("its rows are stacked with others", True))
        return _Piece(inputs, row_wise, cuts, {**told, **lost})


def _merged(left: tuple[_Piece, str], right: tuple[_Piece, str]) -> dict[_Key, frozenset[str]]:
    """The cuts that hold on both sides, where the two columns hold the same values."""
    (one, a), (other, b) = left, right
    found: dict[_Key, frozenset[str]] = {}
    for mine, held in one.cuts.items():
        if a not in held:
            continue
        for theirs in (key for key, columns in other.cuts.items() if b in columns):
            both = {**dict(mine), **dict(theirs)}
            # Each side must be cut exactly as it was proven for it: what it read whole it must go on reading whole.
            if _restricted(both, one.inputs) == dict(mine) and _restricted(both, other.inputs) == dict(theirs):
                found[tuple(sorted(both.items()))] = held
    return found


def _restricted(key: Mapping[str, str], inputs: frozenset[str]) -> dict[str, str]:
    return {name: column for name, column in key.items() if name in inputs}


def _domain(key: _Key) -> frozenset[str]:
    return frozenset(name for name, _ in key)


def _is_key(dtype: pl.DataType) -> bool:
    """Whether rows can be told apart by values of this type."""
    return dtype.is_integer() or isinstance(dtype, pl.String | pl.Date | pl.Datetime | pl.Boolean | pl.Time)


def _unknown(node: Node) -> NotLocal:
    known = {"Slice": "head, tail or slice keep some rows only", "MergeSorted": "frames are merged in order"}
    told = known.get(node.kind)
    return NotLocal(told or f"the plan has an operation that is not known here ({node.kind})", known=told is not None)
