"""From questions to answers: one collect for every metric, a second one only for what failed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import polars as pl
from polars import selectors

from .conditions import Among, Keys, Question, Rows, Schema, both
from .facts import Evidence, Facts

INDEX = "__gx_row"
COUNT = "__gx_count"
FAILURES = (Exception, pl.exceptions.PanicException)
"""Polars' panics are no exceptions for Python; here they are, and then of one metric."""
Id: TypeAlias = Hashable
Part = TypeVar("Part")


@dataclass(frozen=True)
class Data:
    """The rows of a domain: a frame, and which of its rows the row condition leaves (None: all)."""

    frame: pl.LazyFrame
    schema: Schema
    mask: pl.Expr | None = None
    facts: Facts = field(default_factory=Facts)


@dataclass(frozen=True)
class Look:
    """A second look at the data: a frame to collect and what to make of it; looks at one frame share it."""

    frame: pl.LazyFrame
    read: Callable[[pl.DataFrame], Any]
    columns: tuple[str, ...]
    decides: bool = False
    """Whether the verdict rests on it: samples only illustrate."""


@dataclass(frozen=True)
class Ask:
    """A metric: expressions for the one collect, and what their values say (or a second look)."""

    exprs: tuple[pl.Expr, ...]
    finish: Callable[[tuple[Any, ...]], Any]
    shared: Mapping[str, pl.Expr] = field(default_factory=dict[str, pl.Expr])
    """Columns that the expressions refer to: Polars does not find what aggregates have in common."""
    evidence: Evidence = "scan"
    """What an answer without a second look rests on."""


@dataclass
class Answers:
    """Values and errors, by metric id."""

    values: dict[Id, Any] = field(default_factory=dict[Id, Any])
    errors: dict[Id, BaseException] = field(default_factory=dict[Id, BaseException])
    evidence: dict[Id, Evidence] = field(default_factory=dict[Id, Evidence])
    breaking: dict[Id, pl.LazyFrame] = field(default_factory=dict[Id, pl.LazyFrame])
    """The rows that break a condition, by the id of their count and how many are wanted."""
    unreadable: BaseException | None = None
    """Set when the data itself could not be read: then no metric is to blame."""


def answer(frame: pl.LazyFrame, schema: Schema, asks: Mapping[Id, Ask], answers: Answers) -> None:
    """Fill ``answers`` with a value or an error for every ask; one that cannot be answered never harms another."""
    answers.errors.update(_senseless(pl.LazyFrame(schema=dict(schema)), asks))
    sound = {name: ask for name, ask in asks.items() if name not in answers.errors}
    looks: dict[Id, Look] = {}
    for name, values in _collect_all(frame, sound, answers).items():
        # A value that Python has not (the year 20000) harms its own metric only.
        _settle(name, lambda ask=sound[name], values=values: ask.finish(tuple(map(_value, values))), answers)
        answers.evidence[name] = sound[name].evidence
        if isinstance(look := answers.values.get(name), Look):
            looks[name] = look
            del answers.values[name]
    _look_again(looks, answers)


def _settle(name: Id, finish: Callable[[], Any], answers: Answers) -> None:
    try:
        answers.values[name] = finish()
    except FAILURES as error:
        answers.errors[name] = error  # of this metric: anything else would end the whole checkpoint


def _senseless(nothing: pl.LazyFrame, asks: Mapping[Id, Ask]) -> dict[Id, BaseException]:
    """The asks that do not fit the columns: tried on no rows, so that the scan is not made in vain."""
    asked, places = _ask(nothing, asks.values())
    try:
        if any(places):
            asked.collect()
    except FAILURES as error:
        if len(asks) == 1:
            return dict.fromkeys(asks, error)
        return {name: blamed for half in _halves(asks) for name, blamed in _senseless(nothing, half).items()}
    return {}


def _halves(asks: Mapping[Id, Part]) -> tuple[dict[Id, Part], ...]:
    names = list(asks)
    middle = len(names) // 2
    return tuple({name: asks[name] for name in half} for half in (names[:middle], names[middle:]))


def _ask(frame: pl.LazyFrame, asks: Collection[Ask]) -> tuple[pl.LazyFrame, list[tuple[int, ...]]]:
    """One row with a value for every expression, and where each ask finds its own; what two ask, is asked once."""
    shared = {name: expr for ask in asks for name, expr in ask.shared.items()}
    distinct: dict[Any, tuple[int, pl.Expr]] = {}
    places = [tuple(distinct.setdefault(expr.meta, (len(distinct), expr))[0] for expr in ask.exprs) for ask in asks]
    return frame.with_columns(**shared).select(expr.alias(str(at)) for at, expr in distinct.values()), places


def _value(column: pl.Series) -> Any:
    return column.to_list()[0]


def _collect_all(frame: pl.LazyFrame, asks: Mapping[Id, Ask], answers: Answers) -> dict[Id, tuple[pl.Series, ...]]:
    """The values of each ask, from one collect; when it fails halves are tried apart, down to the one to blame."""
    asked, places = _ask(frame, asks.values())
    try:
        row = asked.collect(engine="streaming").get_columns() if any(places) else []
    except FAILURES as error:
        if _is_unreadable(error) or len(asks) == 1:
            answers.unreadable = error if _is_unreadable(error) else answers.unreadable
            answers.errors.update(dict.fromkeys(asks, error))
            return {}
        return {k: v for half in _halves(asks) for k, v in _collect_all(frame, half, answers).items()}
    return {name: tuple(row[at] for at in own) for name, own in zip(asks, places, strict=True)}


