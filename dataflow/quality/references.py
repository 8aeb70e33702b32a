"""References: ``key IN (SELECT key FROM table)``, a predicate about rows of another table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

import polars as pl
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from dataflow.errors import ConfigError, hint
from dataflow.quality.predicate import PredicateDialect

SHAPE = "column [NOT] IN (SELECT column FROM table), or (a, b) [NOT] IN (SELECT x, y FROM table), and nothing else"
_KEY = "__gate_key_{}"


@dataclass(frozen=True)
class Reference:
    """A key that must be (or, negated, must not be) among those of another table.

    Nulls: a row whose key has a missing part passes; missing parts over there refer to nothing.
    """

    text: str
    columns: tuple[str, ...]
    table: str
    keys: tuple[str, ...]
    negated: bool

    def check(self, columns: Iterable[str], rule: str) -> None:
        """Errors: ConfigError for the first key that is not among the ``columns`` of the table, with the nearest."""
        known = set(columns)
        for key in self.keys:
            if key not in known:
                raise ConfigError(
                    f"rule {rule!r}: unknown column {key!r} of {self.table!r} in {self.text}{hint(key, known)}",
                    rule=rule,
                    column=key,
                    table=self.table,
                )

    def mark(self, frame: pl.LazyFrame, table: pl.LazyFrame, flag: str, *, rule: str) -> pl.LazyFrame:
        """``frame`` in its order with the column ``flag``: true of rows that break the rule, never null.

        Errors: ConfigError where a column's type cannot be compared with its key's.
        """
        ours, theirs = frame.collect_schema(), table.collect_schema()
        names = [_KEY.format(number) for number in range(len(self.keys))]
        pairs = list(zip(self.columns, self.keys, names, strict=True))
        keys = [self._as_ours(key, ours[column], theirs[key], rule).alias(name) for column, key, name in pairs]
        known = table.select(keys).drop_nulls().unique().with_columns(pl.lit(value=True).alias(flag))
        asked = reduce(pl.Expr.__and__, (pl.col(column).is_not_null() for column in self.columns))
        found = pl.col(flag).is_not_null()
        joined = frame.join(known, left_on=list(self.columns), right_on=names, how="left", maintain_order="left")
        return joined.with_columns((asked & (found if self.negated else ~found)).alias(flag))

    def _as_ours(self, key: str, ours: pl.DataType, theirs: pl.DataType, rule: str) -> pl.Expr:
        """The key in the type of our column; null where it is a value that this type does not have."""
        column = self.columns[self.keys.index(key)]
        if ours == theirs:
            return pl.col(key)
        if not ((ours.is_numeric() and theirs.is_numeric()) or type(ours) is type(theirs)):
            raise ConfigError(
                f"rule {rule!r}: {self.text}: {column!r} is {ours} and {key!r} of {self.table!r} is {theirs}, "
                "which cannot be compared; cast one of them in its stage",
                rule=rule,
                column=column,
                table=self.table,
            )
        cast = pl.col(key).cast(ours, strict=False)
        return pl.when(cast.cast(theirs, strict=False) == pl.col(key)).then(cast)


def check_references(rule: str, reference: Reference, tables: Mapping[str, Iterable[str]]) -> None:
    """Errors: ConfigError for a table that is not among ``tables`` (name -> columns), or lacks the keys."""
    if reference.table not in tables:
        # What no stage makes is refused when the workflow is declared.
        way_out = hint(reference.table, tables) if tables else "; it is not published yet: run its stage first"
        raise ConfigError(
            f"rule {rule!r}: unknown table {reference.table!r} in {reference.text}{way_out}",
            rule=rule,
            table=reference.table,
        )
    reference.check(tables[reference.table], rule)


@lru_cache(maxsize=4096)
def parse_reference(text: str, rule: str = "predicate") -> Reference | None:
    """The reference that a predicate spells; None for a predicate that asks no other table.

    Errors: ConfigError for a SELECT anywhere else than on the right of IN, or one that does more than name columns.
    Example:
        >>> parse_reference("carrier IN (SELECT carrier FROM airlines)").table
        'airlines'
    """
    try:
        trees: list[Any] = sqlglot.parse(text, dialect=PredicateDialect)
    except (SqlglotError, RecursionError):
        return None  # the predicate's own parser says what is wrong
    if not any(tree is not None and tree.find(exp.Query) for tree in trees):
        return None
    found = _read(trees[0].unnest(), text) if len(trees) == 1 else None
    if found is None:
        raise ConfigError(
            f"rule {rule!r}: predicate {text!r}: a question to another table is written {SHAPE}", rule=rule
        )
    return found


def _read(tree: Any, text: str) -> Reference | None:
    negated = isinstance(tree, exp.Not)
    asked = tree.this.unnest() if negated else tree
    select = _select(asked)
    source = select.args.get("from_") if select is not None else None
    if source is None or not _plain(source.this, exp.Table) or not isinstance(source.this.this, exp.Identifier):
        return None
    columns, keys = _names(asked.this), _names(select)
    fits = len(columns) == len(keys) > 0
    return Reference(text, columns, source.this.name, keys, negated) if fits else None


def _select(asked: Any) -> Any:
    """The SELECT on the right of IN, where it only names columns of a table."""
    query: Any = asked.args.get("query") if _plain(asked, exp.In, "query") else None
    select = query.this if _plain(query, exp.Subquery) else None
    return select if _plain(select, exp.Select, "expressions", "from_") else None


def _names(node: Any) -> tuple[str, ...]:
    """The columns that a list of columns, or a single one, names; nothing where it is something else."""
    listed = node.expressions if isinstance(node, exp.Tuple | exp.Select) else [node.unnest()]
    return tuple(item.name for item in listed) if all(_plain(item, exp.Column) for item in listed) else ()


def _plain(node: Any, kind: type, *known: str) -> bool:
    """Whether a node is of a kind and says nothing beyond ``this`` and what is known."""
    return isinstance(node, kind) and not any(
        value for name, value in node.args.items() if name not in ("this", *known)
    )
