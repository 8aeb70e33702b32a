"""What a predicate may not say, and what to do instead."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

ALLOWED = (
    "columns, numbers, 'text', TRUE, FALSE, NULL, DATE '…', TIMESTAMP '…', TIMESTAMPTZ '…', INTERVAL '…', AND, OR, NOT, "
    "= <> < <= > >=, IS [NOT] NULL/TRUE/FALSE, IS [NOT] DISTINCT FROM, BETWEEN, IN (…), LIKE … [ESCAPE], ILIKE, "
    "MATCHES (also ~ and RLIKE), + - * / % ||, CASE, COALESCE, NULLIF, GREATEST, LEAST, ABS, ROUND, FLOOR, CEIL, IS_NAN, "
    "LENGTH, LOWER, UPPER, TRIM, SUBSTRING, REPLACE, STARTS_WITH, ENDS_WITH, CONTAINS, EXTRACT, YEAR, MONTH, DAY, HOUR, "
    "DATEDIFF, CAST and TRY_CAST to BIGINT, DOUBLE, TEXT, BOOLEAN, DATE, TIMESTAMP"
)
_CLOCK = "it is another one at each run, so one row would pass today and fail tomorrow"
_CLOCK_WAY_OUT = "compare with a column that says when the row was made, or with a fixed DATE '…'"
_TABLES = "a predicate sees one row of its own table"
_TABLES_WAY_OUT = "ask whether it has a key by a rule of its own, column IN (SELECT key FROM table), or join it in the stage's function"
_FILES_WAY_OUT = "land the file as a source and join it in the stage's function"
_MANY_WAY_OUT = "use an expectation about the batch, as in expectation: {type: expect_column_mean_to_be_between, column: …, min_value: …}"
_REASONS: tuple[tuple[tuple[type, ...], str, str], ...] = (
    (
        (
            exp.CurrentDate,
            exp.CurrentTime,
            exp.CurrentTimestamp,
            exp.CurrentDatetime,
            exp.Localtime,
            exp.Localtimestamp,
        ),
        _CLOCK,
        _CLOCK_WAY_OUT,
    ),
    ((exp.Rand, exp.Randn, exp.Uuid), "it is random, so one row would get another answer each time", "use columns"),
    ((exp.Query, exp.Exists, exp.SubqueryPredicate), _TABLES, _TABLES_WAY_OUT),
    ((exp.ReadCSV, exp.ReadParquet, exp.UDTF), "a rule cannot read files", _FILES_WAY_OUT),
    ((exp.AggFunc, exp.Window), "it is about many rows, and a predicate sees one", _MANY_WAY_OUT),
    ((exp.Concat,), "what it makes of a null differs between databases", "join texts with ||, or COALESCE them first"),
)
_NAMES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("NOW", "TODAY", "GETDATE", "SYSDATE"), _CLOCK, _CLOCK_WAY_OUT),
    (("READ_", "SCAN_", "GLOB"), "a rule cannot read files", _FILES_WAY_OUT),
)


def reason(node: exp.Expr) -> str:
    """Why the node is not let through, and the way out where there is one."""
    why = next((f": {why}; {way_out}" for why, way_out in _why(node)), "")
    return f"{_described(node)} is not allowed{why}"


def _why(node: exp.Expr) -> Iterator[tuple[str, str]]:
    if isinstance(node, exp.Anonymous):
        yield from ((why, out) for names, why, out in _NAMES if node.name.upper().startswith(names))
    yield from ((why, out) for kinds, why, out in _REASONS if isinstance(node, kinds))


def _described(node: exp.Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return f"the function {node.name.upper()}"
    if isinstance(node, exp.Func):
        return f"the function {node.sql_name()}"
    return f"{node.key.upper()} ({node.sql()})"
