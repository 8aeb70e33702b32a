"""Which row ids may ride through a user's function, proven on its plan before any row is read.

User functions must not trip over our columns. The function is planned on placeholders, without ids
and with an Int64 column ``_<input>_row_id`` on the inputs that have one, and an id is carried only
where the plan proves that nothing else depends on it. Elsewhere lineage is by keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from dataflow.lineage.comparison import NotProven
from dataflow.lineage.plan_tree import Node
from dataflow.lineage.polars_plan import UnknownPlanVersion, placeholder, read_plan
from dataflow.lineage.proof import Placeholders, Ride, prove
from dataflow.lineage.row_effect import RowEffect, row_effect

UserFunction = Callable[..., Any]


@dataclass(frozen=True)
class Carried:
    """What is known about a function before it runs."""

    columns: tuple[str, ...] = ()
    """Id columns that may be added to their inputs and come out unchanged."""
    schema: pl.Schema | None = None
    """The result's columns, without ids; None where the function cannot be planned."""
    rows: RowEffect = "any"
    """What becomes of the rows of the first input, as far as the plan shows."""
    opaque: bool = False
    """The function cannot be planned, or the plan has parts that it does not show."""
    reason: str = ""
    """Why ids are not carried, in words; empty where all are."""

    @property
    def aggregates(self) -> bool:
        """Whether rows of the first input reach the result only in groups."""
        return self.rows == "grouped"


def row_id_column(name: str) -> str:
    """The column in which the row id of input ``name`` rides."""
    return f"_{name}_row_id"


def carried_ids(function: UserFunction, inputs: Mapping[str, pl.Schema], carrying: Sequence[str]) -> Carried:
    """Proves which of the ``carrying`` inputs' row ids may ride through ``function``.

    Shape: ``inputs`` in the order of the function's parameters, with the user's columns only.
    Errors: none for what the function does: it is then opaque, or its ids are not carried.
    """
    trial = Trial(function, inputs)
    try:
        plain = trial.plan(())
    except NotProven as reason:
        return Carried(opaque=True, reason=str(reason))
    first = next(iter(inputs), None)
    rows: RowEffect = "any" if first is None else row_effect(plain, trial.readers[first]) or "any"
    schema = pl.Schema(plain.schema)
    if plain.unknown:
        return Carried(schema=schema, rows=rows, opaque=True, reason=f"the plan contains {plain.unknown}")
    kept, reasons = _most(trial, plain, tuple(carrying))
    why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return Carried(tuple(map(row_id_column, kept)), schema, rows, reason=why)


def _most(trial: Trial, plain: Node, carrying: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
    """All ids if they can ride together, else each that can ride with those before it."""
    refusal = trial.refusal(plain, carrying) if carrying else None
    if refusal is None:
        return carrying, {}
    if len(carrying) == 1:
        return (), {carrying[0]: refusal}
    kept, reasons = (), dict[str, str]()
    for name in carrying:
        refusal = trial.refusal(plain, (*kept, name))
        if refusal is None:
            kept = (*kept, name)
        else:
            reasons[name] = refusal
    return kept, reasons


class _Unreadable:
    """Stands for the data of an input while the function is planned: reading it is an error."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *_: Any) -> Iterator[pl.DataFrame]:
        raise _DataAskedFor(self.name)


class _DataAskedFor(Exception):
    """The function collected an input instead of describing what to do with it."""


class Trial:
    """Plans one function, time and again, on placeholders of its inputs."""

    def __init__(self, function: UserFunction, inputs: Mapping[str, pl.Schema]) -> None:
        self.function, self.inputs = function, inputs
        self.readers = {name: _Unreadable(name) for name in inputs}

    def plan(self, carrying: tuple[str, ...]) -> Node:
        frames: list[pl.LazyFrame] = []
        for name, schema in self.inputs.items():
            ids = {row_id_column(name): pl.Int64()} if name in carrying else {}
            frames.append(placeholder(pl.Schema({**schema, **ids}), self.readers[name]))
        # A user's function may raise anything, and Polars panics with a BaseException of its own.
        try:
            result = self.function(*frames)
        except Exception as error:
            raise NotProven(_about(error)) from error
        if not isinstance(result, pl.LazyFrame):
            raise NotProven(f"it returns {_a(type(result).__name__)} instead of a LazyFrame")
        try:
            return read_plan(result)
        except UnknownPlanVersion as error:
            raise NotProven(str(error)) from error
        except (Exception, pl.exceptions.PanicException) as error:
            raise NotProven(_about(error)) from error

    def refusal(self, plain: Node, carrying: tuple[str, ...]) -> str | None:
        """Why the ids of ``carrying`` cannot ride together; None where they can."""
        columns = {name: row_id_column(name) for name in carrying}
        taken = set(columns.values()) & set[str]().union(*self.inputs.values())
        if taken:
            return f"an input already has a column {', '.join(sorted(taken))}"
        try:
            with_ids = self.plan(carrying)
        except NotProven as reason:
            return f"when a column is added to an input, {reason}"
        try:
            return _arrival(prove(plain, with_ids, Placeholders(self.readers, columns)), columns)
        except NotProven as reason:
            return str(reason) if self.repeats(plain) else "its plan differs from one call to the next"
        except RecursionError:
            return "its expressions are nested too deeply to be compared"

    def repeats(self, plain: Node) -> bool:
        """Whether the function gives the same plan when it is called again."""
        try:
            return self.plan(()) == plain
        except (NotProven, RecursionError):
            return False


def _arrival(ride: Ride, columns: Mapping[str, str]) -> str | None:
    """What is wrong with the ids at the end of the plan; None where they are as they were put in."""
    for name, column in columns.items():
        if ride.ids.get(column) != name:
            found = sorted(c for c, source in ride.ids.items() if source == name)
            return f"{column} comes out as {', '.join(found)}" if found else ride.lost.get(name, "it is not used")
    extra = sorted(ride.columns - set(columns.values()))
    return f"an id comes out twice, also as {', '.join(extra)}" if extra else None


def _about(error: BaseException) -> str:
    """A cause in one line; collecting an input is told in our words."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _DataAskedFor) or "_DataAskedFor" in str(cause):
            return "it collects its input instead of returning a plan"
        cause = cause.__cause__ or cause.__context__
    return f"it cannot be planned: {type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "AEIOUaeiou" else f"a {noun}"
