"""Questions about text: its length, regular expressions, LIKE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import polars as pl

from .questions import Column, of_column
from .regex import like_expr, regex_expr
from .values import within

EACH = {"any": pl.Expr.__or__, "all": pl.Expr.__and__}


@of_column("column_values.value_length.between")
def _length(
    asked: Column, min_value: Any = None, max_value: Any = None, strict_min: object = None, strict_max: object = None
) -> pl.Expr:
    return within(asked.text.str.len_chars(), min_value, max_value, strict_min, strict_max)


@of_column("column_values.value_length.equals")
def _length_equals(asked: Column, value: int) -> pl.Expr:
    return asked.text.str.len_chars() == value


def _matching(patterns: Sequence[str], match: Callable[[str], pl.Expr], match_on: str | None = None) -> pl.Expr:
    if not patterns:
        raise ValueError("the list of patterns is empty")
    if (match_on or "any") not in EACH:
        raise ValueError(f"match_on must be either 'any' or 'all', not {match_on!r}")
    return reduce(EACH[match_on or "any"], map(match, patterns))


@of_column("column_values.match_regex")
def _regex(asked: Column, regex: str) -> pl.Expr:
    return regex_expr(asked.text, regex)


@of_column("column_values.not_match_regex")
def _not_regex(asked: Column, regex: str) -> pl.Expr:
    return _regex(asked, regex).not_()


@of_column("column_values.match_regex_list")
def _regexes(asked: Column, regex_list: Sequence[str], match_on: str | None = None) -> pl.Expr:
    return _matching(regex_list, partial(regex_expr, asked.text), match_on)


@of_column("column_values.not_match_regex_list")
def _not_regexes(asked: Column, regex_list: Sequence[str]) -> pl.Expr:
    return _regexes(asked, regex_list).not_()


@of_column("column_values.match_like_pattern_list")
def _likes(
    asked: Column, like_pattern_list: Sequence[str], match_on: str | None = None, escape: str | None = None
) -> pl.Expr:
    return _matching(like_pattern_list, partial(like_expr, asked.text, escape=escape), match_on)


@of_column("column_values.not_match_like_pattern_list")
def _not_likes(asked: Column, like_pattern_list: Sequence[str], escape: str | None = None) -> pl.Expr:
    return _likes(asked, like_pattern_list, escape=escape).not_()


@of_column("column_values.match_like_pattern")
def _like(asked: Column, like_pattern: str, escape: str | None = None) -> pl.Expr:
    return like_expr(asked.text, like_pattern, escape)


@of_column("column_values.not_match_like_pattern")
def _not_like(asked: Column, like_pattern: str, escape: str | None = None) -> pl.Expr:
    return _like(asked, like_pattern, escape).not_()
