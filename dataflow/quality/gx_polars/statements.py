"""Statements about rows in a language that the caller brings: SQL, or whatever compiles to Polars."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import polars as pl

from .conditions import CONDITIONS, Kwargs, Rows, Schema, column

Compile = Callable[[str], pl.Expr]
DIALECTS: dict[str, Compile] = {}


def register_dialect(name: str, compile_statement: Compile) -> None:
    """Let ``ExpectRowsToSatisfy(dialect=name)`` use statements of a language.

    The compiled expression answers true, false, or null for a row that it cannot judge.
    """
    DIALECTS[name] = compile_statement


def _satisfy(domain: Kwargs, values: Kwargs, schema: Schema) -> Rows:
    dialect = values["dialect"]
    if dialect not in DIALECTS:
        raise ValueError(
            f"unknown dialect {dialect!r}; registered: {', '.join(sorted(DIALECTS)) or 'none'} (see register_dialect)"
        )
    names = tuple(column(schema, name).name for name in domain["column_list"])
    answer = DIALECTS[dialect](values["statement"])
    kind = pl.LazyFrame(schema=dict(schema)).select(answer=answer).collect_schema()["answer"]
    if kind != pl.Boolean:
        raise ValueError(f"the statement {values['statement']!r} answers with {kind}, not with yes or no")
    digest = hashlib.sha256(f"{dialect} {values['statement']}".encode()).hexdigest()[:16]
    shared = f"__gx_{digest}"
    return Rows(pl.col(shared).is_not_null(), pl.col(shared).not_(), names, {shared: answer})


CONDITIONS["rows.satisfy"] = _satisfy
