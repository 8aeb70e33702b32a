"""Validation rules: what must be true, how bad it is when it is not, and what happens then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, get_args

import polars as pl

from dataflow.errors import ConfigError, hint
from dataflow.model import Route, Severity
from dataflow.quality.expectations import Expected, check_expectation
from dataflow.quality.predicate import Predicate, parse_predicate

OnFail = Literal["fail", "quarantine", "warn"]


@dataclass(frozen=True)
class ValidationRule:
    """A rule about each row (a predicate, or an expectation about values) or about the batch (other expectations).

    A row breaks a predicate only where it is false: unknown (null) passes. ``mostly``
    is the share of rows, among those with an answer, that must pass. By default
    critical quarantines rows that break a row rule and fails on a batch rule, warning
    warns, and info only measures; ``on_fail`` says otherwise.

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

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("a rule needs a name: it is how its results are found")
        if (self.predicate is None) == (self.expectation is None):
            raise ConfigError(f"rule {self.name!r} needs a predicate or an expectation, and not both", rule=self.name)
        self._check_choice("severity", self.severity, get_args(Severity))
        if self.on_fail is not None:
            self._check_choice("on_fail", self.on_fail, get_args(OnFail))
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
        if self.scope == "batch" and self.on_fail == "quarantine":
            raise ConfigError(
                f"rule {self.name!r}: {self.statement} is about the batch, so no single row can be quarantined; "
                "use on_fail: fail or warn",
                rule=self.name,
            )
        if not self.takes_mostly and self.mostly != 1:
            raise ConfigError(
                f"rule {self.name!r}: {self.statement} is about one value, 'mostly' says nothing there", rule=self.name
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ValidationRule:
        """The rule that a mapping with this class's fields spells.

        Errors: ConfigError for a key that no rule has, with the nearest.
        """
        accepted = [item.name for item in fields(cls)]
        for key in config:
            if key not in accepted:
                raise ConfigError(f"rule {config.get('name', '?')!r}: unknown key {key!r}{hint(key, accepted)}")
        if "name" not in config:
            raise ConfigError("a rule needs a name: it is how its results are found")
        return cls(**config)

    @cached_property
    def parsed(self) -> Predicate | None:
        """The predicate, parsed; None for an expectation."""
        return parse_predicate(self.predicate, self.name) if self.predicate is not None else None

    @cached_property
    def _about(self) -> Expected:
        return (
            Expected("row", mostly=True) if self.expectation is None else check_expectation(self.name, self.expectation)
        )

    @property
    def scope(self) -> Literal["row", "batch"]:
        """Whether single rows break the rule, or the batch does."""
        return self._about.scope

    @property
    def route(self) -> Route:
        """What happens when the rule fails."""
        if self.on_fail is not None:
            return self.on_fail
        defaults: dict[Severity, Route] = {
            "critical": "quarantine" if self.scope == "row" else "fail",
            "warning": "warn",
            "info": "measure",
        }
        return defaults[self.severity]

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
        if self.parsed:
            return self.parsed.columns
        named = [self.arguments[name] for name in self._about.columns]
        return tuple(name for value in named for name in ([value] if isinstance(value, str) else value))

    def check(self, columns: Iterable[str]) -> None:
        """Errors: ConfigError for the first column of the rule that is not among ``columns``, with the nearest."""
        known = set(columns)
        for name in self.columns:
            if name not in known:
                raise ConfigError(
                    f"rule {self.name!r}: unknown column {name!r} in {self.statement}{hint(name, known)}",
                    rule=self.name,
                    column=name,
                )

    def failing(self, schema: Mapping[str, pl.DataType]) -> pl.Expr:
        """True of rows that break the rule.

        Nulls: never null; a row without an answer does not break the rule.
        Errors: ConfigError for a rule about the batch, and for arguments that do not fit the columns.
        """
        if self.parsed:
            return self.parsed.failing
        if self.scope == "batch":
            raise ConfigError(
                f"rule {self.name!r}: {self.statement} is about the whole batch, no single row breaks it",
                rule=self.name,
            )
        from dataflow.quality import gx_polars  # not above: Great Expectations takes seconds to import

        try:
            return gx_polars.failing_rows(self.kind, self.arguments, schema)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"rule {self.name!r}: {self.statement}: {error}", rule=self.name) from error
