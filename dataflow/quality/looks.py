"""Which rows each rule judges, and what of its answer is known before they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from dataflow.errors import ConfigError
from dataflow.quality.batch import Batch, Files
from dataflow.quality.fitting import fit
from dataflow.quality.known import Aside, Statistics, read_aside, statistics, whole
from dataflow.quality.routing import mark, unevaluable
from dataflow.quality.rules import SINGLE_ROWS, ValidationRule
from dataflow.quality.table import count_repeated

FLAG = "__gate_broke"
DIALECT, BESIDE = "dataflow", "dataflow.references"
"""The languages of predicates about rows, and of those about other tables, which are counted beside the checkpoint."""
WHILE_STAGING = "set aside while staging"


@dataclass(frozen=True)
class Counted:
    """Rows that a rule asks and those that break it, counted elsewhere than in the checkpoint."""

    asked: int
    breaking: int
    evidence: str
    rows: pl.LazyFrame | None = None
    """The rows that break it, where only counting them tells which they are."""


@dataclass(frozen=True)
class Look:
    """Rules that judge the same rows."""

    name: str
    frame: pl.LazyFrame
    rules: tuple[ValidationRule, ...]
    rows: int | None = None
    """None where only reading them tells."""
    statistics: Statistics | None = None
    distinct: tuple[tuple[str, ...], ...] = ()
    counted: Mapping[str, Counted] = field(default_factory=dict[str, Counted])
    """By rule."""
    problems: Mapping[str, str] = field(default_factory=dict[str, str])
    """By rule: why it cannot be evaluated."""
    references: Mapping[str, pl.LazyFrame] = field(default_factory=dict[str, pl.LazyFrame])

    @property
    def schema(self) -> pl.Schema:
        return self.frame.collect_schema()

    @property
    def judged(self) -> list[ValidationRule]:
        """The rules that have something to say about these rows."""
        return [rule for rule in self.rules if self.rows != 0 or rule.judges_empty or rule.name in self.problems]

    def expectation(self, rule: ValidationRule) -> tuple[str, dict[str, Any]]:
        """The expectation that a rule is, and its arguments: its own, or one that says what its predicate says."""
        if rule.predicate is None:
            return rule.kind, rule.arguments
        plain = rule.reference is None and rule.name not in self.problems
        dialect = DIALECT if rule.reference is None else BESIDE
        statement = {"statement": rule.predicate, "dialect": dialect, "column_list": list(rule.columns)}
        return (fit(rule.predicate, self.schema) if plain else None) or (rule.kind, statement)


def looks_at(
    batch: Batch | pl.LazyFrame, rules: Sequence[ValidationRule], stage: str
) -> tuple[tuple[Look, ...], Aside]:
    """The looks at a batch that its rules ask for, and what the side files tell.

    Rules about rows judge every row that the stage returned, those about the batch what is going to be published,
    those about the table what the table is going to be.
    """
    if isinstance(batch, pl.LazyFrame):
        return (_problems(Look(stage, batch, tuple(rules))),), Aside()
    batch = replace(batch, distinct=_distinct(batch, rules))
    routing = [rule for rule in rules if rule.route in SINGLE_ROWS]
    aside = read_aside(batch) if routing else Aside()
    of_rows = tuple(rule for rule in rules if rule.parts_rows)
    of_batch = tuple(rule for rule in rules if rule.scope == "batch")
    of_table = tuple(rule for rule in rules if rule.scope == "table" and not rule.parts_rows)
    if not _sides(batch):
        of_rows, of_batch = tuple(rule for rule in rules if rule not in of_table), ()
    looks: list[Look] = []
    if of_rows:
        looks.append(_rows(batch, of_rows, stage, aside))
    if of_batch:
        looks.append(_look(f"{stage}, to publish", [batch.good], of_batch, batch))
    if of_table:
        looks.append(_table(batch, of_table, stage))
    return tuple(looks), aside


def _read(rules: Sequence[ValidationRule], schema: pl.Schema) -> dict[str, pl.DataType]:
    """The columns that rules read: of the others nobody asks the statistics, in what may be thousands of files."""
    read = {column for rule in rules for column in rule.columns}
    return {column: dtype for column, dtype in schema.items() if column in read}


def _distinct(batch: Batch, rules: Sequence[ValidationRule]) -> tuple[tuple[str, ...], ...]:
    """The keys that are still distinct when repairs have been made."""
    changed = {rule.repair.column for rule in rules if rule.repair is not None}
    return tuple(key for key in batch.distinct if changed.isdisjoint(key))


def _sides(batch: Batch) -> list[Files]:
    return [side for side in (batch.quarantined, batch.dropped) if side is not None and side.files]


def _look(name: str, files: Sequence[Files], rules: tuple[ValidationRule, ...], batch: Batch) -> Look:
    first, *others = [whole(each) for each in files]
    columns = first.collect_schema().names()
    # Rows that were set aside lack what a strategy gave the others when they met the table.
    sides = [other.select(c for c in columns if c in other.collect_schema()) for other in others]
    frame = pl.concat([first, *sides], how="diagonal_relaxed") if others else first
    known = statistics([file for each in files for file in each.files], _read(rules, frame.collect_schema()))
    look = Look(name, frame, rules, known.rows, known, references=batch.references)
    return _problems(replace(look, distinct=() if others else batch.distinct))


def _rows(batch: Batch, rules: tuple[ValidationRule, ...], stage: str, aside: Aside) -> Look:
    """The look at all rows that the stage returned; what routes parted from them is counted already."""
    look = _look(stage, [batch.good, *_sides(batch)], rules, batch)
    rows, counted = look.rows or 0, dict[str, Counted]()
    for rule in look.judged:
        if rule.name in look.problems:
            continue
        if rule.route in SINGLE_ROWS and rule.mostly == 1:
            if problem := unevaluable(rule, look.schema, look.references):
                look = replace(look, problems={**look.problems, rule.name: problem})
            else:
                counted[rule.name] = Counted(rows, aside.failed.get(rule.name, 0), WHILE_STAGING)
    referring = [rule for rule in look.judged if rule.reference is not None and rule.name not in counted]
    counted.update(_count_references([r for r in referring if r.name not in look.problems], look))
    return replace(look, counted=counted)


def _count_references(rules: Sequence[ValidationRule], look: Look) -> dict[str, Counted]:
    plans: list[pl.LazyFrame] = []
    for rule in rules:
        marked = mark(look.frame, rule, look.schema, look.references, FLAG)
        asked = pl.all_horizontal(pl.col(column).is_not_null() for column in rule.columns).sum()
        plans.append(marked.select(asked.alias("asked"), pl.col(FLAG).sum()))
    found = pl.collect_all(plans, engine="streaming")
    return {
        rule.name: Counted(*counts.row(0), evidence=f"scan beside {rule.references[0]}")
        for rule, counts in zip(rules, found, strict=True)
    }


def _table(batch: Batch, rules: tuple[ValidationRule, ...], stage: str) -> Look:
    """The look at the table as it will be."""
    files = [*(batch.kept.files if batch.kept is not None else ()), *batch.good.files]
    good = whole(batch.good)
    frame = good if batch.kept is None else pl.concat([good, whole(batch.kept)], how="diagonal_relaxed")
    known = statistics(files, _read(rules, frame.collect_schema()))
    look = _problems(Look(f"{stage}, the table", frame, rules, known.rows, known, references=batch.references))
    fresh = sum(file.rows for file in batch.good.files)
    counted = dict[str, Counted]()
    for rule in look.judged:
        if rule.about_key and rule.name not in look.problems:
            repeated = count_repeated(rule, batch)
            counted[rule.name] = Counted(fresh, repeated.rows, repeated.evidence, repeated.found)
    return replace(look, counted=counted)


def _problems(look: Look) -> Look:
    """With the reasons why rules cannot be evaluated, as far as columns and tables tell."""
    tables = {name: table.collect_schema().names() for name, table in look.references.items()}
    problems = dict[str, str]()
    for rule in look.rules:
        try:
            rule.check(look.schema.names(), tables)
        except ConfigError as error:
            problems[rule.name] = error.message
            continue
        # Others are asked by the checkpoint, which says what does not fit.
        tried = rule.reference is not None or (look.rows == 0 and rule.scope == "row")
        if tried and (problem := unevaluable(rule, look.schema, look.references)):
            problems[rule.name] = problem
    return replace(look, problems=problems)
