"""Predicates: SQL about one row, parsed once, checked against an allow-list, run as Polars."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import polars as pl
import sqlglot
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.tokenizer_core import TokenType
from sqlglot.tokens import Tokenizer

from dataflow.errors import ConfigError
from dataflow.quality.functions import VALUES
from dataflow.quality.patterns import RefusedError
from dataflow.quality.refusals import ALLOWED
from dataflow.quality.syntax import Node, build


class PredicateDialect(Dialect):
    """Plain SQL, and ``MATCHES`` (or ``~``) for regular expressions."""

    class Tokenizer(Tokenizer):
        KEYWORDS = {**Tokenizer.KEYWORDS, "MATCHES": TokenType.RLIKE, "~": TokenType.RLIKE}


@dataclass(frozen=True)
class Predicate:
    """A question to every row, answered true, false, or null where it cannot be told.

    Like a CHECK constraint, a row breaks it only where the answer is false. ``/`` is
    true division (7 / 2 is 3.5), ``%`` has the sign of its left side, and dividing by
    zero is unknown. ``MATCHES`` searches: anchor with ``^`` and ``$``.
    """

    text: str
    expr: pl.Expr
    columns: tuple[str, ...]

    @property
    def failing(self) -> pl.Expr:
        """True of rows that break the predicate.

        Nulls: never null; unknown is not broken.
        """
        return self.expr.not_().fill_null(value=False)


@lru_cache(maxsize=4096)
def parse_predicate(text: str, rule: str = "predicate") -> Predicate:
    """The predicate that ``text`` spells.

    Errors: ConfigError that names the rule, the text, what is not allowed and what is.
    Example:
        >>> parse_predicate("distance > 0 AND origin IS NOT NULL").columns
        ('distance', 'origin')
    """
    try:
        tree = tree_of(text)
        columns = tuple(sorted({column.name for column in tree.find_all(exp.Column)}))
        expr = build(tree)
        if isinstance(tree.unnest(), VALUES):
            raise RefusedError("this is a value, not a question with the answer yes or no, which is not allowed")
        if not columns:
            raise RefusedError("no column is named, so every row has the same answer, which is not allowed")
    except RefusedError as error:
        raise ConfigError(
            f"rule {rule!r}: predicate {text!r}: {error}; allowed: {ALLOWED}", rule=rule, predicate=text
        ) from None
    except RecursionError:
        raise ConfigError(
            f"rule {rule!r}: the predicate is nested too deeply; split it into several rules", rule=rule
        ) from None
    return Predicate(text, expr, columns)


def tree_of(text: str) -> Node:
    """The syntax of one statement, whatever it holds.

    Errors: RefusedError for what is no SQL, and for none or several statements.
    """
    try:
        trees: list[Any] = sqlglot.parse(text, dialect=PredicateDialect)
    except ParseError as error:
        first: dict[str, Any] = error.errors[0] if error.errors else {}
        where = f" at column {first['col']}, near {first['highlight']!r}" if first.get("col") else ""
        raise RefusedError(
            f"this is not SQL that can be read{where}: {str(first.get('description', error)).split(' for <')[0]}"
        ) from None
    except SqlglotError as error:
        raise RefusedError(f"this is not SQL that can be read: {error}") from None
    if len(trees) != 1 or trees[0] is None:
        raise RefusedError(
            f"{len(trees)} statements are not allowed" if len(trees) > 1 else "it is empty, which is not allowed"
        )
    return trees[0]
