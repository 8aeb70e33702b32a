"""From questions to answers: one collect for every metric, a second one only for what failed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import polars as pl

from .conditions import Keys, Rows, Schema, both

INDEX = "__gx_row"
COUNT = "__gx_count"
FAILURES = (OSError, pl.exceptions.PolarsError)
Id: TypeAlias = Hashable


@dataclass(frozen=True)
class Data:
    """The rows of a domain: a frame, and which of its rows the row condition leaves (None: all)."""

    frame: pl.LazyFrame
    schema: Schema
    mask: pl.Expr | None = None


@dataclass(frozen=True)
class Look:
    """A second look at the data: a frame to collect and what to make of it; looks at one frame share it."""

    frame: pl.LazyFrame
    read: Callable[[pl.DataFrame], Any]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Ask:
    """A metric: expressions for the one collect, and what their values say (or a second look)."""

    exprs: tuple[pl.Expr, ...]
    finish: Callable[[tuple[Any, ...]], Any]
    shared: Mapping[str, pl.Expr] = field(default_factory=dict[str, pl.Expr])
    """Columns that the expressions refer to: Polars does not find what aggregates have in common."""


@dataclass
class Answers:
    """Values and errors, by metric id."""

    values: dict[Id, Any] = field(default_factory=dict[Id, Any])
    errors: dict[Id, Exception] = field(default_factory=dict[Id, Exception])
    breaking: dict[Id, pl.LazyFrame] = field(default_factory=dict[Id, pl.LazyFrame])
    """The rows that break a condition, by the id of their count."""
    unreadable: Exception | None = None
    """Set when the data itself could not be read: then no metric is to blame."""


def answer(frame: pl.LazyFrame, schema: Schema, asks: Mapping[Id, Ask], answers: Answers) -> None:
    """Fill ``answers`` with a value or an error for every ask; one that cannot be answered never harms another."""
    sound = {name: ask for name, ask in asks.items() if _makes_sense(schema, name, ask, answers)}
    looks: dict[Id, Look] = {}
    for name, values in _collect_all(frame, sound, answers).items():
        value = sound[name].finish(values)
        if isinstance(value, Look):
            looks[name] = value
        else:
            answers.values[name] = value
    _look_again(looks, answers)


def _makes_sense(schema: Schema, name: Id, ask: Ask, answers: Answers) -> bool:
    """Whether an ask fits the columns: tried on no rows, so that the scan is not made in vain."""
    try:
        _ask(pl.LazyFrame(schema=dict(schema)), (ask,)).collect()
    except pl.exceptions.PolarsError as error:
        answers.errors[name] = error
        return False
    return True


def _ask(frame: pl.LazyFrame, asks: Collection[Ask]) -> pl.LazyFrame:
    shared = {name: expr for ask in asks for name, expr in ask.shared.items()}
    exprs = [expr for ask in asks for expr in ask.exprs]
    return frame.with_columns(**shared).select(expr.alias(str(position)) for position, expr in enumerate(exprs))


def _collect_all(frame: pl.LazyFrame, asks: Mapping[Id, Ask], answers: Answers) -> dict[Id, tuple[Any, ...]]:
    """The values of each ask, from one collect; when it fails halves are tried apart, down to the one to blame."""
    try:
        found = _ask(frame, asks.values()).collect(engine="streaming")
        row: tuple[Any, ...] = found.row(0) if found.width else ()
    except FAILURES as error:
        if _is_unreadable(error) or len(asks) == 1:
            answers.unreadable = error if _is_unreadable(error) else answers.unreadable
            answers.errors.update(dict.fromkeys(asks, error))
            return {}
        names = list(asks)
        halves = names[: len(names) // 2], names[len(names) // 2 :]
        return {
            k: v
            for half in halves
            for k, v in _collect_all(frame, {name: asks[name] for name in half}, answers).items()
        }
    values: dict[Id, tuple[Any, ...]] = {}
    start = 0
    for name, ask in asks.items():
        values[name], start = row[start : start + len(ask.exprs)], start + len(ask.exprs)
    return values


def _is_unreadable(error: Exception) -> bool:
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
        for name, look in looks.items():
            _look_again({name: look}, answers)
        return
    for name, look in looks.items():
        answers.values[name] = look.read(found[id(look.frame)].select(*look.columns))


def count_breaking(question: Rows | Keys, data: Data) -> Ask:
    """How many rows break a condition."""
    if isinstance(question, Rows):
        return Ask((both(question.breaks, data.mask).sum(),), _whole, question.shared)
    about = both(question.about, data.mask)
    # Distinct hashes prove distinct keys, and cost a fraction; equal ones prove nothing and are counted exactly.
    key = pl.struct(question.columns) if len(question.columns) > 1 else pl.col(list(question.columns))
    hashes = key.hash()
    distinct = (hashes if about is None else hashes.filter(about)).n_unique()
    look = Look(repeated_keys(question, data).select(pl.col(COUNT).sum()), _only_value, (COUNT,))

    def finish(values: tuple[Any, ...]) -> int | Look:
        rows, keys = values
        return 0 if rows == keys else look

    return Ask((_size(about), distinct), finish)


def count_asked(question: Rows | Keys, data: Data) -> Ask:
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


def breaking_rows(question: Rows | Keys, data: Data, *, limit: int | None) -> pl.LazyFrame:
    """The rows that break a condition, numbered as in the frame, in its order."""
    numbered = data.frame.with_row_index(INDEX)
    if isinstance(question, Rows):
        judged = numbered.with_columns(**question.shared)
        rows = judged.filter(both(question.breaks, data.mask)).drop(question.shared)
    else:
        keys = repeated_keys(question, data).select(question.columns)
        asked = _only(numbered, both(question.about, data.mask))
        rows = asked.join(keys, on=list(question.columns), how="semi", nulls_equal=True).sort(INDEX)
    return rows if limit is None else rows.head(limit)


def _only(frame: pl.LazyFrame, rows: pl.Expr | None) -> pl.LazyFrame:
    return frame if rows is None else frame.filter(rows)
