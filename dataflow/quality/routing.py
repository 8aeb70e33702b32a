"""Parts the rows of a stage: those to publish, repaired ones among them, from those set aside or dropped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce

import polars as pl

from dataflow.errors import DataFlowError
from dataflow.quality.causes import unevaluated
from dataflow.quality.repairs import check_repairs, repaired_value
from dataflow.quality.rules import SINGLE_ROWS, ValidationRule

References = Mapping[str, pl.LazyFrame]
Derive = Callable[[pl.LazyFrame], pl.LazyFrame]
"""Adds columns, each worked out from its row alone."""
Part = Callable[[pl.LazyFrame, pl.Expr], tuple[pl.LazyFrame, pl.LazyFrame]]
"""Gives the rows of a frame, and those of them of which the expression is true, for whoever takes these."""
_BROKE, _STILL, _WAS, _FATE = "__gate_broke_{}", "__gate_still_{}", "__gate_was_{}", "__gate_fate"
_QUARANTINED, _DROPPED, _REPAIRED, _GOOD = 3, 2, 1, 0


@dataclass(frozen=True)
class Routed:
    """Where the rows of a stage go; None where no rule can send one there."""

    good: pl.LazyFrame
    quarantined: pl.LazyFrame | None = None
    dropped: pl.LazyFrame | None = None
    repaired: pl.LazyFrame | None = None
    """Good rows that a repair has changed, as they were before."""


def route_rows(
    frame: pl.LazyFrame,
    rules: Sequence[ValidationRule],
    *,
    at: datetime,
    references: References | None = None,
    derive: Derive | None = None,
    part: Part = lambda frame, _: (frame, frame),
) -> Routed:
    """Good rows, repaired where a rule says how, and those set aside: as they were, with every rule that they broke.

    Repairs are made in the order of the rules, on failing rows only. Then everything is
    checked once more: a row that breaks a rule which quarantines or repairs is
    quarantined, else one that breaks a rule which drops is dropped. The side frames have
    the columns of ``frame`` and ``_rules`` (all of the routing rules that the row broke as
    it was), ``_reason`` (the same in words) and ``_quarantined_at``, ``_dropped_at`` or
    ``_repaired_at``. A rule that cannot be evaluated sets no row aside: the gate reports
    it, and refuses the batch. The rules see the columns that ``derive`` adds too, which are worked out again
    from what is repaired.

    Shape: (n, c) -> good (m, c), quarantined (q, c + 3), dropped (d, c + 3), where n = m + q + d
    Errors: ConfigError for a repair that cannot be made.
    """
    given, tables = frame.collect_schema(), references or {}
    frame = derive(frame) if derive else frame
    schema = frame.collect_schema()
    routing = [r for r in rules if r.route in SINGLE_ROWS and unevaluable(r, schema, tables) is None]
    check_repairs(routing, schema)
    if not routing:
        return Routed(frame)
    marked = _Marked(frame, tuple(schema), {}, frozenset()).checked(routing, tables, _BROKE)
    repaired, touched = marked.repaired(routing, tables)
    again = repaired.derived(derive, [column for column in schema if column not in given]) if derive else repaired
    final = again.checked(again.concerned(routing), tables, _STILL)
    routes = {rule.route for rule in routing}
    fates = [
        (_QUARANTINED, final.breaking(r for r in routing if r.route != "drop")),
        (_DROPPED, final.breaking(r for r in routing if r.route == "drop")),
        (_REPAIRED, _any(pl.col(flag) for flag in touched)),
    ]
    fate = reduce(lambda rest, one: pl.when(one[1]).then(one[0]).otherwise(rest), reversed(fates), pl.lit(_GOOD))
    parted = final.frame.with_columns(fate.cast(pl.UInt8).alias(_FATE))
    told = [final.as_was, *_told(routing, marked, final)]
    onward, beside = part(parted, pl.col(_FATE) != _GOOD)

    def side(number: int, stamp: str) -> pl.LazyFrame:
        moment = pl.lit(at, pl.Datetime("us", "UTC")).alias(stamp)
        columns = [expr for group in told for expr in (group if isinstance(group, list) else [group])]
        return beside.filter(pl.col(_FATE) == number).select(*columns, moment)

    return Routed(
        onward.filter(pl.col(_FATE) <= _REPAIRED).select(final.columns),
        side(_QUARANTINED, "_quarantined_at") if routes & {"quarantine", "repair"} else None,
        side(_DROPPED, "_dropped_at") if "drop" in routes else None,
        side(_REPAIRED, "_repaired_at") if "repair" in routes else None,
    )


def unevaluable(rule: ValidationRule, schema: pl.Schema, references: References) -> str | None:
    """Why a rule about rows cannot be evaluated; None where it can."""
    try:
        rule.check(schema.names(), {name: table.collect_schema().names() for name, table in references.items()})
        # Of types that cannot be compared Polars tells only when it compares them.
        nothing = {name: pl.LazyFrame(schema=table.collect_schema()) for name, table in references.items()}
        mark(pl.LazyFrame(schema=schema), rule, schema, nothing, _BROKE).collect()
    except DataFlowError as error:
        return error.message
    except pl.exceptions.PolarsError as error:
        return unevaluated(rule, str(error))
    return _uncastable(rule, schema)


def _uncastable(rule: ValidationRule, schema: pl.Schema) -> str | None:
    """Of a CAST that no text can take Polars tells only when it meets a text."""
    if "CAST" not in (rule.predicate or "").upper() or rule.parsed is None:
        return None
    row = {name: pl.Series([""] if kind == pl.String else [None], dtype=kind) for name, kind in schema.items()}
    try:
        pl.LazyFrame(row).select(rule.failing(schema)).collect()
    except pl.exceptions.PolarsError as error:
        # Whether a text can be read as a number, that very text decides.
        return unevaluated(rule, str(error)) if "not supported" in str(error) else None
    return None


def mark(
    frame: pl.LazyFrame, rule: ValidationRule, schema: Mapping[str, pl.DataType], references: References, flag: str
) -> pl.LazyFrame:
    """``frame`` with the column ``flag``: true of rows that break the rule, never null."""
    if rule.reference is not None:
        return rule.reference.mark(frame, references[rule.reference.table], flag, rule=rule.name)
    return frame.with_columns(rule.failing(schema).alias(flag))


@dataclass(frozen=True)
class _Marked:
    """Rows with a flag for each rule, worked out once and shared by all that is made of them."""

    frame: pl.LazyFrame
    columns: tuple[str, ...]
    flags: Mapping[str, str]
    """By rule: the column that is true of rows which break it."""
    changed: frozenset[str]
    """Columns that repairs have changed."""

    def checked(self, rules: Iterable[ValidationRule], references: References, pattern: str) -> _Marked:
        """With the flags of ``rules`` as the rows are now."""
        frame, flags, schema = self.frame, dict(self.flags), self.frame.collect_schema()
        plain = {pattern.format(n): rule for n, rule in enumerate(rules)}
        simple = {flag: rule.failing(schema) for flag, rule in plain.items() if rule.reference is None}
        frame = frame.with_columns(**simple) if simple else frame
        for flag, rule in plain.items():
            flags[rule.name] = flag
            frame = frame if rule.reference is None else mark(frame, rule, schema, references, flag)
        return replace(self, frame=frame, flags=flags)

    def repaired(self, rules: Sequence[ValidationRule], references: References) -> tuple[_Marked, list[str]]:
        """With every repair made; and the flags of what was changed."""
        now, touched = self, list[str]()
        repairs = [rule for rule in rules if rule.repair is not None]
        for number, rule in enumerate(repairs):
            now = now.checked(now.concerned([rule]), references, f"__gate_turn_{number}_{{}}")
            touched.append(now.flags[rule.name])
            now = now.changing(rule)
        return now, touched

    def derived(self, derive: Derive, added: Sequence[str]) -> _Marked:
        """With the columns ``added`` worked out from what is repaired, the values before that kept."""
        if not self.changed or not added:
            return self
        frame = self.frame.rename({column: _WAS.format(column) for column in added})
        return replace(self, frame=derive(frame), changed=self.changed | set(added))

    def concerned(self, rules: Iterable[ValidationRule]) -> list[ValidationRule]:
        """The rules that read a column which was changed."""
        return [rule for rule in rules if self.changed & set(rule.columns)]

    def changing(self, rule: ValidationRule) -> _Marked:
        """With the rule's repair made in the rows that break it, the value before it kept."""
        assert rule.repair is not None
        column = rule.repair.column
        value = repaired_value(rule, self.frame.collect_schema(), pl.col(self.flags[rule.name]))
        kept = pl.col(column).alias(_WAS.format(column))
        return replace(self, frame=self.frame.with_columns(value, kept), changed=self.changed | {column})

    def breaking(self, rules: Iterable[ValidationRule]) -> pl.Expr:
        """True of rows that break one of ``rules``."""
        return _any(pl.col(self.flags[rule.name]) for rule in rules)

    @property
    def as_was(self) -> list[pl.Expr]:
        """The columns as they were before any repair."""
        return [pl.col(_WAS.format(c)).alias(c) if c in self.changed else pl.col(c) for c in self.columns]


def _any(flags: Iterable[pl.Expr]) -> pl.Expr:
    return reduce(pl.Expr.__or__, flags, pl.lit(value=False))


def _told(rules: Collection[ValidationRule], before: _Marked, after: _Marked) -> tuple[pl.Expr, pl.Expr]:
    """``_rules``: all that a row broke as it was; ``_reason``: the same in words, and what it broke only when repaired."""
    names, reasons = list[pl.Expr](), list[pl.Expr]()
    for rule in rules:
        was, still = pl.col(before.flags[rule.name]), pl.col(after.flags[rule.name])
        names.append(pl.when(was).then(pl.lit(rule.name)))
        reasons.append(pl.when(was).then(pl.lit(f"{rule.name}: {rule.statement}")))
        if before.flags[rule.name] != after.flags[rule.name]:
            reasons.append(pl.when(still & ~was).then(pl.lit(f"once repaired, {rule.name}: {rule.statement}")))
    return (
        pl.concat_list(*names).list.drop_nulls().alias("_rules"),
        pl.concat_str(*reasons, separator="; ", ignore_nulls=True).alias("_reason"),
    )
