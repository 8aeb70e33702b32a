"""Validation rules: what must be true, how bad it is when it is not, and what happens then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, get_args

import polars as pl

from dataflow.errors import ConfigError, hint
from dataflow.model import Route, Scope, Severity
from dataflow.quality.expectations import Expected, check_expectation
from dataflow.quality.predicate import Predicate, parse_predicate
from dataflow.quality.references import Reference, check_references, parse_reference
from dataflow.quality.routes import Branch, OnFail, Repair, check_on_fail, read_on_fail, route_of

SINGLE_ROWS: dict[Route, str] = {"quarantine": "quarantined", "drop": "dropped", "repair": "repaired"}
"""Routes that part rows, and what they do to a row."""


@dataclass(frozen=True)
class ValidationRule:
    """What must be true of each row (a predicate, an expectation about values), of the batch, or of the table.

    A row breaks a predicate only where it is false: unknown (null) passes. ``mostly``
    is the share of rows, among those with an answer, that must pass. ``scope="table"``
    asks an expectation about the batch of the table as it will be; a predicate
    ``key IN (SELECT key FROM table)`` is about tables always. By default critical
    quarantines rows that break a row rule and fails otherwise, warning warns, and info
    only measures; ``on_fail`` says otherwise.

    Errors: ConfigError at construction, for whatever can be known without the data.
    Example:
        >>> ValidationRule("no_null_ids", "id IS NOT NULL", severity="critical").route
        'quarantine'
    """

    name: str
    predicate: str | None = None
    severity: Severity = "critical"
    expectation: Mapping[str, Any] | None = field(default=None, hash=False)
    mostly: float = 1.0
    on_fail: OnFail | None = None
    scope: Scope | None = None
    """Whether single rows break the rule, or the batch, or the table; never None once the rule is made."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("a rule needs a name: it is how its results are found")
        if (self.predicate is None) == (self.expectation is None):
            raise ConfigError(f"rule {self.name!r} needs a predicate or an expectation, and not both", rule=self.name)
        self._check_choice("severity", self.severity, get_args(Severity))
        if self.scope is not None:
            self._check_choice("scope", self.scope, get_args(Scope))
        check_on_fail(self.name, self.on_fail)
        if not 0 < self.mostly <= 1:
            raise ConfigError(
                f"rule {self.name!r}: mostly is a share of rows above 0 and up to 1, not {self.mostly}", rule=self.name
            )
        self._check_scope()

    def _check_choice(self, what: str, value: str, accepted: tuple[str, ...]) -> None:
        if value not in accepted:
            raise ConfigError(f"rule {self.name!r}: unknown {what} {value!r}{hint(value, accepted)}", rule=self.name)

    def _check_scope(self) -> None:
        _ = self.parsed  # a predicate that cannot be read is refused here
        scopes = self._scopes
        if self.scope is not None and self.scope not in scopes:
            raise ConfigError(
                f"rule {self.name!r}: {self.statement} cannot be about the {self.scope}; its scope is "
                f"{' or '.join(scopes)}",
                rule=self.name,
            )
        object.__setattr__(self, "scope", self.scope or scopes[0])
        if self.route in SINGLE_ROWS and not self.parts_rows:
            raise ConfigError(
                f"rule {self.name!r}: {self.statement} is about the {self.scope}, so no single row can be "
                f"{SINGLE_ROWS[self.route]}; use on_fail: fail, warn or branch",
                rule=self.name,
            )
        if not self.takes_mostly and self.mostly != 1:
            raise ConfigError(
                f"rule {self.name!r}: {self.statement} is about one value, 'mostly' says nothing there", rule=self.name
            )

    @property
    def _scopes(self) -> tuple[Scope, ...]:
        """What the rule can be about; the first where it is not said."""
        if self.reference is not None:
            return ("table",)
        if self._about.scope == "row":
            return ("row",)
        return ("batch",) if self._about.ordered else ("batch", "table")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ValidationRule:
        """The rule that a mapping with this class's fields spells.

        ``on_fail`` may be ``{"repair": {"column": name, "function": callable}}`` or ``{"branch": stage}``.

        Errors: ConfigError for a key that no rule has, with the nearest.
        """
        accepted = [item.name for item in fields(cls)]
        for key in config:
            if key not in accepted:
                raise ConfigError(f"rule {config.get('name', '?')!r}: unknown key {key!r}{hint(key, accepted)}")
        if "name" not in config:
            raise ConfigError("a rule needs a name: it is how its results are found")
        return cls(**{**config, "on_fail": read_on_fail(config["name"], config.get("on_fail"))})

    @cached_property
    def reference(self) -> Reference | None:
        """The question to another table that the predicate is; None for other predicates and expectations."""
        return parse_reference(self.predicate, self.name) if self.predicate is not None else None

    @property
    def references(self) -> tuple[str, ...]:
        """The tables that the rule refers to."""
        return () if self.reference is None else (self.reference.table,)

    @cached_property
    def parsed(self) -> Predicate | None:
        """The predicate about a row, parsed; None for an expectation, and for a question to another table."""
        if self.predicate is None or self.reference is not None:
            return None
        return parse_predicate(self.predicate, self.name)

    @cached_property
    def _about(self) -> Expected:
        return (
            Expected("row", mostly=True) if self.expectation is None else check_expectation(self.name, self.expectation)
        )

    @property
    def parts_rows(self) -> bool:
        """Whether single rows break the rule."""
        return self._about.scope == "row"

    @property
    def about_key(self) -> bool:
        """Whether the rule's columns are a key that must not repeat."""
        return self._about.keys

    @property
    def shows_values(self) -> bool:
        """Whether what the rule observes shows values of its columns."""
        return self._about.shows

    @property
    def route(self) -> Route:
        """What happens when the rule fails."""
        if self.on_fail is not None:
            return route_of(self.on_fail)
        defaults: dict[Severity, Route] = {
            "critical": "quarantine" if self.scope == "row" else "fail",
            "warning": "warn",
            "info": "measure",
        }
        return defaults[self.severity]

    @property
    def repair(self) -> Repair | None:
        """What is done to rows that break the rule, where they are repaired."""
        return self.on_fail if isinstance(self.on_fail, Repair) else None

    @property
    def branch(self) -> str | None:
        """The stage that runs instead when the rule fails."""
        return self.on_fail.stage if isinstance(self.on_fail, Branch) else None

    @property
    def judges_empty(self) -> bool:
        """Whether the rule says something about a batch without rows (row counts and columns do)."""
        return self._about.empty

    @property
    def takes_mostly(self) -> bool:
        """Whether the rule counts rows, of which a share may break it."""
        return self._about.mostly

    @property
    def kind(self) -> str:
        """The type of the expectation; ``expect_rows_to_satisfy`` for a predicate."""
        return self.expectation["type"] if self.expectation is not None else "expect_rows_to_satisfy"

    @property
    def arguments(self) -> dict[str, Any]:
        """What the expectation is called with; nothing for a predicate."""
        return {name: value for name, value in (self.expectation or {}).items() if name != "type"}

    @property
    def statement(self) -> str:
        """The rule in words: its predicate, or the expectation and its arguments."""
        if self.predicate is not None:
            return self.predicate
        return f"{self.kind}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that must be there for the rule to be evaluated."""
        if asked := self.parsed or self.reference:
            return asked.columns
        named = [self.arguments[name] for name in self._about.columns]
        return tuple(name for value in named for name in ([value] if isinstance(value, str) else value))

    def check(self, columns: Iterable[str], tables: Mapping[str, Iterable[str]] | None = None) -> None:
        """Whether the rule finds its columns, and those of the tables that it refers to where ``tables`` says them.

        Errors: ConfigError for the first column, or table, that is not there, with the nearest.
        """
        known = set(columns)
        for name in self.columns:
            if name not in known:
                raise ConfigError(
                    f"rule {self.name!r}: unknown column {name!r} in {self.statement}{hint(name, known)}",
                    rule=self.name,
                    column=name,
                )
        if self.reference is not None and tables is not None:
            check_references(self.name, self.reference, tables)

    def failing(self, schema: Mapping[str, pl.DataType]) -> pl.Expr:
        """True of rows that break the rule.

        Nulls: never null; a row without an answer does not break the rule.
        Errors: ConfigError for a rule that no row breaks by itself, and for arguments that do not fit the columns.
        """
        if self.parsed:
            return self.parsed.failing
        if self.scope != "row":
            raise ConfigError(
                f"rule {self.name!r}: {self.statement} is about the whole {self.scope}, no single row breaks it",
                rule=self.name,
            )
        from dataflow.quality.checkpoint import load  # not above: Great Expectations takes seconds to import

        load()  # under its lock: the engine may be importing it in another thread
        from dataflow.quality import gx_polars

        try:
            return gx_polars.failing_rows(self.kind, self.arguments, schema)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"rule {self.name!r}: {self.statement}: {error}", rule=self.name) from error