def _is_unreadable(error: BaseException) -> bool:
    return isinstance(error, OSError) or str(error).startswith("parquet:")


def _look_again(looks: Mapping[Id, Look], answers: Answers) -> None:
    shared: dict[int, list[Look]] = {}
    for look in looks.values():
        shared.setdefault(id(look.frame), []).append(look)
    columns = {key: dict.fromkeys(name for look in group for name in look.columns) for key, group in shared.items()}
    frames = [group[0].frame.select(*columns[key]) for key, group in shared.items()]
    try:
        found = dict(zip(shared, pl.collect_all(frames, engine="streaming") if frames else (), strict=True))
    except FAILURES as error:
        if _is_unreadable(error) or len(looks) == 1:
            answers.unreadable = error if _is_unreadable(error) else answers.unreadable
            answers.errors.update(dict.fromkeys(looks, error))
            return
        for half in _halves(looks):
            _look_again(half, answers)
        return
    for name, look in looks.items():
        _settle(name, lambda look=look: look.read(found[id(look.frame)].select(*look.columns)), answers)
        answers.evidence[name] = "scan" if look.decides else answers.evidence[name]


def count_breaking(question: Question, data: Data) -> Ask:
    """How many rows break a condition."""
    if isinstance(question, Rows):
        return Ask((both(question.breaks, data.mask).sum(),), _whole, question.shared)
    if isinstance(question, Among):
        values = pl.col(question.columns[0]).filter(both(question.about, data.mask))
        return Ask((question.breaks(values).sum(),), _whole)
    look = Look(repeated_keys(question, data).select(pl.col(COUNT).sum()), _only_value, (COUNT,), decides=True)
    value, evidence = _distinguished(question, data)
    about = both(question.about, data.mask)

    def finish(found: tuple[Any, ...]) -> int | Look:
        rows, keys, missing = found
        return 0 if rows == keys - (missing > 0) else look

    if len(question.columns) == 1 and about is not None and about.meta == pl.col(*question.columns).is_not_null().meta:
        # Filtering the nulls away would copy the column; among the distinct they are one.
        exprs = _size(about), value.n_unique(), pl.col(*question.columns).null_count()
    else:
        exprs = _size(about), (value if about is None else value.filter(about)).n_unique(), pl.lit(0)
    return Ask(exprs, finish, evidence=evidence)


def _distinguished(question: Keys, data: Data) -> tuple[pl.Expr, Evidence]:
    """What differs only where keys do: the values where that is cheap, else their hashes.

    Distinct hashes prove distinct keys, and cost a fraction; equal ones prove nothing and are counted exactly.
    """
    first, *more = question.columns
    if more:
        return pl.struct(question.columns).hash(), "hashes"
    cheap = data.schema[first].is_integer() or data.schema[first].is_temporal()
    return (pl.col(first), "scan") if cheap else (pl.col(first).hash(), "hashes")


def count_asked(question: Question, data: Data) -> Ask:
    """How many rows a condition is about."""
    shared = question.shared if isinstance(question, Rows) else dict[str, pl.Expr]()
    return Ask((_size(both(question.about, data.mask)),), _whole, shared)


def _only_value(found: pl.DataFrame) -> int:
    return int(found.item())


def _whole(values: tuple[Any, ...]) -> int:
    return int(values[0] or 0)


def _size(rows: pl.Expr | None) -> pl.Expr:
    return pl.len() if rows is None else rows.sum()


def repeated_keys(question: Keys, data: Data) -> pl.LazyFrame:
    """The keys that occur more than once, and how often."""
    return (
        _only(data.frame, both(question.about, data.mask))
        .group_by(question.columns)
        .agg(pl.len().alias(COUNT))
        .filter(pl.col(COUNT) > 1)
    )


def breaking_rows(question: Question, data: Data, *, limit: int | None) -> pl.LazyFrame:
    """The rows that break a condition, numbered as in the frame, in its order."""
    numbered = data.frame.with_row_index(INDEX)
    if isinstance(question, Rows):
        judged = numbered.with_columns(**question.shared)
        rows = judged.filter(both(question.breaks, data.mask)).drop(question.shared)
    elif isinstance(question, Among):
        rows = _only(numbered, both(question.about, data.mask)).filter(question.breaks(pl.col(question.columns[0])))
    else:
        keys = repeated_keys(question, data).select(question.columns)
        asked = _only(numbered, both(question.about, data.mask))
        rows = asked.join(keys, on=list(question.columns), how="semi", nulls_equal=True).sort(INDEX)
    shown = rows if limit is None else rows.head(limit)
    return shown.with_columns(selectors.duration().dt.to_string("iso"))  # Great Expectations has no JSON for them


def _only(frame: pl.LazyFrame, rows: pl.Expr | None) -> pl.LazyFrame:
    return frame if rows is None else frame.filter(rows)
