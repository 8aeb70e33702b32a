"""What each map metric of Great Expectations is, as Polars expressions: one registry, a few lines each."""

from . import among, parsing, records, text, values
from .literals import aligned, bound, members
from .questions import (
    CONDITIONS,
    Among,
    Column,
    Condition,
    Keys,
    Kwargs,
    Question,
    Rows,
    Schema,
    both,
    column,
    considered,
    of_column,
)
from .regex import like_expr, regex_expr
from .values import within

__all__ = [
    "CONDITIONS",
    "Among",
    "Column",
    "Condition",
    "Keys",
    "Kwargs",
    "Question",
    "Rows",
    "Schema",
    "aligned",
    "among",
    "both",
    "bound",
    "column",
    "considered",
    "like_expr",
    "members",
    "of_column",
    "parsing",
    "records",
    "regex_expr",
    "text",
    "values",
    "within",
]
