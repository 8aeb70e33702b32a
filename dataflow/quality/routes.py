"""What a failing rule does: the routes that take an argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from dataflow.errors import ConfigError, hint
from dataflow.model import Route

WORDS: tuple[Route, ...] = ("fail", "quarantine", "drop", "warn")


@dataclass(frozen=True)
class Repair:
    """Failing rows get a new value in ``column``; they are checked once more, then published or quarantined.

    ``function`` makes the new value from the column's expression, and may read other columns of the row with
    ``pl.col``; only failing rows take it. Rows are never added or lost, and the column keeps its type.

    Example:
        >>> Repair("email", lambda email: email.str.strip_chars().str.to_lowercase()).column
        'email'
    """

    column: str
    function: Callable[[pl.Expr], pl.Expr]


@dataclass(frozen=True)
class Branch:
    """The batch is not published, and ``stage`` runs instead."""

    stage: str


OnFail = Literal["fail", "quarantine", "drop", "warn"] | Repair | Branch
"""What a rule does when it fails."""


@dataclass(frozen=True)
class QuarantineLimit:
    """A gate refuses a batch of which more than this is set aside (quarantined or dropped)."""

    rows: int | None = None
    share: float | None = None
    """Of the rows that the stage produced, from 0 to 1."""

    def __post_init__(self) -> None:
        if self.rows is None and self.share is None:
            raise ConfigError("a quarantine limit needs rows, a share of the rows, or both")
        if self.rows is not None and self.rows < 0:
            raise ConfigError(f"a quarantine limit of {self.rows} rows cannot be kept; count from 0 up")
        if self.share is not None and not 0 <= self.share <= 1:
            raise ConfigError(f"a quarantine limit is a share of rows from 0 to 1, not {self.share}")

    @property
    def statement(self) -> str:
        """The limit in words."""
        parts = [] if self.share is None else [f"{self.share * 100:g} % of the rows"]
        parts += [] if self.rows is None else [f"{self.rows} rows"]
        return f"at most {' and '.join(parts)} quarantined or dropped"

    def allows(self, aside: int, rows: int) -> bool:
        """Whether so many of the rows may be set aside."""
        return (self.rows is None or aside <= self.rows) and (self.share is None or aside <= self.share * rows)


def route_of(on_fail: OnFail) -> Route:
    """The route that ``on_fail`` names."""
    if isinstance(on_fail, Repair):
        return "repair"
    return "branch" if isinstance(on_fail, Branch) else on_fail


def read_on_fail(rule: str, given: Any) -> Any:
    """``on_fail`` as configuration spells it: a word, ``{"repair": {…}}``, ``{"branch": stage}``.

    Errors: ConfigError for another mapping, or one that lacks or adds something.
    """
    if not isinstance(given, Mapping):
        return given
    spelled: dict[str, Any] = {**given}
    if set(spelled) == {"branch"}:
        return Branch(spelled["branch"])
    repair: dict[str, Any] = {**spelled["repair"]} if isinstance(spelled.get("repair"), Mapping) else {}
    if set(spelled) == {"repair"} and set(repair) == {"column", "function"}:
        return Repair(**repair)
    raise ConfigError(
        f"rule {rule!r}: on_fail {spelled!r} cannot be read; write {', '.join(WORDS)}, "
        "{repair: {column: …, function: …}} or {branch: stage}",
        rule=rule,
    )


def check_on_fail(rule: str, on_fail: Any) -> None:
    """Errors: ConfigError for what is no route, a repair without a function of its own, a branch without a stage."""
    problem = None
    if isinstance(on_fail, Repair):
        if not isinstance(on_fail.column, str) or not on_fail.column:  # pyright: ignore[reportUnnecessaryIsInstance]
            problem = f"a repair needs the name of a column, not {on_fail.column!r}"
        elif not callable(on_fail.function):  # pyright: ignore[reportUnnecessaryComparison]
            problem = f"the repair of {on_fail.column!r} needs a function from expression to expression, not {on_fail.function!r}"
    elif isinstance(on_fail, Branch):
        if not isinstance(on_fail.stage, str) or not on_fail.stage:  # pyright: ignore[reportUnnecessaryIsInstance]
            problem = f"a branch needs the name of a stage, not {on_fail.stage!r}"
    elif on_fail is not None and on_fail not in WORDS:
        problem = f"unknown on_fail {on_fail!r}{hint(str(on_fail), WORDS)} (or a Repair, or a Branch)"
    if problem:
        raise ConfigError(f"rule {rule!r}: {problem}", rule=rule)
